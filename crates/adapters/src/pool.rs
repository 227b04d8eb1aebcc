//! From the final tokens to one vector per clip, as a method needs it.

use ast_model::Pooling;
use tch::{Kind, Tensor};

/// What is averaged. A method that changes the token sequence may need other
/// places than the backbone's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pool {
    /// As the backbone counts its tokens.
    Model(Pooling),
    /// Mean over the tokens from `start` on, `length` of them or all.
    Range { start: i64, length: Option<i64> },
}

impl Pool {
    /// [B, L, D] → [B, D]
    pub fn pool(self, tokens: &Tensor) -> Tensor {
        match self {
            Pool::Model(pooling) => pooling.pool(tokens),
            Pool::Range { start, length } => {
                let length = length.unwrap_or(tokens.size()[1] - start);
                let over_tokens: &[i64] = &[1];
                tokens
                    .narrow(1, start, length)
                    .mean_dim(over_tokens, false, None::<Kind>)
            }
        }
    }
}
