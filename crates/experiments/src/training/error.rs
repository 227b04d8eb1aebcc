//! Why a run ended without a result.

use adapters::AdapterError;
use ast_model::AstError;
use thiserror::Error;

use crate::optimiser::OptimiserError;
use crate::prefetch::WorkerPanicked;
use crate::run_folder::RunFolderError;

/// Why a run ended without a result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// A figure that makes training impossible.
    #[error("{field} = {value}: must be {allowed}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Settings of the optimiser.
    #[error(transparent)]
    Optimiser(#[from] OptimiserError),
    /// A group of trained tensors that matches none.
    #[error("groups: {pattern:?} matches no trained tensor; the trained tensors are {known}")]
    EmptyGroup {
        /// What the group asks for.
        pattern: String,
        /// Names that could be matched, some of them.
        known: String,
    },
    /// There is nothing to train on.
    #[error("the training part is empty; check the split of the data set")]
    NoClips,
    /// Clips without what the objective needs.
    #[error(
        "the objective binary-cross-entropy needs clips with several labels; give them, or choose cross-entropy"
    )]
    NoTargets,
    /// The loss is no longer a number.
    #[error(
        "the loss became {loss} in epoch {epoch}; lower the learning rate (now {learning_rate})"
    )]
    Diverged {
        /// The loss.
        loss: f64,
        /// Epoch from 0.
        epoch: usize,
        /// The initial learning rate.
        learning_rate: f64,
    },
    /// Someone asked to stop.
    #[error("stopped before the run was finished; start the same command again to go on")]
    Stopped,
    /// The model failed.
    #[error(transparent)]
    Model(#[from] AdapterError),
    /// A backbone in pretraining failed.
    #[error(transparent)]
    Backbone(#[from] AstError),
    /// An augmentation that does not fit the features.
    #[error("augmentation: {0}")]
    Augmentation(#[from] audio_frontend::Error),
    /// A batch that could not be prepared.
    #[error(transparent)]
    Prefetch(#[from] WorkerPanicked),
    /// A checkpoint that cannot be read or written.
    #[error(transparent)]
    RunFolder(#[from] RunFolderError),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl TrainingError {
    pub(crate) fn config(
        field: &'static str,
        value: impl ToString,
        allowed: &'static str,
    ) -> TrainingError {
        TrainingError::Config {
            field,
            value: value.to_string(),
            allowed,
        }
    }
}
