//! Settings for anyone's own sounds.

use serde::{Deserialize, Serialize};

/// How sounds without a manifest are read and divided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnOptions {
    /// Frames per clip; when left out, as many as the longest of 64 clips
    /// spread over the data set has, at most 1024.
    pub max_length: Option<usize>,
    /// Share of the clips to validate on, where the sounds come without a
    /// split. Default 0.2.
    pub validation: f64,
    /// Share of the clips to test on. Default 0.2.
    pub test: f64,
    /// Seed of that deal. Default 0.
    pub seed: u64,
    /// Names of the columns of a table.
    pub columns: Columns,
    /// Text between the labels of a clip, where clips of a table may have
    /// several, for example `;`. Default: one label a clip.
    pub separator: Option<String>,
    /// Groups that need not be kept together: `speaker`, `group`, `fold`, or
    /// `file` for pieces of recordings. Default none.
    pub allow_leaks: Vec<String>,
    /// Whether the sounds are only to be measured: one class will do, and so
    /// will any of the parts. Default no.
    pub measured_only: bool,
}

impl Default for OwnOptions {
    fn default() -> Self {
        Self {
            max_length: None,
            validation: 0.2,
            test: 0.2,
            seed: 0,
            columns: Columns::default(),
            separator: None,
            allow_leaks: Vec::new(),
            measured_only: false,
        }
    }
}

/// Names of the columns of a table. Only `path` and `label` must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Columns {
    /// The sound file, relative to the folder of the table.
    pub path: String,
    /// The label.
    pub label: String,
    /// The part: train, validation (valid, val, dev) or test (eval).
    pub split: String,
    /// The fold; each is tested in turn.
    pub fold: String,
    /// Who speaks; kept in one part.
    pub speaker: String,
    /// Anything else to keep in one part.
    pub group: String,
    /// Second at which the clip begins in the file.
    pub start: String,
    /// Second at which it ends.
    pub end: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            path: "path".to_owned(),
            label: "label".to_owned(),
            split: "split".to_owned(),
            fold: "fold".to_owned(),
            speaker: "speaker".to_owned(),
            group: "group".to_owned(),
            start: "start".to_owned(),
            end: "end".to_owned(),
        }
    }
}

impl Columns {
    /// What each is for, and its name.
    pub(super) fn all(&self) -> [(&'static str, &str); 8] {
        [
            ("path", &self.path),
            ("label", &self.label),
            ("split", &self.split),
            ("fold", &self.fold),
            ("speaker", &self.speaker),
            ("group", &self.group),
            ("start", &self.start),
            ("end", &self.end),
        ]
    }

    /// Those that do not have their usual names.
    pub(super) fn renamed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = self.all().into_iter();
        all.filter(|(purpose, name)| purpose != name)
    }
}
