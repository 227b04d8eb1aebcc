//! The manifest of a data set: one TOML file that says what the data set is,
//! which files are its clips, what their labels are and how they are split.
//!
//! Everything a data set needs is in its manifest: adding a data set is adding
//! a file.

use std::collections::BTreeSet;
use std::path::Path;

use audio_frontend::Channels;
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::toml_error::explain;

/// Most folds of a split.
const MAX_FOLDS: usize = 1000;

/// One data set, as written in `datasets/<name>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name: lower-case letters, digits and hyphens.
    pub name: String,
    /// What the task is, in one line.
    pub title: String,
    /// Licence of the recordings in one line.
    pub licence: String,
    /// What a reader of the results must know about the data.
    pub caveat: String,
    /// Licence and author of each part, where they differ.
    #[serde(default)]
    pub parts: Vec<PartNote>,
    /// Where to fetch it from; read by the fetching program only.
    #[serde(default)]
    pub source: toml::Table,
    /// Which files are clips.
    pub clips: ClipSpec,
    /// What the label of a clip is.
    pub label: LabelSpec,
    /// How clips are divided into training, validation and test parts.
    pub split: SplitSpec,
    /// Settings a run uses unless told otherwise.
    pub defaults: Defaults,
}

/// Licence and author of one part of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartNote {
    /// Which files, in words or as a path pattern.
    pub files: String,
    /// Who made them.
    pub author: String,
    /// Their licence.
    pub licence: String,
}

/// Which files of the folder are clips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSpec {
    /// Regular expression over the path relative to the folder, with forward
    /// slashes. Its named groups become the groups of the clip; a group that
    /// takes no part in the match has the value "".
    pub pattern: String,
    /// Regular expression over the same path; files that match are no clips.
    #[serde(default)]
    pub exclude: Option<String>,
    /// How many clips there must be after everything is left out.
    #[serde(default)]
    pub count: Option<usize>,
}

/// What the label of a clip is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSpec {
    /// The named group of the pattern that holds the label.
    pub group: String,
    /// Values of that group whose clips are left out.
    #[serde(default)]
    pub leave_out: Vec<String>,
    /// The C classes; class k is the k-th of the list.
    pub classes: Vec<ClassSpec>,
}

/// One class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSpec {
    /// Name shown in tables.
    pub name: String,
    /// Values of the label group that mean this class.
    pub values: Vec<String>,
}

/// How clips are divided into parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SplitSpec {
    /// One fold per value of `test_group`: the clips of that value are tested,
    /// all others train. From those, whole values of `validation_group` are
    /// split off for validation.
    LeaveOneGroupOut {
        /// Group whose values are left out in turn, for example `voice`.
        test_group: String,
        /// Group no value of which is both in training and validation.
        validation_group: String,
        /// Share of the values of `validation_group` used for validation,
        /// above 0 and below 1.
        validation_fraction: f64,
        /// Seed of the choice.
        #[serde(default)]
        seed: u64,
    },
    /// The values of `group` are dealt into `folds` buckets; fold i tests
    /// bucket i, validates on bucket i + 1 and trains on the others.
    GroupKFold {
        /// Group no value of which is in two parts, for example `speaker`.
        group: String,
        /// Number of buckets and of folds: 3 to 1000, and no more than `group`
        /// has values.
        folds: usize,
        /// Seed of the deal.
        #[serde(default)]
        seed: u64,
        /// Further test parts made of clips that are never trained on.
        #[serde(default)]
        extra: Vec<ExtraSpec>,
    },
    /// One fold per value of `order`: fold i tests the clips whose value of
    /// `group` is the i-th, validates on those of the value before it (for the
    /// first fold: of the last value) and trains on all others. Meant for data
    /// sets that come with folds, whose runs have an order of their own.
    GroupRotation {
        /// Group whose values take turns, for example `fold`.
        group: String,
        /// Every value of that group once, at least 3, in the order in which
        /// they are tested.
        order: Vec<String>,
    },
}

/// A further test part: clips that stand in no other part. Fold i tests those
/// whose value of the split's `group` falls into bucket i, so that nothing of
/// what they say was trained or validated on, and every one of them is tested
/// in exactly one fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraSpec {
    /// Name in the results.
    pub name: String,
    /// Group that tells these clips from the others.
    pub group: String,
    /// Values of that group that belong to this part.
    pub values: Vec<String>,
}

/// Settings a run uses unless told otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Frames per clip (10 ms each); longer clips are cut, shorter padded.
    pub max_length: usize,
    /// Clips per training step.
    pub batch: usize,
    /// Passes over the training part.
    pub epochs: usize,
    /// Which channels a run with `compat = paper` takes, where the paper's
    /// authors do not mix them down: `first`. All other runs mix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper_channels: Option<Channels>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// The file cannot be read, is no valid TOML, has an unknown field (the
    /// error names the nearest known one) or contradicts itself.
    pub fn load(file: &Path) -> Result<Self, DataError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| DataError::ManifestUnreadable {
                file: file.to_path_buf(),
                source,
            })?;
        Self::parse(&text, file)
    }

    /// Reads a manifest from `text`; `file` only serves error messages.
    ///
    /// # Errors
    /// As [`Manifest::load`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, DataError> {
        let manifest: Self = toml::from_str(text).map_err(|error| explain(&error, text, file))?;
        manifest
            .validate()
            .map_err(|message| DataError::contradiction(file, message))?;
        Ok(manifest)
    }

    /// Display names of the C classes in order.
    pub fn class_names(&self) -> Vec<&str> {
        let classes = self.label.classes.iter();
        classes.map(|class| class.name.as_str()).collect()
    }

    /// Checks that the parts of the manifest fit each other.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to write instead.
    pub fn validate(&self) -> Result<(), String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(named) {
            return Err(format!(
                "`name` is `{}`; use lower-case letters, digits and hyphens",
                self.name
            ));
        }
        let groups = self.clips.validate()?;
        self.label.validate(&groups)?;
        self.split.validate(&groups)?;
        self.defaults.validate()
    }
}

