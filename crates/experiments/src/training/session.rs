//! A run from its first or any later step to its end.

use std::time::Instant;

use adapters::AdaptedModel;
use ast_model::Step;
use tch::{Tensor, no_grad};

use super::saved::{Kept, Saver};
use super::source::{Item, Maker, Source, value};
use super::state::State;
use super::{
    Control, EpochMetrics, Event, FrozenCache, Progress, Runtime, Selection, Trained,
    TrainingConfig, TrainingError, groups,
};
use crate::clips::{Clips, Labels};
use crate::data::Split;
use crate::evaluation::score;
use crate::metrics::Metrics;
use crate::optimiser::{AdamW, warmup_cosine};
use crate::prefetch::{Ahead, ahead};
use crate::random::piece_seed;

type Observer<'a> = dyn FnMut(Event) -> Control + 'a;
type Made = Result<Item, audio_frontend::Error>;

/// Everything of a run in progress.
struct Session<'a> {
    source: Source<'a>,
    split: &'a Split,
    config: &'a TrainingConfig,
    steps_per_epoch: usize,
    optimiser: AdamW,
    state: State,
    best: Option<Kept>,
    saver: Saver<'a>,
    /// Whether to stop at the end of the epoch.
    last_epoch: bool,
}

pub(super) fn run(
    model: &AdaptedModel,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    runtime: &Runtime,
    observe: &mut Observer,
) -> Result<Trained, TrainingError> {
    let mut maker = Maker {
        clips,
        config,
        list: &split.train,
        features: true,
        orders: Default::default(),
    };
    let treatments = groups::treatments(model, config)?;
    let optimiser = AdamW::new(model.trained(), config.adamw.clone())?;
    let optimiser = optimiser.with_treatments(&treatments)?;
    let mut session = Session {
        source: Source {
            model,
            clips,
            cache: None,
        },
        split,
        config,
        steps_per_epoch: maker.steps(),
        state: State::new(optimiser.counters()),
        optimiser,
        best: None,
        saver: Saver::new(model, clips, split, config, runtime.checkpoints.as_ref())?,
        last_epoch: false,
    };
    session.resume(observe)?;
    if !session.state.is_finished(config) {
        session.source.cache = session.frozen_cache(observe)?;
        maker.features = session.source.cache.is_none();
        let (first, last) = (session.number(), maker.steps() * config.epochs);
        let make = |number| maker.make(number);
        let workers = runtime.workers;
        ahead(first..last, workers, runtime.queue, &make, |batches| {
            session.epochs(batches, observe)
        })?;
    }
    Ok(session.finish())
}

