//! Profiles: which methods on which tasks, with which budgets.

use std::collections::BTreeSet;

use adapters::{Compat, Head};
use anyhow::{Context, Result, bail, ensure};
use ast_model::{AstConfig, Patchout, Pooling, Positions, PrecisionChoice};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clips::Augmentation;
use crate::data::{FeatureFormat, FewShotRule, ValidationRule};
use crate::optimiser::AdamWConfig;

use super::published;
use super::rows::{MethodSpec, RowText, Usual};
use super::studies::StudySpec;

/// One benchmark, as written in `profiles/<name>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name, as given on the command line.
    pub name: String,
    /// What it is for, in one line.
    pub title: String,
    /// What a reader of the results must know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Which behaviour of the authors' program.
    #[serde(default)]
    pub compat: Compat,
    /// Number format of the frozen matrices; `auto` measures which is faster.
    #[serde(default)]
    pub precision: PrecisionChoice,
    /// Less memory for more time: see
    /// [`TrainingConfig`](crate::training::TrainingConfig).
    #[serde(default)]
    pub activation_checkpointing: bool,
    /// Patches dropped in training steps, the same for every task; off by
    /// default.
    #[serde(default)]
    pub patchout: Patchout,
    /// The frozen backbone.
    pub backbone: BackboneSpec,
    /// The optimiser, the same for every run.
    #[serde(default)]
    pub adamw: AdamWConfig,
    /// The tasks in order.
    pub tasks: Vec<TaskSpec>,
    /// The methods in order, as they are written.
    #[serde(rename = "methods")]
    pub(super) written: Vec<RowText>,
    /// The tables and curves in order.
    #[serde(default)]
    pub studies: Vec<StudySpec>,
    /// Names of sets of published figures to show beside the results.
    #[serde(default)]
    pub published: Vec<String>,
    /// The methods with what they leave open, then those of the studies'
    /// curves. [`parse`](Self::parse) fills them in.
    #[serde(skip)]
    pub methods: Vec<MethodSpec>,
}

/// Which backbone, and how much of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneSpec {
    /// Folder of the checkpoint below `backbones/` in the cache.
    pub checkpoint: String,
    /// What it is, in words.
    pub title: String,
    /// Only the first so many blocks; all when left out.
    pub blocks: Option<usize>,
    /// Steps between patches along frequency (mel bins) and time (frames);
    /// the checkpoint's when left out. Larger steps make every method faster.
    pub strides: Option<[i64; 2]>,
    /// Position embeddings at another length than the checkpoint's. When left
    /// out, as `compat` has it: `zero` for `paper`, which is what the authors'
    /// program has in effect, `crop` for `fixed`.
    pub positions: Option<Positions>,
    /// How to get it where it is missing.
    pub remedy: String,
    /// Shape of a randomly initialised stand-in, for machines where the
    /// checkpoint cannot be had. Without it, a missing checkpoint stops the
    /// benchmark.
    pub fallback: Option<AstConfig>,
}

/// One task and its budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// Name of a manifest in `datasets/`.
    pub name: String,
    /// Frames per clip; the manifest's when left out.
    pub max_length: Option<usize>,
    /// Passes over the training clips; the manifest's when left out.
    pub epochs: Option<usize>,
    /// Clips per step; the manifest's when left out.
    pub batch: Option<usize>,
    /// Random changes of the training clips; the manifest's masks when left
    /// out.
    pub augmentation: Option<Augmentation>,
    /// Fields of [`TrainingConfig`](crate::training::TrainingConfig) that shall
    /// differ from what is chosen: `{ label_smoothing = 0.1 }`. Rate, passes,
    /// batch, augmentation and seed have places of their own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub training: Map<String, Value>,
    /// The first block in which the methods act. Default 0, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_block: Option<usize>,
    /// From tokens to one vector per clip. Default `all`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// From that vector to class scores. Default `linear`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Patches dropped in training steps instead of the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patchout: Option<Patchout>,
    /// How features are stored.
    #[serde(default)]
    pub features: FeatureFormat,
    /// Folds to run, all when left out.
    pub folds: Option<Vec<usize>>,
    /// One run per fold and seed.
    pub seeds: Vec<u64>,
    /// Labels of the methods to run.
    pub methods: Vec<String>,
    /// At most so many training clips of each class.
    pub train_clips_per_class: Option<usize>,
    /// Which clips these are; what `compat` says when left out.
    pub few_shot_rule: Option<FewShotRule>,
    /// What to validate on; what `compat` says when left out.
    pub validation: Option<ValidationRule>,
    /// Groups that may stand in two parts of a split.
    #[serde(default)]
    pub allow_leaks: Vec<String>,
    /// At most so many validation and test clips of each class.
    pub test_clips_per_class: Option<usize>,
    /// Whether synthesised sounds may stand in for missing recordings.
    #[serde(default)]
    pub synthesise: bool,
}

