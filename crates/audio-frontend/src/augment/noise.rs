//! Noise at a given distance from the signal.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::random::{amplitude, below, keyed_rng, normal_pair, uniform, uniform_between};
use crate::error::{Error, Result};

/// Adds noise at a random signal-to-noise ratio, off by default.
///
/// A clip gets noise with probability `rate`. Its ratio is uniform in
/// [`min_snr_db`, `max_snr_db`] and holds for this clip to rounding, because
/// the noise is scaled by the power it turned out to have: with P the mean of
/// the squares over the whole clip, noise is multiplied by
/// √(P_signal / P_noise) · 10^(-SNR / 20). Silence has no ratio to anything and
/// stays silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Probability that a clip gets noise. Default 0.0 (off).
    pub rate: f64,
    /// Least ratio in dB, the loudest noise. Default 10.
    pub min_snr_db: f64,
    /// Greatest ratio in dB. Default 30.
    pub max_snr_db: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            rate: 0.0,
            min_snr_db: 10.0,
            max_snr_db: 30.0,
        }
    }
}

impl Noise {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ `rate` ≤ 1 and
    /// -100 ≤ `min_snr_db` ≤ `max_snr_db` ≤ 100.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::config("rate", self.rate, "0 (off) to 1"));
        }
        if !(-100.0..=100.0).contains(&self.min_snr_db) {
            let expected = "-100 to 100 dB";
            return Err(Error::config("min_snr_db", self.min_snr_db, expected));
        }
        if !(self.min_snr_db..=100.0).contains(&self.max_snr_db) {
            let expected = format!("{} (min_snr_db) to 100 dB", self.min_snr_db);
            return Err(Error::config("max_snr_db", self.max_snr_db, expected));
        }
        Ok(())
    }

    /// The signal-to-noise ratio of sample `sample` in epoch `epoch` in dB, or
    /// `None` where it gets no noise.
    #[must_use]
    pub fn snr_db(&self, seed: u64, epoch: u64, sample: u64) -> Option<f64> {
        self.draw(seed, epoch, sample).map(|(snr, _)| snr)
    }

    /// Adds white Gaussian noise to the waveform of a sample, in place.
    ///
    /// # Shapes
    /// `[samples]`
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of range.
    pub fn apply(&self, seed: u64, epoch: u64, sample: u64, waveform: &mut [f32]) -> Result<()> {
        self.validate()?;
        let Some((snr, mut rng)) = self.draw(seed, epoch, sample) else {
            return Ok(());
        };
        let mut noise = vec![0.0; waveform.len()];
        for pair in noise.chunks_mut(2) {
            for (value, drawn) in pair.iter_mut().zip(normal_pair(&mut rng)) {
                *value = drawn as f32;
            }
        }
        add(waveform, noise.iter().copied(), snr);
        Ok(())
    }

    /// Adds a part of `recording` to the waveform of a sample, in place: from a
    /// uniformly random place on, and again from its start where it ends. Both
    /// have the same sample rate. A part that is silent leaves the clip as it
    /// is.
    ///
    /// # Shapes
    /// `[samples]` and `[samples of the recording]`
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of range or the recording is
    /// empty.
    pub fn apply_from(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        recording: &[f32],
        waveform: &mut [f32],
    ) -> Result<()> {
        self.validate()?;
        if recording.is_empty() {
            let expected = "a recording of at least one sample";
            return Err(Error::config("recording", "0 samples", expected));
        }
        let Some((snr, mut rng)) = self.draw(seed, epoch, sample) else {
            return Ok(());
        };
        let offset = below(&mut rng, recording.len() as u64) as usize;
        let noise = recording.iter().cycle().skip(offset).copied();
        add(waveform, noise.take(waveform.len()), snr);
        Ok(())
    }

    /// The ratio of a sample that gets noise, and the generator after it.
    fn draw(&self, seed: u64, epoch: u64, sample: u64) -> Option<(f64, ChaCha8Rng)> {
        let mut rng = keyed_rng(seed, epoch, sample, b"addnoise");
        let chosen = uniform(&mut rng) < self.rate;
        let snr = uniform_between(&mut rng, self.min_snr_db, self.max_snr_db);
        chosen.then_some((snr, rng))
    }
}

/// Adds as many values of `noise` as the waveform has, `snr` dB below it.
fn add(waveform: &mut [f32], noise: impl Iterator<Item = f32> + Clone, snr: f64) {
    let energy_ratio = energy(waveform.iter().copied()) / energy(noise.clone());
    let scale = energy_ratio.sqrt() * amplitude(-snr);
    // Zero for a silent clip, not finite for silent noise or a clip with NaN.
    if scale > 0.0 && scale.is_finite() {
        for (sample, noise) in waveform.iter_mut().zip(noise) {
            *sample = (f64::from(*sample) + scale * f64::from(noise)) as f32;
        }
    }
}

/// Σ x², in f64, where no finite f32 overflows.
fn energy(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|x| f64::from(x) * f64::from(x)).sum()
}
