//! Log-mel energies to the input of an Audio Spectrogram Transformer.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Slice};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Length and statistics of the model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AstConfig {
    /// Frames of the model's input. Default 1024 (10.24 s).
    pub max_length: usize,
    /// Mean of the training set's log-mel energies. Default: AudioSet's,
    /// -4.2677393.
    pub mean: f32,
    /// Their standard deviation. Default: AudioSet's, 4.5689974.
    pub std: f32,
}

impl Default for AstConfig {
    fn default() -> Self {
        Self {
            max_length: 1024,
            mean: -4.267_739_3,
            std: 4.568_997_4,
        }
    }
}

impl AstConfig {
    /// The original AST recipe for ESC-50: 512 frames, its own statistics.
    #[must_use]
    pub fn ast_esc50() -> Self {
        Self {
            max_length: 512,
            mean: -6.626_807_7,
            std: 5.358_466,
        }
    }

    /// The original AST recipe for Speech Commands: 128 frames, its own
    /// statistics.
    #[must_use]
    pub fn ast_speech_commands() -> Self {
        Self {
            max_length: 128,
            mean: -6.845_978,
            std: 5.565_452_6,
        }
    }

    /// (value - mean) / (2 std), one value of [`AstFeatures::normalise`].
    #[must_use]
    pub fn normalised(&self, value: f32) -> f32 {
        (value - self.mean) / (2.0 * self.std)
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        if !(1..=1_000_000).contains(&self.max_length) {
            let expected = "1 to 1000000 frames";
            return Err(Error::config("max_length", self.max_length, expected));
        }
        if !self.mean.is_finite() {
            return Err(Error::config("mean", self.mean, "a finite number"));
        }
        if !(self.std.is_normal() && self.std > 0.0) {
            return Err(Error::config("std", self.std, "a positive number"));
        }
        Ok(())
    }
}

/// Fits log-mel energies to the length and scale an AST was trained with.
///
/// Clips that are too short get rows of 0.0, clips that are too long lose
/// their end, and then everything, padding included, becomes
/// (x - mean) / (2 std). The factor 2 is the AST's own convention: values have
/// a standard deviation of one half. With AudioSet's statistics padding is
/// 0.467032 and the floor of the filter bank -1.277594.
#[derive(Debug, Clone)]
pub struct AstFeatures {
    config: AstConfig,
}

impl AstFeatures {
    /// Takes the settings.
    ///
    /// # Errors
    /// [`Error::Config`] when `config` is not valid.
    pub fn new(config: AstConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config })
    }

    /// The settings it was built from.
    #[must_use]
    pub fn config(&self) -> &AstConfig {
        &self.config
    }

    /// Pads or cuts, then normalises.
    ///
    /// # Shapes
    /// `[T, F]` to `[max_length, F]`
    #[must_use]
    pub fn apply(&self, log_mel: ArrayView2<f32>) -> Array2<f32> {
        let kept = log_mel.nrows().min(self.config.max_length);
        let mut input = Array2::zeros((self.config.max_length, log_mel.ncols()));
        let rows = Slice::from(..kept);
        input
            .slice_axis_mut(Axis(0), rows)
            .assign(&log_mel.slice_axis(Axis(0), rows));
        self.normalise(input.view_mut());
        input
    }

    /// (x - mean) / (2 std), in place, on an array of any length.
    pub fn normalise(&self, mut values: ArrayViewMut2<f32>) {
        values.mapv_inplace(|x| self.config.normalised(x));
    }
}
