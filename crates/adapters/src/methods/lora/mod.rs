//! LoRA: low-rank updates of frozen matrices (Hu et al. 2022,
//! arXiv 2106.09685; section 3 of arXiv 2312.03694), with the scaling of
//! rsLoRA (arXiv 2312.03732) and the magnitudes of DoRA (arXiv 2402.09353).

mod config;
mod module;
mod targets;

pub use config::{LoraConfig, LoraScaling};
pub use targets::{LoraSet, LoraTarget, LoraTargets};
