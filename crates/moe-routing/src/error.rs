//! The error of this crate.

use tch::{Device, Kind};
use thiserror::Error;

/// Result of this crate's functions.
pub type Result<T, E = RoutingError> = std::result::Result<T, E>;

/// Why tensors or settings cannot be used together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RoutingError {
    /// A tensor without storage was given.
    #[error("{tensor} is an undefined tensor; give one of shape {axes}")]
    Undefined {
        /// Name of the argument or field.
        tensor: &'static str,
        /// The axes it must have.
        axes: &'static str,
    },

    /// A tensor has another number of axes than its role needs.
    #[error("{tensor} has shape {found:?}; it must have the axes {axes}")]
    Rank {
        /// Name of the argument or field.
        tensor: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// The axes it must have.
        axes: &'static str,
    },

    /// A tensor has an axis of length zero.
    #[error("{tensor} {axes} has shape {found:?}; every axis needs at least one element")]
    Empty {
        /// Name of the argument or field.
        tensor: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// Its axes.
        axes: &'static str,
    },

    /// Two tensors disagree about a shared axis.
    #[error("{tensor} of shape {found:?} does not fit {against} of shape {reference:?}: {rule}")]
    Shape {
        /// Name of the tensor that was checked.
        tensor: &'static str,
        /// Its shape.
        found: Vec<i64>,
        /// Name of the tensor it has to agree with.
        against: &'static str,
        /// That tensor's shape.
        reference: Vec<i64>,
        /// What has to hold.
        rule: &'static str,
    },

    /// A tensor does not hold floating-point numbers.
    #[error("{tensor} has kind {found:?}; convert it to a floating-point kind such as f32")]
    Kind {
        /// Name of the argument or field.
        tensor: &'static str,
        /// Its kind.
        found: Kind,
    },

    /// A tensor lies on another device than the tokens.
    #[error("{tensor} is on {found:?} and {against} is on {reference:?}; move both to one device")]
    Device {
        /// Name of the tensor that was checked.
        tensor: &'static str,
        /// Its device.
        found: Device,
        /// Name of the tensor it has to agree with.
        against: &'static str,
        /// That tensor's device.
        reference: Device,
    },

    /// K is not between 1 and the number of experts.
    #[error("k = {k} experts per token cannot be chosen among {experts}; use 1 to {experts}")]
    Chosen {
        /// The value of `k`.
        k: i64,
        /// Number of experts.
        experts: i64,
    },

    /// The capacity factor is not a positive number.
    #[error("capacity_factor = {value} is not a positive finite number; leave it out for no limit")]
    CapacityFactor {
        /// The value given.
        value: f64,
    },

    /// A share of dropped units that is not in [0, 1).
    #[error("dropout = {value} must be a number from 0 up to, but not, 1; use 0 for none")]
    Dropout {
        /// The value given.
        value: f64,
    },

    /// A bank of several experts was used as a single adapter.
    #[error("a bank of {experts} experts is no single adapter; route the tokens with a MoaLayer")]
    NotSingle {
        /// Number of experts in the bank.
        experts: i64,
    },

    /// Experts that look along the tokens got slots that are not the slots of
    /// one clip after the other.
    #[error(
        "experts with a convolution need {slots} slots that belong to equal clips in order, but the number of clips is {clips:?}; use a router with gates, or bottleneck experts"
    )]
    NoSequence {
        /// Slots of each expert.
        slots: i64,
        /// Number of clips, where the slots have an order.
        clips: Option<i64>,
    },

    /// A jitter or a noise out of range.
    #[error(
        "exploration with the value {value} is not possible; a jitter lies in [0, 1), a noise is a finite number from 0 up"
    )]
    Exploration {
        /// The value given.
        value: f64,
    },

    /// A number of a router's configuration out of range.
    #[error("{field} = {value} {problem}")]
    Setting {
        /// The field.
        field: &'static str,
        /// The value given.
        value: f64,
        /// What is allowed.
        problem: &'static str,
    },

    /// libtorch could not mix the tokens.
    #[error(transparent)]
    Mix(#[from] soft_mix::MixError),

    /// Logits were given to a router that does not route by them.
    #[error("this router does not decide by logits alone; call route with the tokens")]
    NoLogits,

    /// A scale was given to a router that does not normalise.
    #[error("scale has no effect with norm = off; leave it out or choose coded or soft_moe")]
    UnusedScale,
}
