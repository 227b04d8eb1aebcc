//! A profile resolved into single, self-contained runs.

use adapters::{Compat, Head, MethodConfig};
use anyhow::{Context, Result, bail};
use ast_model::{Patchout, Pooling, Positions, Precision};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::backbone::Backbone;
use super::profile::Profile;
use super::rows::MethodSpec;
use super::tasks::Task;
use crate::data::{FeatureFormat, FewShotRule, ValidationRule, hex};
use crate::random;
use crate::training::{Selection, TrainingConfig};

/// Raised when a change of the program changes results.
const RESULTS_VERSION: u32 = 1;

/// Everything that decides a run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// [`RESULTS_VERSION`].
    pub results_version: u32,
    /// Name of the task.
    pub task: String,
    /// Hash of sounds, labels and protocol.
    pub data_fingerprint: String,
    /// Frames per clip.
    pub max_length: usize,
    /// Settings of the front end.
    pub front_end: audio_frontend::PipelineConfig,
    /// Limit of training clips per class.
    pub train_clips_per_class: Option<usize>,
    /// Limit of validation and test clips per class.
    pub test_clips_per_class: Option<usize>,
    /// Which training clips a limit leaves.
    #[serde(default, skip_serializing_if = "is_default")]
    pub few_shot_rule: FewShotRule,
    /// What is validated on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub validation: ValidationRule,
    /// How features are stored: f16 rounds them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub features: FeatureFormat,
    /// Row of the table.
    pub label: String,
    /// The method, resolved for the compat mode.
    pub method: MethodConfig,
    /// Behaviour of the authors' program or the repaired one.
    pub compat: Compat,
    /// Backbone in words.
    pub backbone: String,
    /// Hash of the backbone's weights.
    pub backbone_fingerprint: String,
    /// Position policy.
    pub positions: Positions,
    /// Steps between patches along frequency and time.
    pub strides: [i64; 2],
    /// Number format of frozen matrices.
    pub precision: Precision,
    /// Patches dropped in training steps.
    #[serde(default, skip_serializing_if = "Patchout::is_off")]
    pub patchout: Patchout,
    /// Whether padded frames are left out of pooling and routing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mask_padding: bool,
    /// The first block in which the method acts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub first_block: usize,
    /// From tokens to one vector per clip.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pooling: Pooling,
    /// From that vector to class scores.
    #[serde(default, skip_serializing_if = "is_default")]
    pub head: Head,
    /// Seed as the profile gives it; the runs of one seed, task and fold share
    /// clips, head and order, whatever their method.
    pub seed: u64,
    /// Training settings; their seed is derived from seed, task and fold.
    pub training: TrainingConfig,
    /// Index of the fold.
    pub fold: usize,
    /// Where it is computed, `cpu` or `cuda:INDEX`: speeds differ.
    pub device: String,
}

/// One run of the plan.
#[derive(Debug, Clone)]
pub struct Run {
    /// First digits of the hash of the configuration.
    pub id: String,
    /// Index of the task.
    pub task: usize,
    /// The configuration.
    pub config: RunConfig,
    /// Training clips over all epochs, for progress bars.
    pub work: usize,
}

/// All runs, in the order they are made: rows of a table fill up evenly, so
/// that a stopped benchmark is as comparable as can be.
#[derive(Debug)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<Run>,
}

impl Plan {
    /// Resolves a profile for the backbone and the tasks that are there.
    ///
    /// # Errors
    /// A fold that a protocol does not have, or a method that does not fit the
    /// backbone.
    pub fn new(
        profile: &Profile,
        precision: Precision,
        backbone: &Backbone,
        tasks: &[Task],
        device: &str,
    ) -> Result<Self> {
        // Before hours of work, not after.
        for method in &profile.methods {
            backbone
                .check(&method.config)
                .with_context(|| format!("row {:?}", method.label))?;
        }
        let mut runs = Vec::new();
        for (index, task) in tasks.iter().enumerate() {
            let front_end = &task.front_end;
            let shape = (front_end.ast.max_length, front_end.fbank.num_mel_bins);
            let augmentation = task.spec.augmentation.clone().unwrap_or_default();
            augmentation
                .validate(shape)
                .with_context(|| format!("augmentation of {}", task.spec.name))?;
            let all = (0..task.splits.len()).collect();
            let folds = task.spec.folds.clone().unwrap_or(all);
            for cell in profile.cells(&task.spec, &folds) {
                let Some(method) = profile.method(&cell.label) else {
                    bail!("no method has the label {:?}", cell.label);
                };
                let row = Row {
                    method,
                    precision,
                    device,
                };
                let config = config(profile, backbone, task, row, cell.fold, cell.seed)
                    .with_context(|| format!("task {:?}, row {:?}", task.spec.name, cell.label))?;
                let few_shot = config.train_clips_per_class;
                let split = task.split(cell.fold, cell.seed, few_shot)?;
                let work = split.train.len() * config.training.epochs;
                runs.push(Run {
                    id: id(&config)?,
                    task: index,
                    config,
                    work,
                });
            }
        }
        Ok(Plan { runs })
    }
}

