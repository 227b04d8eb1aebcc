//! Full fine-tuning: every tensor trains, positions and special tokens too.

use super::method::Method;
use super::{MethodConfig, NoSettings};
use crate::Compat;

/// The method; it has no settings.
pub(crate) struct Full;

impl Method for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn filled(&self, _compat: Compat) -> MethodConfig {
        MethodConfig::Full(NoSettings {})
    }

    fn trains(&self, _name: &str) -> bool {
        true
    }
}
