//! A pass that is watched: how mixtures use their experts, clip by clip and
//! token by token.

use ast_model::Step;
use tch::{Tensor, no_grad};

use crate::{AdaptedModel, AdapterError};

/// How one mixture used its N experts on a batch of B clips of L tokens.
#[derive(Debug)]
pub struct MixtureUse {
    /// Name of the mixture, for example `encoder.layer.0.moa_mhsa`.
    pub name: String,
    /// Index of its block.
    pub block: usize,
    /// Share of each expert among the tokens of a clip, B rows of N values with
    /// sum 1; see [`moe_routing::RouterMetrics::usage_per_clip`].
    pub usage_per_clip: Vec<Vec<f64>>,
    /// Token choice: share of assignments beyond the capacity. Expert choice
    /// and ReLU: share of tokens that no expert saw. 0 for soft and dense.
    pub drop_rate: f64,
    /// Share of each expert in the output of each token [B, L, N]; see
    /// [`moe_routing::Routing::shares`]. The special tokens come first.
    pub shares: Tensor,
}

impl AdaptedModel {
    /// [`forward`](Self::forward) in evaluation, and how every mixture used its
    /// experts on the way, in the order of the computation. Methods without
    /// experts have none. No gradients.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, C], f32
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_watched(
        &self,
        features: &Tensor,
    ) -> Result<(Tensor, Vec<MixtureUse>), AdapterError> {
        let step = Step::watched();
        let logits = no_grad(|| self.forward(features, &step))?;
        let shown = step.take_shown().into_iter();
        let uses = shown.filter_map(|what| what.downcast().ok());
        Ok((logits, uses.map(|used| *used).collect()))
    }
}
