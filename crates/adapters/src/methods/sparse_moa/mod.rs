//! Sparse-MoA: every token to few experts, by token choice (Switch Transformer,
//! V-MoE), expert choice or ReLU gates.

mod config;

use ast_model::{AstConfig, Checkpoint, Extension};
use moe_routing::{ExpertChoiceRouter, ReluRouter, Router, SparseRouter};

use super::dense_moa::router_tensors;
use super::method::Method;
use super::mixture::{self, Mixture};
use super::{MethodConfig, linear};
use crate::parameters::Parameters;
use crate::{AdapterError, Compat};

pub use config::{SparseMoaConfig, SparseRouting};

pub(crate) fn build(
    config: &SparseMoaConfig,
    backbone: &AstConfig,
    parameters: &mut Parameters,
) -> Mixture {
    let shape = [config.mixture.experts, backbone.hidden_size];
    mixture::build(
        &config.mixture,
        backbone,
        config.loss_weights(),
        parameters,
        |name, parameters| router(config, name, shape, parameters),
    )
}

/// A router with its tensors under `name`.
///
/// # Shapes
/// `shape` = [N, D]
fn router(
    config: &SparseMoaConfig,
    name: &str,
    shape: [i64; 2],
    parameters: &mut Parameters,
) -> Box<dyn Router> {
    let (weight, bias) = router_tensors(name, shape, parameters);
    match config.router {
        SparseRouting::TokenChoice => Box::new(SparseRouter {
            weight,
            bias,
            config: config.routing,
        }),
        SparseRouting::ExpertChoice => Box::new(ExpertChoiceRouter {
            weight,
            bias,
            config: config.expert_choice,
        }),
        SparseRouting::Relu => {
            let relu = config.relu;
            let mut buffer =
                |part: &str, value| parameters.buffer(format!("{name}.{part}"), &[], value);
            Box::new(ReluRouter {
                weight,
                bias,
                config: relu,
                penalty: buffer("router_penalty", relu.initial_penalty),
                activity: buffer("router_activity", relu.active / shape[0] as f64),
            })
        }
    }
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
