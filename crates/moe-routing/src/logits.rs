//! The linear map of a router.

use crate::Result;
use crate::check::{compute_kind, named};
use tch::Tensor;

/// W x + b in at least f32.
///
/// # Shapes
/// `x` [B, L, D], `weight` [N, D], `bias` `[N]` → [B, L, N]
pub(crate) fn router_logits(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    check(x, weight, bias)?;
    let kind = compute_kind(&[x, weight, bias]);
    Ok(x.to_kind(kind)
        .linear(&weight.to_kind(kind), Some(bias.to_kind(kind))))
}

/// That a linear router's tensors fit the tokens.
pub(crate) fn check(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<()> {
    let (tokens, w, b) = (named("x", x), named("weight", weight), named("bias", bias));
    let [.., d] = tokens.axes::<3>("[B, L, D]")?;
    let [n, width] = w.axes("[N, D]")?;
    let [length] = b.axes("[N]")?;
    tokens.agrees(
        d == width,
        w,
        "D of x [B, L, D] must equal D of weight [N, D]",
    )?;
    b.agrees(
        length == n,
        w,
        "N of bias [N] must equal N of weight [N, D]",
    )
}

/// That given logits are those of N experts, as `bias` `[N]` says.
pub(crate) fn check_logits(logits: &Tensor, bias: &Tensor) -> Result<()> {
    let (given, b) = (named("logits", logits), named("bias", bias));
    let [_, _, n] = given.axes("[B, L, N]")?;
    let [length] = b.axes("[N]")?;
    given.agrees(
        n == length,
        b,
        "N of logits [B, L, N] must equal N of bias [N]",
    )
}
