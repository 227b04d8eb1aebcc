//! BitFit: the biases of the encoder train, its matrices do not
//! (Ben Zaken et al. 2022, arXiv 2106.10199).

use super::method::Method;
use super::{MethodConfig, NoSettings};
use crate::Compat;

/// The method; it has no settings.
pub(crate) struct Bitfit;

impl Method for Bitfit {
    fn name(&self) -> &'static str {
        "bitfit"
    }

    fn filled(&self, _compat: Compat) -> MethodConfig {
        MethodConfig::Bitfit(NoSettings {})
    }

    /// Every bias of a linear map or LayerNorm. Not that of the patch
    /// convolution, and of the final LayerNorm the bias alone.
    fn trains(&self, name: &str) -> bool {
        name.ends_with(".bias") && (name.starts_with("encoder.") || name.starts_with("layernorm."))
    }
}