impl Session<'_> {
    /// The step that comes next, counted over all epochs.
    fn number(&self) -> usize {
        self.state.epoch * self.steps_per_epoch + self.state.steps
    }

    /// Goes on from the last checkpoint, where there is one.
    fn resume(&mut self, observe: &mut Observer) -> Result<(), TrainingError> {
        let model = self.source.model;
        let Some(found) = self.saver.load()? else {
            return Ok(());
        };
        found.restore(&mut self.optimiser, model)?;
        self.state = found.state;
        self.best = found.best;
        let told = observe(Event::Resumed {
            epochs: &self.state.history,
            steps: self.state.steps,
            other_threads: found.other_threads,
            skipped: &found.skipped,
        });
        self.obey(told)
    }

    fn frozen_cache(&self, observe: &mut Observer) -> Result<Option<FrozenCache>, TrainingError> {
        let limit = self.config.frozen_cache_mib << 20;
        let clips_stay = self.config.clips_stay() && !self.config.activation_checkpointing;
        if limit == 0 || !clips_stay {
            return Ok(None);
        }
        let mut indices = self.split.train.clone();
        indices.extend(&self.split.validation);
        indices.sort_unstable();
        indices.dedup();
        let total = indices.len();
        let Source { model, clips, .. } = self.source;
        let mut go_on = |done| observe(Event::Frozen { done, total }) != Control::Stop;
        FrozenCache::compute(model, clips, &indices, self.config.batch, limit, &mut go_on)
    }

    fn epochs(
        &mut self,
        batches: &mut Ahead<Made>,
        observe: &mut Observer,
    ) -> Result<(), TrainingError> {
        while !self.state.is_finished(self.config) {
            self.train_epoch(batches, observe)?;
            self.end_epoch()?;
            let told = observe(Event::Epoch(&self.state.history));
            self.obey(told)?;
            if self.last_epoch && !self.state.is_finished(self.config) {
                self.save()?;
                return Err(TrainingError::Stopped);
            }
            if self.saver.is_due() {
                self.save()?;
            }
        }
        Ok(())
    }

    /// The steps that are left of the epoch in progress.
    fn train_epoch(
        &mut self,
        batches: &mut Ahead<Made>,
        observe: &mut Observer,
    ) -> Result<(), TrainingError> {
        while self.state.steps < self.steps_per_epoch {
            let start = Instant::now();
            let waited = batches.waited();
            let Some(item) = batches.wait()? else {
                return Ok(()); // cannot be: there is a batch for every step
            };
            let item = item?;
            let loss = self.step(&item)?;
            self.state.loss_sum += loss * item.indices.len() as f64;
            self.state.steps += 1;
            self.state.seconds += start.elapsed().as_secs_f64();
            self.state.waiting_seconds += (batches.waited() - waited).as_secs_f64();
            let told = observe(Event::Step(self.progress(loss)));
            self.obey(told)?;
            if self.saver.is_due() {
                self.save()?;
            }
        }
        Ok(())
    }

    /// One update; the mean loss of the batch.
    fn step(&mut self, item: &Item) -> Result<f64, TrainingError> {
        let config = self.config;
        let number = self.number();
        let (count, mut sum) = (item.indices.len(), 0.0);
        let batch = item.batch.as_ref();
        let features = batch.map(|batch| batch.tensors(self.source.clips.device).0);
        let size = config.micro_batch.unwrap_or(count).min(count);
        for (piece, start) in (0..count).step_by(size).enumerate() {
            let part = start..count.min(start + size);
            let (length, weight) = (part.len(), part.len() as f64 / count as f64);
            let input = match &features {
                Some(features) => features.f_narrow(0, start as i64, length as i64)?,
                None => self.kept(&item.indices[part.clone()])?,
            };
            let step = Step::training(piece_seed(config.seed, number, piece));
            sum += weight * self.gradient(&input, &item.labels.piece(part), &step, weight)?;
        }
        if let Some(largest) = config.clip_norm {
            let norm = self.optimiser.clip(largest)?;
            self.finite(norm)?;
        }
        self.optimiser.update(self.rate(number))?;
        Ok(sum)
    }

    /// Adds `weight` times the gradient of one piece; its mean loss.
    fn gradient(
        &mut self,
        input: &Tensor,
        labels: &Labels,
        step: &Step,
        weight: f64,
    ) -> Result<f64, TrainingError> {
        let TrainingConfig {
            objective,
            label_smoothing,
            ..
        } = *self.config;
        let model = self.source.model;
        if self.config.activation_checkpointing {
            let pass = model.forward_recomputed(input, step)?;
            let task = objective.loss(pass.logits(), labels, label_smoothing)?;
            let loss = self.finite(value(&task)?)?;
            pass.backward(&task)?;
            self.optimiser.accumulate_taken(weight)?;
            return Ok(loss);
        }
        let logits = match &self.source.cache {
            Some(_) => model.forward_frozen(input, step)?,
            None => model.forward(input, step)?,
        };
        let task = objective.loss(&logits, labels, label_smoothing)?;
        let loss = self.finite(value(&task)?)?;
        let extra = step.take_loss().into_iter();
        let whole = extra.fold(task, |sum, extra| sum + extra);
        self.optimiser.accumulate(&whole, weight)?;
        Ok(loss)
    }

    /// What the cache has of clips.
    fn kept(&self, indices: &[usize]) -> Result<Tensor, TrainingError> {
        let cache = self.source.cache.as_ref();
        match cache.and_then(|cache| cache.select(indices)) {
            Some(kept) => Ok(kept),
            // Cannot be: the cache has all training clips. Features would do.
            None => Ok(self
                .source
                .model
                .frozen(&self.source.clips.batch(indices).0)?),
        }
    }

    /// Validation, and what follows from it.
    fn end_epoch(&mut self) -> Result<(), TrainingError> {
        let (config, part) = (self.config, &self.split.validation);
        let mut forward = |indices: &[usize]| self.source.evaluate(indices);
        let clips = self.source.clips;
        let batch = 2 * config.batch;
        let (loss, scores) = score(&mut forward, clips, part, batch, config.objective)?;
        self.finite(loss)?;
        let metrics = Metrics::of(&scores);
        let state = &self.state;
        let count = self.split.train.len();
        let metrics = EpochMetrics {
            epoch: state.epoch,
            steps: self.number(),
            learning_rate: self.rate(self.number().saturating_sub(1)),
            train_loss: state.loss_sum / count as f64,
            validation_clips: metrics.clips,
            validation_loss: loss,
            validation_accuracy: metrics.accuracy,
            validation_macro_f1: metrics.macro_f1,
            validation_calibration_error: metrics.calibration_error,
            validation_mean_average_precision: metrics.mean_average_precision,
            seconds: state.seconds,
            waiting_seconds: state.waiting_seconds,
            clips_per_second: count as f64 / state.seconds.max(1e-9),
        };
        let better = self.state.finish_epoch(metrics, config);
        if better && config.selection != Selection::Last {
            let step = self.number();
            self.best = Some(Kept::copy(step, &self.optimiser, self.source.model));
        }
        Ok(())
    }

    fn finish(mut self) -> Trained {
        let history = std::mem::take(&mut self.state.history);
        let mut selected = history.len().saturating_sub(1);
        if let (Some(kept), Some(best)) = (&self.best, self.state.best) {
            kept.restore(&mut self.optimiser, self.source.model);
            selected = best;
        }
        let seconds: f64 = history.iter().map(|epoch| epoch.seconds).sum();
        let waiting: f64 = history.iter().map(|epoch| epoch.waiting_seconds).sum();
        Trained {
            epochs: history.iter().map(EpochMetrics::record).collect(),
            selected,
            waiting_share: waiting / seconds.max(1e-9),
            frozen_bytes: self.source.cache.as_ref().map_or(0, FrozenCache::bytes),
            history,
        }
    }

    fn rate(&self, number: usize) -> f64 {
        let steps = self.steps_per_epoch * self.config.epochs;
        let (rate, warmup) = (self.config.learning_rate, self.config.warmup_steps);
        warmup_cosine(rate, number, steps, warmup)
    }

    fn finite(&self, loss: f64) -> Result<f64, TrainingError> {
        if loss.is_finite() {
            return Ok(loss);
        }
        Err(TrainingError::Diverged {
            loss,
            epoch: self.state.epoch,
            learning_rate: self.config.learning_rate,
        })
    }

    fn progress(&self, loss: f64) -> Progress {
        let count = self.split.train.len();
        let seen = (self.state.steps * self.config.batch).min(count);
        Progress {
            epoch: self.state.epoch,
            clips: self.state.epoch * count + seen,
            total: count * self.config.epochs,
            loss,
        }
    }

    fn obey(&mut self, told: Control) -> Result<(), TrainingError> {
        self.last_epoch |= told == Control::StopAfterEpoch;
        if told == Control::Stop {
            self.save()?;
            return Err(TrainingError::Stopped);
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TrainingError> {
        self.state.counters = self.optimiser.counters();
        let step = self.number();
        let model = self.source.model;
        no_grad(|| {
            let best = self.best.as_ref();
            self.saver
                .save(step, &self.state, &self.optimiser, model, best)
        })
    }
}
