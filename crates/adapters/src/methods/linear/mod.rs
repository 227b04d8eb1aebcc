//! Linear probe: the classification head and the final LayerNorm train. Both
//! train in almost every other method too.

use super::method::Method;
use super::{MethodConfig, NoSettings};
use crate::Compat;

/// The method; it has no settings.
pub(crate) struct Linear;

impl Method for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn filled(&self, _compat: Compat) -> MethodConfig {
        MethodConfig::Linear(NoSettings {})
    }
}

/// Whether the linear probe trains this tensor of the backbone.
pub(crate) fn trains(name: &str) -> bool {
    name.starts_with("layernorm.")
}
