//! A run from its first or any later step to its end.

use std::time::Instant;

use ast_model::Step;
use tch::{Kind, Tensor, no_grad};

use super::learner::{Learner, Piece};
use super::saved::{Kept, Saver};
use super::source::{Item, Maker};
use super::state::State;
use super::unread::Unread;
use super::{
    Control, EpochMetrics, Event, Progress, Runtime, Selection, Trained, TrainingConfig,
    TrainingError, groups,
};
use crate::clips::Clips;
use crate::data::Split;
use crate::optimiser::{AdamW, warmup_cosine};
use crate::prefetch::{Ahead, ahead};
use crate::random::piece_seed;

type Observer<'a> = dyn FnMut(Event) -> Control + 'a;
type Made = Result<Item, audio_frontend::Error>;

/// Everything of a run in progress.
struct Session<'a> {
    learner: &'a mut dyn Learner,
    clips: &'a Clips,
    split: &'a Split,
    config: &'a TrainingConfig,
    steps_per_epoch: usize,
    optimiser: AdamW,
    state: State,
    best: Option<Kept>,
    saver: Saver<'a>,
    unread: Unread,
    /// Of the last step that was looked at.
    loss: f64,
    /// Whether to stop at the end of the epoch.
    last_epoch: bool,
}

pub(super) fn run(
    learner: &mut dyn Learner,
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
    let treatments = groups::treatments(learner, config)?;
    let optimiser = AdamW::new(learner.trained(), config.adamw.clone())?;
    let optimiser = optimiser.with_treatments(&treatments)?;
    let mut session = Session {
        clips,
        split,
        config,
        steps_per_epoch: maker.steps(),
        state: State::new(optimiser.counters()),
        optimiser,
        best: None,
        saver: Saver::new(learner, clips, split, config, runtime.checkpoints.as_ref()),
        unread: Unread::on(clips.device),
        loss: 0.0,
        last_epoch: false,
        learner,
    };
    session.resume(observe)?;
    if !session.state.is_finished(config) {
        session.prepare(observe)?;
        maker.features = session.learner.needs_features();
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
        let Some(found) = self.saver.load()? else {
            return Ok(());
        };
        found.restore(&mut self.optimiser, self.learner)?;
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

    /// What the learner computes once for the clips of both parts.
    fn prepare(&mut self, observe: &mut Observer) -> Result<(), TrainingError> {
        let mut indices = self.split.train.clone();
        indices.extend(&self.split.validation);
        indices.sort_unstable();
        indices.dedup();
        let total = indices.len();
        let mut go_on = |done| observe(Event::Frozen { done, total }) != Control::Stop;
        self.learner.prepare(&indices, &mut go_on)
    }

    fn epochs(
        &mut self,
        batches: &mut Ahead<Made>,
        observe: &mut Observer,
    ) -> Result<(), TrainingError> {
        while !self.state.is_finished(self.config) {
            self.train_epoch(batches, observe)?;
            self.end_epoch(observe)?;
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
            let (loss, norm) = self.step(&item)?;
            self.unread.push(loss, norm, item.indices.len());
            self.state.steps += 1;
            self.read(self.state.steps == self.steps_per_epoch)?;
            self.state.seconds += start.elapsed().as_secs_f64();
            self.state.waiting_seconds += (batches.waited() - waited).as_secs_f64();
            let told = observe(Event::Step(self.progress()));
            self.obey(told)?;
            if self.saver.is_due() {
                self.save()?;
            }
        }
        Ok(())
    }

    /// Looks at the losses that are due, or at all there are.
    fn read(&mut self, all: bool) -> Result<(), TrainingError> {
        while let Some(step) = self.unread.next(all)? {
            if let Some(broken) = step.broken {
                return Err(self.diverged(broken));
            }
            self.loss = step.loss;
            self.state.loss_sum += step.loss * step.clips as f64;
        }
        Ok(())
    }

    /// One update; the mean loss of the batch and, where it is clipped, the norm
    /// of its gradient, as scalars on the device.
    fn step(&mut self, item: &Item) -> Result<(Tensor, Option<Tensor>), TrainingError> {
        let config = self.config;
        let number = self.number();
        let count = item.indices.len();
        let mut sum = Tensor::f_zeros([], (Kind::Double, self.clips.device))?;
        let batch = item.batch.as_ref();
        let features = batch.map(|batch| batch.tensors(self.clips.device).0);
        let size = config.micro_batch.unwrap_or(count).min(count);
        for (index, start) in (0..count).step_by(size).enumerate() {
            let part = start..count.min(start + size);
            let (length, weight) = (part.len(), part.len() as f64 / count as f64);
            let features = features.as_ref();
            let narrow = |all: &Tensor| all.f_narrow(0, start as i64, length as i64);
            let piece = Piece {
                indices: &item.indices[part.clone()],
                features: features.map(narrow).transpose()?,
                labels: item.labels.piece(part),
            };
            let step = Step::training(piece_seed(config.seed, number, index));
            let optimiser = &mut self.optimiser;
            let loss = self.learner.gradient(&piece, &step, weight, optimiser)?;
            let loss = loss.f_to_kind(Kind::Double)?.f_mul_scalar(weight)?;
            sum = sum.f_add(&loss)?;
        }
        let norm = match config.clip_norm {
            Some(largest) => Some(self.optimiser.clip(largest)?),
            None => None,
        };
        self.optimiser.update(self.rate(number))?;
        Ok((sum, norm))
    }

    /// Validation, and what follows from it.
    fn end_epoch(&mut self, observe: &mut Observer) -> Result<(), TrainingError> {
        let config = self.config;
        let (part, batch) = (&self.split.validation, config.validation_batch());
        let (total, last_epoch) = (part.len(), &mut self.last_epoch);
        let mut go_on = |done| {
            let told = observe(Event::Validation { done, total });
            *last_epoch |= told == Control::StopAfterEpoch;
            told != Control::Stop
        };
        let figures = match self.learner.validate(part, batch, &mut go_on) {
            Err(TrainingError::Stopped) => {
                self.save()?; // validation begins anew when the run goes on
                return Err(TrainingError::Stopped);
            }
            other => other?,
        };
        if !figures.loss.is_finite() {
            return Err(self.diverged(figures.loss));
        }
        let state = &self.state;
        let count = self.split.train.len();
        let metrics = EpochMetrics {
            epoch: state.epoch,
            steps: self.number(),
            learning_rate: self.rate(self.number().saturating_sub(1)),
            train_loss: state.loss_sum / count as f64,
            validation_clips: figures.clips,
            validation_loss: figures.loss,
            validation_accuracy: figures.accuracy,
            validation_macro_f1: figures.macro_f1,
            validation_calibration_error: figures.calibration_error,
            validation_mean_average_precision: figures.mean_average_precision,
            validation_parts: figures.parts,
            seconds: state.seconds,
            waiting_seconds: state.waiting_seconds,
            clips_per_second: count as f64 / state.seconds.max(1e-9),
        };
        let better = self.state.finish_epoch(metrics, config);
        if better && config.selection != Selection::Last {
            let step = self.number();
            self.best = Some(Kept::copy(step, &self.optimiser, self.learner));
        }
        Ok(())
    }

    fn finish(mut self) -> Trained {
        let history = std::mem::take(&mut self.state.history);
        let mut selected = history.len().saturating_sub(1);
        if let (Some(kept), Some(best)) = (&self.best, self.state.best) {
            kept.restore(&mut self.optimiser, self.learner);
            selected = best;
        }
        let seconds: f64 = history.iter().map(|epoch| epoch.seconds).sum();
        let waiting: f64 = history.iter().map(|epoch| epoch.waiting_seconds).sum();
        Trained {
            epochs: history.iter().map(EpochMetrics::record).collect(),
            selected,
            waiting_share: waiting / seconds.max(1e-9),
            frozen_bytes: self.learner.kept_bytes(),
            history,
        }
    }

    fn rate(&self, number: usize) -> f64 {
        let steps = self.steps_per_epoch * self.config.epochs;
        let (rate, warmup) = (self.config.learning_rate, self.config.warmup_steps);
        warmup_cosine(rate, number, steps, warmup)
    }

    fn diverged(&self, loss: f64) -> TrainingError {
        TrainingError::Diverged {
            loss,
            epoch: self.state.epoch,
            learning_rate: self.config.learning_rate,
        }
    }

    fn progress(&self) -> Progress {
        let count = self.split.train.len();
        let seen = (self.state.steps * self.config.batch).min(count);
        Progress {
            epoch: self.state.epoch,
            clips: self.state.epoch * count + seen,
            total: count * self.config.epochs,
            loss: self.loss,
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
        self.read(true)?;
        self.state.counters = self.optimiser.counters();
        let step = self.number();
        no_grad(|| {
            let best = self.best.as_ref();
            self.saver
                .save(step, &self.state, &self.optimiser, self.learner, best)
        })
    }
}
