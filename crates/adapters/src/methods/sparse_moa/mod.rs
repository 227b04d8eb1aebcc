//! Sparse-MoA: every token to its top K experts, as in the Switch Transformer
//! (K = 1) and V-MoE.

use ast_model::{AstConfig, Checkpoint, Extension};
use moe_routing::{Router, SparseConfig, SparseRouter};
use serde::{Deserialize, Serialize};

use super::dense_moa::router_tensors;
use super::method::Method;
use super::mixture::{self, LossWeights, Mixture, MixtureConfig};
use super::{MethodConfig, linear};
use crate::parameters::Parameters;
use crate::{AdapterError, Compat};

/// Hyper-parameters of Sparse-MoA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseMoaConfig {
    /// Experts and places.
    pub mixture: MixtureConfig,
    /// K, gates and capacity. Default: K = 1, no capacity.
    pub routing: SparseConfig,
    /// Weight of the load-balance loss. Default: 0.01 (Switch Transformer).
    pub load_balance_weight: f64,
    /// Weight of the z-loss. Default: 0.001 (ST-MoE).
    pub z_loss_weight: f64,
}

impl Default for SparseMoaConfig {
    fn default() -> Self {
        SparseMoaConfig {
            mixture: MixtureConfig::default(),
            routing: SparseConfig::default(),
            load_balance_weight: 0.01,
            z_loss_weight: 0.001,
        }
    }
}

impl SparseMoaConfig {
    /// Checks the hyper-parameters against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`].
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        const METHOD: &str = "sparse-moa";
        self.mixture.validate(METHOD, backbone)?;
        let bad = |field, value: String, problem| AdapterError::Config {
            method: METHOD,
            field,
            value,
            problem,
        };
        if self.routing.validate(self.mixture.experts).is_err() {
            let value = format!("{:?}", self.routing);
            let problem = "needs K between 1 and the number of experts and a positive capacity";
            return Err(bad("routing", value, problem));
        }
        for (field, weight) in [
            ("load_balance_weight", self.load_balance_weight),
            ("z_loss_weight", self.z_loss_weight),
        ] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(bad(field, weight.to_string(), "must be a number from 0 up"));
            }
        }
        Ok(())
    }
}

pub(crate) fn build(
    config: &SparseMoaConfig,
    backbone: &AstConfig,
    parameters: &mut Parameters,
) -> Mixture {
    let shape = [config.mixture.experts, backbone.hidden_size];
    let weights = LossWeights {
        load_balance: config.load_balance_weight,
        z: config.z_loss_weight,
    };
    mixture::build(
        &config.mixture,
        backbone,
        weights,
        parameters,
        |name, parameters| -> Box<dyn Router> {
            let (weight, bias) = router_tensors(name, shape, parameters);
            Box::new(SparseRouter {
                weight,
                bias,
                config: config.routing,
            })
        },
    )
}

impl Method for SparseMoaConfig {
    fn name(&self) -> &'static str {
        "sparse-moa"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let mut filled = self.clone();
        filled.mixture.set_compat(compat, compat.init());
        MethodConfig::SparseMoa(filled)
    }

    fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        SparseMoaConfig::validate(self, backbone)
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
