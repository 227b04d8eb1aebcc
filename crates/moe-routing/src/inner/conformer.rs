//! GLU, depthwise convolution over the tokens, BatchNorm, SiLU.

use super::{cast, channels_first, channels_last, same_convolution};
use crate::check::{Named, named};
use crate::{Result, Train};
use tch::{Kind, Tensor, no_grad};

/// The inner part of a conformer adapter (Cappellazzo et al., arXiv
/// 2312.03694, section 3; the convolution module of the Conformer):
///
/// ```text
/// u = first half of the hidden units · σ(second half)      2R → R
/// c = depthwise convolution of u along the tokens, zero padding
/// y = SiLU(BatchNorm(c)) · up
/// ```
#[derive(Debug)]
pub struct Conformer {
    /// LayerNorm of the expert's input. The authors' program computes one and
    /// throws the result away; leave it out for that behaviour.
    pub layer_norm: Option<LayerNorm>,
    /// Depthwise kernels [N, R, k]. With an even k, ⌊(k - 1) / 2⌋ zeros are put
    /// before the first token and the rest behind the last.
    pub depthwise: Tensor,
    /// Biases of the convolution [N, R].
    pub depthwise_bias: Tensor,
    /// Normalisation of every hidden unit over batch and tokens.
    pub batch_norm: BatchNorm,
}

/// LayerNorm over D with ε = 1e-5, one for each expert.
#[derive(Debug)]
pub struct LayerNorm {
    /// Scale [N, D].
    pub weight: Tensor,
    /// Shift [N, D].
    pub bias: Tensor,
}

/// BatchNorm over all tokens of the batch with ε = 1e-5: statistics of the
/// batch in training, running ones otherwise.
#[derive(Debug)]
pub struct BatchNorm {
    /// Scale [N, R].
    pub weight: Tensor,
    /// Shift [N, R].
    pub bias: Tensor,
    /// Running mean [N, R], changed in place by training passes.
    pub running_mean: Tensor,
    /// Running (unbiased) variance [N, R], changed in place by training passes.
    pub running_var: Tensor,
    /// Weight of the new statistics: running ← (1 - m) running + m new. 0.1 by
    /// custom.
    pub momentum: f64,
}

/// ε of both norms.
const EPSILON: f64 = 1e-5;

impl Conformer {
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        let norm = &self.batch_norm;
        let mut all = vec![&self.depthwise, &self.depthwise_bias];
        all.extend([&norm.weight, &norm.bias]);
        if let Some(LayerNorm { weight, bias }) = &self.layer_norm {
            all.extend([weight, bias]);
        }
        all
    }

    pub(super) fn check(&self, up: &Tensor, [n, d, r]: [i64; 3]) -> Result<()> {
        let up = named("up", up);
        let depthwise = named("depthwise", &self.depthwise);
        let [experts, width, _] = depthwise.axes("[N, R, k]")?;
        depthwise.agrees(
            [experts, width] == [n, r],
            up,
            "depthwise must be [N, R, k] of up [N, R, D]",
        )?;
        let norm = &self.batch_norm;
        for vector in [
            named("depthwise_bias", &self.depthwise_bias),
            named("batchnorm weight", &norm.weight),
            named("batchnorm bias", &norm.bias),
            named("batchnorm running_mean", &norm.running_mean),
            named("batchnorm running_var", &norm.running_var),
        ] {
            let shape: [i64; 2] = vector.axes("[N, R]")?;
            vector.agrees(shape == [n, r], up, "must be [N, R] of up [N, R, D]")?;
        }
        self.layer_norm
            .as_ref()
            .map_or(Ok(()), |norm| norm.check(up, [n, d]))
    }

    /// # Shapes
    /// [B, L, N, 2R] → [B, L, N, R]
    pub(super) fn forward(&self, hidden: &Tensor, train: Option<Train>) -> Tensor {
        let size = self.depthwise.size();
        let (n, r, k) = (size[0], size[1], size[2]);
        let kind = hidden.kind();
        let signal = channels_first(&hidden.glu(-1));
        let kernels = cast(&self.depthwise, kind).reshape([n * r, 1, k]);
        let bias = cast(&self.depthwise_bias, kind).reshape([n * r]);
        let signal = same_convolution(&signal, &kernels, &bias, n * r);
        channels_last(&self.batch_norm.forward(&signal, train).silu(), n)
    }
}

impl LayerNorm {
    fn check(&self, up: Named, [n, d]: [i64; 2]) -> Result<()> {
        for vector in [
            named("layernorm weight", &self.weight),
            named("layernorm bias", &self.bias),
        ] {
            let shape: [i64; 2] = vector.axes("[N, D]")?;
            vector.agrees(shape == [n, d], up, "must be [N, D] of up [N, R, D]")?;
        }
        Ok(())
    }

    /// `x` [.., D] with mean 0 and variance 1 over D; scale and shift go into
    /// the down-projection.
    pub(crate) fn standardise(x: &Tensor) -> Tensor {
        let width = x.size().last().copied().unwrap_or(1);
        x.layer_norm(width, None::<&Tensor>, None::<&Tensor>, EPSILON, false)
    }

    /// The down-projection and its bias with scale and shift taken in.
    ///
    /// # Shapes
    /// `down` [N, D, R'], `bias` [N, R'] → the same
    pub(crate) fn fold(&self, down: &Tensor, bias: &Tensor) -> (Tensor, Tensor) {
        let kind = down.kind();
        let shift = cast(&self.bias, kind).unsqueeze(1).bmm(down).squeeze_dim(1);
        (down * cast(&self.weight, kind).unsqueeze(-1), bias + shift)
    }
}

impl BatchNorm {
    /// # Shapes
    /// [B, N · R, L] → [B, N · R, L]
    fn forward(&self, signal: &Tensor, train: Option<Train>) -> Tensor {
        let kind = signal.kind();
        let flat = |t: &Tensor| cast(t, kind).reshape([-1]);
        let (weight, bias) = (flat(&self.weight), flat(&self.bias));
        let Some(train) = train else {
            let (mean, var) = (flat(&self.running_mean), flat(&self.running_var));
            let scale = weight / (var + EPSILON).sqrt();
            let shift = bias - mean * &scale;
            return signal * scale.unsqueeze(-1) + shift.unsqueeze(-1);
        };
        // libtorch's own update would bind the running statistics to the graph.
        let (y, mean, inverse_deviation) = signal.native_batch_norm(
            Some(weight),
            Some(bias),
            None,
            None,
            true,
            self.momentum,
            EPSILON,
        );
        if train.update_statistics {
            let size = signal.size();
            self.update(&mean, &inverse_deviation, size[0] * size[2]);
        }
        y
    }

    /// Moves the running statistics towards those of `count` values.
    fn update(&self, mean: &Tensor, inverse_deviation: &Tensor, count: i64) {
        let unbiased = count as f64 / (count - 1).max(1) as f64;
        no_grad(|| {
            let var = (inverse_deviation.square().reciprocal() - EPSILON) * unbiased;
            for (running, new) in [(&self.running_mean, mean), (&self.running_var, &var)] {
                let new = new.to_kind(Kind::Double).view_as(running) * self.momentum;
                let moved = running.to_kind(Kind::Double) * (1.0 - self.momentum) + new;
                running.shallow_clone().copy_(&moved);
            }
        });
    }
}
