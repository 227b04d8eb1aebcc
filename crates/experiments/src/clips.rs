//! Features and labels of all clips of a task, and batches of them.

use audio_frontend::{AstConfig, FbankConfig, FeatureNoise, FrequencyWarp, SpecAugment, TimeShift};
use ndarray::ArrayViewMut2;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// Random changes of training clips, each a pure function of (seed, epoch,
/// sample). All off by default.
///
/// They act on normalised features, in the order of the fields, which is that
/// of the original AST recipe (masks, noise, then the shift, which moves masks
/// and noise along) with the warp before it. Features are computed once and
/// kept, so what changes waveforms has no place here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Another pitch and voice.
    pub frequency_warp: FrequencyWarp,
    /// Masked bands of frequency and time.
    pub spec_augment: SpecAugment,
    /// Uniform noise on every value.
    #[serde(skip_serializing_if = "is_default")]
    pub feature_noise: FeatureNoise,
    /// Frames rolled around.
    #[serde(skip_serializing_if = "is_default")]
    pub time_shift: TimeShift,
}

/// Keeps fields that came later out of what is written while they are off, so
/// that a run without them keeps its id.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Augmentation {
    /// Checks the settings for features `[T, F]`.
    ///
    /// # Errors
    /// A setting that is out of range or does not fit the features.
    pub fn validate(&self, shape: (usize, usize)) -> Result<(), audio_frontend::Error> {
        self.frequency_warp.validate()?;
        self.spec_augment.masks(0, 0, 0, shape)?;
        self.feature_noise.validate()?;
        self.time_shift.validate()
    }
}

/// Which random changes a training batch gets.
#[derive(Debug, Clone, Copy)]
pub struct Augmented<'a> {
    /// The settings.
    pub augmentation: &'a Augmentation,
    /// Seed of the run.
    pub seed: u64,
    /// Epoch from 0.
    pub epoch: usize,
}

/// Features [clips, T, F] and labels [clips].
#[derive(Debug)]
pub struct Clips {
    features: Vec<f32>,
    labels: Vec<i64>,
    frames: usize,
    bins: usize,
    device: Device,
    fbank: FbankConfig,
    ast: AstConfig,
}

impl Clips {
    /// Features given as one row-major block, and the device that batches
    /// shall be on. `None` when the block does not hold T · F values per label.
    ///
    /// # Shapes
    /// `features` clips · T · F values, `labels` one per clip, `[T, F]`.
    pub fn new(
        features: Vec<f32>,
        labels: Vec<i64>,
        [frames, bins]: [usize; 2],
        device: Device,
    ) -> Option<Self> {
        let fits = features.len() == labels.len() * frames * bins;
        fits.then_some(Clips {
            features,
            labels,
            frames,
            bins,
            device,
            fbank: FbankConfig {
                num_mel_bins: bins,
                ..FbankConfig::default()
            },
            ast: AstConfig::default(),
        })
    }

    /// Says with which filter bank the features were computed, so that a warp
    /// knows where its bins lie; the default one unless told otherwise.
    #[must_use]
    pub fn with_fbank(mut self, fbank: FbankConfig) -> Self {
        self.fbank = fbank;
        self
    }

    /// Says how the features were normalised, so that masks get the value they
    /// ask for; with AudioSet's statistics unless told otherwise.
    #[must_use]
    pub fn with_ast(mut self, ast: AstConfig) -> Self {
        self.ast = ast;
        self
    }

    /// Features [B, T, F] and labels [B] of the clips `indices`, as they are.
    ///
    /// # Panics
    /// As a slice does, when an index is not below [`len`](Self::len).
    pub fn batch(&self, indices: &[usize]) -> (Tensor, Tensor) {
        let mut block = Vec::with_capacity(indices.len() * self.row());
        for &index in indices {
            block.extend_from_slice(self.clip(index));
        }
        self.tensors(&block, indices)
    }

    /// As [`batch`](Self::batch), with random changes.
    ///
    /// # Errors
    /// A setting that is out of range or does not fit the features.
    pub fn augmented_batch(
        &self,
        indices: &[usize],
        changes: Augmented,
    ) -> Result<(Tensor, Tensor), audio_frontend::Error> {
        let Augmented {
            augmentation,
            seed,
            epoch,
        } = changes;
        let epoch = epoch as u64;
        let mut block = Vec::with_capacity(indices.len() * self.row());
        for &index in indices {
            let start = block.len();
            block.extend_from_slice(self.clip(index));
            let shape = (self.frames, self.bins);
            let Ok(mut clip) = ArrayViewMut2::from_shape(shape, &mut block[start..]) else {
                continue; // cannot be: the row has exactly T · F values
            };
            let sample = index as u64;
            let Augmentation {
                frequency_warp,
                spec_augment,
                feature_noise,
                time_shift,
            } = augmentation;
            frequency_warp.apply(seed, epoch, sample, &self.fbank, clip.view_mut())?;
            spec_augment.apply(seed, epoch, sample, &self.ast, clip.view_mut())?;
            feature_noise.apply(seed, epoch, sample, clip.view_mut())?;
            time_shift.apply(seed, epoch, sample, clip)?;
        }
        Ok(self.tensors(&block, indices))
    }

