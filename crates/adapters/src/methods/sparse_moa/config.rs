//! Hyper-parameters of Sparse-MoA.

use ast_model::AstConfig;
use moe_routing::{ExpertChoiceConfig, Exploration, LossWeights, ReluConfig, SparseConfig};
use serde::{Deserialize, Serialize};

use crate::AdapterError;
use crate::methods::mixture::MixtureConfig;

/// Who decides which expert sees which token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SparseRouting {
    /// Each token takes its K best experts (Switch Transformer, V-MoE). The
    /// default.
    #[default]
    TokenChoice,
    /// Each expert takes its best tokens (arXiv 2202.09368).
    ExpertChoice,
    /// Gates max(W x + b, 0), kept sparse by a penalty (ReMoE, arXiv
    /// 2412.14711).
    Relu,
}

/// Hyper-parameters of Sparse-MoA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseMoaConfig {
    /// Experts and places.
    pub mixture: MixtureConfig,
    /// Who decides. Default: token choice.
    #[serde(skip_serializing_if = "is_default")]
    pub router: SparseRouting,
    /// Token choice: K, gates, capacity, noise. Default: K = 1, no capacity, no
    /// noise.
    pub routing: SparseConfig,
    /// Expert choice: how many tokens an expert takes. Default: T / N of a clip.
    #[serde(skip_serializing_if = "is_default")]
    pub expert_choice: ExpertChoiceConfig,
    /// ReLU routing: how many experts shall be active. Default: one per token.
    #[serde(skip_serializing_if = "is_default")]
    pub relu: ReluConfig,
    /// Weight of the load-balance loss (token choice). Default: 0.01 (Switch
    /// Transformer).
    pub load_balance_weight: f64,
    /// Weight of the z-loss (token and expert choice). Default: 0.001 (ST-MoE).
    pub z_loss_weight: f64,
    /// Weight of V-MoE's importance loss (token choice). Default: 0; V-MoE:
    /// 0.005.
    #[serde(skip_serializing_if = "is_default")]
    pub importance_weight: f64,
    /// Weight of V-MoE's load loss (token choice with noise). Default: 0;
    /// V-MoE: 0.005.
    #[serde(skip_serializing_if = "is_default")]
    pub load_weight: f64,
}

/// What is at its default is not written: descriptions that use nothing new
/// stay readable by older programs.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for SparseMoaConfig {
    fn default() -> Self {
        SparseMoaConfig {
            mixture: MixtureConfig::default(),
            router: SparseRouting::TokenChoice,
            routing: SparseConfig::default(),
            expert_choice: ExpertChoiceConfig::default(),
            relu: ReluConfig::default(),
            load_balance_weight: 0.01,
            z_loss_weight: 0.001,
            importance_weight: 0.0,
            load_weight: 0.0,
        }
    }
}

fn bad(field: &'static str, value: String, problem: &'static str) -> AdapterError {
    AdapterError::Config {
        method: "sparse-moa",
        field,
        value,
        problem,
    }
}

impl SparseMoaConfig {
    /// Checks the hyper-parameters against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`].
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        self.mixture.validate("sparse-moa", backbone)?;
        self.validate_router()?;
        self.validate_unused()?;
        for (field, weight) in [
            ("load_balance_weight", self.load_balance_weight),
            ("z_loss_weight", self.z_loss_weight),
            ("importance_weight", self.importance_weight),
            ("load_weight", self.load_weight),
        ] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(bad(field, weight.to_string(), "must be a number from 0 up"));
            }
        }
        let noisy = matches!(self.routing.exploration, Exploration::Noise(value) if value > 0.0);
        if self.load_weight > 0.0 && !noisy {
            let problem = "needs noise: set routing.exploration to {\"noise\": 1.0}";
            return Err(bad("load_weight", self.load_weight.to_string(), problem));
        }
        Ok(())
    }

    fn validate_router(&self) -> Result<(), AdapterError> {
        let experts = self.mixture.experts;
        if self.routing.validate(experts).is_err() {
            let value = format!("{:?}", self.routing);
            let problem = "needs K between 1 and the number of experts, a positive capacity, a \
                           jitter in [0, 1) or a noise from 0 up";
            return Err(bad("routing", value, problem));
        }
        if self.router == SparseRouting::ExpertChoice && self.expert_choice.validate().is_err() {
            let value = format!("{:?}", self.expert_choice);
            return Err(bad(
                "expert_choice",
                value,
                "needs a positive capacity_factor",
            ));
        }
        if self.router == SparseRouting::Relu && self.relu.validate(experts).is_err() {
            let value = format!("{:?}", self.relu);
            let problem = "needs active between 0 and the number of experts, both excluded, a \
                           positive initial_penalty and a growth above 1";
            return Err(bad("relu", value, problem));
        }
        Ok(())
    }

    /// Settings of a router that is not in use would silently do nothing.
    fn validate_unused(&self) -> Result<(), AdapterError> {
        let problem = "belongs to another router than the one chosen; leave it out";
        if self.router != SparseRouting::TokenChoice && !is_default(&self.routing) {
            return Err(bad("routing", format!("{:?}", self.routing), problem));
        }
        if self.router != SparseRouting::ExpertChoice && !is_default(&self.expert_choice) {
            let value = format!("{:?}", self.expert_choice);
            return Err(bad("expert_choice", value, problem));
        }
        if self.router != SparseRouting::Relu && !is_default(&self.relu) {
            return Err(bad("relu", format!("{:?}", self.relu), problem));
        }
        Ok(())
    }

    /// Weights of the losses that the chosen router has.
    pub(super) fn loss_weights(&self) -> LossWeights {
        LossWeights {
            load_balance: self.load_balance_weight,
            importance: self.importance_weight,
            load: self.load_weight,
            z: self.z_loss_weight,
            sparsity: 1.0,
        }
    }
}
