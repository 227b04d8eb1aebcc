//! Louder and quieter.

use ndarray::ArrayViewMut2;
use serde::{Deserialize, Serialize};

use super::random::{amplitude, keyed_rng, uniform_between};
use crate::error::{Error, Result};
use crate::fbank::FbankConfig;

/// Changes the level of a clip by a random number of decibels, off by default.
///
/// The gain g is uniform in [`min_db`, `max_db`], and every sample is
/// multiplied by c = 10^(g / 20). Nothing is clipped: samples are floats, and
/// the filter bank does not mind values beyond ±1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gain {
    /// Least gain in dB. Default 0.0.
    pub min_db: f64,
    /// Greatest gain in dB. Default 0.0; with both 0 it is off.
    pub max_db: f64,
}

impl Gain {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] unless -120 ≤ `min_db` ≤ `max_db` ≤ 120.
    pub fn validate(&self) -> Result<()> {
        if !(-120.0..=120.0).contains(&self.min_db) {
            return Err(Error::config("min_db", self.min_db, "-120 to 120 dB"));
        }
        if !(self.min_db..=120.0).contains(&self.max_db) {
            let expected = format!("{} (min_db) to 120 dB", self.min_db);
            return Err(Error::config("max_db", self.max_db, expected));
        }
        Ok(())
    }

    /// The gain g of sample `sample` in epoch `epoch`, in dB.
    #[must_use]
    pub fn decibels(&self, seed: u64, epoch: u64, sample: u64) -> f64 {
        let mut rng = keyed_rng(seed, epoch, sample, b"wavegain");
        uniform_between(&mut rng, self.min_db, self.max_db)
    }

    /// Scales the waveform of a sample in place.
    ///
    /// # Shapes
    /// `[samples]`
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of range.
    pub fn apply(&self, seed: u64, epoch: u64, sample: u64, waveform: &mut [f32]) -> Result<()> {
        self.validate()?;
        let factor = amplitude(self.decibels(seed, epoch, sample)) as f32;
        waveform.iter_mut().for_each(|x| *x *= factor);
        Ok(())
    }

    /// The same gain on log-mel energies that are not yet normalised: adds
    /// 2 ln c and raises what falls below the floor of `fbank` to it.
    ///
    /// Equal to the gain on the waveform up to rounding wherever the clip is
    /// above the floor. A cell at the floor stays there, since how far below it
    /// the energy was is lost. Do not give it padding, which has no level.
    ///
    /// # Shapes
    /// `[T, F]`
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of range or `fbank` takes no
    /// logarithm.
    pub fn apply_to_log_mel(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        fbank: &FbankConfig,
        mut log_mel: ArrayViewMut2<f32>,
    ) -> Result<()> {
        self.validate()?;
        if !fbank.log {
            let expected = "true for a gain on log-mel energies";
            return Err(Error::config("log", fbank.log, expected));
        }
        let decibels = self.decibels(seed, epoch, sample);
        let change = (decibels * std::f64::consts::LN_10 / 10.0) as f32;
        // The filter bank's own logarithm of the floor may lie one rounding off.
        let floor = fbank.log_floor.ln();
        let at_floor = floor + 1e-5;
        log_mel.mapv_inplace(|x| {
            if x > at_floor {
                (x + change).max(floor)
            } else {
                x
            }
        });
        Ok(())
    }
}
