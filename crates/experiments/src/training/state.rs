//! Everything that later steps of a run depend on, beside the tensors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Selection, TrainingConfig};
use crate::optimiser::Counters;
use crate::record::EpochRecord;

/// Figures of one epoch: a line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochMetrics {
    /// Index from 0.
    pub epoch: usize,
    /// Steps made since the start of the run.
    pub steps: usize,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Mean loss over the training clips, as trained (smoothed and blended).
    pub train_loss: f64,
    /// Number of validation clips; the figures below are 0 without any.
    pub validation_clips: usize,
    /// Mean loss over the validation clips.
    pub validation_loss: f64,
    /// See [`Metrics::accuracy`](crate::metrics::Metrics::accuracy).
    pub validation_accuracy: f64,
    /// See [`Metrics::macro_f1`](crate::metrics::Metrics::macro_f1).
    pub validation_macro_f1: f64,
    /// Expected calibration error; not for several labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_calibration_error: Option<f64>,
    /// Mean average precision; for several labels only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_mean_average_precision: Option<f64>,
    /// Figures of single losses and label sets by name, where there are several
    /// (pretraining).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation_parts: BTreeMap<String, f64>,
    /// Seconds of training, validation and checkpoints excluded.
    pub seconds: f64,
    /// Seconds of them in which the training thread waited for a batch, or made
    /// it itself.
    pub waiting_seconds: f64,
    /// Training clips per second.
    pub clips_per_second: f64,
}

impl EpochMetrics {
    /// The part that goes into a [`RunRecord`](crate::record::RunRecord).
    pub fn record(&self) -> EpochRecord {
        EpochRecord {
            epoch: self.epoch,
            train_loss: self.train_loss,
            validation_loss: self.validation_loss,
            validation_accuracy: self.validation_accuracy,
            seconds: self.seconds,
        }
    }

    /// The figure an epoch is chosen by; larger is better.
    pub(super) fn merit(&self, selection: Selection) -> f64 {
        match selection {
            Selection::BestValidation | Selection::Last => self.validation_accuracy,
            Selection::BestLoss => -self.validation_loss,
            Selection::BestMacroF1 => self.validation_macro_f1,
            Selection::BestMeanAveragePrecision => {
                self.validation_mean_average_precision.unwrap_or(0.0)
            }
        }
    }
}

/// Where a run is. Together with the optimiser's buffers, the model's buffers
/// and the best weights so far it is all that a checkpoint holds: order,
/// augmentation and dropout are derived from the seed and these counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    /// The epoch in progress, from 0.
    pub epoch: usize,
    /// Steps made in it.
    pub steps: usize,
    /// Sum of the losses of the clips seen in it.
    pub loss_sum: f64,
    /// Seconds spent in it.
    pub seconds: f64,
    /// Seconds of them in which the training thread waited.
    pub waiting_seconds: f64,
    /// Epochs that are over.
    pub history: Vec<EpochMetrics>,
    /// The best of them.
    pub best: Option<usize>,
    /// Whether patience has run out.
    pub exhausted: bool,
    /// Of the optimiser.
    pub counters: Counters,
}

impl State {
    pub fn new(counters: Counters) -> Self {
        State {
            epoch: 0,
            steps: 0,
            loss_sum: 0.0,
            seconds: 0.0,
            waiting_seconds: 0.0,
            history: Vec::new(),
            best: None,
            exhausted: false,
            counters,
        }
    }

    /// Takes the figures of the epoch in progress; whether it is the best so far.
    pub fn finish_epoch(&mut self, metrics: EpochMetrics, config: &TrainingConfig) -> bool {
        let merit = |metrics: &EpochMetrics| metrics.merit(config.selection);
        let better = self
            .best
            .is_none_or(|best| merit(&metrics) > merit(&self.history[best]));
        let better = better && metrics.validation_clips > 0;
        self.history.push(metrics);
        if better {
            self.best = Some(self.epoch);
        }
        let since = self.epoch - self.best.unwrap_or(self.epoch);
        self.exhausted = config.patience.is_some_and(|patience| since >= patience);
        self.epoch += 1;
        self.steps = 0;
        self.loss_sum = 0.0;
        self.seconds = 0.0;
        self.waiting_seconds = 0.0;
        better
    }

    /// Whether there is nothing left to train.
    pub fn is_finished(&self, config: &TrainingConfig) -> bool {
        self.exhausted || self.epoch >= config.epochs
    }
}
