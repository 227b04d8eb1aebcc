//! Augmentation as pure functions of (seed, epoch, sample).
//!
//! Nothing here keeps state: the same three numbers give the same result in
//! any order, on any thread, so a training run that was cut off continues with
//! the masks and warps it would have had. Every augmentation has a stream of
//! its own, so switching one on leaves the others as they were, and every one
//! is off by default.
//!
//! All draws are made of additions, multiplications, divisions and square
//! roots, which IEEE 754 rounds the same everywhere: they have the same bits on
//! every machine. The one exception is [`FrequencyWarp`], whose factor is a
//! power from the system's mathematics library.

mod feature_noise;
mod frequency_warp;
mod gain;
mod mixup;
mod noise;
mod random;
mod spec_augment;
mod time_shift;

pub use feature_noise::FeatureNoise;
pub use frequency_warp::FrequencyWarp;
pub use gain::Gain;
pub use mixup::{Mixup, Pairing};
pub use noise::Noise;
pub use spec_augment::{MaskForm, Masks, SpecAugment};
pub use time_shift::{Edge, TimeShift, WaveShift};
