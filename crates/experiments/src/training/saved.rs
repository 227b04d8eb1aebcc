//! What a checkpoint of a run holds, and how it gets there and back.

use std::collections::BTreeMap;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tch::{Tensor, no_grad};

use super::state::State;
use super::{CheckpointPlan, Learner, TrainingConfig, TrainingError};
use crate::clips::Clips;
use crate::data::{Split, hex};
use crate::optimiser::AdamW;
use crate::run_folder::{BestWeights, Checkpoints, Identity, RunFolderError};

/// Starts of the names of tensors in a checkpoint.
const OPTIMISER: &str = "optimiser.";
const BUFFER: &str = "buffer.";
const VALUES: &str = "values";

/// A run computes at least so many times as long as the last checkpoint took
/// before it saves the next.
const LEAST_WORK: f64 = 20.0;

/// Everything training has changed in the model, as it was after a step.
pub(super) struct Kept {
    /// Steps made by then.
    pub step: usize,
    values: Tensor,
    /// In the order of [`Learner::buffers`].
    buffers: Vec<Tensor>,
}

impl Kept {
    pub fn copy(step: usize, optimiser: &AdamW, learner: &dyn Learner) -> Self {
        Kept {
            step,
            values: optimiser.snapshot(),
            buffers: learner.buffers().iter().map(|(_, b)| b.copy()).collect(),
        }
    }

    pub fn restore(&self, optimiser: &mut AdamW, learner: &dyn Learner) {
        optimiser.restore(&self.values);
        for ((_, buffer), kept) in learner.buffers().iter().zip(&self.buffers) {
            no_grad(|| buffer.shallow_clone().copy_(kept));
        }
    }
}

/// A checkpoint that was read.
pub(super) struct Loaded {
    pub state: State,
    pub best: Option<Kept>,
    pub other_threads: bool,
    pub skipped: Vec<String>,
    tensors: BTreeMap<String, Tensor>,
}

impl Loaded {
    /// Puts optimiser and model into the state of the checkpoint.
    pub fn restore(
        &self,
        optimiser: &mut AdamW,
        learner: &dyn Learner,
    ) -> Result<(), TrainingError> {
        let [values, first, second, active] = optimiser.buffers().map(|(name, _)| name);
        let named = |name: &str| find(&self.tensors, &format!("{OPTIMISER}{name}"));
        let saved = [
            named(values)?,
            named(first)?,
            named(second)?,
            named(active)?,
        ];
        optimiser.resume(saved, self.state.counters.clone())?;
        for (name, buffer) in learner.buffers() {
            let saved = find(&self.tensors, &format!("{BUFFER}{name}"))?;
            no_grad(|| buffer.shallow_clone().f_copy_(saved))?;
        }
        Ok(())
    }
}

fn find<'t>(
    tensors: &'t BTreeMap<String, Tensor>,
    name: &str,
) -> Result<&'t Tensor, RunFolderError> {
    let missing = || RunFolderError::damaged(name.as_ref(), "the tensor is not in the checkpoint");
    tensors.get(name).ok_or_else(missing)
}

/// Writes and finds the checkpoints of one run; without a plan it does nothing.
pub(super) struct Saver<'a> {
    plan: Option<(&'a Checkpoints, Identity, f64)>,
    last: Instant,
    /// Seconds that the last checkpoint took.
    cost: f64,
    buffers: Vec<String>,
}

impl<'a> Saver<'a> {
    pub fn new(
        learner: &dyn Learner,
        clips: &Clips,
        split: &Split,
        config: &TrainingConfig,
        plan: Option<&CheckpointPlan<'a>>,
    ) -> Self {
        let plan = plan.map(|plan| {
            let identity = Identity {
                run: hash(learner, clips, split, config, &plan.identity),
                threads: tch::get_num_threads().max(0) as usize,
            };
            (plan.store, identity, plan.every_seconds)
        });
        let buffers = learner.buffers().iter().map(|(name, _)| name.clone());
        Saver {
            plan,
            last: Instant::now(),
            cost: 0.0,
            buffers: buffers.collect(),
        }
    }

    /// Whether it is time for a checkpoint. Where they are slow (many trained
    /// values, a slow disk) they come less often.
    pub fn is_due(&self) -> bool {
        let seconds = self.last.elapsed().as_secs_f64();
        let due = |every: f64| every == 0.0 || seconds >= every.max(LEAST_WORK * self.cost);
        self.plan.as_ref().is_some_and(|(_, _, every)| due(*every))
    }

    pub fn save(
        &mut self,
        step: usize,
        state: &State,
        optimiser: &AdamW,
        learner: &dyn Learner,
        best: Option<&Kept>,
    ) -> Result<(), TrainingError> {
        let Some((store, identity, _)) = &self.plan else {
            return Ok(());
        };
        let begun = Instant::now();
        let own = optimiser.buffers();
        let own = own.map(|(name, tensor)| (format!("{OPTIMISER}{name}"), tensor));
        let buffers = learner.buffers().iter();
        let buffers = buffers.map(|(name, tensor)| (format!("{BUFFER}{name}"), tensor));
        let tensors: Vec<(String, &Tensor)> = own.into_iter().chain(buffers).collect();
        let best = best.map(|kept| {
            let names = self.buffers.iter().map(|name| format!("{BUFFER}{name}"));
            let mut tensors = vec![(VALUES.to_owned(), &kept.values)];
            tensors.extend(names.zip(&kept.buffers));
            BestWeights {
                step: kept.step,
                tensors,
            }
        });
        store.save(identity, step, state, &tensors, best.as_ref())?;
        self.last = Instant::now();
        self.cost = begun.elapsed().as_secs_f64();
        Ok(())
    }

    pub fn load(&self) -> Result<Option<Loaded>, TrainingError> {
        let Some((store, identity, _)) = &self.plan else {
            return Ok(None);
        };
        let Some(found) = store.latest::<State>(identity)? else {
            return Ok(None);
        };
        let best = match &found.best {
            None => None,
            Some((step, tensors)) => Some(Kept {
                step: *step,
                values: find(tensors, VALUES)?.copy(),
                buffers: self
                    .buffers
                    .iter()
                    .map(|name| Ok(find(tensors, &format!("{BUFFER}{name}"))?.copy()))
                    .collect::<Result<_, RunFolderError>>()?,
            }),
        };
        Ok(Some(Loaded {
            state: found.state,
            best,
            other_threads: found.other_threads,
            skipped: found.skipped,
            tensors: found.tensors,
        }))
    }
}

/// Hash of what decides a run's result, as far as it is known here.
fn hash(
    learner: &dyn Learner,
    clips: &Clips,
    split: &Split,
    config: &TrainingConfig,
    identity: &str,
) -> String {
    let named = learner.trained().iter().chain(learner.buffers());
    let shapes: Vec<_> = named.map(|(name, t)| (name, t.size())).collect();
    let labels: Vec<i64> = split.train.iter().map(|&i| clips.labels[i]).collect();
    let parts = (
        identity,
        config,
        shapes,
        &split.train,
        &split.validation,
        labels,
    );
    // Plain data with string keys always becomes JSON.
    let json = serde_json::to_vec(&parts).unwrap_or_default();
    hex(&Sha256::digest(json))
}
