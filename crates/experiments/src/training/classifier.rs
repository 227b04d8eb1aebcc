//! A backbone with a method and a head, as the training loop sees it.

use adapters::{AdaptedModel, AdapterError};
use ast_model::Step;
use tch::Tensor;

use super::learner::{Figures, Learner, Piece, plain_features};
use super::source::value;
use super::{FrozenCache, TrainingConfig, TrainingError};
use crate::clips::Clips;
use crate::evaluation::score;
use crate::optimiser::AdamW;

/// A model, its clips, and what is kept of them.
pub(super) struct Classifier<'a> {
    model: &'a AdaptedModel,
    clips: &'a Clips,
    config: &'a TrainingConfig,
    cache: Option<FrozenCache>,
}

impl<'a> Classifier<'a> {
    pub fn new(model: &'a AdaptedModel, clips: &'a Clips, config: &'a TrainingConfig) -> Self {
        Classifier {
            model,
            clips,
            config,
            cache: None,
        }
    }

    /// Class scores in evaluation mode.
    fn evaluate(&self, indices: &[usize]) -> Result<Tensor, AdapterError> {
        let step = Step::evaluation();
        let kept = self.cache.as_ref().and_then(|cache| cache.select(indices));
        match kept {
            Some(frozen) => self.model.forward_frozen(&frozen, &step),
            None => self.model.forward(&self.clips.batch(indices).0, &step),
        }
    }

    /// Class scores in a training step.
    fn forward(&self, piece: &Piece, step: &Step) -> Result<Tensor, TrainingError> {
        let kept = self.cache.as_ref().map(|cache| cache.select(piece.indices));
        Ok(match kept {
            Some(Some(kept)) => self.model.forward_frozen(&kept, step)?,
            // Cannot be: the cache has all training clips. Features would do.
            _ => self
                .model
                .forward(&plain_features(piece, self.clips), step)?,
        })
    }
}

impl Learner for Classifier<'_> {
    fn trained(&self) -> &[(String, Tensor)] {
        self.model.trained()
    }

    fn trained_in_backbone(&self) -> usize {
        self.model.trained_in_backbone()
    }

    fn buffers(&self) -> &[(String, Tensor)] {
        self.model.buffers()
    }

    /// The [`FrozenCache`], where it is wanted and exact.
    fn prepare(
        &mut self,
        indices: &[usize],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(), TrainingError> {
        let limit = self.config.frozen_cache_mib << 20;
        let clips_stay = self.config.clips_stay() && !self.config.activation_checkpointing;
        if limit == 0 || !clips_stay {
            return Ok(());
        }
        let whole = self.config.batch;
        let batch = self.config.micro_batch.unwrap_or(whole).min(whole);
        self.cache = FrozenCache::compute(self.model, self.clips, indices, batch, limit, go_on)?;
        Ok(())
    }

    fn needs_features(&self) -> bool {
        self.cache.is_none()
    }

    fn kept_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, FrozenCache::bytes)
    }

    fn gradient(
        &self,
        piece: &Piece,
        step: &Step,
        weight: f64,
        optimiser: &mut AdamW,
    ) -> Result<f64, TrainingError> {
        let TrainingConfig {
            objective,
            label_smoothing,
            ..
        } = *self.config;
        let task = |logits: &Tensor| objective.loss(logits, &piece.labels, label_smoothing);
        if self.config.activation_checkpointing {
            let features = plain_features(piece, self.clips);
            let pass = self.model.forward_recomputed(&features, step)?;
            let task = task(pass.logits())?;
            let loss = value(&task)?;
            pass.backward(&task)?;
            optimiser.accumulate_taken(weight)?;
            return Ok(loss);
        }
        let task = task(&self.forward(piece, step)?)?;
        let loss = value(&task)?;
        let extra = step.take_loss().into_iter();
        let whole = extra.fold(task, |sum, extra| sum + extra);
        optimiser.accumulate(&whole, weight)?;
        Ok(loss)
    }

    fn validate(
        &self,
        part: &[usize],
        batch: usize,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Figures, TrainingError> {
        let mut done = 0;
        let mut forward = |indices: &[usize]| {
            let scores = self.evaluate(indices)?;
            done += indices.len();
            if go_on(done) {
                return Ok(scores);
            }
            Err(TrainingError::Stopped)
        };
        let objective = self.config.objective;
        let (loss, scores) = score(&mut forward, self.clips, part, batch, objective)?;
        Ok(Figures::of(loss, &scores))
    }
}
