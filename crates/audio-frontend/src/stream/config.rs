//! How a stream is cut into windows.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Windows of `frames` frames, one every `hop` frames.
///
/// Window k holds frames k·hop to k·hop + frames - 1. With a hop below
/// `frames` windows overlap; with a hop above it the frames between two
/// windows are skipped and not computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowConfig {
    /// Frames of a window: what the model takes. Default 1024 (10.24 s).
    pub frames: usize,
    /// Frames from the start of one window to the start of the next. Default
    /// 512 (5.12 s).
    pub hop: usize,
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

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            frames: 1024,
            hop: 512,
            tail: Tail::Pad,
        }
    }
}

impl WindowConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [("frames", self.frames), ("hop", self.hop)] {
            if !(1..=1_000_000).contains(&value) {
                return Err(Error::config(field, value, "1 to 1000000 frames"));
            }
        }
        Ok(())
    }
}
