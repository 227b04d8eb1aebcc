//! Where batches come from, and what is kept of clips between epochs.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use adapters::{AdaptedModel, FrozenPart};
use tch::{Tensor, no_grad};

use super::{TrainingConfig, TrainingError};
use crate::clips::{Augmented, Batch, Clips, Labels, Recipe, transfer};
use crate::random::permutation;

/// What the frozen part of a model makes of each clip, computed once for all
/// epochs.
///
/// It is exact where nothing in front of the first trained module changes from
/// step to step, which [`AdaptedModel::frozen_part`] knows. Scores then differ
/// from those without it by no more than sums in another order: none at all
/// where clips come in the same batches, about 10⁻⁶ where they do not.
#[derive(Debug)]
pub struct FrozenCache {
    /// [clips, …], in the order they were computed.
    values: Tensor,
    rows: HashMap<usize, i64>,
}

impl FrozenCache {
    /// Computes the clips `indices` in batches of `batch`. Nothing where the
    /// model has no frozen part worth keeping or the clips take more than
    /// `limit` bytes. `go_on` is asked after each batch, with the number of
    /// clips done.
    ///
    /// # Errors
    /// When the forward pass fails or `go_on` says no
    /// ([`TrainingError::Stopped`]).
    pub fn compute(
        model: &AdaptedModel,
        clips: &Clips,
        indices: &[usize],
        batch: usize,
        limit: u64,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Self>, TrainingError> {
        if model.frozen_part().is_none() {
            return Ok(None);
        }
        let part = |chunk: &[usize]| {
            let (features, _) = clips.batch(chunk);
            Ok(no_grad(|| model.frozen(&features))?)
        };
        Self::collect(&part, indices, batch, limit, go_on)
    }

    /// The features themselves, on the device of the clips; as
    /// [`compute`](Self::compute).
    ///
    /// # Errors
    /// As [`compute`](Self::compute).
    pub(super) fn features(
        clips: &Clips,
        indices: &[usize],
        batch: usize,
        limit: u64,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Self>, TrainingError> {
        let part = |chunk: &[usize]| Ok(clips.batch(chunk).0);
        Self::collect(&part, indices, batch, limit, go_on)
    }

    fn collect(
        part: &dyn Fn(&[usize]) -> Result<Tensor, TrainingError>,
        indices: &[usize],
        batch: usize,
        limit: u64,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Self>, TrainingError> {
        let mut values: Option<Tensor> = None;
        let mut done = 0;
        for chunk in indices.chunks(batch.max(1)) {
            let part = part(chunk)?;
            if values.is_none() {
                let per_clip = part.numel() / chunk.len() * part.kind().elt_size_in_bytes();
                if per_clip as u64 * indices.len() as u64 > limit {
                    return Ok(None);
                }
            }
            let mut shape = part.size();
            shape[0] = indices.len() as i64;
            let options = (part.kind(), part.device());
            let values = values.get_or_insert_with(|| Tensor::zeros(&shape, options));
            let mut place = values.f_narrow(0, done as i64, chunk.len() as i64)?;
            no_grad(|| place.f_copy_(&part))?;
            done += chunk.len();
            if !go_on(done) {
                return Err(TrainingError::Stopped);
            }
        }
        let rows = indices.iter().enumerate();
        let rows = rows.map(|(row, &index)| (index, row as i64)).collect();
        Ok(values.map(|values| FrozenCache { values, rows }))
    }

    /// Those of the clips `indices`; nothing where one is not among them.
    pub fn select(&self, indices: &[usize]) -> Option<Tensor> {
        let rows: Option<Vec<i64>> = indices.iter().map(|i| self.rows.get(i).copied()).collect();
        let rows = transfer::send(&rows?, self.values.device());
        Some(self.values.index_select(0, &rows))
    }

    /// Bytes of memory taken.
    pub fn bytes(&self) -> u64 {
        (self.values.numel() * self.values.kind().elt_size_in_bytes()) as u64
    }
}

/// One batch on its way to the training thread.
pub(super) struct Item {
    pub indices: Vec<usize>,
    pub labels: Labels,
    /// Not where a [`FrozenCache`] has what the model needs.
    pub batch: Option<Batch>,
}

/// What makes the batches of a run, on any thread.
pub(super) struct Maker<'a> {
    pub clips: &'a Clips,
    pub config: &'a TrainingConfig,
    pub list: &'a [usize],
    /// Whether batches need features.
    pub features: bool,
    /// Orders of the last epochs asked for: workers are at most one apart.
    pub orders: Mutex<VecDeque<(usize, Arc<Vec<usize>>)>>,
}

impl Maker<'_> {
    /// Steps per epoch.
    pub fn steps(&self) -> usize {
        self.list.len().div_ceil(self.config.batch)
    }

    /// The batch of step `number`, counted over all epochs: a function of the
    /// number alone.
    pub fn make(&self, number: usize) -> Result<Item, audio_frontend::Error> {
        let (epoch, step) = (number / self.steps(), number % self.steps());
        let order = self.order(epoch);
        let end = order.len().min((step + 1) * self.config.batch);
        let positions = &order[step * self.config.batch..end];
        let indices: Vec<usize> = positions.iter().map(|&at| self.list[at]).collect();
        if !self.features {
            let labels = self.clips.labels_of(&indices);
            let batch = None;
            return Ok(Item {
                indices,
                labels,
                batch,
            });
        }
        let recipe = Recipe {
            augmented: Augmented {
                augmentation: &self.config.augmentation,
                seed: self.config.seed,
                epoch,
            },
            mixup: &self.config.mixup,
            list: self.list,
        };
        let batch = self.clips.prepare(positions, recipe)?;
        Ok(Item {
            indices,
            labels: batch.labels.clone(),
            batch: Some(batch),
        })
    }

    fn order(&self, epoch: usize) -> Arc<Vec<usize>> {
        // A worker that panicked while it held the lock has left the list whole.
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = orders.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(order);
        }
        let order = Arc::new(permutation(self.config.seed, epoch, self.list.len()));
        orders.push_back((epoch, Arc::clone(&order)));
        if orders.len() > 2 {
            orders.pop_front();
        }
        order
    }
}

/// Whether anything of a model can be kept between epochs, in words.
pub fn describe(part: Option<FrozenPart>) -> String {
    match part {
        None => "nothing: the method changes the first block or the tokens".to_owned(),
        Some(FrozenPart::Tokens { block }) => format!("the tokens before block {block}"),
        Some(FrozenPart::Pooled) => "one vector per clip".to_owned(),
        Some(FrozenPart::Layers) => "one vector per clip and block".to_owned(),
    }
}
