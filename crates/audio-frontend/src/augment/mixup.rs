//! Blending pairs of clips (Zhang et al. 2018).

use ndarray::{ArrayView2, ArrayViewMut2, Zip};
use serde::{Deserialize, Serialize};

use super::random::{below, keyed_rng, symmetric_beta, uniform};
use crate::error::{Error, Result};

/// Which clips are blended with which, off by default.
///
/// A clip is blended with probability `rate`. Its partner is then uniform over
/// all clips, itself included, and its own share lambda is drawn from
/// Beta(alpha, alpha). Clips are counted from 0 in the list that is trained on;
/// the plan says nothing about where they come from.
///
/// The original AST blends waveforms, each with its mean removed, with
/// alpha = 10 and a rate of 0.5 on AudioSet and 0.6 on Speech Commands. Soft
/// labels ask for a loss that takes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mixup {
    /// Probability that a clip is blended. Default 0.0 (off).
    pub rate: f64,
    /// Both parameters of the beta distribution. Large ones blend in halves,
    /// small ones leave one clip nearly alone. Default 10.
    pub alpha: f64,
}

impl Default for Mixup {
    fn default() -> Self {
        Self {
            rate: 0.0,
            alpha: 10.0,
        }
    }
}

/// How one clip is blended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pairing {
    /// The clip.
    pub sample: u64,
    /// What is blended into it; the clip itself where nothing is.
    pub partner: u64,
    /// The clip's own share in [0, 1]; 1.0 where nothing is blended into it.
    pub lambda: f64,
}

impl Mixup {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Config`] unless 0 ≤ `rate` ≤ 1 and 0.01 ≤ `alpha` ≤ 10⁶.
    pub fn validate(&self) -> Result<()> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(Error::config("rate", self.rate, "0 (off) to 1"));
        }
        if !(0.01..=1e6).contains(&self.alpha) {
            return Err(Error::config("alpha", self.alpha, "0.01 to 1000000"));
        }
        Ok(())
    }

    /// How clip `sample` of `samples_total` is blended in epoch `epoch`,
    /// without looking at any other clip.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of range or `sample` is not
    /// below `samples_total`.
    pub fn pairing(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        samples_total: u64,
    ) -> Result<Pairing> {
        self.validate()?;
        if sample >= samples_total {
            let expected = format!("a number below {samples_total}, the number of clips");
            return Err(Error::config("sample", sample, expected));
        }
        Ok(self.draw(seed, epoch, sample, samples_total))
    }

    /// [`pairing`](Self::pairing) of every clip, in order.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting is out of range.
    pub fn plan(&self, seed: u64, epoch: u64, samples_total: u64) -> Result<Vec<Pairing>> {
        self.validate()?;
        let samples = 0..samples_total;
        Ok(samples
            .map(|sample| self.draw(seed, epoch, sample, samples_total))
            .collect())
    }

    fn draw(&self, seed: u64, epoch: u64, sample: u64, samples_total: u64) -> Pairing {
        let mut rng = keyed_rng(seed, epoch, sample, b"mixuppln");
        if uniform(&mut rng) >= self.rate {
            return Pairing {
                sample,
                partner: sample,
                lambda: 1.0,
            };
        }
        Pairing {
            sample,
            partner: below(&mut rng, samples_total),
            lambda: symmetric_beta(&mut rng, self.alpha),
        }
    }
}

impl Pairing {
    /// Whether anything is blended into the clip.
    #[must_use]
    pub fn is_mixed(&self) -> bool {
        self.lambda < 1.0
    }

    /// lambda · clip + (1 - lambda) · partner, in place. A shorter partner is
    /// followed by silence, a longer one is cut, as in the original AST.
    ///
    /// # Shapes
    /// `[samples]` and `[samples of the partner]`
    pub fn mix_waveforms(&self, waveform: &mut [f32], partner: &[f32]) {
        if !self.is_mixed() {
            return;
        }
        let partner = partner.iter().copied().chain(std::iter::repeat(0.0));
        for (value, other) in waveform.iter_mut().zip(partner) {
            *value = self.blend(*value, other);
        }
    }

    /// lambda · clip + (1 - lambda) · partner, in place. On log-mel energies
    /// this is a geometric mean of the two sounds, not their sum.
    ///
    /// # Shapes
    /// `[T, F]` both
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes differ.
    pub fn mix_features(
        &self,
        features: ArrayViewMut2<f32>,
        partner: ArrayView2<f32>,
    ) -> Result<()> {
        if features.dim() != partner.dim() {
            return Err(Error::Shape {
                what: "the partner's features",
                actual: partner.shape().to_vec(),
                expected: features.shape().to_vec(),
            });
        }
        if self.is_mixed() {
            Zip::from(features)
                .and(partner)
                .for_each(|value, &other| *value = self.blend(*value, other));
        }
        Ok(())
    }

    /// Weights of all classes: lambda for the clip's own, 1 - lambda for the
    /// partner's, 1 where both are of the same class.
    ///
    /// # Shapes
    /// `[classes]`
    ///
    /// # Errors
    /// [`Error::Config`] when a label is not below `classes`.
    pub fn soft_labels(&self, label: usize, partner: usize, classes: usize) -> Result<Vec<f32>> {
        let mut weights = vec![0.0; classes];
        for (field, label) in [("label", label), ("partner", partner)] {
            if label >= classes {
                let expected = format!("a number below {classes}, the number of classes");
                return Err(Error::config(field, label, expected));
            }
        }
        if label == partner {
            weights[label] = 1.0;
        } else {
            weights[label] = self.lambda as f32;
            weights[partner] = (1.0 - self.lambda) as f32;
        }
        Ok(weights)
    }

    fn blend(&self, own: f32, other: f32) -> f32 {
        (self.lambda * f64::from(own) + (1.0 - self.lambda) * f64::from(other)) as f32
    }
}
