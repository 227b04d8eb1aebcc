//! Features for other programs: no gradients, no attached modules.

use tch::Tensor;

use crate::{AstError, AstModel, Pooling};

impl AstModel {
    /// One vector per clip: the final hidden states, pooled.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, D], f32
    ///
    /// # Errors
    /// Features of another shape than the model was bound for.
    pub fn embeddings(&self, features: &Tensor, pooling: Pooling) -> Result<Tensor, AstError> {
        tch::no_grad(|| Ok(pooling.pool(&self.forward_plain(features)?)))
    }

    /// One vector per token: the final hidden states.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, L, D], f32; token 0 is the class token, 1 the
    /// distillation token, 2 + f·T' + t the patch at row f and column t.
    ///
    /// # Errors
    /// As [`embeddings`](Self::embeddings).
    pub fn token_embeddings(&self, features: &Tensor) -> Result<Tensor, AstError> {
        tch::no_grad(|| self.forward_plain(features))
    }
}
