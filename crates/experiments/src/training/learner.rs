//! What the training loop trains.

use std::collections::BTreeMap;

use tch::Tensor;

use super::TrainingError;
use crate::clips::Labels;
use crate::metrics::{Metrics, Scores};
use crate::optimiser::AdamW;
use ast_model::Step;

/// Something that learns from batches of clips: its trained tensors, the
/// gradient of a batch and figures on clips held out. The loop of
/// [`train_learner`](super::train_learner) knows nothing else of it, so that
/// order, schedule, checkpoints and resume are the same for all.
pub trait Learner {
    /// Every trained tensor with its name, f32 leaves, always in the same order.
    fn trained(&self) -> &[(String, Tensor)];

    /// How many of the first of [`trained`](Self::trained) belong to the
    /// backbone.
    fn trained_in_backbone(&self) -> usize;

    /// Every tensor that changes in training without being trained.
    fn buffers(&self) -> &[(String, Tensor)];

    /// Whatever can be computed once, before the first step of this process,
    /// for the clips `indices`; `go_on` is asked from time to time with the
    /// number of clips done. Nothing by default.
    ///
    /// # Errors
    /// A failing model, or [`TrainingError::Stopped`] where `go_on` says no.
    fn prepare(
        &mut self,
        _indices: &[usize],
        _go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(), TrainingError> {
        Ok(())
    }

    /// Whether [`Piece::features`] is needed; by default it is.
    fn needs_features(&self) -> bool {
        true
    }

    /// Bytes that [`prepare`](Self::prepare) keeps.
    fn kept_bytes(&self) -> u64 {
        0
    }

    /// Adds `weight` times the gradient of the mean loss of a piece to
    /// `optimiser`; returns that loss, a scalar on the device, so that nobody
    /// has to wait for it. All random draws follow from `step.seed`.
    ///
    /// # Errors
    /// When a pass fails.
    fn gradient(
        &self,
        piece: &Piece,
        step: &Step,
        weight: f64,
        optimiser: &mut AdamW,
    ) -> Result<Tensor, TrainingError>;

    /// Figures of the clips `part`, in batches of `batch`, without gradients;
    /// `go_on` is asked after each batch, with the number of clips done.
    ///
    /// # Errors
    /// When a pass fails, or [`TrainingError::Stopped`] where `go_on` says no.
    fn validate(
        &self,
        part: &[usize],
        batch: usize,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Figures, TrainingError>;
}

/// Clips of one forward pass: a batch, or a piece of one.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Which clips, [B].
    pub indices: &'a [usize],
    /// [B, T, F]; not where the learner needs none.
    pub features: Option<Tensor>,
    /// What they are.
    pub labels: Labels,
}

impl Piece<'_> {
    /// The features, or what `plain` gives for the clips where there are none.
    pub(crate) fn features_or(&self, plain: impl FnOnce(&[usize]) -> Tensor) -> Tensor {
        match &self.features {
            Some(features) => features.shallow_clone(),
            None => plain(self.indices),
        }
    }
}

/// Figures of a part of the clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Number of clips.
    pub clips: usize,
    /// Mean loss.
    pub loss: f64,
    /// See [`Metrics::accuracy`]; 0 where nothing is classified.
    pub accuracy: f64,
    /// See [`Metrics::macro_f1`].
    pub macro_f1: f64,
    /// See [`Metrics::calibration_error`].
    pub calibration_error: Option<f64>,
    /// See [`Metrics::mean_average_precision`].
    pub mean_average_precision: Option<f64>,
    /// Further figures by name, where there are several losses or label sets.
    pub parts: BTreeMap<String, f64>,
}

impl Figures {
    /// The figures of a classifier with this mean loss and these scores.
    pub(super) fn of(loss: f64, scores: &Scores) -> Self {
        let metrics = Metrics::of(scores);
        Figures {
            clips: metrics.clips,
            loss,
            accuracy: metrics.accuracy,
            macro_f1: metrics.macro_f1,
            calibration_error: metrics.calibration_error,
            mean_average_precision: metrics.mean_average_precision,
            parts: BTreeMap::new(),
        }
    }
}
