//! Features and labels of all clips of a task, and batches of them.

use audio_frontend::{AstConfig, FbankConfig};
use tch::Device;

use crate::data::Features;

mod augmentation;
mod batches;
pub(crate) mod transfer;

pub(crate) use augmentation::is_default;
pub use augmentation::{Augmentation, Augmented};
pub use batches::{Batch, Labels, Recipe};

/// Where the features of clips are.
#[derive(Debug)]
enum Store {
    /// One row-major block [clips, T, F].
    Block(Vec<f32>),
    /// In memory or in a mapped file, padded when read.
    Features(Features),
    /// One after the other, each with the index of its first clip.
    Joined(Vec<(usize, Store)>),
}

impl Store {
    /// Copies the features of one clip, T · F values.
    fn read(&self, index: usize, into: &mut [f32]) {
        match self {
            Store::Block(features) => {
                into.copy_from_slice(&features[index * into.len()..][..into.len()]);
            }
            Store::Features(features) => features.read(index, into),
            Store::Joined(parts) => {
                let part = parts.partition_point(|(first, _)| *first <= index);
                let (first, store) = &parts[part.saturating_sub(1)];
                store.read(index - first, into);
            }
        }
    }
}

/// Features [clips, T, F] and labels [clips].
#[derive(Debug)]
pub struct Clips {
    store: Store,
    pub(crate) labels: Vec<i64>,
    pub(crate) targets: Option<MultiHot>,
    pub(crate) frames: usize,
    pub(crate) bins: usize,
    pub(crate) device: Device,
    pub(crate) fbank: FbankConfig,
    pub(crate) ast: AstConfig,
}

