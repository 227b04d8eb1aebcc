//! QuickGELU around a convolution over the tokens.

use super::{cast, channels_first, channels_last, same_convolution};
use crate::check::named;
use crate::{Result, Train};
use tch::Tensor;

/// The inner part of a convpass adapter (Jie and Deng 2022, arXiv 2207.07039,
/// in the one-dimensional form that the authors of Soft-MoA use):
///
/// ```text
/// u = QuickGELU(x · down + b)          QuickGELU(z) = z σ(1.702 z)
/// c = convolution of u along the tokens, zero padding
/// y = Dropout(QuickGELU(c)) · up
/// ```
///
/// Without a convolution c = u: what the authors' program computes, since it
/// throws the convolution's output away. QuickGELU then acts twice.
#[derive(Debug)]
pub struct Convpass {
    /// The convolution; `None` for the behaviour of the authors' program, whose
    /// convolution never gets a gradient.
    pub convolution: Option<TokenConvolution>,
    /// Share of hidden units dropped in training, in [0, 1). The authors: 0.1.
    pub dropout: f64,
}

/// A convolution over the tokens of a clip, one for each expert.
#[derive(Debug)]
pub struct TokenConvolution {
    /// Weights [N, R, R, k]: expert, output, input, place. The authors: k = 3.
    pub weight: Tensor,
    /// Biases [N, R].
    pub bias: Tensor,
}

impl Convpass {
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        let convolution = self.convolution.iter();
        convolution.flat_map(|c| [&c.weight, &c.bias]).collect()
    }

    pub(super) fn check(&self, up: &Tensor, [n, r]: [i64; 2]) -> Result<()> {
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(crate::RoutingError::Dropout {
                value: self.dropout,
            });
        }
        let Some(TokenConvolution { weight, bias }) = &self.convolution else {
            return Ok(());
        };
        let up = named("up", up);
        let (weight, bias) = (named("conv", weight), named("conv_bias", bias));
        let [experts, outputs, inputs, _] = weight.axes("[N, R, R, k]")?;
        weight.agrees(
            [experts, outputs, inputs] == [n, r, r],
            up,
            "conv must be [N, R, R, k] of up [N, R, D]",
        )?;
        let shape: [i64; 2] = bias.axes("[N, R]")?;
        bias.agrees(
            shape == [n, r],
            up,
            "conv_bias must be [N, R] of up [N, R, D]",
        )
    }

    /// # Shapes
    /// [B, L, N, R] → [B, L, N, R]
    pub(super) fn forward(&self, hidden: &Tensor, train: Option<Train>) -> Tensor {
        let active = quick_gelu(hidden);
        let mixed = match &self.convolution {
            Some(convolution) => convolution.forward(&active),
            None => active,
        };
        let active = quick_gelu(&mixed);
        match train {
            Some(train) => train.dropout(active, self.dropout),
            None => active,
        }
    }
}

impl TokenConvolution {
    /// All experts in one convolution of N groups.
    fn forward(&self, hidden: &Tensor) -> Tensor {
        let size = self.weight.size();
        let (n, r, k) = (size[0], size[1], size[3]);
        let kind = hidden.kind();
        let weight = cast(&self.weight, kind).reshape([n * r, r, k]);
        let bias = cast(&self.bias, kind).reshape([n * r]);
        let signal = same_convolution(&channels_first(hidden), &weight, &bias, n);
        channels_last(&signal, n)
    }
}

/// z σ(1.702 z), through the one-kernel SiLU.
fn quick_gelu(z: &Tensor) -> Tensor {
    (z * 1.702).silu() / 1.702
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_gelu_has_the_published_value() {
        let value = quick_gelu(&Tensor::from(1f64)).double_value(&[]);
        assert!((value - 0.8457958).abs() < 1e-7);
    }
}
