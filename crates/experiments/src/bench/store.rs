//! The results folder: one folder a run, a record in it once it is finished.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::plan::{Plan, Run};
use crate::atomic;
use crate::record::RunRecord;
use crate::run_folder::RunFolder;

/// `OUT/runs/ID/failure.json`: a run that was tried and can never succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The run.
    pub id: String,
    /// Task, method, fold and seed in words, and what happened.
    pub reason: String,
}

/// `OUT/runs/ID/{record.json, metrics.jsonl, adapter/}`, and `checkpoints/` until
/// the run is finished.
#[derive(Debug)]
pub struct Store {
    out: PathBuf,
}

impl Store {
    /// Makes the folders.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(out: &Path) -> Result<Self> {
        let store = Self::beside_others(out)?;
        for folder in [&store.out, &store.out.join("plots")] {
            remove_partial(folder);
        }
        Ok(store)
    }

    /// The same for a process beside others: reports that they are writing are left
    /// alone.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn beside_others(out: &Path) -> Result<Self> {
        let store = Store {
            out: out.to_owned(),
        };
        let runs = store.out.join("runs");
        fs::create_dir_all(&runs).with_context(|| {
            format!(
                "cannot make {}; choose another folder with --out",
                runs.display()
            )
        })?;
        Ok(store)
    }

    /// The results folder.
    pub fn folder(&self) -> &Path {
        &self.out
    }

    /// The folder of one run.
    pub fn run_folder(&self, id: &str) -> PathBuf {
        self.out.join("runs").join(id)
    }

    /// The folder of a run that begins or goes on, locked; what an unfinished
    /// run left there is removed, but for its checkpoints. Nothing where another
    /// process has finished the run in the meantime.
    ///
    /// # Errors
    /// When another process makes the run, or something cannot be removed.
    pub fn begin(&self, id: &str) -> Result<Option<RunFolder>> {
        let path = self.run_folder(id);
        let folder = RunFolder::open(&path)?;
        // Only now, under the lock, is the answer final.
        if self.has(id) {
            return Ok(None);
        }
        let clear = || -> std::io::Result<()> {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if entry.file_name() == "checkpoints" || entry.file_name() == "lock" {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        clear().with_context(|| {
            let path = path.display();
            format!("cannot remove the unfinished run {path}; remove it")
        })?;
        Ok(Some(folder))
    }

    /// Removes the checkpoints of a finished run, where a kill has left them.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn tidy(&self, id: &str) -> Result<()> {
        let path = self.run_folder(id);
        if path.join("checkpoints").is_dir() {
            RunFolder::open(&path)?.remove_checkpoints()?;
        }
        Ok(())
    }

    /// Whether a run is finished, with a record that can be read.
    pub fn has(&self, id: &str) -> bool {
        self.read(id).is_some()
    }

    /// The records of all finished runs of a plan, in its order. They are read
    /// from disk, so that the report is the same whoever made them; one that
    /// cannot be read counts as not finished.
    pub fn records(&self, plan: &Plan) -> Vec<RunRecord> {
        let finished = |run: &Run| self.read(&run.id);
        plan.runs.iter().filter_map(finished).collect()
    }

    /// Writes the record of a finished run: its appearance finishes the run.
    ///
    /// # Errors
    /// When it cannot be written, for example on a full disk.
    pub fn save(&self, record: &RunRecord) -> Result<()> {
        self.write(&record.id, "record.json", record)
    }

    /// Notes that a run can never succeed, and why. Starting it again removes the
    /// note.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_failure(&self, id: &str, reason: &str) -> Result<()> {
        let failure = Failure {
            id: id.to_owned(),
            reason: reason.to_owned(),
        };
        self.write(id, "failure.json", &failure)
    }

    /// Why a run can never succeed, where it was tried.
    pub fn failure(&self, id: &str) -> Option<Failure> {
        let text = fs::read_to_string(self.run_folder(id).join("failure.json")).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn write(&self, id: &str, name: &str, value: &impl Serialize) -> Result<()> {
        let folder = self.run_folder(id);
        let path = folder.join(name);
        let write = || -> Result<()> {
            fs::create_dir_all(&folder)?;
            let mut json = serde_json::to_vec_pretty(value)?;
            json.push(b'\n');
            atomic::replace(&path, &json)?;
            Ok(())
        };
        write().with_context(|| {
            format!(
                "cannot write {}; free some disk space and go on",
                path.display()
            )
        })
    }

    /// The record of a finished run, if it can be read.
    pub fn read(&self, id: &str) -> Option<RunRecord> {
        let text = fs::read_to_string(self.run_folder(id).join("record.json")).ok()?;
        let record: RunRecord = serde_json::from_str(&text).ok()?;
        (record.version == crate::record::RECORD_VERSION && record.id == id).then_some(record)
    }
}

/// Removes what a kill in the middle of writing a report has left in a folder.
/// What cannot be removed does no harm.
fn remove_partial(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".partial-") {
            let _ = fs::remove_file(entry.path());
        }
    }
}
