//! Pretraining: a backbone of one's own from recordings, as `soft-moa pretrain`
//! makes it.
//!
//! All tensors of a backbone train, from random weights or from a checkpoint, on
//! clips of several data sets at once. The loss is the weighted sum of
//!
//! - **supervised**: the cross-entropy of each clip within the classes of its own
//!   data set, one linear head per set;
//! - **masked**: the error of a small decoder that tells the patches hidden from
//!   the encoder (masked autoencoder; He et al. 2022, arXiv 2111.06377; Huang et
//!   al. 2022, arXiv 2207.06405);
//! - **distil**: the distance between the tokens of the backbone, mapped linearly,
//!   and those of a larger, frozen one.
//!
//! The loop, its checkpoints and its resume to the same bits are those of
//! [`training`](crate::training). Heads, decoder and the teacher's map are thrown
//! away: what is left is a checkpoint like any other, with a card that says what
//! it was made of.

mod card;
mod config;
mod data;
mod decoder;
mod heads;
mod learner;
mod masking;
mod patches;
mod run;
mod teacher;

pub use card::card;
pub use config::{Distil, Masked, PretrainConfig, PretrainTask, Start, Supervised};
pub use data::{Mixture, Source, open};
pub use decoder::DecoderConfig;
pub use heads::LabelSet;
pub use learner::Pretrainer;
pub use run::{Places, Pretrained, Watcher, run};

#[cfg(test)]
mod tests;
