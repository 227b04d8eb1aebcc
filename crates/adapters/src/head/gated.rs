//! A convex combination of the blocks.

use tch::{Kind, TchError, Tensor};

use super::PREFIX;
use crate::parameters::Parameters;

/// γ, one value a block.
pub(super) struct Gates(Tensor);

impl Gates {
    /// At 0, where all blocks weigh the same.
    pub fn new(depth: i64, parameters: &mut Parameters) -> Self {
        Gates(parameters.constant(format!("{PREFIX}gates"), &[depth], 0.0))
    }

    /// [B, blocks, D] → [B, D]
    pub fn mix(&self, layers: &Tensor) -> Result<Tensor, TchError> {
        let gates = self.0.f_softmax(0, Kind::Float)?;
        gates.f_matmul(layers)
    }
}
