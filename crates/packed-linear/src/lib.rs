//! y = x Wᵀ + b with a frozen bf16 matrix W, packed once.
//!
//! For: backbones whose weights never change. oneDNN computes products with
//! bf16 matrices fastest when they lie in blocks that fit the processor's
//! matrix unit; here W is brought into that layout once, for the forward pass,
//! and Wᵀ for the gradient of x. Libtorch has the operators but tch does not
//! generate them, so a few lines of C++ stand between; see `packed.cpp`.
//!
//! ```
//! use packed_linear::{PackedLinear, supported};
//! use tch::{Device, Kind, Tensor};
//!
//! if supported() {
//!     let weight = Tensor::randn([48, 32], (Kind::Float, Device::Cpu)); // [out, in]
//!     let linear = PackedLinear::pack(&weight, None, 128)?;
//!     let x = Tensor::randn([4, 7, 32], (Kind::BFloat16, Device::Cpu)); // [.., in]
//!     let y = linear.forward(&x)?; // bf16
//!     assert_eq!(y.size(), [4, 7, 48]);
//! }
//! # Ok::<(), packed_linear::PackError>(())
//! ```
//!
//! It does not train W or b, does not run on GPUs (their libraries need no
//! such packing), and does not decide whether bf16 is worth it: on processors
//! without a bf16 matrix unit it usually is not.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod ffi;

use std::sync::{Arc, Mutex, OnceLock};

use tch::{Device, Kind, Tensor};
use thiserror::Error;

/// Why a matrix cannot be packed or multiplied with.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackError {
    /// Not a matrix on the CPU, or a bias that does not belong to it.
    #[error(
        "cannot pack a weight of shape {weight:?} on {device:?} with a bias of shape {bias:?}; \
         pass [out, in] and [out] on the CPU"
    )]
    Weight {
        /// Shape of the weight.
        weight: Vec<i64>,
        /// Shape of the bias; empty when there is none.
        bias: Vec<i64>,
        /// Where the weight is.
        device: Device,
    },
    /// An input that does not fit.
    #[error("the input has the shape {found:?} and kind {kind:?}; pass [.., {width}] in bf16")]
    Input {
        /// Shape of the input.
        found: Vec<i64>,
        /// Its number format.
        kind: Kind,
        /// Width the matrix takes.
        width: i64,
    },
    /// Libtorch or oneDNN refused.
    #[error("libtorch: {reason}; use unpacked weights on this machine")]
    Libtorch {
        /// What it said.
        reason: String,
    },
}

/// Whether this libtorch has the operators and oneDNN, and the processor runs
/// them in bf16: tried once on a small matrix.
#[must_use]
pub fn supported() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| ffi::supported() && tried().is_ok())
}

/// Packs and multiplies; processors without bf16 instructions refuse.
fn tried() -> Result<(), PackError> {
    let ones = Tensor::ones([16, 16], (Kind::BFloat16, Device::Cpu));
    let linear = PackedLinear::pack(&ones, None, 16)?;
    tch::no_grad(|| linear.forward(&ones)).map(drop)
}

/// A frozen matrix and bias, in bf16, in oneDNN's layout.
///
/// The transposed matrix, which only gradients need, is packed when the first
/// one is recorded: a model that is only evaluated never holds it.
#[derive(Debug)]
pub struct PackedLinear {
    packed: Tensor,
    /// Shared by all clones.
    transposed: Arc<Mutex<Option<Tensor>>>,
    bias: Option<Tensor>,
    input: i64,
    rows: i64,
}

impl PackedLinear {
    /// The same map once more; the packed matrices are shared, not copied.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        PackedLinear {
            packed: self.packed.shallow_clone(),
            transposed: Arc::clone(&self.transposed),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            input: self.input,
            rows: self.rows,
        }
    }

    /// Packs W; the arguments are copied and cast to bf16.
    ///
    /// `rows` is the number of rows (tokens of a batch) the layout shall be
    /// best for; any other number works too.
    ///
    /// # Shapes
    /// `weight` [out, in], `bias` [out]
    ///
    /// # Errors
    /// Other shapes, a weight on another device, or a libtorch without the
    /// operators.
    pub fn pack(weight: &Tensor, bias: Option<&Tensor>, rows: i64) -> Result<Self, PackError> {
        let shape = weight.size();
        let bias_shape = bias.map(Tensor::size).unwrap_or_default();
        let fits = shape.len() == 2 && (bias.is_none() || bias_shape == shape[..1]);
        if !fits || weight.device() != Device::Cpu {
            return Err(PackError::Weight {
                weight: shape,
                bias: bias_shape,
                device: weight.device(),
            });
        }
        tch::no_grad(|| {
            let narrow = weight.detach().to_kind(Kind::BFloat16).contiguous();
            Ok(PackedLinear {
                packed: ffi::reorder(&narrow, rows)?,
                transposed: Arc::default(),
                bias: bias.map(|b| b.detach().to_kind(Kind::BFloat16).contiguous()),
                input: shape[1],
                rows,
            })
        })
    }

    /// x Wᵀ + b, differentiable in x.
    ///
    /// # Shapes
    /// [.., in] → [.., out], bf16
    ///
    /// # Errors
    /// An input of another width or kind.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, PackError> {
        let x = self.checked(x)?;
        if !x.requires_grad() {
            return ffi::product(&x, &self.packed, self.bias.as_ref(), false);
        }
        ffi::forward(&x, &self.packed, &self.transposed()?, self.bias.as_ref())
    }

    /// Wᵀ packed, made when first asked for.
    fn transposed(&self) -> Result<Tensor, PackError> {
        // A panic elsewhere leaves either nothing or a whole matrix.
        let mut kept = self.transposed.lock().unwrap_or_else(|it| it.into_inner());
        if let Some(transposed) = kept.as_ref() {
            return Ok(transposed.shallow_clone());
        }
        let transposed = ffi::transpose(&self.packed, self.rows)?;
        *kept = Some(transposed.shallow_clone());
        Ok(transposed)
    }

    /// GELU(x Wᵀ + b), exact form, in one pass over the result; without
    /// gradients.
    ///
    /// # Shapes
    /// [.., in] → [.., out], bf16
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor, PackError> {
        let x = self.checked(x)?;
        ffi::product(&x, &self.packed, self.bias.as_ref(), true)
    }

    fn checked(&self, x: &Tensor) -> Result<Tensor, PackError> {
        let kind = x.kind();
        let found = x.size();
        let fits = found.len() >= 2 && found[found.len() - 1] == self.input;
        if !fits || kind != Kind::BFloat16 || x.device() != Device::Cpu {
            let width = self.input;
            return Err(PackError::Input { found, kind, width });
        }
        Ok(x.contiguous())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transposed_matrix_is_packed_once_and_for_gradients_only() {
        if !supported() {
            eprintln!("skipped: no packed products here");
            return;
        }
        let ones = Tensor::ones([24, 16], (Kind::BFloat16, Device::Cpu));
        let linear = PackedLinear::pack(&ones, None, 8).unwrap();
        let clone = linear.shallow_clone();
        let x = Tensor::ones([8, 16], (Kind::BFloat16, Device::Cpu));
        let _ = linear.forward(&x).unwrap();
        let _ = linear.forward_gelu(&x).unwrap();
        assert!(linear.transposed.lock().unwrap().is_none());
        let x = x.set_requires_grad(true);
        let _ = linear.forward(&x).unwrap();
        assert!(clone.transposed.lock().unwrap().is_some());
    }
}
