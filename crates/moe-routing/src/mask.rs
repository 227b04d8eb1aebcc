//! Tokens that take no part in routing, padded frames for example.

use crate::check::{Named, named};
use crate::{Result, RouteOptions};
use tch::{Kind, Tensor};

/// Far below any logit, yet finite: a clip without a token that takes part
/// gives numbers all the same.
const NEVER: f64 = -1e30;

/// 1 where a token takes part, else 0.
pub(crate) struct TokenMask {
    /// [B, L], bool
    takes_part: Tensor,
}

impl TokenMask {
    /// The mask of a call, checked against `tokens` [B, L, any].
    pub fn of(want: &RouteOptions, tokens: Named) -> Result<Option<Self>> {
        let Some(mask) = want.mask else {
            return Ok(None);
        };
        // As numbers, so that it is checked as any tensor is.
        let numbers = match mask.defined() {
            true => mask.to_kind(Kind::Float),
            false => mask.shallow_clone(),
        };
        let mask = named("mask", &numbers);
        let [b, l] = mask.axes("[B, L]")?;
        let fits = tokens.tensor.size()[..2] == [b, l];
        mask.agrees(fits, tokens, "B and L must be those of the tokens")?;
        Ok(Some(TokenMask {
            takes_part: numbers.ne(0),
        }))
    }

    /// [B, L, N] with 0 for the tokens left out.
    pub fn zero(&self, gates: &Tensor) -> Tensor {
        gates * self.takes_part.unsqueeze(-1).to_kind(gates.kind())
    }

    /// [B, S, L] with logits that no softmax over the tokens picks.
    pub fn exclude(&self, logits: &Tensor) -> Tensor {
        let left_out = self.takes_part.logical_not().unsqueeze(1);
        logits.masked_fill(&left_out, NEVER)
    }

    /// [B, L, N] with a probability below all others for the tokens left out.
    pub fn last(&self, probabilities: &Tensor) -> Tensor {
        let left_out = self.takes_part.logical_not().unsqueeze(-1);
        probabilities.masked_fill(&left_out, -1.0)
    }

    /// 1 for the tokens that take part [B, L], f64.
    pub fn counted(&self) -> Tensor {
        self.takes_part.to_kind(Kind::Double)
    }

    /// Whether each of K choices may be made: [B, L, K], bool.
    pub fn of_choices(&self, k: i64) -> Tensor {
        self.takes_part.unsqueeze(-1).expand([-1, -1, k], false)
    }
}

/// The mean over the tokens that take part of a number for each of them [B, L];
/// 0 where none does.
pub(crate) fn mean_over_tokens(values: &Tensor, mask: Option<&TokenMask>) -> f64 {
    let values = values.detach().to_kind(Kind::Double);
    let Some(mask) = mask else {
        return values.mean(Kind::Double).double_value(&[]);
    };
    let counted = mask.counted();
    let sum = |t: Tensor| t.sum(Kind::Double).double_value(&[]);
    sum(values * &counted) / sum(counted).max(1.0)
}

/// The gates of the tokens that take part.
pub(crate) fn masked(gates: Tensor, mask: Option<&TokenMask>) -> Tensor {
    match mask {
        Some(mask) => mask.zero(&gates),
        None => gates,
    }
}
