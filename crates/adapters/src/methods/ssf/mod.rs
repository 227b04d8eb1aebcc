//! SSF: scale and shift the features after every operation (Lian et al. 2022,
//! arXiv 2210.08823).

mod module;

use ast_model::{Checkpoint, Extension};
use serde::{Deserialize, Serialize};

use super::MethodConfig;
use super::method::Method;
use crate::parameters::Parameters;
use crate::{AdapterError, AdapterInit, Compat};

/// y = γ ∘ x + β with trained γ and β after the patch embedding, after both
/// LayerNorms and after all six linear maps of every block. After the final
/// LayerNorm there is none: its own scale and shift train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SsfConfig {
    /// Initial values. `paper`: γ from N(1, 0.02²), β from N(0, 0.02²), as in
    /// the program of the method's authors. `zero_up`: γ = 1, β = 0. Default:
    /// as the compat mode has it; without one, `zero_up`.
    pub init: Option<AdapterInit>,
}

impl Method for SsfConfig {
    fn name(&self) -> &'static str {
        "ssf"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let init = self.init.or(Some(compat.init()));
        MethodConfig::Ssf(SsfConfig { init })
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        let init = self.init.unwrap_or_default();
        Ok(Box::new(module::Ssf::new(
            init,
            &checkpoint.config,
            parameters,
        )))
    }
}
