//! What training adds to a pass: random draws and statistics to update.

use crate::check::compute_kind;
use tch::Tensor;

/// A source of random numbers. This crate draws none itself, so the caller
/// decides where they come from and how a run is repeated.
///
/// `what` names the purpose (`"dropout"`, `"noise"`, ...): two purposes must not
/// get the same numbers, and the same purpose must get the same numbers when a
/// pass is computed again for its gradients.
pub trait Draws {
    /// Values from N(0, 1) of the given shape, of any floating-point kind and
    /// on any device.
    fn normal(&self, what: &str, shape: &[i64]) -> Tensor;

    /// Values from U(0, 1) of the given shape, of any floating-point kind and
    /// on any device.
    fn uniform(&self, what: &str, shape: &[i64]) -> Tensor;
}

/// A pass in training mode: dropout, noise and statistics of the batch.
#[derive(Clone, Copy)]
pub struct Train<'a> {
    /// Source of random numbers.
    pub draws: &'a dyn Draws,
    /// Whether this pass moves running statistics. False when a pass is
    /// computed a second time (activation checkpointing).
    pub update_statistics: bool,
}

impl std::fmt::Debug for Train<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Train")
            .field("update_statistics", &self.update_statistics)
            .finish_non_exhaustive()
    }
}

impl Train<'_> {
    /// N(0, 1) in the kind, shape and place of `like`.
    pub(crate) fn normal_like(&self, what: &str, like: &Tensor) -> Tensor {
        as_like(self.draws.normal(what, &like.size()), like)
    }

    /// U(0, 1) in the kind, shape and place of `like`.
    pub(crate) fn uniform_like(&self, what: &str, like: &Tensor) -> Tensor {
        as_like(self.draws.uniform(what, &like.size()), like)
    }

    /// `x` with a share `rate` of its values set to 0 and the rest scaled by
    /// 1 / (1 - rate).
    pub(crate) fn dropout(&self, x: Tensor, rate: f64) -> Tensor {
        if rate == 0.0 {
            return x;
        }
        let kept = self.uniform_like("dropout", &x).ge(rate);
        let scale = kept.to_kind(x.kind()) / (1.0 - rate);
        x * scale
    }
}

fn as_like(drawn: Tensor, like: &Tensor) -> Tensor {
    let kind = compute_kind(&[like]);
    drawn.detach().to_device(like.device()).to_kind(kind)
}
