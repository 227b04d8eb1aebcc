//! Soft-MoA: every expert works on P slots, each a soft mixture of all tokens
//! (arXiv 2402.00828, section 2.3; Soft MoE, arXiv 2308.00951).

use ast_model::{AstConfig, Checkpoint, Extension};
use moe_routing::{LossWeights, Router, RouterNorm, SoftRouter};
use serde::{Deserialize, Serialize};

use super::method::Method;
use super::mixture::{self, Mixture, MixtureConfig};
use super::{MethodConfig, linear};
use crate::parameters::Parameters;
use crate::{AdapterError, Compat};

/// Hyper-parameters of Soft-MoA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoftMoaConfig {
    /// Experts and places.
    pub mixture: MixtureConfig,
    /// P, slots per expert. Default: 1.
    pub slots: i64,
    /// Normalisation of the routing logits' operands. Default: off.
    pub router_norm: RouterNorm,
    /// Standard deviation of normal noise on the routing logits in training.
    /// Default: 0, none.
    #[serde(skip_serializing_if = "is_zero")]
    pub noise: f64,
}

impl Default for SoftMoaConfig {
    fn default() -> Self {
        SoftMoaConfig {
            mixture: MixtureConfig::default(),
            slots: 1,
            router_norm: RouterNorm::Off,
            noise: 0.0,
        }
    }
}

impl SoftMoaConfig {
    /// Checks the hyper-parameters against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`].
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        self.mixture.validate("soft-moa", backbone)?;
        let bad = |field, value: String, problem| AdapterError::Config {
            method: "soft-moa",
            field,
            value,
            problem,
        };
        if !(1..=4096).contains(&self.slots) {
            let value = self.slots.to_string();
            return Err(bad("slots", value, "must lie between 1 and 4096"));
        }
        if !(self.noise >= 0.0 && self.noise.is_finite()) {
            let value = self.noise.to_string();
            return Err(bad("noise", value, "must be a number from 0 up"));
        }
        Ok(())
    }
}

/// Descriptions without noise stay readable by programs that know none.
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

pub(crate) fn build(
    config: &SoftMoaConfig,
    backbone: &AstConfig,
    parameters: &mut Parameters,
) -> Mixture {
    let (d, n, p) = (backbone.hidden_size, config.mixture.experts, config.slots);
    let (norm, noise) = (config.router_norm, config.noise);
    // Xavier-normal for a tensor [D, N, P]: fan-in N·P, fan-out D·P.
    let sigma = (2.0 / (p * (n + d)) as f64).sqrt();
    mixture::build(
        &config.mixture,
        backbone,
        LossWeights::default(),
        parameters,
        |name, parameters| -> Box<dyn Router> {
            let phi = parameters.normal(format!("{name}.phi"), &[d, n, p], sigma);
            let scale = (norm != RouterNorm::Off)
                .then(|| parameters.constant(format!("{name}.scale"), &[], 1.0));
            Box::new(SoftRouter {
                phi,
                scale,
                norm,
                noise,
            })
        },
    )
}

impl Method for SoftMoaConfig {
    fn name(&self) -> &'static str {
        "soft-moa"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let mut filled = self.clone();
        filled.mixture.set_compat(compat, compat.init());
        MethodConfig::SoftMoa(filled)
    }

    fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        SoftMoaConfig::validate(self, backbone)
    }

    fn trains(&self, name: &str) -> bool {
        linear::trains(name) || self.mixture.placement.trains(name)
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        Ok(Box::new(build(self, &checkpoint.config, parameters)))
    }
}
