//! From what a user says to everything a run needs.

use std::path::PathBuf;

use adapters::{Compat, MethodConfig};
use anyhow::{Context, Result, ensure};
use ast_model::{Checkpoint, Positions, Precision, PrecisionChoice, ProductRates};
use audio_frontend::PipelineConfig;
use serde::{Deserialize, Serialize};
use tch::Device;
use toml::{Table, Value};

use super::sounds::{self, Layout, Opened, absolute};
use super::{RunConfig, lengths};
use crate::data::{Dataset, Split};
use crate::training::{Selection, TrainingConfig};
use crate::{backbones, front_end};

/// The authors' seed.
pub(super) const SEED: u64 = 10;

/// Clips that all epochs together should show the model.
const CLIPS_TO_SEE: usize = 8000;

/// Epochs without a lower validation loss after which a run ends.
const PATIENCE: usize = 10;

/// What was found on the way to a plan: `found.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Folder of the backbone.
    pub backbone_folder: PathBuf,
    /// Fingerprint of the backbone as the adapter needs it.
    pub backbone_fingerprint: String,
    /// Hash of sounds, labels and split.
    pub sounds_fingerprint: String,
    /// Names of the C classes, in the order of the logits.
    pub labels: Vec<String>,
    /// Clips to train, validate and test on.
    pub clips: [usize; 3],
}

/// Everything a run needs.
pub struct Plan {
    /// The configuration with nothing left open.
    pub config: RunConfig,
    /// What was found.
    pub found: Found,
    /// How the sounds were understood.
    pub layout: Layout,
    /// The clips.
    pub dataset: Dataset,
    /// Its parts.
    pub split: Split,
    /// The method.
    pub method: MethodConfig,
    /// The backbone, cut and made for the clips' length.
    pub checkpoint: Checkpoint,
    /// The backbone in words.
    pub backbone: String,
    /// Number format of the frozen weights.
    pub precision: Precision,
    /// What `auto` measured, where it was left to decide.
    pub rates: Option<ProductRates>,
    /// Settings of the front end.
    pub front_end: PipelineConfig,
    /// The training.
    pub training: TrainingConfig,
    /// Where to compute.
    pub device: Device,
}

impl Plan {
    /// Looks at the sounds and the backbone and chooses what `config` leaves
    /// open:
    ///
    /// - the length that holds 95 of 100 training clips whole, at most the
    ///   backbone's;
    /// - parts that keep the shares of the classes, or those the data name;
    /// - batches of an eighth of the training clips, from 4 to 32, and so many
    ///   epochs that about 8,000 clips are seen, from 10 to 50;
    /// - the paper's learning rate for the method, and the epoch with the lowest
    ///   validation loss; a run ends after 10 epochs without a lower one;
    /// - with `compat = "paper"` zero positions, and the last of all epochs, as
    ///   the authors' program has both in effect.
    ///
    /// # Errors
    /// Sounds, backbone or settings that cannot be used.
    pub fn resolve(config: &RunConfig, cache: &std::path::Path, device: Device) -> Result<Self> {
        config.validate()?;
        let method = config.method()?;
        let Opened {
            dataset,
            split,
            layout,
        } = sounds::open(config)?;
        ensure!(
            !split.train.is_empty() && !split.test.is_empty(),
            "there are {} clips to train and {} to test on; add recordings, or keep fewer groups \
             together",
            split.train.len(),
            split.test.len()
        );
        let name = match &config.backbone {
            Some(name) => name.clone(),
            None => backbones::usual(cache)?.name,
        };
        let (backbone_folder, full) = backbones::load(&name, cache)?;
        let all = full.config.num_hidden_layers;
        let blocks = config.blocks.unwrap_or(all);
        let own = [full.config.frequency_stride, full.config.time_stride];
        let strides = config.strides.unwrap_or(own);
        let compat = config.compat.unwrap_or(Compat::Fixed);
        let positions = config.positions.unwrap_or(usual_positions(compat));
        let max_length = match config.max_length {
            Some(frames) => frames,
            None => {
                let most = full.config.max_length as usize;
                let least = full.config.patch_size as usize;
                let part: Vec<usize> = split.train.clone();
                lengths::frames(&dataset.clips, &part, [least, most])?
            }
        };
        let checkpoint = full
            .first_blocks(blocks)?
            .with_grid(max_length as i64, strides, positions)
            .with_context(|| format!("clips of {max_length} frames"))?;
        method.validate(&checkpoint.config)?;
        let front_end = front_end::for_checkpoint(&checkpoint)
            .with_context(|| format!("the backbone {name} cannot be used"))?;
        let seed = config.seed.unwrap_or(SEED);
        let usual = usual_training(&method, compat, split.train.len(), seed);
        let training = config.training(&usual)?;
        training.validate()?;
        let (precision, rates) = config.precision.unwrap_or_default().resolve(device)?;
        let found = Found {
            backbone_fingerprint: checkpoint.fingerprint(),
            backbone_folder: absolute(&backbone_folder),
            sounds_fingerprint: dataset.fingerprint()?,
            labels: class_names(&dataset),
            clips: [split.train.len(), split.validation.len(), split.test.len()],
        };
        let config = RunConfig {
            data: config.data.as_deref().map(absolute),
            method: Some(Value::try_from(&method)?),
            compat: Some(compat),
            backbone: Some(named(&name)),
            blocks: Some(blocks),
            strides: Some(strides),
            positions: Some(positions),
            pooling: Some(config.pooling.unwrap_or_default()),
            head: Some(config.head.unwrap_or_default()),
            first_block: Some(config.first_block.unwrap_or_default()),
            mask_padding: Some(config.mask_padding.unwrap_or_default()),
            patchout: config.patchout,
            max_length: Some(max_length),
            precision: Some(match precision {
                Precision::F32 => PrecisionChoice::F32,
                Precision::Bf16 => PrecisionChoice::Bf16,
            }),
            validation: config.validation,
            test: config.test,
            group: config.group.clone(),
            fold: config.fold,
            seed: Some(seed),
            training: Table::try_from(&training)?,
        };
        let backbone = if blocks < all {
            format!("{name}, first {blocks} blocks")
        } else {
            format!("{name}, {blocks} blocks")
        };
        Ok(Plan {
            config,
            found,
            layout,
            dataset,
            split,
            method,
            checkpoint,
            backbone,
            precision,
            rates,
            front_end,
            training,
            device,
        })
    }
}

