//! The training loop: batches in a derived order, AdamW, warm-up and cosine,
//! selection of an epoch, checkpoints from which a run goes on to the same bits.

use adapters::AdaptedModel;

use crate::clips::Clips;
use crate::data::Split;
use crate::record::EpochRecord;
use crate::run_folder::Checkpoints;

mod classifier;
mod config;
mod error;
mod groups;
mod journal;
mod learner;
mod objective;
mod saved;
mod session;
mod source;
mod state;
mod unread;

pub use config::{Objective, Selection, TrainingConfig};
pub use error::TrainingError;
pub use groups::{Decayed, ParameterGroup, Part};
pub use journal::{Journal, JournalError};
pub use learner::{Figures, Learner, Piece};
pub use source::{FrozenCache, describe};
pub use state::EpochMetrics;

/// What the training loop tells while it runs, after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Epoch from 0.
    pub epoch: usize,
    /// Clips seen so far, over all epochs.
    pub clips: usize,
    /// Clips to see in all.
    pub total: usize,
    /// Mean loss of the batch; on a GPU that of the step before, whose value is
    /// there without waiting.
    pub loss: f64,
}

/// What happens in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run goes on from a checkpoint.
    Resumed {
        /// Epochs that are over.
        epochs: &'a [EpochMetrics],
        /// Steps made in the epoch in progress.
        steps: usize,
        /// Whether libtorch computes with another number of threads than
        /// before: sums may then round differently.
        other_threads: bool,
        /// Later checkpoints that cannot be used, each with the reason.
        skipped: &'a [String],
    },
    /// So many of so many clips have gone through the frozen part of the model,
    /// see [`FrozenCache`].
    Frozen {
        /// Clips done.
        done: usize,
        /// Clips in all.
        total: usize,
    },
    /// A step was made.
    Step(Progress),
    /// So many of so many validation clips of this epoch are done.
    Validation {
        /// Clips done.
        done: usize,
        /// Clips in all.
        total: usize,
    },
    /// An epoch is over; all so far, the last one included.
    Epoch(&'a [EpochMetrics]),
}

/// What the observer wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Control {
    /// Go on.
    Continue,
    /// Stop at the end of the epoch, after its validation and a checkpoint.
    StopAfterEpoch,
    /// Stop now, after a checkpoint.
    Stop,
}

/// How a run is carried out. Nothing here changes its result by a bit.
#[derive(Debug, Clone)]
pub struct Runtime<'a> {
    /// Where and when the state is saved; nowhere by default.
    pub checkpoints: Option<CheckpointPlan<'a>>,
    /// Threads that prepare batches ahead; with 0 the training thread makes
    /// them. Default 1.
    pub workers: usize,
    /// Batches that are ready ahead, in all. Default 4.
    pub queue: usize,
}

impl Default for Runtime<'_> {
    fn default() -> Self {
        Runtime {
            checkpoints: None,
            workers: 1,
            queue: 4,
        }
    }
}

/// Where and when the state of a run is saved. It always is when the run is
/// told to stop.
#[derive(Debug, Clone)]
pub struct CheckpointPlan<'a> {
    /// Where.
    pub store: &'a Checkpoints,
    /// What the run is, beside settings, split and shapes of the tensors, which
    /// are always compared: a hash of sounds, backbone and method, for example.
    pub identity: String,
    /// After a step or an epoch, once so many seconds have passed since the
    /// last time, and at least 20 times as long as that took; 0 for after every
    /// step.
    pub every_seconds: f64,
}

/// What training gives beside the trained model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Every epoch, as records keep it.
    pub epochs: Vec<EpochRecord>,
    /// Every epoch with all figures.
    pub history: Vec<EpochMetrics>,
    /// The epoch whose weights the model now has.
    pub selected: usize,
    /// Share of the training time in which the training thread waited for a
    /// batch.
    pub waiting_share: f64,
    /// Bytes of the [`FrozenCache`]; 0 without one.
    pub frozen_bytes: u64,
}

/// Trains `model` on the training part of `split` and leaves it with the
/// weights of the selected epoch.
///
/// `observe` is called after every step and says whether to go on.
///
/// # Errors
/// A setting out of range, an empty training part, a diverged loss, a stop, or
/// a failing model.
pub fn train(
    model: &AdaptedModel,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    observe: &mut dyn FnMut(Progress) -> Control,
) -> Result<Trained, TrainingError> {
    let mut on_event = |event: Event| match event {
        Event::Step(progress) => observe(progress),
        _ => Control::Continue,
    };
    train_with(
        model,
        clips,
        split,
        config,
        &Runtime::default(),
        &mut on_event,
    )
}

/// As [`train`], with checkpoints and workers, and with every event told.
///
/// With checkpoints a run that was killed at any instant, or told to stop, goes
/// on when this is called again with the same arguments and a model with the
/// same initial values, and ends with the same bits as one that was never
/// interrupted, on the same machine with the same number of threads.
///
/// # Errors
/// As [`train`], and a checkpoint that cannot be written, or that belongs to
/// another run.
pub fn train_with(
    model: &AdaptedModel,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    runtime: &Runtime,
    observe: &mut dyn FnMut(Event) -> Control,
) -> Result<Trained, TrainingError> {
    if config.objective == Objective::BinaryCrossEntropy && clips.targets.is_none() {
        return Err(TrainingError::NoTargets);
    }
    let mut classifier = classifier::Classifier::new(model, clips, config);
    train_learner(&mut classifier, clips, split, config, runtime, observe)
}

/// As [`train_with`], for anything that learns from clips.
///
/// # Errors
/// As [`train_with`].
pub fn train_learner(
    learner: &mut dyn Learner,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    runtime: &Runtime,
    observe: &mut dyn FnMut(Event) -> Control,
) -> Result<Trained, TrainingError> {
    config.validate()?;
    if split.train.is_empty() {
        return Err(TrainingError::NoClips);
    }
    session::run(learner, clips, split, config, runtime, observe)
}

#[cfg(test)]
mod resume_tests;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;
