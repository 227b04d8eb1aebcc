//! From the final tokens to one vector per clip, as a method needs it.

use ast_model::{Pooling, SPECIAL_TOKENS};
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
    /// [B, L, D] → [B, D]; tokens for which `mask` [B, L] is false do not count
    /// in a mean over patches.
    pub fn pool(self, tokens: &Tensor, mask: Option<&Tensor>) -> Tensor {
        match (mask, self.range(tokens.size()[1])) {
            (Some(mask), Some([start, length])) => masked_mean(
                &tokens.narrow(1, start, length),
                &mask.narrow(1, start, length),
            ),
            _ => self.mean(tokens),
        }
    }

    /// First token and number of the tokens that are averaged, where patches
    /// are among them.
    fn range(self, tokens: i64) -> Option<[i64; 2]> {
        match self {
            Pool::Model(Pooling::All) => Some([0, tokens]),
            Pool::Model(Pooling::Patches) => Some([SPECIAL_TOKENS, tokens - SPECIAL_TOKENS]),
            Pool::Model(Pooling::Cls | Pooling::ClsDist) => None,
            Pool::Range { start, length } => Some([start, length.unwrap_or(tokens - start)]),
        }
    }

    fn mean(self, tokens: &Tensor) -> Tensor {
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

/// Mean over the tokens for which `mask` [B, L] is true; over all where it is
/// true for none.
fn masked_mean(tokens: &Tensor, mask: &Tensor) -> Tensor {
    let none = mask.any_dim(1, true).logical_not();
    let weights = mask.logical_or(&none).to_kind(tokens.kind());
    let weights = &weights / weights.sum_dim_intlist(1, true, None::<Kind>);
    weights.unsqueeze(1).bmm(tokens).squeeze_dim(1)
}
