//! The head that a checkpoint was trained with.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::load;
use crate::{AstConfig, AstError};

const PARTS: [&str; 4] = [
    "classifier.layernorm.weight",
    "classifier.layernorm.bias",
    "classifier.dense.weight",
    "classifier.dense.bias",
];

/// LayerNorm and a linear map from the pooled output to C classes, for
/// AudioSet's 527 in the published checkpoint. Fine-tuning does not use it.
#[derive(Debug)]
pub struct Classifier {
    /// LayerNorm's factor [D].
    pub layernorm_weight: Tensor,
    /// LayerNorm's summand [D].
    pub layernorm_bias: Tensor,
    /// Matrix [C, D].
    pub dense_weight: Tensor,
    /// Bias [C].
    pub dense_bias: Tensor,
    /// Added to the variance in the LayerNorm.
    pub layer_norm_eps: f64,
    /// Names of the C classes; `LABEL_0` and so on where `config.json` has none.
    pub labels: Vec<String>,
}

impl Classifier {
    /// Logits of the classes: W · LayerNorm(x) + b, f32. The pooling it was
    /// trained with is [`crate::Pooling::ClsDist`].
    ///
    /// # Shapes
    /// `pooled` [B, D] → [B, C]
    ///
    /// # Errors
    /// When `pooled` has another width.
    pub fn forward(&self, pooled: &Tensor) -> Result<Tensor, AstError> {
        let width = self.layernorm_weight.size();
        let normed = pooled.f_to_kind(Kind::Float)?.f_layer_norm(
            width.as_slice(),
            Some(&self.layernorm_weight),
            Some(&self.layernorm_bias),
            self.layer_norm_eps,
            false,
        )?;
        Ok(normed.f_linear(&self.dense_weight, Some(&self.dense_bias))?)
    }

    /// C, the number of classes.
    pub fn classes(&self) -> i64 {
        self.dense_bias.numel() as i64
    }

    /// The head among tensors with canonical names, if all of it is there, in
    /// floating-point numbers and as wide as the backbone.
    pub(super) fn find(
        tensors: &BTreeMap<String, Tensor>,
        config: &AstConfig,
        cast: &mut Vec<String>,
    ) -> Option<Self> {
        let [factor, summand, matrix, bias] = PARTS.map(|name| tensors.get(name));
        let (factor, summand, matrix, bias) = (factor?, summand?, matrix?, bias?);
        let (width, classes) = (config.hidden_size, *bias.size().first()?);
        let fits = factor.size() == [width]
            && summand.size() == [width]
            && matrix.size() == [classes, width]
            && bias.size() == [classes]
            && [factor, summand, matrix, bias].map(Tensor::is_floating_point) == [true; 4];
        if !fits {
            return None;
        }
        let mut float = |index: usize, tensor| load::widen(PARTS[index], tensor, cast).ok();
        Some(Classifier {
            layernorm_weight: float(0, factor)?,
            layernorm_bias: float(1, summand)?,
            dense_weight: float(2, matrix)?,
            dense_bias: float(3, bias)?,
            layer_norm_eps: config.layer_norm_eps,
            labels: (0..classes).map(|class| format!("LABEL_{class}")).collect(),
        })
    }

    /// Its tensors with their names in a file.
    pub(super) fn tensors(&self) -> [(&'static str, &Tensor); 4] {
        let [factor, summand, matrix, bias] = PARTS;
        [
            (factor, &self.layernorm_weight),
            (summand, &self.layernorm_bias),
            (matrix, &self.dense_weight),
            (bias, &self.dense_bias),
        ]
    }

    pub(super) fn shallow_clone(&self) -> Self {
        Classifier {
            layernorm_weight: self.layernorm_weight.shallow_clone(),
            layernorm_bias: self.layernorm_bias.shallow_clone(),
            dense_weight: self.dense_weight.shallow_clone(),
            dense_bias: self.dense_bias.shallow_clone(),
            layer_norm_eps: self.layer_norm_eps,
            labels: self.labels.clone(),
        }
    }
}
