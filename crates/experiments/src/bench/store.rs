//! The results folder: one folder a run, a record in it once it is finished.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::plan::{Plan, Run};
use crate::atomic;
use crate::record::RunRecord;
use crate::run_folder::RunFolder;

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
        for folder in [&store.out, &store.out.join("plots")] {
            remove_partial(folder);
        }
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
    /// run left there is removed, but for its checkpoints.
    ///
    /// # Errors
    /// When another process makes the run, or something cannot be removed.
    pub fn begin(&self, id: &str) -> Result<RunFolder> {
        let path = self.run_folder(id);
        let folder = RunFolder::open(&path)?;
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
        Ok(folder)
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
        let folder = self.run_folder(&record.id);
        let path = folder.join("record.json");
        let write = || -> Result<()> {
            fs::create_dir_all(&folder)?;
            let mut json = serde_json::to_vec_pretty(record)?;
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

    fn read(&self, id: &str) -> Option<RunRecord> {
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
