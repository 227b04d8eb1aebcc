//! Tokens into slots by soft mixing (Soft MoE, arXiv 2308.00951), with a
//! gradient written by hand.
//!
//! ```text
//! logits   = x · rowsᵀ + noise
//! dispatch = softmax of the logits over the tokens
//! combine  = softmax of the logits over the slots
//! slots    = dispatch · x
//! ```
//!
//! Both the logits and the slots depend on x. Automatic differentiation makes
//! a gradient of the size of x for each and adds them up; here both come from
//! one product of width 2S, which spares two passes over memory and a tensor
//! of the size of x. tch has no functions with gradients of one's own, so a few
//! lines of C++ stand between; see `mix.cpp`.
//!
//! Letters: B batch, L tokens, D width, S slots of a clip. Runs wherever
//! libtorch does, in f32 and f64.
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//!
//! let x = Tensor::randn([2, 5, 8], (Kind::Float, Device::Cpu)); // [B, L, D]
//! let rows = Tensor::randn([3, 8], (Kind::Float, Device::Cpu)); // [S, D]
//! let mixed = soft_mix::mix(&x, &rows, None)?;
//! assert_eq!(mixed.slots.size(), [2, 3, 8]);
//! # Ok::<(), soft_mix::MixError>(())
//! ```
//!
//! It knows nothing of experts. Gradients of gradients are not offered.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod ffi;

use tch::{Kind, Tensor};
use thiserror::Error;

/// Why tokens cannot be mixed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MixError {
    /// Tensors that do not fit together.
    #[error(
        "cannot mix x {x:?} with rows {rows:?} and noise {noise:?}; pass [B, L, D], [S, D] and \
         [B, L, S], none of them empty, of one kind (f32 or f64) and on one device"
    )]
    Shapes {
        /// Shape of the tokens.
        x: Vec<i64>,
        /// Shape of the slots' vectors.
        rows: Vec<i64>,
        /// Shape of the noise; empty when there is none.
        noise: Vec<i64>,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {reason}; check that there is memory enough")]
    Libtorch {
        /// What it said.
        reason: String,
    },
}

/// The result of [`mix`], differentiable with respect to x and rows.
#[derive(Debug)]
pub struct Mixed {
    /// Combine weights [B, L, S]; they sum to 1 over S.
    pub combine: Tensor,
    /// Dispatch weights [B, S, L]; they sum to 1 over L.
    pub dispatch: Tensor,
    /// The tokens mixed into slots [B, S, D].
    pub slots: Tensor,
}

/// Mixes tokens into slots.
///
/// # Shapes
/// `x` [B, L, D], `rows` [S, D] (one vector for every slot), `noise` [B, L, S]
/// (added to the logits, gets no gradient) → combine [B, L, S], dispatch
/// [B, S, L], slots [B, S, D]
///
/// # Errors
/// When shapes, kinds or devices do not fit together.
pub fn mix(x: &Tensor, rows: &Tensor, noise: Option<&Tensor>) -> Result<Mixed, MixError> {
    if !fits(x, rows, noise) {
        let size = |t: &Tensor| if t.defined() { t.size() } else { Vec::new() };
        return Err(MixError::Shapes {
            x: size(x),
            rows: size(rows),
            noise: noise.map(size).unwrap_or_default(),
        });
    }
    let [combine, dispatch, slots] = ffi::forward(x, rows, noise)?;
    Ok(Mixed {
        combine,
        dispatch,
        slots,
    })
}

fn fits(x: &Tensor, rows: &Tensor, noise: Option<&Tensor>) -> bool {
    let all = [Some(x), Some(rows), noise];
    let mut given = all.into_iter().flatten();
    let alike = given.all(|t| {
        t.defined()
            && matches!(t.kind(), Kind::Float | Kind::Double)
            && t.kind() == x.kind()
            && t.device() == x.device()
            && !t.size().contains(&0)
    });
    let shapes = || match (x.size().as_slice(), rows.size().as_slice()) {
        (&[b, l, d], &[s, width]) => {
            d == width && noise.is_none_or(|noise| noise.size() == [b, l, s])
        }
        _ => false,
    };
    alike && shapes()
}
