//! The classification head.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::parameters::Parameters;

/// From the pooled vector of a clip to class scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// W p + b, as in the authors' program. The default.
    #[default]
    Linear,
    /// W LayerNorm(p) + b, the head of Hugging Face's
    /// `ASTForAudioClassification`. With [`ast_model::Pooling::ClsDist`] the
    /// whole model is one that this class can hold.
    NormLinear,
}

/// Start of the names of all tensors of the head.
pub(crate) const PREFIX: &str = "classification_head.";

/// The tensors of a head.
pub(crate) struct HeadModule {
    /// Factor, summand and epsilon of the LayerNorm.
    norm: Option<(Tensor, Tensor, f64)>,
    weight: Tensor,
    bias: Tensor,
}

impl HeadModule {
    /// A fresh head: LayerNorm 1 and 0, linear map U(±1/√D).
    ///
    /// # Shapes
    /// `[classes, d]` = [C, D]
    pub fn new(kind: Head, [classes, d]: [i64; 2], eps: f64, parameters: &mut Parameters) -> Self {
        let norm = (kind == Head::NormLinear).then(|| {
            let weight = parameters.constant(format!("{PREFIX}layernorm.weight"), &[d], 1.0);
            let bias = parameters.constant(format!("{PREFIX}layernorm.bias"), &[d], 0.0);
            (weight, bias, eps)
        });
        let bound = 1.0 / (d as f64).sqrt();
        HeadModule {
            norm,
            weight: parameters.uniform(format!("{PREFIX}weight"), &[classes, d], bound),
            bias: parameters.uniform(format!("{PREFIX}bias"), &[classes], bound),
        }
    }

    /// Whether the head looks at more than the pooled vector.
    pub fn needs_tokens(&self) -> bool {
        false
    }

    /// [B, D] → [B, C]
    pub fn forward(&self, pooled: &Tensor) -> Result<Tensor, tch::TchError> {
        let normed = match &self.norm {
            None => pooled.shallow_clone(),
            Some((weight, bias, eps)) => {
                let width = weight.size();
                pooled.f_layer_norm(width.as_slice(), Some(weight), Some(bias), *eps, false)?
            }
        };
        normed.f_linear(&self.weight, Some(&self.bias))
    }
}
