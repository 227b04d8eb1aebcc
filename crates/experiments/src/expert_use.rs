//! How the experts of a trained model are used on a part of the clips.

use adapters::{AdaptedModel, AdapterError, MixtureUse};
use ast_model::Grid;
use moe_routing::RouterMetrics;
use tch::{Device, Kind, TchError, Tensor};

use crate::clips::Clips;
use crate::evaluation::score;
use crate::metrics::Metrics;
use crate::record::{ClipLayerUse, ClipUse, ExpertUse, LayerUse};
use crate::training::Objective;

/// A clip whose expert use is kept patch by patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its index among the clips.
    pub index: usize,
    /// Its name, for captions.
    pub name: String,
}

/// What to look at beside the scores.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// Number of classes C.
    pub classes: usize,
    /// Whether assignments can be dropped, so that their share is worth noting.
    pub drops: bool,
    /// Clips to keep patch by patch; those outside the part are left out.
    pub examples: &'a [Example],
}

/// Figures of the clips `part` with one label each, and how experts were used
/// in the same pass; `None` for a method without experts.
///
/// # Errors
/// When the forward pass fails.
pub fn measure_use(
    model: &AdaptedModel,
    clips: &Clips,
    part: &[usize],
    batch: usize,
    watch: Watch,
) -> Result<(Metrics, Option<ExpertUse>), AdapterError> {
    let mut counter = Counter::new(watch, model.config().grid());
    let mut forward = |indices: &[usize]| -> Result<Tensor, AdapterError> {
        let (features, _) = clips.batch(indices);
        let (logits, uses) = model.forward_watched(&features)?;
        let labels = clips.labels_of(indices).classes;
        counter.add(indices, &labels, &uses)?;
        Ok(logits)
    };
    let (_, scores) = score(&mut forward, clips, part, batch, Objective::CrossEntropy)?;
    Ok((Metrics::of(&scores), counter.finish()))
}

/// Sums over the batches.
struct Counter<'a> {
    watch: Watch<'a>,
    grid: Grid,
    layers: Vec<LayerSums>,
    clips: Vec<ClipUse>,
}

/// Sums over the clips of one mixture.
struct LayerSums {
    name: String,
    block: usize,
    /// [C][N], sums of the clips' shares.
    by_class: Vec<Vec<f64>>,
    dropped: f64,
    clips: usize,
}

impl<'a> Counter<'a> {
    fn new(watch: Watch<'a>, grid: Grid) -> Self {
        Counter {
            watch,
            grid,
            layers: Vec::new(),
            clips: Vec::new(),
        }
    }

    /// Counts a batch of the clips `indices` with these labels.
    fn add(
        &mut self,
        indices: &[usize],
        labels: &[i64],
        uses: &[MixtureUse],
    ) -> Result<(), TchError> {
        if self.layers.is_empty() {
            self.layers = uses
                .iter()
                .map(|used| LayerSums::new(used, self.watch.classes))
                .collect();
        }
        for (layer, used) in self.layers.iter_mut().zip(uses) {
            layer.add(labels, used);
        }
        if uses.is_empty() {
            return Ok(());
        }
        for example in self.watch.examples {
            let Some(row) = indices.iter().position(|&index| index == example.index) else {
                continue;
            };
            let layers = uses
                .iter()
                .map(|used| {
                    Ok(ClipLayerUse {
                        name: used.name.clone(),
                        experts: patches(&used.shares, row, self.grid)?,
                    })
                })
                .collect::<Result<_, TchError>>()?;
            self.clips.push(ClipUse {
                clip: example.name.clone(),
                class: usize::try_from(labels[row]).unwrap_or(0),
                frequency_patches: self.grid.frequency as usize,
                time_patches: self.grid.time as usize,
                layers,
            });
        }
        Ok(())
    }

    fn finish(mut self) -> Option<ExpertUse> {
        if self.layers.is_empty() {
            return None;
        }
        let place = |clip: &ClipUse| {
            let named = |example: &Example| example.name == clip.clip;
            self.watch.examples.iter().position(named)
        };
        self.clips.sort_by_key(place);
        let drops = self.watch.drops;
        let layers = self.layers.into_iter();
        Some(ExpertUse {
            layers: layers.map(|layer| layer.finish(drops)).collect(),
            clips: self.clips,
        })
    }
}

impl LayerSums {
    fn new(used: &MixtureUse, classes: usize) -> Self {
        let experts = used.shares.size().last().copied().unwrap_or(0);
        LayerSums {
            name: used.name.clone(),
            block: used.block,
            by_class: vec![vec![0.0; experts as usize]; classes],
            dropped: 0.0,
            clips: 0,
        }
    }

    fn add(&mut self, labels: &[i64], used: &MixtureUse) {
        for (shares, &label) in used.usage_per_clip.iter().zip(labels) {
            let class = usize::try_from(label).ok();
            if let Some(sums) = class.and_then(|class| self.by_class.get_mut(class)) {
                sums.iter_mut()
                    .zip(shares)
                    .for_each(|(sum, share)| *sum += share);
            }
        }
        self.dropped += used.drop_rate * labels.len() as f64;
        self.clips += labels.len();
    }

    fn finish(self, drops: bool) -> LayerUse {
        let experts = self.by_class.first().map_or(0, Vec::len);
        let total = |expert: usize| self.by_class.iter().map(|sums| sums[expert]).sum::<f64>();
        let usage = shares((0..experts).map(total).collect());
        let used = usage.iter().sum::<f64>() > 0.0;
        let metrics = RouterMetrics::from_usage(usage);
        // Where no expert was ever used the figures would be 0 / 0.
        let figure = |value: f64| if used { value } else { 0.0 };
        LayerUse {
            name: self.name,
            block: self.block,
            entropy: figure(metrics.entropy),
            max_over_mean: figure(metrics.max_over_mean),
            variation: figure(metrics.variation),
            usage: metrics.usage,
            by_class: self.by_class.into_iter().map(shares).collect(),
            dropped: drops.then(|| self.dropped / self.clips.max(1) as f64),
        }
    }
}

/// Sums divided by their total; zeros stay.
fn shares(sums: Vec<f64>) -> Vec<f64> {
    let total: f64 = sums.iter().sum();
    if total > 0.0 {
        return sums.into_iter().map(|sum| sum / total).collect();
    }
    sums
}

/// The shares of one clip at its patches, expert by expert, four digits.
///
/// # Shapes
/// `shares` [B, L, N] → `[N][F'·T']`
fn patches(shares: &Tensor, row: usize, grid: Grid) -> Result<Vec<Vec<f32>>, TchError> {
    let clip = shares.f_select(0, row as i64)?;
    let special = clip.size()[0] - grid.patches();
    let patches = clip.f_narrow(0, special, grid.patches())?;
    let by_expert = patches.f_transpose(0, 1)?.f_to_device(Device::Cpu)?;
    let flat = by_expert.f_to_kind(Kind::Float)?.f_reshape([-1])?;
    let values: Vec<f32> = Vec::try_from(flat)?;
    let rounded = |value: &f32| (f64::from(*value) * 1e4).round() as f32 / 1e4;
    let rows = values.chunks(grid.patches().max(1) as usize);
    Ok(rows.map(|row| row.iter().map(rounded).collect()).collect())
}

#[cfg(test)]
mod tests;
