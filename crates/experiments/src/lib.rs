//! Experiments with parameter-efficient fine-tuning of Audio Spectrogram
//! Transformers: data sets and protocols, training, evaluation, benchmarks and
//! their reports. The program `soft-moa` is a thin layer over this library.
//!
//! ```
//! use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
//! use ast_model::{AstConfig, Checkpoint};
//! use experiments::{clips::Clips, evaluation::evaluate};
//!
//! let shape = AstConfig { max_length: 64, num_hidden_layers: 1, ..AstConfig::tiny() };
//! let backbone = Checkpoint::random(&shape, 7)?;
//! let method = MethodConfig::named("soft-moa")?;
//! let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(2))?;
//! let features = vec![0.0; 3 * 64 * 128]; // three silent clips, [3, T, F]
//! let labels = vec![0, 1, 0];
//! let clips = Clips::new(features, labels, [64, 128], tch::Device::Cpu).ok_or("sizes differ")?;
//! let result = evaluate(&model, &clips, &[0, 1, 2], 8)?;
//! assert_eq!(result.clips, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It fetches nothing from the network by itself: `cargo xtask data` and
//! `soft-moa fetch` do, when asked.

#![deny(unsafe_code)] // `device` holds the exceptions: loading CUDA, settings of glibc
#![warn(missing_docs)]

pub mod atomic;
pub mod backbones;
pub mod bench;
pub mod clips;
pub mod conversion;
pub mod data;
pub mod device;
pub mod doctor;
pub mod environment;
pub mod evaluation;
pub mod expert_use;
pub mod finetune;
pub mod front_end;
pub mod inspect;
pub mod metrics;
pub mod normalisation;
pub mod optimiser;
pub mod parity;
pub mod predictor;
pub mod prefetch;
pub mod pretrain;
pub mod random;
pub mod record;
pub mod report;
pub mod run_folder;
pub mod signals;
pub mod statistics;
pub mod sweep;
pub mod training;

#[cfg(test)]
mod toy;

/// The examples of the project's README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The example of the page on files.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/files.md")]
struct Files;
