//! Dense-MoA: every token to all experts, weighted by a softmax router
//! (arXiv 2402.00828, section 2.2).

use ast_model::{AstConfig, Checkpoint, Extension};
use moe_routing::{DenseRouter, LossWeights, Router};
use serde::{Deserialize, Serialize};

use super::method::Method;
use super::mixture::{self, Mixture, MixtureConfig};
use super::{MethodConfig, linear};
use crate::parameters::{Parameters, SIGMA};
use crate::{AdapterError, Compat};

/// Hyper-parameters of Dense-MoA.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenseMoaConfig {
    /// Experts and places.
    pub mixture: MixtureConfig,
}

impl DenseMoaConfig {
    /// Checks the hyper-parameters against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`].
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        self.mixture.validate("dense-moa", backbone)
    }
}

pub(crate) fn build(
    config: &DenseMoaConfig,
    backbone: &AstConfig,
    parameters: &mut Parameters,
) -> Mixture {
    let shape = [config.mixture.experts, backbone.hidden_size];
    mixture::build(
        &config.mixture,
        backbone,
        LossWeights::default(),
        parameters,
        |name, parameters| -> Box<dyn Router> {
            let (weight, bias) = router_tensors(name, shape, parameters);
            Box::new(DenseRouter { weight, bias })
        },
    )
}

/// A linear router: weight [N, D] from N(0, 0.02²), bias [N] 0.
pub(crate) fn router_tensors(
    name: &str,
    [n, d]: [i64; 2],
    parameters: &mut Parameters,
) -> (tch::Tensor, tch::Tensor) {
    (
        parameters.normal(format!("{name}.router_weight"), &[n, d], SIGMA),
        parameters.constant(format!("{name}.router_bias"), &[n], 0.0),
    )
}

impl Method for DenseMoaConfig {
    fn name(&self) -> &'static str {
        "dense-moa"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let mut filled = self.clone();
        filled.mixture.set_compat(compat, compat.init());
        MethodConfig::DenseMoa(filled)
    }

    fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        DenseMoaConfig::validate(self, backbone)
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
