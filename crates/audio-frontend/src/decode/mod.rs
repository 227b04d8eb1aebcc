//! Audio file to mono samples.

mod adts;
mod aiff;
mod config;
mod frames;
mod mix;
mod mp3;
mod mp4;
mod probe;
mod reader;
mod source;

use std::path::Path;

pub use config::{Channels, DecodeConfig, Limits};
pub use reader::AudioReader;

use crate::error::Result;

/// Room made for what a file says of its length; more is made as it comes.
const MAX_PROMISED: u64 = 1 << 23;

/// A mono signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// The samples; integer formats are scaled to [-1, 1).
    pub samples: Vec<f32>,
    /// Samples per second.
    pub sample_rate: u32,
}

impl Audio {
    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// Decodes a file to one channel, at the file's own rate.
///
/// # Errors
/// Everything that would make the samples differ from what the file was meant
/// to hold: it is missing, empty, not audio, damaged, ends before its header
/// says (see [`DecodeConfig::allow_truncated`]), holds no samples or NaN, or
/// exceeds a limit.
pub fn decode(path: impl AsRef<Path>, config: &DecodeConfig) -> Result<Audio> {
    read_all(AudioReader::open(path, config)?)
}

/// [`decode`] for bytes in memory; `name` stands in error messages where a
/// path would.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_bytes(
    name: impl AsRef<Path>,
    bytes: Vec<u8>,
    config: &DecodeConfig,
) -> Result<Audio> {
    read_all(AudioReader::from_bytes(name, bytes, config)?)
}

fn read_all(mut reader: AudioReader) -> Result<Audio> {
    let promised = reader.declared().unwrap_or(0).min(MAX_PROMISED);
    let mut samples = Vec::with_capacity(promised as usize);
    while let Some(block) = reader.next_block()? {
        samples.extend_from_slice(block);
    }
    Ok(Audio {
        samples,
        sample_rate: reader.sample_rate(),
    })
}
