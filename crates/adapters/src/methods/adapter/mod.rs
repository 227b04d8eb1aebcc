//! One adapter per block and location (Houlsby et al. 2019,
//! Pfeiffer et al. 2021; section 3 of arXiv 2312.03694).

mod config;
mod module;

pub use config::{AdapterConfig, Insertion, Position};
