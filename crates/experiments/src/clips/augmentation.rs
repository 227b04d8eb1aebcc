//! Random changes of training clips.

use audio_frontend::{FeatureNoise, FrequencyWarp, Gain, SpecAugment, TimeShift};
use serde::{Deserialize, Serialize};

/// Random changes of training clips, each a pure function of (seed, epoch,
/// sample). All off by default.
///
/// They act on normalised features, in the order of the fields, which is that
/// of the original AST recipe (masks, noise, then the shift, which moves masks
/// and noise along) with the level and the warp before it. Features are
/// computed once and kept, so what changes waveforms has no place here, but for
/// the gain, which is a shift of log-mel energies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Louder and quieter, in [`Gain`]'s log-mel form: cells above the floor of
    /// the filter bank move by 2 ln c / (2 std), those at the floor and the
    /// padding stay.
    #[serde(skip_serializing_if = "is_default")]
    pub gain: Gain,
    /// Another pitch and voice.
    pub frequency_warp: FrequencyWarp,
    /// Masked bands of frequency and time.
    pub spec_augment: SpecAugment,
    /// Uniform noise on every value.
    #[serde(skip_serializing_if = "is_default")]
    pub feature_noise: FeatureNoise,
    /// Frames rolled around.
    #[serde(skip_serializing_if = "is_default")]
    pub time_shift: TimeShift,
}

/// Keeps fields that came later out of what is written while they are off, so
/// that a run without them keeps its id.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Augmentation {
    /// Checks the settings for features `[T, F]`.
    ///
    /// # Errors
    /// A setting that is out of range or does not fit the features.
    pub fn validate(&self, shape: (usize, usize)) -> Result<(), audio_frontend::Error> {
        self.gain.validate()?;
        self.frequency_warp.validate()?;
        self.spec_augment.masks(0, 0, 0, shape)?;
        self.feature_noise.validate()?;
        self.time_shift.validate()
    }
}

/// Which random changes a training batch gets.
#[derive(Debug, Clone, Copy)]
pub struct Augmented<'a> {
    /// The settings.
    pub augmentation: &'a Augmentation,
    /// Seed of the run.
    pub seed: u64,
    /// Epoch from 0.
    pub epoch: usize,
}
