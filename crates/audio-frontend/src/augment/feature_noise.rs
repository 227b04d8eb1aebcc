//! Noise on features.

use ndarray::ArrayViewMut2;
use serde::{Deserialize, Serialize};

use super::random::{keyed_rng, uniform, uniform_f32};
use crate::error::{Error, Result};

/// Adds uniform noise to normalised features, off by default.
///
/// Every value gets a · s · U with U in [0, 1) of its own, s in [0, 1) one per
/// clip and a = `max_amplitude`. The noise is not centred: it also raises the
/// clip by a · s / 2 on average. This is what the original AST recipe for
/// Speech Commands does after normalisation, with a = 0.1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureNoise {
    /// a, which all noise stays below. Default 0.0 (off).
    pub max_amplitude: f64,
}

impl FeatureNoise {
    /// The original AST recipe for Speech Commands: 0.1.
    #[must_use]
    pub fn ast_speech_commands() -> Self {
        Self { max_amplitude: 0.1 }
    }

    /// Checks the setting.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ `max_amplitude` ≤ 100.
    pub fn validate(&self) -> Result<()> {
        if (0.0..=100.0).contains(&self.max_amplitude) {
            return Ok(());
        }
        let expected = "0 (off) to 100";
        Err(Error::config("max_amplitude", self.max_amplitude, expected))
    }

    /// a · s of sample `sample` in epoch `epoch`, which its noise stays below.
    #[must_use]
    pub fn amplitude(&self, seed: u64, epoch: u64, sample: u64) -> f64 {
        self.max_amplitude * uniform(&mut keyed_rng(seed, epoch, sample, b"featnois"))
    }

    /// Adds noise to the normalised features of a sample, in place.
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
        if self.max_amplitude == 0.0 {
            return Ok(()); // adding 0.0 would turn -0.0 into 0.0
        }
        let mut rng = keyed_rng(seed, epoch, sample, b"featnois");
        let amplitude = (self.max_amplitude * uniform(&mut rng)) as f32;
        features.mapv_inplace(|x| x + amplitude * uniform_f32(&mut rng));
        Ok(())
    }
}
