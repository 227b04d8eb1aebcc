//! Moving a clip in time.

use ndarray::{ArrayViewMut2, Axis};
use serde::{Deserialize, Serialize};

use super::random::{keyed_rng, symmetric};
use crate::error::{Error, Result};

/// Largest `max_frames`, and largest shift of a waveform in samples.
const MOST: u32 = 1_000_000_000;

/// Rolls the frames of a clip by a random number of them, off by default.
///
/// The shift is a uniform integer in [-m, m], m = `max_frames`; positive ones
/// move sound to later frames. Frames that leave at one end come back at the
/// other, padding included, as in the original AST recipe for Speech Commands.
/// That recipe draws from -10 to 9, the range here is symmetric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeShift {
    /// m, the largest shift in frames. Default 0 (off).
    pub max_frames: u32,
}

impl TimeShift {
    /// The original AST recipe for Speech Commands: 10 frames (0.1 s).
    #[must_use]
    pub fn ast_speech_commands() -> Self {
        Self { max_frames: 10 }
    }

    /// Checks the setting.
    ///
    /// # Errors
    /// [`Error::Config`] when `max_frames` is above 10⁹.
    pub fn validate(&self) -> Result<()> {
        if self.max_frames <= MOST {
            return Ok(());
        }
        let expected = format!("0 (off) to {MOST} frames");
        Err(Error::config("max_frames", self.max_frames, expected))
    }

    /// The shift of sample `sample` in epoch `epoch`, in frames.
    #[must_use]
    pub fn frames(&self, seed: u64, epoch: u64, sample: u64) -> i64 {
        symmetric(
            &mut keyed_rng(seed, epoch, sample, b"timshift"),
            self.max_frames,
        )
    }

    /// Rolls the features of a sample in place. Normalised or not makes no
    /// difference.
    ///
    /// # Shapes
    /// `[T, F]`
    ///
    /// # Errors
    /// [`Error::Config`] when the setting is out of range.
    pub fn apply(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        mut features: ArrayViewMut2<f32>,
    ) -> Result<()> {
        self.validate()?;
        let (frames, shift) = (features.nrows(), self.frames(seed, epoch, sample));
        if frames == 0 || shift % frames as i64 == 0 {
            return Ok(());
        }
        let later = shift.rem_euclid(frames as i64) as usize;
        let old = features.to_owned();
        for (index, row) in old.axis_iter(Axis(0)).enumerate() {
            features.row_mut((index + later) % frames).assign(&row);
        }
        Ok(())
    }
}

/// What comes in where a shifted waveform has moved away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// Silence; what was moved out is lost.
    #[default]
    Zero,
    /// What was moved out at the other end.
    Wrap,
}

/// Moves a waveform by a random number of samples, off by default.
///
/// The shift is a uniform integer in [-m, m], m = ⌊`max_seconds` · rate⌋;
/// positive ones delay the sound. The length stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WaveShift {
    /// The largest shift in seconds. Default 0.0 (off).
    pub max_seconds: f64,
    /// What comes in at the other end. Default [`Edge::Zero`].
    pub edge: Edge,
}

impl WaveShift {
    /// Checks the setting.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ `max_seconds` ≤ 3600.
    pub fn validate(&self) -> Result<()> {
        if (0.0..=3600.0).contains(&self.max_seconds) {
            return Ok(());
        }
        let expected = "0 (off) to 3600 seconds";
        Err(Error::config("max_seconds", self.max_seconds, expected))
    }

    /// The shift of sample `sample` in epoch `epoch`, in samples at
    /// `sample_rate` Hz, at most 10⁹ either way.
    #[must_use]
    pub fn samples(&self, seed: u64, epoch: u64, sample: u64, sample_rate: u32) -> i64 {
        // A cast from float to integer saturates, and maps NaN to 0.
        let most = (self.max_seconds * f64::from(sample_rate)) as u32;
        let mut rng = keyed_rng(seed, epoch, sample, b"wavshift");
        symmetric(&mut rng, most.min(MOST))
    }

    /// Shifts the waveform of a sample in place.
    ///
    /// # Shapes
    /// `[samples]`, mono at `sample_rate` Hz
    ///
    /// # Errors
    /// [`Error::Config`] when the setting is out of range.
    pub fn apply(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        sample_rate: u32,
        waveform: &mut [f32],
    ) -> Result<()> {
        self.validate()?;
        let shift = self.samples(seed, epoch, sample, sample_rate);
        let length = waveform.len();
        if length == 0 || shift == 0 {
            return Ok(());
        }
        waveform.rotate_right(shift.rem_euclid(length as i64) as usize);
        if self.edge == Edge::Zero {
            let vacated = (shift.unsigned_abs() as usize).min(length);
            if shift > 0 {
                waveform[..vacated].fill(0.0);
            } else {
                waveform[length - vacated..].fill(0.0);
            }
        }
        Ok(())
    }
}
