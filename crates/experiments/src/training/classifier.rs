//! A backbone with a method and a head, as the training loop sees it.

use adapters::{AdaptedModel, AdapterError};
use ast_model::Step;
use tch::Tensor;

use super::learner::{Figures, Learner, Piece};
use super::{FrozenCache, TrainingConfig, TrainingError};
use crate::clips::Clips;
use crate::evaluation::score_while;
use crate::optimiser::AdamW;

/// Most bytes of features that are kept on a GPU, where clips stay the same.
const DEVICE_BYTES: u64 = 4 << 30;

/// A model, its clips, and what is kept of them.
pub(super) struct Classifier<'a> {
    model: &'a AdaptedModel,
    clips: &'a Clips,
    config: &'a TrainingConfig,
    cache: Option<FrozenCache>,
    /// Features on the device.
    resident: Option<FrozenCache>,
    /// Bytes that these may take.
    resident_limit: u64,
}

impl<'a> Classifier<'a> {
    pub fn new(model: &'a AdaptedModel, clips: &'a Clips, config: &'a TrainingConfig) -> Self {
        Classifier {
            model,
            clips,
            config,
            cache: None,
            resident: None,
            resident_limit: if clips.device.is_cuda() {
                DEVICE_BYTES
            } else {
                0
            },
        }
    }

    /// The same with another limit for features kept on the device.
    #[cfg(test)]
    pub fn keeping_features(mut self, bytes: u64) -> Self {
        self.resident_limit = bytes;
        self
    }

    /// Features of clips as they are.
    fn plain(&self, indices: &[usize]) -> Tensor {
        let kept = self.resident.as_ref();
        let kept = kept.and_then(|resident| resident.select(indices));
        kept.unwrap_or_else(|| self.clips.batch(indices).0)
    }

    /// Class scores in evaluation mode.
    fn evaluate(&self, indices: &[usize]) -> Result<Tensor, AdapterError> {
        let step = Step::evaluation();
        let kept = self.cache.as_ref().and_then(|cache| cache.select(indices));
        match kept {
            Some(frozen) => self.model.forward_frozen(&frozen, &step),
            None => self.model.forward(&self.plain(indices), &step),
        }
    }

    /// Class scores in a training step.
    fn forward(&self, piece: &Piece, step: &Step) -> Result<Tensor, TrainingError> {
        let cache = self.cache.as_ref();
        let kept = cache.and_then(|cache| cache.select(piece.indices));
        Ok(match kept {
            Some(kept) => self.model.forward_frozen(&kept, step)?,
            None => self
                .model
                .forward(&piece.features_or(|i| self.plain(i)), step)?,
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

    /// The [`FrozenCache`], where it is wanted and exact; else, on a GPU, the
    /// features, where they are few enough.
    fn prepare(
        &mut self,
        indices: &[usize],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<(), TrainingError> {
        if !self.config.clips_stay() {
            return Ok(());
        }
        let batch = self.config.clips_at_once();
        let limit = self.config.frozen_cache_mib << 20;
        if limit > 0 && !self.config.activation_checkpointing {
            self.cache =
                FrozenCache::compute(self.model, self.clips, indices, batch, limit, go_on)?;
        }
        if self.cache.is_none() && self.resident_limit > 0 {
            let limit = self.resident_limit;
            self.resident = FrozenCache::features(self.clips, indices, batch, limit, go_on)?;
        }
        Ok(())
    }

    fn needs_features(&self) -> bool {
        self.cache.is_none() && self.resident.is_none()
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
    ) -> Result<Tensor, TrainingError> {
        let TrainingConfig {
            objective,
            label_smoothing,
            ..
        } = *self.config;
        let task = |logits: &Tensor| objective.loss(logits, &piece.labels, label_smoothing);
        if self.config.activation_checkpointing {
            let features = piece.features_or(|indices| self.plain(indices));
            let pass = self.model.forward_recomputed(&features, step)?;
            let task = task(pass.logits())?;
            pass.backward(&task)?;
            optimiser.accumulate_taken(weight)?;
            return Ok(task.detach());
        }
        let task = task(&self.forward(piece, step)?)?;
        let loss = task.detach();
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
        let mut forward = |indices: &[usize]| self.evaluate(indices);
        let (clips, objective) = (self.clips, self.config.objective);
        let found = score_while(&mut forward, clips, part, batch, objective, go_on)?;
        let (loss, scores) = found.ok_or(TrainingError::Stopped)?;
        Ok(Figures::of(loss, &scores))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::toy;
    use crate::training::{Control, Event, Runtime, train_learner};

    #[test]
    fn features_kept_on_the_device_train_to_the_same_bits() {
        let labels: Vec<i64> = (0..14).map(|index| index % 2).collect();
        let (clips, config) = (toy::separable(&labels), TrainingConfig::new(3, 4, 5e-3, 3));
        let split = Split {
            train: (0..10).collect(),
            validation: (10..14).collect(),
            ..Split::default()
        };
        let run = |bytes: u64| {
            let model = toy::model("soft-moa", 2);
            let mut learner = Classifier::new(&model, &clips, &config);
            learner = learner.keeping_features(bytes);
            let mut frozen = 0;
            let mut observe = |event: Event| {
                frozen += usize::from(matches!(event, Event::Frozen { .. }));
                Control::Continue
            };
            let runtime = Runtime::default();
            let trained = train_learner(
                &mut learner,
                &clips,
                &split,
                &config,
                &runtime,
                &mut observe,
            )
            .unwrap();
            let values = model.trained().iter();
            let values: Vec<Vec<f32>> = values
                .map(|(_, tensor)| Vec::try_from(tensor.reshape([-1])).unwrap())
                .collect();
            let losses: Vec<f64> = trained
                .epochs
                .iter()
                .map(|epoch| epoch.train_loss)
                .collect();
            (values, losses, frozen > 0)
        };
        let (values, losses, kept) = run(1 << 30);
        let (expected, expected_losses, none) = run(0);
        assert_eq!((values, losses), (expected, expected_losses));
        assert!(kept && !none);
        // Too many for the memory allowed: as without.
        assert!(!run(1000).2);
    }
}
