//! LayerNorm tuning: scale and shift of every LayerNorm train
//! (LN-tuning, Qi et al. 2022, arXiv 2211.08682).

use super::method::Method;
use super::{MethodConfig, NoSettings, linear};
use crate::Compat;

/// The method; it has no settings.
pub(crate) struct Layernorm;

impl Method for Layernorm {
    fn name(&self) -> &'static str {
        "layernorm"
    }

    fn filled(&self, _compat: Compat) -> MethodConfig {
        MethodConfig::Layernorm(NoSettings {})
    }

    fn trains(&self, name: &str) -> bool {
        linear::trains(name)
            || name.contains(".layernorm_before.")
            || name.contains(".layernorm_after.")
    }
}
