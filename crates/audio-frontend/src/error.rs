//! The one error type of this crate.

use std::path::{Path, PathBuf};

/// Why audio could not be turned into features.
///
/// Every message names the file or the values concerned and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // ---- files -----------------------------------------------------------
    /// The file could not be opened or read.
    #[error("cannot read {path}: {source}; check that the path exists and is readable")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file has zero bytes.
    #[error("{path} is empty (0 bytes); download or copy it again")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// No supported container or codec was recognised in the file.
    #[error(
        "{path} is not audio this crate can read ({detail}); \
         convert it to WAV, FLAC, Ogg Vorbis, MP3, AAC (LC), ALAC or AIFF"
    )]
    NotAudio {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        detail: String,
    },
    /// The container or codec was recognised but its contents are malformed.
    #[error("{path} is damaged ({detail}); download it again or re-encode it")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        detail: String,
    },
    /// The file ends before the length its header states.
    #[error(
        "{path} is truncated: {decoded} of {declared} frames could be decoded; \
         download it again, or set `allow_truncated` to use what is there"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Frames (samples per channel) the header promises.
        declared: u64,
        /// Frames that could be decoded.
        decoded: u64,
    },
    /// The file does not state its length, so completeness cannot be checked.
    #[error(
        "{path} does not state its length (a recording cut off, or a stream saved without its \
         end), so {decoded} decoded frames may be all or part of it; re-encode it, or set \
         `allow_truncated` to use what is there"
    )]
    UnknownLength {
        /// The file.
        path: PathBuf,
        /// Frames that could be decoded.
        decoded: u64,
    },
    /// A file of a format that never states its length ends inside a frame.
    #[error(
        "{path} ends inside a frame, after {decoded} decoded samples per channel; \
         download it again, or set `allow_truncated` to use what is there"
    )]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Frames (samples per channel) that could be decoded.
        decoded: u64,
    },
    /// The file is well formed and holds no samples.
    #[error("{path} holds no samples; remove it from the list or record it again")]
    NoSamples {
        /// The file.
        path: PathBuf,
    },
    /// The file exceeds a limit of [`Limits`](crate::Limits).
    #[error(
        "{path}: {what} is {value}, the limit is {limit}; \
         raise the limit in `Limits` if the file is trusted"
    )]
    Limit {
        /// The file.
        path: PathBuf,
        /// The limited quantity, with its unit.
        what: &'static str,
        /// What the file has, or had reached when decoding stopped.
        value: f64,
        /// The bound.
        limit: f64,
    },
    /// An error about a file's samples, with the file's name.
    #[error("{path}: {source}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with its samples.
        source: Box<Error>,
    },

    // ---- samples and features --------------------------------------------
    /// A sample is NaN or infinite.
    #[error("sample {index} is {value}; write the audio again with finite samples")]
    NotFinite {
        /// Position in the (mono) signal; in a stream, from its start.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// The signal is shorter than one analysis frame.
    #[error(
        "{samples} samples at {sample_rate} Hz are fewer than the {needed} of one frame; \
         use a longer clip or pad it with zeros"
    )]
    TooShort {
        /// Samples at hand, after resampling.
        samples: usize,
        /// Their rate in Hz.
        sample_rate: u32,
        /// Samples of one frame.
        needed: usize,
    },
    /// An array has the wrong shape for the operation.
    #[error("{what} has shape {actual:?}, expected {expected:?}; pass an array of that shape")]
    Shape {
        /// Which array.
        what: &'static str,
        /// The shape it has.
        actual: Vec<usize>,
        /// The shape it needs.
        expected: Vec<usize>,
    },
    /// Samples were given to a stream after its end.
    #[error("samples were pushed after the stream was finished; call `reset` to begin another")]
    StreamEnded,
    /// The resampler refused the pair of rates.
    #[error("cannot resample {from} Hz to {to} Hz: {detail}; resample the file beforehand")]
    Resample {
        /// Rate of the input in Hz.
        from: u32,
        /// Rate wanted in Hz.
        to: u32,
        /// What the resampler said.
        detail: String,
    },

    /// Statistics of no values at all.
    #[error(
        "there are no values to take a mean of; \
         name at least one sound file that holds a whole frame"
    )]
    NoValues,

    // ---- configuration ---------------------------------------------------
    /// A configuration value is out of range.
    #[error("{field} = {value} is not valid: set it to {expected}")]
    Config {
        /// The field, as spelled in the configuration.
        field: &'static str,
        /// The value given.
        value: String,
        /// What is accepted.
        expected: String,
    },
}

/// This crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names the file an error about samples belongs to. Errors that already
    /// name a file are left alone.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Error::NotFinite { .. }
            | Error::TooShort { .. }
            | Error::Shape { .. }
            | Error::Resample { .. } => Error::InFile {
                path: path.to_path_buf(),
                source: Box::new(self),
            },
            other => other,
        }
    }

    /// Moves the position of a bad sample by the samples before its block.
    pub(crate) fn later_by(self, samples: usize) -> Self {
        match self {
            Error::NotFinite { index, value } => Error::NotFinite {
                index: index + samples,
                value,
            },
            other => other,
        }
    }

    pub(crate) fn config(
        field: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Error::Config {
            field,
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}

/// The first NaN or infinity of `samples`, as an error.
pub(crate) fn check_finite(samples: &[f32]) -> Result<()> {
    if largest(samples).is_finite() {
        return Ok(());
    }
    match samples.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite {
            index,
            value: samples[index],
        }),
        None => Ok(()),
    }
}

/// The largest magnitude in `samples`; not finite if one of them is not. As
/// integers magnitudes compare alike, infinity and NaN above all others, and
/// a loop over integers without a way out is vector instructions.
pub(crate) fn largest(samples: &[f32]) -> f32 {
    let magnitude = |x: &f32| x.abs().to_bits();
    f32::from_bits(samples.iter().map(magnitude).fold(0, u32::max))
}
