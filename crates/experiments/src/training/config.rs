//! Hyper-parameters of a run and their ranges.

use audio_frontend::Mixup;
use serde::{Deserialize, Serialize};

use super::TrainingError;
use super::groups::{Decayed, ParameterGroup};
use crate::clips::{Augmentation, is_default};
use crate::optimiser::AdamWConfig;

/// Which epoch's weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The first epoch with the best validation accuracy. The default.
    #[default]
    BestValidation,
    /// The last epoch, as the authors' program has it in effect.
    Last,
    /// The first epoch with the lowest validation loss.
    BestLoss,
    /// The first epoch with the best macro F1 on the validation part.
    BestMacroF1,
    /// The first epoch with the best mean average precision on the validation
    /// part; with
    /// [`Objective::BinaryCrossEntropy`] only.
    BestMeanAveragePrecision,
}

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// -Σ y log softmax(z): every clip has one class. The default.
    #[default]
    CrossEntropy,
    /// -mean over classes of y log σ(z) + (1 - y) log(1 - σ(z)): a clip may
    /// have any number of classes.
    BinaryCrossEntropy,
}

/// Hyper-parameters of one training run. Every default is the authors'
/// (Cappellazzo et al. 2024, arXiv 2402.00828, and their program): no warm-up,
/// no clipping, no smoothing, no mixup, one rate, weight decay on every tensor.
///
/// Fields at their defaults that came after the first release are not written,
/// so that a run without them keeps its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the training clips.
    pub epochs: usize,
    /// Clips per step; the last, partial batch is kept.
    pub batch: usize,
    /// Clips per forward pass, for gradient accumulation: a batch of n clips is
    /// computed in pieces of at most so many, piece i of n_i clips, and the
    /// gradient of the step is Σ_i (n_i / n) g_i, added in f32 in order, g_i
    /// being the gradient of the mean loss of piece i (and of the method's own
    /// losses). All of it, schedule included, counts in whole batches. Modules
    /// that look at a whole batch (BatchNorm) see pieces. Default: the whole
    /// batch at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// Initial learning rate; a cosine takes it to 0.
    pub learning_rate: f64,
    /// Steps over which the rate rises first, see
    /// [`warmup_cosine`](crate::optimiser::warmup_cosine). Default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup_steps: usize,
    /// The optimiser.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// Rates and weight decays of some tensors; the first group that matches a
    /// tensor counts. Default none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub groups: Vec<ParameterGroup>,
    /// Which tensors decay where no group says otherwise. Default all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub decayed: Decayed,
    /// Largest Euclidean norm of a step's gradient, over all trained tensors;
    /// longer ones are scaled down. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What is minimised. Default cross-entropy.
    #[serde(default, skip_serializing_if = "is_default")]
    pub objective: Objective,
    /// Share ε of every target that goes to all classes alike: y becomes
    /// (1 - ε) y + ε / C (binary: + ε / 2). Validation has none. Default 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// Which epoch counts.
    #[serde(default)]
    pub selection: Selection,
    /// Ends the run after so many epochs in a row without a better figure of
    /// the kind [`selection`](Self::selection) asks for (accuracy with `last`).
    /// The schedule is not shortened. Default never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Random changes of the training clips; off by default.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Blended pairs of training clips, with blended labels: features first,
    /// then the random changes. Off by default.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mixup: Mixup,
    /// Keep only the input of each block in the forward pass and compute the
    /// rest again in the backward pass: much less memory, about half as much
    /// time again. Default false.
    #[serde(default, skip_serializing_if = "is_default")]
    pub activation_checkpointing: bool,
    /// Memory in MiB for what the frozen part of the model makes of each clip,
    /// computed once instead of in every step: see
    /// [`FrozenCache`](super::FrozenCache). Where it is not enough, or clips
    /// change from epoch to epoch, nothing is kept. Default 0 (off).
    #[serde(default, skip_serializing_if = "is_default")]
    pub frozen_cache_mib: u64,
    /// Seed of order and dropout.
    pub seed: u64,
}

impl TrainingConfig {
    /// All defaults, with what has none.
    pub fn new(epochs: usize, batch: usize, learning_rate: f64, seed: u64) -> Self {
        TrainingConfig {
            epochs,
            batch,
            micro_batch: None,
            learning_rate,
            warmup_steps: 0,
            adamw: AdamWConfig::default(),
            groups: Vec::new(),
            decayed: Decayed::default(),
            clip_norm: None,
            objective: Objective::default(),
            label_smoothing: 0.0,
            selection: Selection::default(),
            patience: None,
            augmentation: Augmentation::default(),
            mixup: Mixup::default(),
            activation_checkpointing: false,
            frozen_cache_mib: 0,
            seed,
        }
    }

    /// Checks the figures.
    ///
    /// # Errors
    /// [`TrainingError::Config`] or another that names the field.
    pub fn validate(&self) -> Result<(), TrainingError> {
        for (field, value) in [
            ("epochs", Some(self.epochs)),
            ("batch", Some(self.batch)),
            ("micro_batch", self.micro_batch),
            ("patience", self.patience),
        ] {
            if value == Some(0) {
                return Err(TrainingError::config(field, 0, "at least 1"));
            }
        }
        let positive = |value: f64| value > 0.0 && value.is_finite();
        if !positive(self.learning_rate) {
            return Err(TrainingError::config(
                "learning_rate",
                self.learning_rate,
                "a number above 0",
            ));
        }
        if let Some(norm) = self.clip_norm
            && !positive(norm)
        {
            return Err(TrainingError::config("clip_norm", norm, "a number above 0"));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Err(TrainingError::config(
                "label_smoothing",
                self.label_smoothing,
                "from 0 up to, but not including, 1",
            ));
        }
        if self.selection == Selection::BestMeanAveragePrecision
            && self.objective == Objective::CrossEntropy
        {
            return Err(TrainingError::config(
                "selection",
                "best-mean-average-precision",
                "another one, or the objective binary-cross-entropy",
            ));
        }
        self.adamw.validate()?;
        self.mixup.validate()?;
        self.groups.iter().try_for_each(ParameterGroup::validate)
    }

    /// Most clips of a training pass.
    pub(crate) fn clips_at_once(&self) -> usize {
        self.micro_batch.unwrap_or(self.batch).min(self.batch)
    }

    /// Clips of a pass without gradients: twice as many fit.
    pub(crate) fn validation_batch(&self) -> usize {
        2 * self.clips_at_once()
    }

    /// Whether a training clip is the same in every epoch.
    pub fn clips_stay(&self) -> bool {
        is_default(&self.augmentation) && is_default(&self.mixup)
    }
}
