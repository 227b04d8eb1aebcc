//! From an audio file to the log-mel features an Audio Spectrogram Transformer
//! expects: decode, resample, Kaldi filter bank, pad or cut, normalise.
//!
//! ```
//! use audio_frontend::{Extractor, PipelineConfig};
//!
//! let mut config = PipelineConfig::default();
//! config.ast.max_length = 100;
//! let extractor = Extractor::new(config)?;
//! // One second at 44.1 kHz; `extract_file("clip.flac")` does the same for a file.
//! let samples: Vec<f32> = (0..44_100).map(|i| (i as f32 * 0.06).sin()).collect();
//! let features = extractor.extract(&samples, 44_100)?;
//! assert_eq!(features.dim(), (100, 128)); // [T, F]
//! # Ok::<(), audio_frontend::Error>(())
//! ```
//!
//! # Axes
//! T frames, F mel bins. Features are `ndarray` arrays `[T, F]`, f32.
//!
//! # The steps, each usable alone
//! - [`decode`]: WAV, FLAC, Ogg Vorbis, MP3, AAC, ALAC and AIFF to one channel,
//!   within [`Limits`]. A file that is not all there is an error.
//!   [`AudioReader`] does the same block by block.
//! - [`Resampler`]: any rate to any other, without delay.
//! - [`Fbank`]: the filter bank of Kaldi and `torchaudio.compliance.kaldi`.
//! - [`AstFeatures`]: length and statistics of the model's input.
//! - [`SpecAugment`], [`FrequencyWarp`], [`TimeShift`], [`FeatureNoise`] on
//!   features, [`WaveShift`], [`Gain`], [`Noise`], [`Mixup`] on waveforms:
//!   augmentations that are pure functions of (seed, epoch, sample).
//! - [`FeatureStats`]: mean and standard deviation of a data set in one pass,
//!   [`Extractor::stats`] for files.
//! - [`Extractor`] puts them together, [`extract_files`] does so for many
//!   files at once with the same bits on any number of threads; a bad file
//!   keeps its error, or stops the batch ([`try_extract_files`]).
//! - [`Windows`] cuts recordings of any length into windows, [`WindowStream`]
//!   does so for a live source: in memory that does not grow, with the bits of
//!   the whole signal.
//!
//! # How exact it is
//! On eight test signals, log energies above -12 differ from torchaudio 2.11
//! by at most 2.8e-4, and by 1.0e-3 on a chirp with a strong offset, where both
//! are at the rounding limit of an f32 FFT: against the same sum in f64 the
//! largest error is 6.5e-4 here and 1.0e-3 in torchaudio. Values below -12 are
//! rounding noise in any f32 implementation. On one kind of processor a
//! frame's bits depend on nothing but its samples: not on its place, the
//! clip's length or the thread. Another kind may round differently, since the
//! FFT chooses its code by the processor's vector instructions.
//! `cargo run --release -p audio-frontend --example parity` prints these errors
//! signal by signal; `cargo xtask bench-peers fbank` measures the speed against
//! torchaudio and transformers.
//!
//! # Why the filter bank is its own, and what `mel_spec` is used for
//! The crate `mel_spec` has a Kaldi-like `Fbank`, but it differs from what AST
//! checkpoints were trained on: its window is always Povey's, its triangles
//! are linear in Hz where Kaldi's are linear in mel, its pre-emphasis reaches
//! across the frame's edge, and it subtracts the mean over time. Two parts of
//! it are right: its HTK mel scale is Kaldi's up to a constant factor, which
//! cancels in the filters, and its sparse projection is exact. The tests
//! compare this crate with both. It is not a dependency because it brings an
//! image library along, for those two small functions.
//!
//! # What it does not do
//! No model, no tensors of a deep-learning library, no knowledge of how a data
//! set lies on disk, no dither, no MFCCs, no writing of audio.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod ast;
mod augment;
mod batch;
mod decode;
mod error;
mod fbank;
mod pipeline;
mod resample;
mod stats;
mod stream;

pub use ast::{AstConfig, AstFeatures};
pub use augment::{
    Edge, FeatureNoise, FrequencyWarp, Gain, MaskForm, Masks, Mixup, Noise, Pairing, SpecAugment,
    TimeShift, WaveShift,
};
pub use batch::{Progress, extract_files, try_extract_files};
pub use decode::{
    Audio, AudioReader, Channels, DecodeConfig, FILE_ENDINGS, Limits, decode, decode_bytes,
};
pub use error::{Error, Result};
pub use fbank::{Fbank, FbankConfig, FbankScratch, Window, hz_to_mel};
pub use pipeline::{Extractor, PipelineConfig};
pub use resample::{Resampler, resample};
pub use stats::{CountedFrames, FeatureStats, FileStats};
pub use stream::{
    FeatureWindow, LogMelStream, SampleSource, Tail, WindowConfig, WindowStream, Windows,
};
