//! Comparison of methods with golden files: numbers that another program
//! computed with given weights.
//!
//! A golden folder holds a backbone and, per method, a file with `input`
//! [B, T, F], `target` [B], `logits` [B, C], `loss` (mean cross-entropy),
//! `trainable.X` for every trained tensor, `grad.X` for its gradient (absent
//! where none flows) and `buffer.X` for running statistics, all in evaluation
//! mode. X is a name of this crate or one of the authors' released program.

pub mod authors;
mod compare;
mod manifest;

pub use compare::{Outcome, compare};
pub use manifest::{GoldenEntry, read_manifest};

/// Largest absolute error of logits and loss.
pub const LOGITS_TOLERANCE: f64 = 1e-5;

/// Largest error of a gradient relative to its largest value, which counts as
/// at least [`SMALLEST_GRADIENT`].
pub const GRADIENT_TOLERANCE: f64 = 1e-4;

/// A gradient that is zero but for rounding (a key's bias has no influence on
/// a softmax) may be off by 1e-8: this times [`GRADIENT_TOLERANCE`].
pub const SMALLEST_GRADIENT: f64 = 1e-4;