impl ClipSpec {
    /// Checks both expressions and returns the names of the pattern's groups.
    fn validate(&self) -> Result<BTreeSet<String>, String> {
        let pattern = compile("clips.pattern", &self.pattern)?;
        if let Some(exclude) = &self.exclude {
            compile("clips.exclude", exclude)?;
        }
        if self.count == Some(0) {
            return Err("`clips.count` is 0; write the number of clips or leave it out".to_owned());
        }
        let names = pattern.capture_names().flatten();
        Ok(names.map(str::to_owned).collect())
    }
}

impl LabelSpec {
    fn validate(&self, groups: &BTreeSet<String>) -> Result<(), String> {
        known_group("label.group", &self.group, groups)?;
        if self.classes.len() < 2 {
            return Err(format!(
                "`label.classes` has {} entries; a task needs at least 2",
                self.classes.len()
            ));
        }
        let mut names = BTreeSet::new();
        let mut values: BTreeSet<&str> = self.leave_out.iter().map(String::as_str).collect();
        for class in &self.classes {
            if !names.insert(&class.name) {
                return Err(format!(
                    "two classes are named `{}`; rename one",
                    class.name
                ));
            }
            if class.values.is_empty() {
                return Err(format!(
                    "class `{}` has no `values`; list the values of group `{}` that mean it",
                    class.name, self.group
                ));
            }
            for value in &class.values {
                if !values.insert(value) {
                    return Err(format!(
                        "label value `{value}` is claimed twice (class `{}` is one); keep it in one class or in `leave_out`",
                        class.name
                    ));
                }
            }
        }
        Ok(())
    }
}

impl SplitSpec {
    fn validate(&self, groups: &BTreeSet<String>) -> Result<(), String> {
        match self {
            Self::LeaveOneGroupOut {
                test_group,
                validation_group,
                validation_fraction,
                seed: _,
            } => {
                known_group("split.test_group", test_group, groups)?;
                known_group("split.validation_group", validation_group, groups)?;
                // Written so that NaN is refused too.
                if !(*validation_fraction > 0.0 && *validation_fraction < 1.0) {
                    return Err(format!(
                        "`split.validation_fraction` is {validation_fraction}; use a number above 0 and below 1"
                    ));
                }
                Ok(())
            }
            Self::GroupKFold {
                group,
                folds,
                seed: _,
                extra,
            } => {
                known_group("split.group", group, groups)?;
                if *folds < 3 {
                    return Err(format!(
                        "`split.folds` is {folds}; training, validation and test need at least 3"
                    ));
                }
                if *folds > MAX_FOLDS {
                    return Err(format!(
                        "`split.folds` is {folds}; every fold is a training of its own, use at most {MAX_FOLDS}"
                    ));
                }
                let mut names = BTreeSet::new();
                for part in extra {
                    known_group("split.extra.group", &part.group, groups)?;
                    if part.values.is_empty() || !names.insert(&part.name) {
                        return Err(format!(
                            "extra part `{}` has no `values` or the name of another one; give it both",
                            part.name
                        ));
                    }
                }
                Ok(())
            }
            Self::GroupRotation { group, order } => {
                known_group("split.group", group, groups)?;
                let mut seen = BTreeSet::new();
                if let Some(twice) = order.iter().find(|value| !seen.insert(*value)) {
                    return Err(format!(
                        "`split.order` has `{twice}` twice; list every value of `{group}` once"
                    ));
                }
                if order.len() < 3 {
                    return Err(format!(
                        "`split.order` has {} values; training, validation and test need at least 3",
                        order.len()
                    ));
                }
                Ok(())
            }
        }
    }
}

impl Defaults {
    fn validate(&self) -> Result<(), String> {
        let fields = [
            ("max_length", self.max_length),
            ("batch", self.batch),
            ("epochs", self.epochs),
        ];
        match fields.iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => Err(format!("`defaults.{field}` is 0; use 1 or more")),
            None => Ok(()),
        }
    }
}

fn compile(field: &str, pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("`{field}` is no regular expression: {error}"))
}

fn known_group(field: &str, group: &str, groups: &BTreeSet<String>) -> Result<(), String> {
    if groups.contains(group) {
        return Ok(());
    }
    let known: Vec<&str> = groups.iter().map(String::as_str).collect();
    Err(format!(
        "`{field}` is `{group}`, but `clips.pattern` names only these groups: {}",
        known.join(", ")
    ))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
