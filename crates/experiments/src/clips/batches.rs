//! Batches of clips: plain numbers that any thread can prepare, and the tensors
//! that the training thread makes of them.

use std::ops::Range;

use audio_frontend::{Error, Gain, Mixup, Pairing};
use ndarray::{ArrayView2, ArrayViewMut2, s};
use tch::{Device, Tensor};

use super::augmentation::{Augmented, is_default};
use super::{Augmentation, Clips, transfer};

/// A batch as plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// [B, T, F], row by row.
    pub features: Vec<f32>,
    /// What the clips are.
    pub labels: Labels,
    shape: [i64; 3],
}

/// What the clips of a batch are, as plain numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// [B]
    pub classes: Vec<i64>,
    /// Clips that are blended with another: what the other's label is and how
    /// much of the clip is its own, [B]. Empty without mixup.
    pub blends: Vec<(i64, f64)>,
    /// Weights of all classes [B, C], for clips with several labels; blended
    /// already.
    pub targets: Option<(Vec<f32>, usize)>,
}

/// What happens to training clips on their way into a batch.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    /// Random changes.
    pub augmented: Augmented<'a>,
    /// Blended pairs; the clips are counted in `list`.
    pub mixup: &'a Mixup,
    /// The clips that are trained on.
    pub list: &'a [usize],
}

impl Batch {
    /// Features [B, T, F] and labels [B] as tensors. On a GPU they come through
    /// pinned memory, and this does not wait until they are there.
    pub fn tensors(&self, device: Device) -> (Tensor, Tensor) {
        (
            transfer::send(&self.features, device).reshape(self.shape),
            transfer::send(&self.labels.classes, device),
        )
    }
}

impl Labels {
    /// Number of clips B.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no clip.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Those of the clips in `part`.
    ///
    /// # Panics
    /// As a slice does, beyond [`len`](Self::len).
    #[must_use]
    pub fn piece(&self, part: Range<usize>) -> Labels {
        let targets = self.targets.as_ref().map(|(values, classes)| {
            let values = &values[part.start * classes..part.end * classes];
            (values.to_vec(), *classes)
        });
        Labels {
            classes: self.classes[part.clone()].to_vec(),
            blends: self.blends.get(part).unwrap_or_default().to_vec(),
            targets,
        }
    }
}

impl Clips {
    /// Features [B, T, F] and labels [B] of the clips `indices`, as they are.
    ///
    /// # Panics
    /// As a slice does, when an index is not below [`len`](Self::len).
    pub fn batch(&self, indices: &[usize]) -> (Tensor, Tensor) {
        self.plain(indices).tensors(self.device)
    }

    /// As [`batch`](Self::batch), with random changes.
    ///
    /// # Errors
    /// A setting that is out of range or does not fit the features.
    pub fn augmented_batch(
        &self,
        indices: &[usize],
        changes: Augmented,
    ) -> Result<(Tensor, Tensor), Error> {
        let mut batch = self.plain(indices);
        for (clip, &index) in batch.features.chunks_exact_mut(self.row()).zip(indices) {
            self.change(changes, index, clip)?;
        }
        Ok(batch.tensors(self.device))
    }

    /// The batch of the clips at `positions` of the training list: blended,
    /// then changed, as the original AST does it. A function of its arguments
    /// alone, whatever thread runs it.
    ///
    /// # Errors
    /// A setting that is out of range or does not fit the features.
    pub fn prepare(&self, positions: &[usize], recipe: Recipe) -> Result<Batch, Error> {
        let indices: Vec<usize> = positions.iter().map(|&at| recipe.list[at]).collect();
        let mut batch = self.plain(&indices);
        if !is_default(recipe.mixup) {
            self.blend(&mut batch, positions, recipe)?;
        }
        for (clip, &index) in batch.features.chunks_exact_mut(self.row()).zip(&indices) {
            self.change(recipe.augmented, index, clip)?;
        }
        Ok(batch)
    }

    /// The clips `indices` as they are, as plain numbers.
    pub(crate) fn plain(&self, indices: &[usize]) -> Batch {
        let row = self.row();
        let mut features = vec![0.0; indices.len() * row];
        for (position, &index) in indices.iter().enumerate() {
            self.read(index, &mut features[position * row..][..row]);
        }
        Batch {
            features,
            labels: self.labels_of(indices),
            shape: [indices.len() as i64, self.frames as i64, self.bins as i64],
        }
    }

