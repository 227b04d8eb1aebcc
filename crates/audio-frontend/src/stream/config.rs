//! How a stream is cut into windows.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Windows of `frames` frames, one every `hop` frames.
///
/// Window k holds frames k·hop to k·hop + frames - 1. With a hop below
/// `frames` windows overlap; with a hop above it the frames between two
/// windows are skipped and not computed. The default is windows that the
/// extractor's model takes, each overlapping the one before by half.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowConfig {
    /// Frames of a window, 1 to 10⁶. Default: what the model takes,
    /// [`AstConfig::max_length`](crate::AstConfig::max_length).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
    /// Frames from the start of one window to the start of the next, 1 to 10⁶.
    /// Default: half of a window, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<usize>,
    /// What becomes of frames that do not fill a window. Default
    /// [`Tail::Pad`].
    pub tail: Tail,
}

/// What becomes of the end of a signal when it does not fill a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// One last window is filled up with rows of 0.0 before normalisation, as
    /// [`AstFeatures`](crate::AstFeatures) does with short clips. It is given
    /// only if it holds a frame that no earlier window held.
    #[default]
    Pad,
    /// The frames are dropped.
    Drop,
}

impl WindowConfig {
    /// Frames of a window for a model that takes `max_length` frames.
    #[must_use]
    pub fn frames_or(&self, max_length: usize) -> usize {
        self.frames.unwrap_or(max_length)
    }

    /// Frames from one window to the next for a model that takes `max_length`
    /// frames.
    #[must_use]
    pub fn hop_or_half(&self, max_length: usize) -> usize {
        self.hop
            .unwrap_or_else(|| self.frames_or(max_length).div_ceil(2))
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [("frames", self.frames), ("hop", self.hop)] {
            if let Some(value) = value
                && !(1..=1_000_000).contains(&value)
            {
                return Err(Error::config(field, value, "1 to 1000000 frames"));
            }
        }
        Ok(())
    }
}
