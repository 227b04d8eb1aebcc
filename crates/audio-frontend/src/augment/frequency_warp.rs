//! Stretching the frequency axis: another pitch and another voice.

use ndarray::{ArrayViewMut2, Axis};
use serde::{Deserialize, Serialize};

use super::random::{keyed_rng, uniform};
use crate::error::{Error, Result};
use crate::fbank::{FbankConfig, hz_to_mel};

/// Warps the frequency axis of a clip by one random factor, off by default.
///
/// The new value of a bin with centre f is that of the old spectrum at a · f,
/// linear between mel bins, so every harmonic at h moves to h / a while the
/// timing stays. The factor a is log-uniform in [1/m, m], m = `max_factor`.
/// This is vocal tract length perturbation (Jaitly and Hinton 2013) with one
/// linear warp over the whole axis, the pitch included. Beyond the ends of the
/// axis the outermost bin is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrequencyWarp {
    /// m, the largest factor. Default 1.0 (off).
    pub max_factor: f64,
}

impl Default for FrequencyWarp {
    fn default() -> Self {
        Self { max_factor: 1.0 }
    }
}

impl FrequencyWarp {
    /// Checks the setting.
    ///
    /// # Errors
    /// [`Error::Config`] unless 1 ≤ `max_factor` ≤ 8.
    pub fn validate(&self) -> Result<()> {
        if (1.0..=8.0).contains(&self.max_factor) {
            return Ok(());
        }
        let expected = "a factor between 1 (off) and 8";
        Err(Error::config("max_factor", self.max_factor, expected))
    }

    /// The factor a of sample `sample` in epoch `epoch`.
    #[must_use]
    pub fn factor(&self, seed: u64, epoch: u64, sample: u64) -> f64 {
        let mut rng = keyed_rng(seed, epoch, sample, b"freqwarp");
        self.max_factor.powf(2.0 * uniform(&mut rng) - 1.0)
    }

    /// Warps the features of a sample in place. `fbank` says where their mel
    /// bins lie. Normalised or not makes no difference.
    ///
    /// # Shapes
    /// `[T, F]`
    ///
    /// # Errors
    /// [`Error::Config`] when the setting is out of range, [`Error::Shape`]
    /// when F is not that of `fbank`.
    pub fn apply(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        fbank: &FbankConfig,
        mut features: ArrayViewMut2<f32>,
    ) -> Result<()> {
        self.validate()?;
        let bins = features.dim().1;
        if bins != fbank.num_mel_bins || bins == 0 {
            return Err(Error::Shape {
                what: "the features of the frequency warp",
                actual: features.shape().to_vec(),
                expected: vec![features.nrows(), fbank.num_mel_bins],
            });
        }
        let factor = self.factor(seed, epoch, sample);
        if factor == 1.0 {
            return Ok(());
        }
        let sources = source_positions(fbank, factor);
        let mut old = vec![0.0; bins];
        for mut frame in features.axis_iter_mut(Axis(0)) {
            old.iter_mut()
                .zip(&frame)
                .for_each(|(to, from)| *to = *from);
            for (value, &(bin, share)) in frame.iter_mut().zip(&sources) {
                *value = old[bin] * (1.0 - share) + old[(bin + 1).min(bins - 1)] * share;
            }
        }
        Ok(())
    }
}

/// For each bin where its value comes from: a bin and the share of the next.
fn source_positions(fbank: &FbankConfig, factor: f64) -> Vec<(usize, f32)> {
    let bins = fbank.num_mel_bins;
    let low = hz_to_mel(fbank.low_freq);
    let step = (hz_to_mel(fbank.high_freq) - low) / (bins + 1) as f64;
    (0..bins)
        .map(|bin| {
            let centre = mel_to_hz(low + step * (bin + 1) as f64);
            let position = (hz_to_mel(centre * factor) - low) / step - 1.0;
            let position = position.clamp(0.0, (bins - 1) as f64);
            (position as usize, position.fract() as f32)
        })
        .collect()
}

/// The inverse of [`hz_to_mel`].
fn mel_to_hz(mel: f64) -> f64 {
    700.0 * (mel / 1127.0).exp_m1()
}
