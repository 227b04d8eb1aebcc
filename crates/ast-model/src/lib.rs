//! The Audio Spectrogram Transformer (AST) backbone in libtorch.
//!
//! For: loading an AST checkpoint in the Hugging Face layout, running it
//! exactly, and attaching small trained modules to its named extension points
//! while its own weights stay frozen. [`Checkpoint`] holds the weights as they
//! are on disk; [`AstModel`] is one bound for a run: some tensors trained in
//! f32, the rest frozen in f32 or bf16. [`import`] turns other transformers
//! into AST checkpoints, and with the feature `hub` the module of that name
//! fetches published ones by model id.
//!
//! Axes: B batch, T frames, F mel bins, L tokens, D width. The patch grid is
//! [F', T'] and patches are counted frequency-major after the special tokens.
//!
//! ```
//! use ast_model::{AstConfig, AstModel, BindOptions, Checkpoint, Pooling};
//! use tch::{Device, Kind, Tensor};
//!
//! let config = AstConfig { max_length: 100, ..AstConfig::tiny() };
//! let checkpoint = Checkpoint::random(&config, 7)?;
//! let model = AstModel::bind(&checkpoint, &BindOptions::frozen())?;
//! let features = Tensor::zeros([2, 100, 128], (Kind::Float, Device::Cpu)); // [B, T, F]
//! let tokens = tch::no_grad(|| model.forward_plain(&features))?; // [B, L, D]
//! assert_eq!(tokens.size(), [2, 12 * 9 + 2, 192]);
//! assert_eq!(Pooling::All.pool(&tokens).size(), [2, 192]);
//! # Ok::<(), ast_model::AstError>(())
//! ```
//!
//! It does not know what an adapter, a router or a data set is, does not
//! compute features from sound (see the crate `audio-frontend`) and does not
//! read pickled checkpoints.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod attention;
mod binder;
mod block;
mod checkpoint;
mod config;
mod embeddings;
mod error;
mod extension;
mod hook_shapes;
#[cfg(feature = "hub")]
pub mod hub;
pub mod import;
pub mod init;
mod linear;
mod model;
pub mod padding;
mod patchout;
mod pooling;
mod positions;
mod precision;
mod recompute;
mod shared;
mod staged;
pub mod tensor_file;

pub use checkpoint::{
    Checkpoint, Classifier, ConfigSource, LoadOptions, LoadReport, PreprocessorConfig, Resized,
};
pub use config::{AstConfig, Grid, SPECIAL_TOKENS};
pub use error::AstError;
pub use extension::{
    Branch, Context, Extension, HookError, NoExtension, Projection, Step, SubLayer,
};
pub use model::{AstModel, BindOptions};
pub use patchout::Patchout;
pub use pooling::Pooling;
pub use positions::Positions;
pub use precision::{Precision, PrecisionChoice, ProductRates, WORTHWHILE};
pub use recompute::Recomputed;
pub use shared::SharedBackbone;
pub use staged::Hidden;
