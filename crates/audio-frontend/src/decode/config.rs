//! What to decode and how much of it.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How several channels become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// The mean of all channels.
    #[default]
    Mix,
    /// The first channel; the others are dropped.
    First,
}

/// Bounds on what a file may ask of memory and time.
///
/// Checked against the header before anything is decoded, and again while
/// decoding, since headers lie.
///
/// They hold for [`AudioReader`](crate::AudioReader) and for windows of a file
/// too, although those keep only some blocks in memory. The default refuses
/// more than one hour, so for longer recordings raise two fields:
///
/// ```
/// use audio_frontend::{DecodeConfig, Limits};
///
/// let limits = Limits {
///     max_seconds: 24.0 * 3600.0,
///     max_samples: 24 * 3600 * 48_000 * 2, // a day of 48 kHz stereo
///     ..Limits::default()
/// };
/// let config = DecodeConfig { limits, ..DecodeConfig::default() };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest file in seconds. Default 3600.
    pub max_seconds: f64,
    /// Most channels. Default 32.
    pub max_channels: usize,
    /// Lowest sample rate in Hz. Default 1000.
    pub min_sample_rate: u32,
    /// Highest sample rate in Hz. Default 768 000.
    pub max_sample_rate: u32,
    /// Most decoded samples, all channels together. Default 400 million,
    /// which is more than an hour of 48 kHz stereo.
    ///
    /// This is also the limit of decoded bytes: a sample is an `f32`, so they
    /// are four times as many (1.6 GB by default) before channels are mixed.
    pub max_samples: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_seconds: 3600.0,
            max_channels: 32,
            min_sample_rate: 1000,
            max_sample_rate: 768_000,
            max_samples: 400_000_000,
        }
    }
}

/// Settings of [`decode`](crate::decode).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecodeConfig {
    /// How several channels become one. Default: their mean.
    pub channels: Channels,
    /// What a file may cost.
    pub limits: Limits,
    /// Accept a file that ends early, or that does not state its length where
    /// its format would have it, and use the frames up to there. Default
    /// false: such a file is an error, because a silently shorter clip is a
    /// silently different one. A file damaged in the middle stays an error.
    pub allow_truncated: bool,
}

impl DecodeConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        let limits = &self.limits;
        if limits.max_seconds.is_nan() || limits.max_seconds <= 0.0 {
            let value = limits.max_seconds;
            return Err(Error::config("max_seconds", value, "more than 0"));
        }
        if limits.max_channels == 0 {
            return Err(Error::config("max_channels", 0, "at least 1"));
        }
        if limits.min_sample_rate == 0 || limits.min_sample_rate > limits.max_sample_rate {
            return Err(Error::config(
                "min_sample_rate",
                limits.min_sample_rate,
                format!("1 to max_sample_rate ({})", limits.max_sample_rate),
            ));
        }
        if limits.max_samples == 0 {
            return Err(Error::config("max_samples", 0, "at least 1"));
        }
        Ok(())
    }
}
