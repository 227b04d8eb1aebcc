//! The registry of methods. A method is a folder with a configuration that
//! implements [`method::Method`] and a module; its lines here make it known.

use ast_model::AstConfig;
use serde::{Deserialize, Serialize};

use crate::{AdapterError, Compat};

pub(crate) mod adapter;
mod bottleneck;
pub(crate) mod dense_moa;
pub(crate) mod full;
pub(crate) mod linear;
pub(crate) mod method;
pub(crate) mod mixture;
mod placement;
pub(crate) mod soft_moa;
pub(crate) mod sparse_moa;

pub use bottleneck::Bottleneck;
pub use placement::Placement;

use adapter::AdapterConfig;
use dense_moa::DenseMoaConfig;
use method::Method;
use soft_moa::SoftMoaConfig;
use sparse_moa::SparseMoaConfig;

/// The settings of a method that has none: any field is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// A method with all its hyper-parameters.
///
/// As JSON: `{"method": "soft-moa", "slots": 1, …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum MethodConfig {
    /// Only the classification head and the final LayerNorm train.
    Linear(NoSettings),
    /// Everything trains.
    Full(NoSettings),
    /// One adapter per block and location.
    Adapter(AdapterConfig),
    /// Every token to all experts, weighted by a router.
    DenseMoa(DenseMoaConfig),
    /// Experts see soft mixtures of all tokens.
    SoftMoa(SoftMoaConfig),
    /// Every token to its top K experts.
    SparseMoa(SparseMoaConfig),
}

/// The default configuration of every method.
fn registry() -> Vec<MethodConfig> {
    vec![
        MethodConfig::Linear(NoSettings {}),
        MethodConfig::Full(NoSettings {}),
        MethodConfig::Adapter(AdapterConfig::default()),
        MethodConfig::DenseMoa(DenseMoaConfig::default()),
        MethodConfig::SoftMoa(SoftMoaConfig::default()),
        MethodConfig::SparseMoa(SparseMoaConfig::default()),
    ]
}

impl MethodConfig {
    /// What the crate knows of this method.
    pub(crate) fn method(&self) -> &dyn Method {
        match self {
            MethodConfig::Linear(_) => &linear::Linear,
            MethodConfig::Full(_) => &full::Full,
            MethodConfig::Adapter(config) => config,
            MethodConfig::DenseMoa(config) => config,
            MethodConfig::SoftMoa(config) => config,
            MethodConfig::SparseMoa(config) => config,
        }
    }

    /// The default configuration of the method `name`.
    ///
    /// # Errors
    /// [`AdapterError::UnknownMethod`] lists the names.
    pub fn named(name: &str) -> Result<Self, AdapterError> {
        let found = registry().into_iter().find(|known| known.name() == name);
        found.ok_or_else(|| AdapterError::UnknownMethod {
            name: name.to_owned(),
            known: Self::names().join(", "),
        })
    }

    /// Names of all methods.
    pub fn names() -> Vec<&'static str> {
        registry().iter().map(MethodConfig::name).collect()
    }

    /// Name of this method.
    pub fn name(&self) -> &'static str {
        self.method().name()
    }

    /// The same method with every setting that `compat` decides, and that was
    /// not given, set to it.
    pub fn with_compat(self, compat: Compat) -> Self {
        self.method().filled(compat)
    }

    /// Checks every hyper-parameter against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`] names the first that is out of range.
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        self.method().validate(backbone)
    }
}
