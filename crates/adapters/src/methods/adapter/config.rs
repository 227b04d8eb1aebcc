//! Hyper-parameters of single adapters.

use ast_model::{AstConfig, Checkpoint, Extension};
use serde::{Deserialize, Serialize};

use super::module;
use crate::methods::method::Method;
use crate::methods::mixture::check_width;
use crate::methods::{Bottleneck, MethodConfig, Placement, linear};
use crate::parameters::Parameters;
use crate::{AdapterError, AdapterInit, Compat};

/// How an adapter A meets its sub-layer S with normalised input n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Insertion {
    /// S(n) + A(n). The default.
    #[default]
    Parallel,
    /// With s = S(n): s + A(s), or A(s) without residual.
    Sequential,
}

/// One bottleneck adapter A(n) = U GELU(D n + b) + c per block and location.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdapterConfig {
    /// Width R. Default: reduction rate 64, R = 12 in AST-Base.
    pub bottleneck: Bottleneck,
    /// Default: at the feed-forward sub-layer, as the authors' program.
    pub placement: Placement,
    /// Default: parallel.
    pub insertion: Insertion,
    /// Adds the adapter's own input to its output. Default: false. With
    /// parallel insertion this adds the LayerNorm output to the residual
    /// stream, which harms; the authors' program did so when asked not to.
    pub residual: bool,
    /// Initial values. Default: as the compat mode has it; without one,
    /// `zero_up`.
    pub init: Option<AdapterInit>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        AdapterConfig {
            bottleneck: Bottleneck::ReductionRate(64.0),
            placement: Placement::PfeifferFfn,
            insertion: Insertion::Parallel,
            residual: false,
            init: None,
        }
    }
}

impl AdapterConfig {
    /// Checks the hyper-parameters against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`].
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        check_width("adapter", self.bottleneck, backbone)
    }
}

impl Method for AdapterConfig {
    fn name(&self) -> &'static str {
        "adapter"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let mut filled = self.clone();
        filled.init.get_or_insert(compat.init());
        MethodConfig::Adapter(filled)
    }

    fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        AdapterConfig::validate(self, backbone)
    }

    fn trains(&self, name: &str) -> bool {
        linear::trains(name) || self.placement.trains(name)
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        Ok(Box::new(module::build(
            self,
            &checkpoint.config,
            parameters,
        )))
    }
}
