//! The forms of an adapter, alone or as one of the experts of a mixture: their
//! settings, their tensors with initial values, and their random draws.

mod bank;
mod config;
mod draws;

pub(crate) use bank::bank;
pub use config::{ConformerConfig, ConvpassConfig, Expert, InputNorm};
pub(crate) use draws::StepDraws;
