//! What the scores of an adapter mean: `task.json` in its folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::training::Objective;

/// Its name.
const TASK: &str = "task.json";

/// What an adapter was trained to tell. Only adapters of clips with several
/// labels have the file; without it a clip has one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// What was minimised: with binary cross-entropy the probability of a class
    /// is σ(z), whatever the others are, else softmax(z).
    pub objective: Objective,
}

impl Task {
    /// That of the adapter in `folder`.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let path = folder.join(TASK);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| {
            let path = path.display();
            format!("{path} cannot be read; take the whole adapter folder from where it was made")
        })
    }

    /// Puts it beside the adapter in `folder`, which is made where there is
    /// none yet.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(self, folder: &Path) -> Result<()> {
        if self == Self::default() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&self)?;
        let told = || format!("cannot write into {}", folder.display());
        fs::create_dir_all(folder).with_context(told)?;
        atomic::replace(&folder.join(TASK), &text).with_context(told)
    }

    /// Whether a clip may have several classes.
    pub fn several(self) -> bool {
        self.objective == Objective::BinaryCrossEntropy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_adapters_of_several_labels_have_the_file() {
        let folder = tempfile::tempdir().unwrap();
        Task::default().write(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(!Task::of(folder.path()).unwrap().several());
        let several = Task {
            objective: Objective::BinaryCrossEntropy,
        };
        several.write(folder.path()).unwrap();
        assert_eq!(Task::of(folder.path()).unwrap(), several);
        fs::write(folder.path().join(TASK), "{}").unwrap();
        assert!(Task::of(folder.path()).is_err());
    }
}
