//! The part of an expert between its two linear maps.

mod conformer;
mod convpass;

pub use conformer::{BatchNorm, Conformer, LayerNorm};
pub use convpass::{Convpass, TokenConvolution};

use crate::{Result, Train};
use tch::{Kind, Tensor};

/// What happens to the hidden units of an expert before the up-projection.
/// The convolutional parts look along the tokens of one clip.
#[derive(Debug, Default)]
pub enum Inner {
    /// The exact (erf) GELU: a bottleneck adapter. The default.
    #[default]
    Gelu,
    /// QuickGELU around a convolution over the tokens.
    Convpass(Convpass),
    /// GLU, depthwise convolution over the tokens, BatchNorm, SiLU.
    Conformer(Conformer),
}

impl Inner {
    /// Whether a token's hidden units depend on other tokens of the clip.
    pub fn looks_along_tokens(&self) -> bool {
        match self {
            Inner::Gelu => false,
            Inner::Convpass(convpass) => convpass.convolution.is_some(),
            Inner::Conformer(_) => true,
        }
    }

    /// R', hidden units that the down-projection makes, for R that the
    /// up-projection takes: 2R where a GLU halves them.
    pub fn projected_width(&self, r: i64) -> i64 {
        match self {
            Inner::Gelu | Inner::Convpass(_) => r,
            Inner::Conformer(_) => 2 * r,
        }
    }

    /// That the part's tensors fit N experts of width D and R on the device of
    /// `up`.
    pub(crate) fn check(&self, up: &Tensor, [n, d, r]: [i64; 3]) -> Result<()> {
        match self {
            Inner::Gelu => Ok(()),
            Inner::Convpass(convpass) => convpass.check(up, [n, r]),
            Inner::Conformer(conformer) => conformer.check(up, [n, d, r]),
        }
    }

    pub(crate) fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Inner::Gelu => Vec::new(),
            Inner::Convpass(convpass) => convpass.tensors(),
            Inner::Conformer(conformer) => conformer.tensors(),
        }
    }

    /// The LayerNorm of the expert's input.
    pub(crate) fn layer_norm(&self) -> Option<&LayerNorm> {
        match self {
            Inner::Gelu | Inner::Convpass(_) => None,
            Inner::Conformer(conformer) => conformer.layer_norm.as_ref(),
        }
    }

    /// # Shapes
    /// `hidden` [B, L, N, R'] → [B, L, N, R], in the kind of the arithmetic.
    pub(crate) fn forward(&self, hidden: Tensor, train: Option<Train>) -> Tensor {
        match self {
            Inner::Gelu => hidden.gelu("none"),
            Inner::Convpass(convpass) => convpass.forward(&hidden, train),
            Inner::Conformer(conformer) => conformer.forward(&hidden, train),
        }
    }
}

/// Every channel of every expert as one channel of a signal along the tokens.
///
/// # Shapes
/// [B, L, N, R] → [B, N · R, L], contiguous.
fn channels_first(hidden: &Tensor) -> Tensor {
    let size = hidden.size();
    let signal = hidden.reshape([size[0], size[1], size[2] * size[3]]);
    signal.transpose(1, 2).contiguous()
}

/// The inverse of [`channels_first`], as a view.
fn channels_last(signal: &Tensor, n: i64) -> Tensor {
    let size = signal.size();
    let (b, channels, l) = (size[0], size[1], size[2]);
    signal.transpose(1, 2).reshape([b, l, n, channels / n])
}

/// A convolution along the tokens with "same" zero padding: with an even
/// kernel ⌊(k - 1) / 2⌋ zeros on the left, the rest on the right.
///
/// # Shapes
/// `signal` [B, channels, L], `weight` [channels, channels / groups, k],
/// `bias` `[channels]` → [B, channels, L].
fn same_convolution(signal: &Tensor, weight: &Tensor, bias: &Tensor, groups: i64) -> Tensor {
    let spare = weight.size()[2] - 1;
    let left = spare / 2;
    if spare == 2 * left {
        return signal.conv1d(weight, Some(bias), 1, left, 1, groups);
    }
    let padded = signal.constant_pad_nd([left, spare - left]);
    padded.conv1d(weight, Some(bias), 1, 0, 1, groups)
}

/// `tensor` as `kind`; no copy where it has it.
fn cast(tensor: &Tensor, kind: Kind) -> Tensor {
    tensor.to_kind(kind)
}