    /// What the clips `indices` are.
    pub(crate) fn labels_of(&self, indices: &[usize]) -> Labels {
        let targets = self.targets.as_ref().map(|targets| {
            let of = |&index: &usize| &targets.values[index * targets.classes..][..targets.classes];
            (
                indices.iter().flat_map(of).copied().collect(),
                targets.classes,
            )
        });
        Labels {
            classes: indices.iter().map(|&index| self.labels[index]).collect(),
            blends: Vec::new(),
            targets,
        }
    }

    fn blend(&self, batch: &mut Batch, positions: &[usize], recipe: Recipe) -> Result<(), Error> {
        let Augmented { seed, epoch, .. } = recipe.augmented;
        let total = recipe.list.len() as u64;
        let row = self.row();
        let mut other = vec![0.0; row];
        for (at, &position) in positions.iter().enumerate() {
            let pair = recipe
                .mixup
                .pairing(seed, epoch as u64, position as u64, total)?;
            let partner = recipe.list[pair.partner as usize];
            batch
                .labels
                .blends
                .push((self.labels[partner], pair.lambda));
            if !pair.is_mixed() {
                continue;
            }
            self.read(partner, &mut other);
            self.mix(&pair, &mut batch.features[at * row..][..row], &other)?;
            if let (Some((values, classes)), Some(targets)) =
                (&mut batch.labels.targets, &self.targets)
            {
                let theirs = &targets.values[partner * *classes..][..*classes];
                let own = &mut values[at * *classes..][..*classes];
                for (own, &theirs) in own.iter_mut().zip(theirs) {
                    let blended =
                        pair.lambda * f64::from(*own) + (1.0 - pair.lambda) * f64::from(theirs);
                    *own = blended as f32;
                }
            }
        }
        Ok(())
    }

    fn mix(&self, pair: &Pairing, own: &mut [f32], other: &[f32]) -> Result<(), Error> {
        let shape = (self.frames, self.bins);
        let (Ok(own), Ok(other)) = (
            ArrayViewMut2::from_shape(shape, own),
            ArrayView2::from_shape(shape, other),
        ) else {
            return Ok(()); // cannot be: both have exactly T · F values
        };
        pair.mix_features(own, other)
    }

    /// The random changes of one clip, in the order of the fields.
    fn change(&self, changes: Augmented, index: usize, clip: &mut [f32]) -> Result<(), Error> {
        let Augmented {
            augmentation,
            seed,
            epoch,
        } = changes;
        let (epoch, sample) = (epoch as u64, index as u64);
        let Ok(mut clip) = ArrayViewMut2::from_shape((self.frames, self.bins), clip) else {
            return Ok(()); // cannot be: the row has exactly T · F values
        };
        let Augmentation {
            gain,
            frequency_warp,
            spec_augment,
            feature_noise,
            time_shift,
        } = augmentation;
        self.change_level(gain, [seed, epoch, sample], clip.view_mut())?;
        frequency_warp.apply(seed, epoch, sample, &self.fbank, clip.view_mut())?;
        spec_augment.apply(seed, epoch, sample, &self.ast, clip.view_mut())?;
        feature_noise.apply(seed, epoch, sample, clip.view_mut())?;
        time_shift.apply(seed, epoch, sample, clip)
    }

    /// A gain on the frames of one clip that are no padding. It acts on energies
    /// as the filter bank gives them, so normalisation is undone and done again;
    /// where it is off nothing is touched, and the bits stay.
    fn change_level(
        &self,
        gain: &Gain,
        [seed, epoch, sample]: [u64; 3],
        mut clip: ArrayViewMut2<f32>,
    ) -> Result<(), Error> {
        if is_default(gain) {
            return Ok(());
        }
        // Padding is rows of energy 0 before normalisation.
        let padding = self.ast.normalised(0.0);
        let is_sound = |row: ndarray::ArrayView1<f32>| row.iter().any(|&x| x != padding);
        let frames = clip.rows().into_iter().rposition(is_sound);
        let mut sound = clip.slice_mut(s![..frames.map_or(0, |last| last + 1), ..]);
        sound.mapv_inplace(|x| x * (2.0 * self.ast.std) + self.ast.mean);
        gain.apply_to_log_mel(seed, epoch, sample, &self.fbank, sound.view_mut())?;
        sound.mapv_inplace(|x| self.ast.normalised(x));
        Ok(())
    }
}
