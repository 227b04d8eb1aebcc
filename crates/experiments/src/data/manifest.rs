//! The manifest of a data set: one TOML file that says what the data set is,
//! which files are its clips, what their labels are and how they are split.
//!
//! Everything a data set needs is in its manifest: adding a data set is adding
//! a file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use audio_frontend::{Channels, SpecAugment};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::layout::LayoutSpec;
use super::leaks::LeakSpec;
use super::protocol::ValidationRule;
use super::split_spec::SplitSpec;
use super::template::Template;
use super::toml_error::explain;

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
    /// How the folder tells what its clips are; every file that matches
    /// `clips.pattern` when left out.
    #[serde(default, skip_serializing_if = "LayoutSpec::is_files")]
    pub layout: LayoutSpec,
    /// Which files are clips.
    #[serde(default)]
    pub clips: ClipSpec,
    /// What the label of a clip is.
    pub label: LabelSpec,
    /// How clips are divided into training, validation and test parts.
    pub split: SplitSpec,
    /// Which groups must not stand in two parts, and known exceptions.
    #[serde(default, skip_serializing_if = "LeakSpec::is_default")]
    pub leaks: LeakSpec,
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSpec {
    /// Regular expression over the path relative to the folder, with forward
    /// slashes. Its named groups become the groups of the clip; a group that
    /// takes no part in the match has the value "". Left out where the layout
    /// names the files.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pattern: String,
    /// Regular expression over the same path; files that match are no clips.
    #[serde(default)]
    pub exclude: Option<String>,
    /// Use a file that ends early, or does not state its length, up to where it
    /// ends ([`DecodeConfig::allow_truncated`](audio_frontend::DecodeConfig)).
    /// Default false: such a file is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_truncated: bool,
    /// How many clips there must be after everything is left out.
    #[serde(default)]
    pub count: Option<usize>,
    /// Further groups put together from others: the text with `{name}`
    /// replaced by the value of that group, for example
    /// `speaker = "{session}{gender}"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub derive: BTreeMap<String, String>,
}

/// What the label of a clip is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSpec {
    /// The group that holds the label.
    pub group: String,
    /// Text between the labels of a clip, where clips may have several, for
    /// example `;`. One label a clip when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
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
    /// What a run with `compat = paper` validates on, where the paper's authors
    /// do not hold anything out: `test-part`. All other runs hold out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper_validation: Option<ValidationRule>,
    /// Masks on training clips; off when left out.
    #[serde(default, skip_serializing_if = "is_off")]
    pub spec_augment: SpecAugment,
}

fn is_off(masks: &SpecAugment) -> bool {
    *masks == SpecAugment::default()
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
        let groups = self.groups()?;
        self.label.validate(&groups)?;
        self.split.validate(&groups)?;
        self.leaks.validate(&groups)?;
        self.defaults.validate()
    }
}

impl Manifest {
    /// Names of all groups that clips have, after layout, pattern and templates
    /// were found to fit each other.
    fn groups(&self) -> Result<BTreeSet<String>, String> {
        let mut groups = self.clips.validate()?;
        match (self.layout.names_files(), self.clips.pattern.is_empty()) {
            (false, true) => {
                return Err("`clips.pattern` is missing; write one, or a `[layout]` whose files name the clips".to_owned());
            }
            (true, false) => {
                return Err("`clips.pattern` is not used where the layout names the clips; remove it, or use `clips.exclude`".to_owned());
            }
            _ => {}
        }
        self.layout.validate(&mut groups)?;
        let mut derived = groups.clone();
        for (name, text) in &self.clips.derive {
            let template = Template::parse("clips.derive", text)?;
            template.needs("clips.derive", &groups)?;
            if !derived.insert(name.clone()) {
                return Err(format!(
                    "`clips.derive` makes a group `{name}` that there is already; give it another name"
                ));
            }
        }
        Ok(derived)
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

impl ClassSpec {
    /// Whether `value` means this class.
    pub(super) fn has(&self, value: &str) -> bool {
        self.values.iter().any(|own| own == value)
    }
}

impl LabelSpec {
    /// The labels in a value of the group: one, or those between separators.
    pub(super) fn of<'a>(&self, value: &'a str) -> Vec<&'a str> {
        match &self.separator {
            None => vec![value],
            Some(separator) => value
                .split(separator.as_str())
                .map(str::trim)
                .filter(|label| !label.is_empty())
                .collect(),
        }
    }

    fn validate(&self, groups: &BTreeSet<String>) -> Result<(), String> {
        known_group("label.group", &self.group, groups)?;
        if self.separator.as_deref() == Some("") {
            return Err("`label.separator` is empty; write for example `;`".to_owned());
        }
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

pub(super) fn compile(field: &str, pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("`{field}` is no regular expression: {error}"))
}

pub(super) fn known_group(
    field: &str,
    group: &str,
    groups: &BTreeSet<String>,
) -> Result<(), String> {
    if groups.contains(group) {
        return Ok(());
    }
    let known: Vec<&str> = groups.iter().map(String::as_str).collect();
    Err(format!(
        "`{field}` is `{group}`, but clips have only these groups: {}",
        known.join(", ")
    ))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