const BUILT_IN: [(&str, &str); 3] = [
    ("smoke", include_str!("../../profiles/smoke.toml")),
    ("quick", include_str!("../../profiles/quick.toml")),
    ("paper", include_str!("../../profiles/paper.toml")),
];

impl Profile {
    /// A built-in profile.
    ///
    /// # Errors
    /// An unknown name; the message lists the known ones.
    pub fn built_in(name: &str) -> Result<Self> {
        let Some((_, text)) = BUILT_IN.into_iter().find(|(known, _)| *known == name) else {
            let names = BUILT_IN.map(|(name, _)| name).join(", ");
            bail!("there is no profile {name:?}; the profiles are {names}");
        };
        Self::parse(text).with_context(|| format!("built-in profile {name}"))
    }

    /// Reads a profile from TOML.
    ///
    /// # Errors
    /// An unknown field, a missing one, or one that contradicts another.
    pub fn parse(text: &str) -> Result<Self> {
        let mut profile: Profile = toml::from_str(text)?;
        profile.resolve()?;
        profile.validate()?;
        Ok(profile)
    }

    /// Fills in what the profile leaves open: positions, rows like others, the
    /// rows of the studies.
    fn resolve(&mut self) -> Result<()> {
        let positions = *self.backbone.positions.get_or_insert(match self.compat {
            Compat::Paper => Positions::Zero,
            Compat::Fixed => Positions::Crop,
        });
        for row in &self.written {
            let resolved = row.resolve(&self.methods);
            let named = || format!("method {:?}", row.label);
            self.methods.push(resolved.with_context(named)?);
        }
        let usual = Usual {
            compat: self.compat,
            positions,
        };
        for study in &mut self.studies {
            let name = format!("study {:?}", study.name);
            study.expand(&mut self.methods, usual).context(name)?;
        }
        Ok(())
    }

    /// The method of a row.
    pub fn method(&self, label: &str) -> Option<&MethodSpec> {
        self.methods.iter().find(|method| method.label == label)
    }

    /// Checks what can be checked without data.
    ///
    /// # Errors
    /// A field that contradicts another or is out of range.
    pub(crate) fn validate(&self) -> Result<()> {
        ensure!(
            !self.tasks.is_empty(),
            "tasks: a profile needs at least one task"
        );
        let mut labels = BTreeSet::new();
        for method in &self.methods {
            ensure!(
                labels.insert(&method.label),
                "methods: {:?} stands twice",
                method.label
            );
            let pads = |positions| positions == Some(Positions::Pad);
            ensure!(
                method.positions.is_none()
                    || pads(method.positions) == pads(self.backbone.positions),
                "method {:?}: positions pad makes clips longer, which is so for all rows or for \
                 none: set it for the backbone, in a profile of its own",
                method.label
            );
            let named = || format!("method {:?}", method.label);
            method.validate().with_context(named)?;
        }
        self.adamw.validate()?;
        let mut names = BTreeSet::new();
        for task in &self.tasks {
            task.validate()?;
            ensure!(
                names.insert(&task.name),
                "tasks: {:?} stands twice",
                task.name
            );
            for label in &task.methods {
                ensure!(
                    labels.contains(label),
                    "task {:?}: no method has the label {label:?}",
                    task.name
                );
            }
        }
        self.validate_studies()?;
        published::check(&self.published)
    }

