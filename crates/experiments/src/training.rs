//! The training loop: shuffled batches, AdamW, cosine, selection of an epoch.

use std::time::Instant;

use adapters::{AdaptedModel, AdapterError};
use ast_model::Step;
use serde::{Deserialize, Serialize};
use tch::Tensor;
use thiserror::Error;

use crate::clips::{Augmentation, Augmented, Clips};
use crate::data::Split;
use crate::evaluation::{cross_entropy, evaluate};
use crate::optimiser::{AdamW, AdamWConfig, cosine};
use crate::random::{permutation, step_seed};
use crate::record::EpochRecord;

/// Which epoch's weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// The first epoch with the best validation accuracy. The default.
    #[default]
    BestValidation,
    /// The last epoch, as the authors' program has it in effect.
    Last,
}

/// Hyper-parameters of one training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Passes over the training clips.
    pub epochs: usize,
    /// Clips per step; the last, partial batch is kept.
    pub batch: usize,
    /// Initial learning rate; a cosine takes it to 0.
    pub learning_rate: f64,
    /// The optimiser.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// Which epoch counts.
    #[serde(default)]
    pub selection: Selection,
    /// Random changes of the training clips; off by default.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// Keep only the input of each block in the forward pass and compute the
    /// rest again in the backward pass: much less memory, about half as much
    /// time again. Default false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub activation_checkpointing: bool,
    /// Seed of order and dropout.
    pub seed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_false(value: &bool) -> bool {
    !value
}

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
    /// There is nothing to train on.
    #[error("the training part is empty; check the split of the data set")]
    NoClips,
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
    /// An augmentation that does not fit the features.
    #[error("augmentation: {0}")]
    Augmentation(#[from] audio_frontend::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// What the training loop tells while it runs, after every step.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Epoch from 0.
    pub epoch: usize,
    /// Clips seen so far, over all epochs.
    pub clips: usize,
    /// Clips to see in all.
    pub total: usize,
}

/// What training gives beside the trained model.
#[derive(Debug, Clone)]
pub struct Trained {
    /// Every epoch.
    pub epochs: Vec<EpochRecord>,
    /// The epoch whose weights the model now has.
    pub selected: usize,
}

impl TrainingConfig {
    /// Checks the figures.
    ///
    /// # Errors
    /// [`TrainingError::Config`].
    pub fn validate(&self) -> Result<(), TrainingError> {
        let bad = |field, value: String, allowed| TrainingError::Config {
            field,
            value,
            allowed,
        };
        if self.epochs == 0 {
            return Err(bad("epochs", "0".into(), "at least 1"));
        }
        if self.batch == 0 {
            return Err(bad("batch", "0".into(), "at least 1"));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Err(bad(
                "learning_rate",
                self.learning_rate.to_string(),
                "a number above 0",
            ));
        }
        Ok(())
    }
}

/// Trains `model` on the training part of `split` and leaves it with the
/// weights of the selected epoch.
///
/// `observe` is called after every step; returning `false` stops the run.
///
/// # Errors
/// A setting out of range, an empty training part, a diverged loss, a stop, or
/// a failing model.
pub fn train(
    model: &AdaptedModel,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    observe: &mut dyn FnMut(Progress) -> bool,
) -> Result<Trained, TrainingError> {
    config.validate()?;
    if split.train.is_empty() {
        return Err(TrainingError::NoClips);
    }
    let mut optimiser = AdamW::new(model.trained(), config.adamw.clone())?;
    let mut epochs: Vec<EpochRecord> = Vec::with_capacity(config.epochs);
    let mut best: Option<Kept> = None;
    for epoch in 0..config.epochs {
        let start = Instant::now();
        let train_loss = one_epoch(model, clips, split, config, epoch, &mut optimiser, observe)?;
        let seconds = start.elapsed().as_secs_f64();
        let validation = evaluate(model, clips, &split.validation, 2 * config.batch)?;
        if !validation.loss.is_finite() {
            let (loss, learning_rate) = (validation.loss, config.learning_rate);
            return Err(TrainingError::Diverged {
                loss,
                epoch,
                learning_rate,
            });
        }
        let better = best
            .as_ref()
            .is_none_or(|kept| validation.accuracy > epochs[kept.epoch].validation_accuracy);
        epochs.push(EpochRecord {
            epoch,
            train_loss,
            validation_loss: validation.loss,
            validation_accuracy: validation.accuracy,
            seconds,
        });
        // Without validation clips there is nothing to choose by: the last counts.
        let choose = config.selection == Selection::BestValidation && validation.clips > 0;
        if choose && better {
            best = Some(Kept::copy(epoch, &optimiser, model));
        }
    }
    let mut selected = config.epochs - 1;
    if let Some(kept) = best {
        kept.restore(&mut optimiser, model);
        selected = kept.epoch;
    }
    Ok(Trained { epochs, selected })
}