    /// Number of clips.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no clip.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn row(&self) -> usize {
        self.frames * self.bins
    }

    fn clip(&self, index: usize) -> &[f32] {
        &self.features[index * self.row()..][..self.row()]
    }

    fn tensors(&self, block: &[f32], indices: &[usize]) -> (Tensor, Tensor) {
        let labels: Vec<i64> = indices.iter().map(|&index| self.labels[index]).collect();
        let shape = [indices.len() as i64, self.frames as i64, self.bins as i64];
        (
            Tensor::from_slice(block)
                .reshape(shape)
                .to_device(self.device),
            Tensor::from_slice(&labels).to_device(self.device),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clips of two frames and two bins, numbered through.
    fn clips() -> Clips {
        let features = (0..12).map(|value| value as f32).collect();
        Clips::new(features, vec![5, 6, 7], [2, 2], Device::Cpu).unwrap()
    }

    fn floats(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.reshape([-1])).unwrap()
    }

    #[test]
    fn a_batch_has_the_clips_asked_for_in_order() {
        let (features, labels) = clips().batch(&[2, 0, 2]);
        assert_eq!(features.size(), [3, 2, 2]);
        let expected = [
            8.0, 9.0, 10.0, 11.0, 0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0,
        ];
        assert_eq!(floats(&features), expected);
        assert_eq!(Vec::<i64>::try_from(&labels).unwrap(), [7, 5, 7]);
    }

    #[test]
    fn a_block_of_another_size_is_refused() {
        assert!(Clips::new(vec![0.0; 11], vec![0, 1, 2], [2, 2], Device::Cpu).is_none());
        assert!(
            Clips::new(Vec::new(), Vec::new(), [2, 2], Device::Cpu)
                .unwrap()
                .is_empty()
        );
        assert_eq!(clips().len(), 3);
    }

    const CHANGES: [fn() -> Augmentation; 3] = [
        || Augmentation {
            spec_augment: SpecAugment {
                max_bins: 2,
                max_frames: 2,
                form: audio_frontend::MaskForm::Ast,
            },
            ..Augmentation::default()
        },
        || Augmentation {
            feature_noise: FeatureNoise { max_amplitude: 0.5 },
            ..Augmentation::default()
        },
        || Augmentation {
            time_shift: TimeShift { max_frames: 1 },
            ..Augmentation::default()
        },
    ];

    fn augmented(clips: &Clips, augmentation: &Augmentation, epoch: usize) -> Vec<f32> {
        let changes = Augmented {
            augmentation,
            seed: 1,
            epoch,
        };
        floats(&clips.augmented_batch(&[0, 1, 2], changes).unwrap().0)
    }

    #[test]
    fn every_augmentation_changes_batches_and_none_does_by_default() {
        let clips = clips();
        let plain = floats(&clips.batch(&[0, 1, 2]).0);
        assert_eq!(augmented(&clips, &Augmentation::default(), 0), plain);
        for change in CHANGES {
            let change = change();
            change.validate((2, 2)).unwrap();
            let differs = |epoch| augmented(&clips, &change, epoch) != plain;
            assert!((0..20).any(differs), "{change:?}");
        }
    }

    #[test]
    fn ast_masks_have_the_value_of_padding_in_the_clips_own_statistics() {
        let ast = AstConfig {
            mean: -6.0,
            std: 1.5,
            ..AstConfig::default()
        };
        let clips = clips().with_ast(ast);
        let change = CHANGES[0]();
        let plain = floats(&clips.batch(&[0, 1, 2]).0);
        let masked: Vec<f32> = (0..20)
            .flat_map(|epoch| {
                let batch = augmented(&clips, &change, epoch).into_iter();
                let changed = batch.zip(plain.clone()).filter(|(a, b)| a != b);
                changed.map(|(value, _)| value).collect::<Vec<_>>()
            })
            .collect();
        assert!(!masked.is_empty() && masked.iter().all(|&value| value == 2.0));
    }

    #[test]
    fn what_is_off_is_not_written_so_that_runs_keep_their_ids() {
        let text = r#"{"frequency_warp":{"max_factor":1.0},"spec_augment":{"max_bins":24,"max_frames":80}}"#;
        let authors = Augmentation {
            spec_augment: SpecAugment::authors(),
            ..Augmentation::default()
        };
        assert_eq!(serde_json::to_string(&authors).unwrap(), text);
        for change in CHANGES {
            let change = change();
            let text = serde_json::to_string(&change).unwrap();
            assert_eq!(
                serde_json::from_str::<Augmentation>(&text).unwrap(),
                change,
                "{text}"
            );
        }
    }

    #[test]
    fn bad_settings_are_refused_before_training() {
        let noise = FeatureNoise {
            max_amplitude: -1.0,
        };
        let shift = TimeShift {
            max_frames: u32::MAX,
        };
        let bad = [
            Augmentation {
                feature_noise: noise,
                ..Augmentation::default()
            },
            Augmentation {
                time_shift: shift,
                ..Augmentation::default()
            },
        ];
        assert!(bad.iter().all(|bad| bad.validate((2, 2)).is_err()));
    }
}
