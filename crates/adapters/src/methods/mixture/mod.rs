//! What Dense-, Soft- and Sparse-MoA share: experts, places and the way a
//! mixture meets its sub-layer. They differ in the router alone.

mod config;
mod module;

pub use config::MixtureConfig;
pub(crate) use config::check_width;
pub(crate) use module::{Mixture, build};