/// Which classes each clip belongs to: [clips, C], 1 or 0.
#[derive(Debug)]
pub(crate) struct MultiHot {
    pub values: Vec<f32>,
    pub classes: usize,
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
        fits.then_some(Self::with_store(
            Store::Block(features),
            labels,
            [frames, bins],
            device,
        ))
    }

    /// The features of a data set, read clip by clip when a batch is made, and
    /// the device that batches shall be on. `None` when there is not one label
    /// per clip.
    pub fn from_features(features: Features, labels: Vec<i64>, device: Device) -> Option<Self> {
        let shape = [features.max_length(), features.bins()];
        let fits = features.clips() == labels.len();
        fits.then_some(Self::with_store(
            Store::Features(features),
            labels,
            shape,
            device,
        ))
    }

    /// Several lists of clips as one, in this order; filter bank and statistics
    /// are those of the first. `None` where there is none, shapes or devices
    /// differ, or one has several labels per clip.
    pub fn joined(parts: Vec<Clips>) -> Option<Self> {
        let first = parts.first()?;
        let (shape, device) = ([first.frames, first.bins], first.device);
        let (fbank, ast) = (first.fbank.clone(), first.ast.clone());
        let (mut stores, mut labels) = (Vec::new(), Vec::new());
        for part in parts {
            let alike = [part.frames, part.bins] == shape && part.device == device;
            if !alike || part.targets.is_some() {
                return None;
            }
            stores.push((labels.len(), part.store));
            labels.extend(part.labels);
        }
        let joined = Self::with_store(Store::Joined(stores), labels, shape, device);
        Some(joined.with_fbank(fbank).with_ast(ast))
    }

    fn with_store(
        store: Store,
        labels: Vec<i64>,
        [frames, bins]: [usize; 2],
        device: Device,
    ) -> Self {
        Clips {
            store,
            labels,
            targets: None,
            frames,
            bins,
            device,
            fbank: FbankConfig {
                num_mel_bins: bins,
                ..FbankConfig::default()
            },
            ast: AstConfig::default(),
        }
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

    /// Gives every clip any number of classes, for
    /// [`Objective::BinaryCrossEntropy`](crate::training::Objective). `None`
    /// when there are not C values per clip.
    ///
    /// # Shapes
    /// `values` [clips, C] row by row, 1 where the clip belongs to the class.
    #[must_use]
    pub fn with_multi_hot(mut self, values: Vec<f32>, classes: usize) -> Option<Self> {
        let fits = classes > 0 && values.len() == self.labels.len() * classes;
        self.targets = Some(MultiHot { values, classes });
        fits.then_some(self)
    }

    /// Number of clips.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no clip.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values of one clip, T · F.
    pub(crate) fn row(&self) -> usize {
        self.frames * self.bins
    }

    /// Copies the features of one clip into a block of T · F values.
    pub(crate) fn read(&self, index: usize, into: &mut [f32]) {
        self.store.read(index, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio_frontend::{FeatureNoise, Gain, SpecAugment, TimeShift};
    use tch::Tensor;

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
    fn joined_lists_have_their_clips_one_after_the_other() {
        let other = Clips::new(vec![20.0; 4], vec![9], [2, 2], Device::Cpu).unwrap();
        let joined = Clips::joined(vec![clips(), other, clips()]).unwrap();
        assert_eq!(joined.len(), 7);
        let (features, labels) = joined.batch(&[3, 2, 6, 0]);
        assert_eq!(Vec::<i64>::try_from(&labels).unwrap(), [9, 7, 7, 5]);
        let values: Vec<f32> = (8..12).map(|value| value as f32).collect();
        assert_eq!(floats(&features.get(0)), [20.0; 4]);
        assert_eq!(floats(&features.get(1)), values);
        assert_eq!(floats(&features.get(2)), values);
        let longer = Clips::new(vec![0.0; 6], vec![1], [3, 2], Device::Cpu).unwrap();
        assert!(Clips::joined(vec![clips(), longer]).is_none());
        assert!(Clips::joined(Vec::new()).is_none());
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

    #[test]
    fn features_of_a_data_set_give_the_batches_of_one_block() {
        let data = crate::data::synthetic::dataset(1);
        let config = crate::front_end::pipeline(30);
        let extractor = audio_frontend::Extractor::new(config).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = crate::data::FeatureOptions {
            cache: Some(folder.path()),
            ..Default::default()
        };
        let (features, _) = data.features(&extractor, options, &|_, _| {}).unwrap();
        let block: Vec<f32> = (0..320).flat_map(|index| features.clip(index)).collect();
        let labels: Vec<i64> = data.clips.iter().map(|clip| clip.label as i64).collect();
        let block = Clips::new(block, labels.clone(), [30, 128], Device::Cpu).unwrap();
        let mapped = Clips::from_features(features, labels, Device::Cpu).unwrap();
        let indices = [319, 0, 7, 7];
        assert_eq!(
            floats(&mapped.batch(&indices).0),
            floats(&block.batch(&indices).0)
        );
        let augmentation = CHANGES[1]();
        assert_eq!(
            augmented(&mapped, &augmentation, 2),
            augmented(&block, &augmentation, 2)
        );
        let (features, _) = data.features(&extractor, options, &|_, _| {}).unwrap();
        assert!(Clips::from_features(features, vec![0; 319], Device::Cpu).is_none());
    }

    const CHANGES: [fn() -> Augmentation; 4] = [
        || Augmentation {
            gain: Gain {
                min_db: -6.0,
                max_db: 6.0,
            },
            ..Augmentation::default()
        },
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
        let change = CHANGES[1]();
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
    fn a_gain_is_that_of_the_recording_and_leaves_padding_alone() {
        // 100 frames of noise fade out to digital silence, 20 of padding follow.
        let samples: Vec<f32> = (0..16_240_u32)
            .map(|i| {
                let noise = f64::from(i.wrapping_mul(2_654_435_761)) / f64::from(u32::MAX) - 0.5;
                (noise * f64::from(12_000_u32.saturating_sub(i)) / 12_000.0) as f32
            })
            .collect();
        let mut config = crate::front_end::pipeline(120);
        config.ast.mean = -6.0;
        config.ast.std = 3.0;
        let extractor = audio_frontend::Extractor::new(config.clone()).unwrap();
        let input = |samples: &[f32]| extractor.extract(samples, 16_000).unwrap();
        let clips = |features: ndarray::Array2<f32>| {
            let features = features.into_raw_vec_and_offset().0;
            let clips = Clips::new(features, vec![0], [120, 128], Device::Cpu).unwrap();
            clips
                .with_fbank(config.fbank.clone())
                .with_ast(config.ast.clone())
        };
        let floor = config.ast.normalised(config.fbank.log_floor.ln()) + 1e-5;
        for decibels in [-5.0, 9.5] {
            let augmentation = Augmentation {
                gain: Gain {
                    min_db: decibels,
                    max_db: decibels,
                },
                ..Augmentation::default()
            };
            let changes = Augmented {
                augmentation: &augmentation,
                seed: 3,
                epoch: 1,
            };
            let clips = clips(input(&samples));
            let changed = floats(&clips.augmented_batch(&[0], changes).unwrap().0);
            let factor = 10f64.powf(decibels / 20.0) as f32;
            let scaled: Vec<f32> = samples.iter().map(|x| x * factor).collect();
            let expected = input(&scaled);
            let plain = floats(&clips.batch(&[0]).0);
            let mut at_floor = 0;
            let rows = changed.chunks_exact(128).zip(expected.rows()).enumerate();
            for (frame, (row, expected)) in rows {
                for (bin, (&x, &scaled)) in row.iter().zip(expected).enumerate() {
                    let before = plain[frame * 128 + bin];
                    at_floor += usize::from(before < floor);
                    let y = if before < floor { before } else { scaled };
                    assert!((x - y).abs() < 1e-4, "{decibels} dB, {frame}: {x} and {y}");
                    assert!(frame < 100 || x == config.ast.normalised(0.0));
                }
            }
            assert!(at_floor > 1000, "silence is part of the test: {at_floor}");
        }
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
        let gain = Gain {
            min_db: 3.0,
            max_db: -3.0,
        };
        let bad = [
            Augmentation {
                gain,
                ..Augmentation::default()
            },
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
