//! From one vector per token to one vector per clip.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::config::SPECIAL_TOKENS;

/// How the tokens of a clip become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over all L tokens, class and distillation token included: the
    /// default of the authors' program.
    #[default]
    All,
    /// The class token.
    Cls,
    /// Mean of class and distillation token: Hugging Face's pooler.
    ClsDist,
    /// Mean over the patches, special tokens left out.
    Patches,
}

impl Pooling {
    /// Pools the tokens of each clip.
    ///
    /// # Shapes
    /// `tokens` [B, L, D] with L ≥ 2 → [B, D]
    pub fn pool(self, tokens: &Tensor) -> Tensor {
        let over_tokens: &[i64] = &[1];
        match self {
            Pooling::All => tokens.mean_dim(over_tokens, false, None::<Kind>),
            Pooling::Cls => tokens.select(1, 0),
            Pooling::ClsDist => {
                tokens
                    .narrow(1, 0, SPECIAL_TOKENS)
                    .mean_dim(over_tokens, false, None::<Kind>)
            }
            Pooling::Patches => tokens
                .narrow(1, SPECIAL_TOKENS, tokens.size()[1] - SPECIAL_TOKENS)
                .mean_dim(over_tokens, false, None::<Kind>),
        }
    }
}