/// Keeps fields that came later out of what is written while they say nothing
/// new, so that a run without them keeps its id.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl RunConfig {
    /// Task, method, fold and seed in words.
    pub fn title(&self) -> String {
        let RunConfig {
            task,
            label,
            fold,
            seed,
            ..
        } = self;
        format!("{task}, {label}, fold {fold}, seed {seed}")
    }
}

/// What the runs of one row share beside the profile.
struct Row<'a> {
    method: &'a MethodSpec,
    precision: Precision,
    device: &'a str,
}

fn config(
    profile: &Profile,
    backbone: &Backbone,
    task: &Task,
    row: Row,
    fold: usize,
    seed: u64,
) -> Result<RunConfig> {
    let Row {
        method,
        precision,
        device,
    } = row;
    let defaults = &task.dataset.manifest.defaults;
    let few_shot = method
        .train_clips_per_class
        .or(task.spec.train_clips_per_class);
    let epochs = method.epochs.or(task.spec.epochs);
    let usual = TrainingConfig {
        adamw: profile.adamw.clone(),
        selection: match profile.compat {
            Compat::Paper => Selection::Last,
            Compat::Fixed => Selection::BestValidation,
        },
        augmentation: task.spec.augmentation.clone().unwrap_or_default(),
        activation_checkpointing: profile.activation_checkpointing,
        ..TrainingConfig::new(
            epochs.unwrap_or(defaults.epochs),
            task.spec.batch.unwrap_or(defaults.batch),
            method.learning_rate,
            random::run_seed(seed, &task.spec.name, fold),
        )
    };
    let spec = &task.spec;
    Ok(RunConfig {
        results_version: RESULTS_VERSION,
        task: task.spec.name.clone(),
        data_fingerprint: task.fingerprint.clone(),
        max_length: task.front_end.ast.max_length,
        front_end: task.front_end.clone(),
        train_clips_per_class: few_shot,
        test_clips_per_class: task.spec.test_clips_per_class,
        few_shot_rule: match few_shot {
            Some(_) => task.protocol.few_shot_rule,
            None => FewShotRule::default(),
        },
        validation: task.protocol.validation,
        features: task.spec.features,
        label: method.label.clone(),
        method: method.config.clone().with_compat(profile.compat),
        compat: profile.compat,
        backbone: backbone.title.clone(),
        backbone_fingerprint: backbone.fingerprint.clone(),
        positions: method.positions.unwrap_or(backbone.positions),
        strides: backbone.strides,
        precision,
        patchout: spec.patchout.unwrap_or(profile.patchout),
        mask_padding: method.mask_padding.unwrap_or_default(),
        first_block: method.first_block.or(spec.first_block).unwrap_or_default(),
        pooling: method.pooling.or(spec.pooling).unwrap_or_default(),
        head: method.head.or(spec.head).unwrap_or_default(),
        training: training(usual, &spec.training)?,
        seed,
        fold,
        device: device.to_owned(),
    })
}

/// `usual` with the fields that a task sets.
fn training(usual: TrainingConfig, set: &Map<String, Value>) -> Result<TrainingConfig> {
    if set.is_empty() {
        return Ok(usual);
    }
    let mut fields = serde_json::to_value(&usual)?;
    let table = fields.as_object_mut().context("a table of settings")?;
    table.extend(set.clone());
    let config: TrainingConfig = serde_json::from_value(fields).context("training")?;
    config.validate().context("training")?;
    Ok(config)
}

/// The id of a run: the first digits of the hash of its configuration.
pub(crate) fn id(config: &RunConfig) -> Result<String> {
    let digest = Sha256::digest(serde_json::to_vec(config)?);
    Ok(hex(&digest[..8]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<TrainingConfig> {
        let fields: Map<String, Value> = toml::from_str(text)?;
        training(TrainingConfig::new(3, 4, 1e-3, u64::MAX), &fields)
    }

    #[test]
    fn what_a_task_sets_of_its_training_is_on_top_and_the_rest_stays() {
        let config = set("label_smoothing = 0.1\nmixup = { rate = 0.5 }").unwrap();
        assert_eq!((config.label_smoothing, config.mixup.rate), (0.1, 0.5));
        assert_eq!((config.epochs, config.batch, config.seed), (3, 4, u64::MAX));
        assert_eq!(set("").unwrap(), TrainingConfig::new(3, 4, 1e-3, u64::MAX));
    }

    #[test]
    fn a_setting_of_training_that_is_unknown_or_out_of_range_is_refused() {
        for (text, word) in [
            ("label_smooting = 0.1", "label_smooting"),
            ("label_smoothing = 1.5", "label_smoothing"),
        ] {
            let message = format!("{:#}", set(text).unwrap_err());
            assert!(message.contains(word), "{message}");
        }
    }
}
