//! A mean over tokens whose weights are learnt.

use tch::{Kind, TchError, Tensor};

use super::PREFIX;
use crate::parameters::Parameters;

/// One query.
pub(super) struct Query(Tensor);

impl Query {
    /// At 0, where all tokens weigh the same.
    pub fn new(width: i64, parameters: &mut Parameters) -> Self {
        Query(parameters.constant(format!("{PREFIX}query"), &[width], 0.0))
    }

    /// [B, L, D] → [B, D]
    pub fn pool(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let scale = (self.0.numel() as f64).sqrt();
        let scores = tokens.f_matmul(&self.0)?.f_div_scalar(scale)?;
        let weights = scores.f_softmax(1, Kind::Float)?;
        weights.f_unsqueeze(1)?.f_matmul(tokens)?.f_squeeze_dim(1)
    }
}