/// Everything training has changed, as it was after an epoch.
struct Kept {
    epoch: usize,
    values: Tensor,
    /// In the order of [`AdaptedModel::buffers`].
    buffers: Vec<Tensor>,
}

impl Kept {
    fn copy(epoch: usize, optimiser: &AdamW, model: &AdaptedModel) -> Self {
        Kept {
            epoch,
            values: optimiser.snapshot(),
            buffers: model.buffers().iter().map(|(_, b)| b.copy()).collect(),
        }
    }

    fn restore(&self, optimiser: &mut AdamW, model: &AdaptedModel) {
        optimiser.restore(&self.values);
        for ((_, buffer), kept) in model.buffers().iter().zip(&self.buffers) {
            tch::no_grad(|| buffer.shallow_clone().copy_(kept));
        }
    }
}

/// One pass over the training clips; the mean loss.
fn one_epoch(
    model: &AdaptedModel,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    epoch: usize,
    optimiser: &mut AdamW,
    observe: &mut dyn FnMut(Progress) -> bool,
) -> Result<f64, TrainingError> {
    let count = split.train.len();
    let steps_per_epoch = count.div_ceil(config.batch);
    let order: Vec<usize> = permutation(config.seed, epoch, count)
        .iter()
        .map(|&i| split.train[i])
        .collect();
    let mut sum = 0.0;
    for (index, indices) in order.chunks(config.batch).enumerate() {
        let number = epoch * steps_per_epoch + index;
        let rate = cosine(
            config.learning_rate,
            number,
            steps_per_epoch * config.epochs,
        );
        let changes = Augmented {
            augmentation: &config.augmentation,
            seed: config.seed,
            epoch,
        };
        let (features, labels) = clips.augmented_batch(indices, changes)?;
        let step = Step::training(step_seed(config.seed, number));
        let finite = |task: &Tensor| {
            let (loss, learning_rate) = (task.double_value(&[]), config.learning_rate);
            if loss.is_finite() {
                return Ok(loss);
            }
            Err(TrainingError::Diverged {
                loss,
                epoch,
                learning_rate,
            })
        };
        let value = if config.activation_checkpointing {
            let pass = model.forward_recomputed(&features, &step)?;
            let task = cross_entropy(pass.logits(), &labels)?;
            let value = finite(&task)?;
            pass.backward(&task)?;
            optimiser.step_accumulated(rate)?;
            value
        } else {
            let task = cross_entropy(&model.forward(&features, &step)?, &labels)?;
            let value = finite(&task)?;
            let extra = step.take_loss().into_iter();
            optimiser.step(&extra.fold(task, |sum, extra| sum + extra), rate)?;
            value
        };
        sum += value * indices.len() as f64;
        let seen = epoch * count + (index * config.batch + indices.len()).min(count);
        if !observe(Progress {
            epoch,
            clips: seen,
            total: count * config.epochs,
        }) {
            return Err(TrainingError::Stopped);
        }
    }
    Ok(sum / count as f64)
}

#[cfg(test)]
#[path = "training_tests.rs"]
mod tests;
