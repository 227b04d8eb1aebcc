//! LayerNorm tuning: scale and shift of every LayerNorm train
//! (Basu et al. 2024, arXiv 2304.04554; Zhao et al. 2024, arXiv 2312.11420).

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
