//! The registry of methods. A method is a folder with a configuration that
//! implements [`method::Method`] and a module; its lines here make it known.

use ast_model::AstConfig;
use serde::{Deserialize, Serialize};

use crate::{AdapterError, Compat};

pub(crate) mod adapter;
pub(crate) mod bitfit;
mod bottleneck;
pub(crate) mod dense_moa;
mod draws;
mod expert;
pub(crate) mod full;
pub(crate) mod layernorm;
pub(crate) mod linear;
pub(crate) mod lora;
pub(crate) mod method;
pub(crate) mod mixture;
mod placement;
pub(crate) mod prefix;
pub(crate) mod prompt;
pub(crate) mod soft_moa;
pub(crate) mod sparse_moa;
pub(crate) mod ssf;

pub use bottleneck::Bottleneck;
pub use expert::{ConformerExpert, ConvpassExpert, Expert, InputNorm};
pub use placement::Placement;

use adapter::AdapterConfig;
use dense_moa::DenseMoaConfig;
use lora::LoraConfig;
use method::Method;
use prefix::PrefixConfig;
use prompt::PromptConfig;
use soft_moa::SoftMoaConfig;
use sparse_moa::SparseMoaConfig;
use ssf::SsfConfig;

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
    /// The biases of the encoder train.
    Bitfit(NoSettings),
    /// Scale and shift of every LayerNorm train.
    Layernorm(NoSettings),
    /// Scale and shift of the features after every operation.
    Ssf(SsfConfig),
    /// Trained tokens in the sequence.
    Prompt(PromptConfig),
    /// Trained keys and values in every attention.
    Prefix(PrefixConfig),
    /// Low-rank updates of frozen matrices.
    Lora(LoraConfig),
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
        MethodConfig::Bitfit(NoSettings {}),
        MethodConfig::Layernorm(NoSettings {}),
        MethodConfig::Ssf(SsfConfig::default()),
        MethodConfig::Prompt(PromptConfig::default()),
        MethodConfig::Prefix(PrefixConfig::default()),
        MethodConfig::Lora(LoraConfig::default()),
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
            MethodConfig::Bitfit(_) => &bitfit::Bitfit,
            MethodConfig::Layernorm(_) => &layernorm::Layernorm,
            MethodConfig::Ssf(config) => config,
            MethodConfig::Prompt(config) => config,
            MethodConfig::Prefix(config) => config,
            MethodConfig::Lora(config) => config,
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