fn class_names(dataset: &Dataset) -> Vec<String> {
    let names = dataset.manifest.class_names();
    names.into_iter().map(str::to_owned).collect()
}

/// A folder's path is written so that it means the same from anywhere.
fn named(name: &str) -> String {
    let path = std::path::Path::new(name);
    if path.exists() {
        absolute(path).display().to_string()
    } else {
        name.to_owned()
    }
}

/// The positions where the user says nothing (quirk Q1).
fn usual_positions(compat: Compat) -> Positions {
    match compat {
        Compat::Paper => Positions::Zero,
        Compat::Fixed => Positions::Crop,
    }
}

/// The training where the user says nothing (quirk Q3).
fn usual_training(
    method: &MethodConfig,
    compat: Compat,
    clips: usize,
    seed: u64,
) -> TrainingConfig {
    let batch = (clips / 8).clamp(4, 32);
    let epochs = CLIPS_TO_SEE.div_ceil(clips.max(1)).clamp(10, 50);
    let (selection, patience) = match compat {
        Compat::Paper => (Selection::Last, None),
        // A handful of validation clips are soon all right; their loss still
        // tells epochs apart.
        Compat::Fixed => (Selection::BestLoss, Some(PATIENCE)),
    };
    TrainingConfig {
        selection,
        patience,
        ..TrainingConfig::new(epochs, batch, learning_rate(method), seed)
    }
}

/// The authors' rates (Cappellazzo et al. 2024, arXiv 2402.00828, and
/// 2312.03694); LayerNorm tuning and SSF, which they do not have, as BitFit.
fn learning_rate(method: &MethodConfig) -> f64 {
    match method {
        MethodConfig::Linear(_) => 1e-3,
        MethodConfig::Full(_) => 5e-5,
        MethodConfig::Prompt(_) | MethodConfig::Prefix(_) => 1e-2,
        _ => 5e-3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sets_get_small_batches_and_more_epochs() {
        let method = MethodConfig::named("soft-moa").unwrap();
        let usual = |clips| {
            let training = usual_training(&method, Compat::Fixed, clips, 1);
            (training.batch, training.epochs)
        };
        assert_eq!(usual(14), (4, 50));
        assert_eq!(usual(400), (32, 20));
        assert_eq!(usual(100_000), (32, 10));
    }

    #[test]
    fn the_compat_mode_decides_what_lies_outside_the_method_too() {
        let method = MethodConfig::named("soft-moa").unwrap();
        for (compat, positions, selection, patience) in [
            (Compat::Paper, Positions::Zero, Selection::Last, None),
            (
                Compat::Fixed,
                Positions::Crop,
                Selection::BestLoss,
                Some(PATIENCE),
            ),
        ] {
            assert_eq!(usual_positions(compat), positions);
            let training = usual_training(&method, compat, 100, 1);
            assert_eq!(
                (training.selection, training.patience),
                (selection, patience)
            );
        }
    }

    #[test]
    fn every_method_has_a_rate_of_the_paper() {
        for name in MethodConfig::names() {
            let rate = learning_rate(&MethodConfig::named(name).unwrap());
            assert!((5e-5..=1e-2).contains(&rate), "{name}");
        }
        assert_eq!(learning_rate(&MethodConfig::named("full").unwrap()), 5e-5);
    }
}