    /// Names of studies and tasks, and folds and seeds that the tasks have.
    fn validate_studies(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for study in &self.studies {
            let name = &study.name;
            ensure!(names.insert(name), "studies: {name:?} stands twice");
            for wanted in &study.tasks {
                ensure!(
                    self.tasks.iter().any(|task| task.name == *wanted),
                    "study {name:?}: there is no task {wanted:?} under tasks"
                );
            }
            for task in self.tasks.iter().filter(|task| study.covers(&task.name)) {
                let seeds = study.seeds.iter().flatten();
                let folds = study.folds.iter().flatten();
                let known = |fold: &usize| task.folds.as_ref().is_none_or(|all| all.contains(fold));
                ensure!(
                    seeds.clone().all(|seed| task.seeds.contains(seed)) && folds.clone().all(known),
                    "study {name:?}: a seed or fold is not one of the task {:?}, whose other rows \
                     it is compared with",
                    task.name
                );
            }
        }
        Ok(())
    }
}

impl TaskSpec {
    fn validate(&self) -> Result<()> {
        let name = &self.name;
        for (field, value) in [
            ("max_length", self.max_length),
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("train_clips_per_class", self.train_clips_per_class),
            ("test_clips_per_class", self.test_clips_per_class),
        ] {
            ensure!(
                value != Some(0),
                "task {name:?}: {field} must be at least 1"
            );
        }
        for field in ["learning_rate", "epochs", "batch", "seed", "augmentation"] {
            ensure!(
                !self.training.contains_key(field),
                "task {name:?}: training.{field} is given elsewhere: the rate in `methods`, \
                 epochs, batch, augmentation and seeds in the task itself"
            );
        }
        let folds = self.folds.as_deref();
        for (field, count) in [
            ("seeds", self.seeds.len()),
            ("methods", self.methods.len()),
            ("folds", folds.map_or(1, <[usize]>::len)),
        ] {
            ensure!(count > 0, "task {name:?}: {field} must name at least one");
        }
        let distinct = all_distinct(&self.seeds)
            && all_distinct(&self.methods)
            && folds.is_none_or(all_distinct);
        ensure!(
            distinct,
            "task {name:?}: a seed, fold or method stands twice; remove one"
        );
        Ok(())
    }
}

pub(super) fn all_distinct<T: Ord>(values: &[T]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

#[cfg(test)]
mod tests {
    use adapters::MethodConfig;

    use super::*;

    #[test]
    fn every_built_in_profile_is_valid_and_has_its_name() {
        for (name, _) in BUILT_IN {
            assert_eq!(Profile::built_in(name).unwrap().name, name);
        }
        assert!(
            Profile::built_in("quik")
                .unwrap_err()
                .to_string()
                .contains("quick")
        );
    }

    #[test]
    fn the_smoke_profile_runs_every_method_of_the_registry() {
        let profile = Profile::built_in("smoke").unwrap();
        for name in MethodConfig::names() {
            let label = &profile
                .methods
                .iter()
                .find(|m| m.config.name() == name)
                .unwrap()
                .label;
            assert!(
                profile
                    .tasks
                    .iter()
                    .any(|task| task.methods.contains(label)),
                "{name}"
            );
        }
    }

    #[test]
    fn settings_of_training_with_places_of_their_own_are_refused_elsewhere() {
        let good = include_str!("../../profiles/smoke.toml");
        let set = |text: &str| good.replacen("[[tasks]]\n", &format!("[[tasks]]\n{text}\n"), 1);
        let profile = Profile::parse(&set("training = { clip_norm = 1.0 }")).unwrap();
        assert_eq!(profile.tasks[0].training["clip_norm"], 1.0);
        let error = Profile::parse(&set("training = { epochs = 1 }")).unwrap_err();
        assert!(error.to_string().contains("training.epochs"), "{error}");
    }

    #[test]
    fn an_unknown_field_or_label_is_an_error() {
        let good = include_str!("../../profiles/smoke.toml");
        let error = Profile::parse(&good.replace("compat =", "kompat =")).unwrap_err();
        assert!(error.to_string().contains("kompat"), "{error}");
        let error = Profile::parse(&good.replacen("\"linear\"", "\"linera\"", 1)).unwrap_err();
        assert!(error.to_string().contains("line"), "{error}");
    }
}
