//! Parameter-efficient fine-tuning methods for the Audio Spectrogram
//! Transformer: linear probe, BitFit, LayerNorm tuning, SSF, prompts, prefixes,
//! LoRA, adapters, and the Dense-, Soft- and Sparse-MoA mixtures of adapters
//! (Cappellazzo et al. 2024, arXiv 2402.00828), beside full fine-tuning. Each
//! has a page under `docs/methods/`.
//!
//! For: turning a frozen [`ast_model::Checkpoint`] into a classifier whose few
//! trained tensors can be listed, counted, saved and loaded again. A
//! [`MethodConfig`] says which method; [`AdaptedModel`] is the result.
//!
//! Axes: B batch, T frames, F mel bins, L tokens, D width, N experts, P slots
//! per expert, R bottleneck width, K chosen experts, C classes.
//!
//! ```
//! use adapters::{AdaptedModel, AdaptOptions, MethodConfig};
//! use ast_model::{AstConfig, Checkpoint, Step};
//! use tch::{Device, Kind, Tensor};
//!
//! let shape = AstConfig { max_length: 64, num_hidden_layers: 2, ..AstConfig::tiny() };
//! let backbone = Checkpoint::random(&shape, 7)?;
//! let method = MethodConfig::named("soft-moa")?;
//! let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(5))?;
//! let features = Tensor::zeros([2, 64, 128], (Kind::Float, Device::Cpu)); // [B, T, F]
//! let logits = model.forward(&features, &Step::evaluation())?;
//! assert_eq!(logits.size(), [2, 5]); // [B, C]
//! # Ok::<(), adapters::AdapterError>(())
//! ```
//!
//! It does not load sounds, knows no data set and contains no training loop.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod build;
mod compat;
mod cost;
mod counts;
mod error;
mod folder;
mod frozen;
mod head;
mod late;
mod merge;
mod methods;
mod model;
mod parameters;
pub mod parity;
mod peft;
mod pool;
mod serving;
mod watch;

pub use compat::{AdapterInit, Compat};
pub use cost::{MultiplyAdds, multiply_adds};
pub use counts::ParameterCounts;
pub use error::AdapterError;
pub use folder::{AdapterDescription, FORMAT_VERSION, describe, load, load_beside, save};
pub use frozen::FrozenPart;
pub use head::{Head, PrototypicalHead};
pub use merge::{Merged, merge};
pub use methods::adapter::{AdapterConfig, Insertion, Position};
pub use methods::dense_moa::DenseMoaConfig;
pub use methods::lora::{LoraConfig, LoraScaling, LoraSet, LoraTarget, LoraTargets};
pub use methods::mixture::MixtureConfig;
pub use methods::prefix::PrefixConfig;
pub use methods::prompt::{PromptConfig, PromptPooling};
pub use methods::soft_moa::SoftMoaConfig;
pub use methods::sparse_moa::{SparseMoaConfig, SparseRouting};
pub use methods::ssf::SsfConfig;
pub use methods::{
    Bottleneck, ConformerExpert, ConvpassExpert, Expert, InputNorm, MethodConfig, NoSettings,
    Placement,
};
pub use model::{AdaptOptions, AdaptedModel, RecomputedPass};
pub use peft::{PeftBase, export_peft};
pub use serving::{AdapterSet, SharedPass};
pub use watch::MixtureUse;
