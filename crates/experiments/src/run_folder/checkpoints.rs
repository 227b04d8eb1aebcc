//! Checkpoints: complete states of a run, of which one is always readable.
//!
//! ```text
//! checkpoints/
//!   step-0000000120.safetensors   everything that later steps depend on
//!   best-0000000080.safetensors   the weights that are the best so far
//!   step-0000000120.json          the manifest, written last: state, names,
//!                                 sizes and SHA-256 of both files
//! ```
//!
//! A checkpoint is there when its manifest is. Every file is written under
//! another name, synced to the disk and renamed; what an earlier manifest names
//! is removed only after the next one is there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ast_model::tensor_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::RunFolderError;
use crate::atomic;

/// Version of the layout of [`Manifest`].
const VERSION: u32 = 1;

/// What a checkpoint belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Hash of everything that decides the run's result.
    pub run: String,
    /// Number of threads libtorch computed with: with another number the run
    /// goes on, but sums may round differently.
    pub threads: usize,
}

/// The best weights so far, under the number of the step they were taken at.
#[derive(Debug)]
pub struct BestWeights<'a> {
    /// Steps made when they were taken. Weights of one step are written once.
    pub step: usize,
    /// Them, by name.
    pub tensors: Vec<(String, &'a Tensor)>,
}

/// A checkpoint that was found whole.
#[derive(Debug)]
pub struct Found<S> {
    /// The state as it was given to [`Checkpoints::save`].
    pub state: S,
    /// The tensors, by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// The best weights and their step.
    pub best: Option<(usize, BTreeMap<String, Tensor>)>,
    /// Whether it was made with another number of threads.
    pub other_threads: bool,
    /// Later checkpoints that cannot be used, each with the reason.
    pub skipped: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    name: String,
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest<S> {
    version: u32,
    identity: Identity,
    step: usize,
    state: S,
    tensors: FileEntry,
    best: Option<(usize, FileEntry)>,
}

/// The checkpoints of one run. Only one process may use a folder at a time; a
/// [`RunFolder`](super::RunFolder) sees to that.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    /// The best weights that are on the disk.
    best: RefCell<Option<(usize, FileEntry)>>,
}

impl Checkpoints {
    /// Checkpoints in `folder`, of which the last `keep` (at least 1) are kept,
    /// and the best weights that they name. What a killed process left half
    /// written is removed.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path, keep: usize) -> Result<Self, RunFolderError> {
        fs::create_dir_all(folder).map_err(RunFolderError::io(folder))?;
        let checkpoints = Checkpoints {
            folder: folder.to_owned(),
            keep: keep.max(1),
            best: RefCell::new(None),
        };
        checkpoints.sweep(usize::MAX)?;
        Ok(checkpoints)
    }

    /// Writes the state after `step` steps.
    ///
    /// # Errors
    /// When a file cannot be written; the earlier checkpoints stay then.
    pub fn save<S: Serialize>(
        &self,
        identity: &Identity,
        step: usize,
        state: &S,
        tensors: &[(String, &Tensor)],
        best: Option<&BestWeights>,
    ) -> Result<(), RunFolderError> {
        let best = match best {
            None => None,
            Some(best) => Some(self.write_best(best)?),
        };
        let manifest = Manifest {
            version: VERSION,
            identity: identity.clone(),
            step,
            state,
            tensors: self.write_tensors(&format!("step-{step:010}.safetensors"), tensors)?,
            best,
        };
        let path = self.manifest(step);
        serde_json::to_vec(&manifest)
            .map_err(std::io::Error::from)
            .and_then(|json| atomic::replace(&path, &json))
            .map_err(RunFolderError::io(&path))?;
        self.sweep(self.keep)
    }

    /// The last checkpoint that is whole; nothing where there is none.
    ///
    /// # Errors
    /// [`RunFolderError::OtherRun`] when it belongs to a run that differs in
    /// more than the number of threads; [`RunFolderError::Damaged`] when there
    /// are checkpoints and none of them can be used.
    pub fn latest<S: DeserializeOwned>(
        &self,
        identity: &Identity,
    ) -> Result<Option<Found<S>>, RunFolderError> {
        let mut damaged = None;
        let mut skipped = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match self.read(step, identity) {
                Ok(found) => return Ok(Some(Found { skipped, ..found })),
                Err(error @ RunFolderError::OtherRun { .. }) => return Err(error),
                Err(error) => {
                    skipped.push(error.to_string());
                    damaged.get_or_insert(error);
                }
            }
        }
        damaged.map_or(Ok(None), Err)
    }

    fn read<S: DeserializeOwned>(
        &self,
        step: usize,
        identity: &Identity,
    ) -> Result<Found<S>, RunFolderError> {
        let path = self.manifest(step);
        let manifest: Manifest<serde_json::Value> = read_manifest(&path)?;
        if manifest.version != VERSION {
            let reason = format!("its version is {}, not {VERSION}", manifest.version);
            return Err(RunFolderError::damaged(&path, reason));
        }
        if manifest.identity.run != identity.run {
            return Err(RunFolderError::OtherRun {
                path,
                expected: identity.run.clone(),
                found: manifest.identity.run,
            });
        }
        let state = serde_json::from_value(manifest.state)
            .map_err(|error| RunFolderError::damaged(&path, error.to_string()))?;
        let tensors = self.read_tensors(&path, &manifest.tensors)?;
        let best = match &manifest.best {
            None => None,
            Some((step, entry)) => Some((*step, self.read_tensors(&path, entry)?)),
        };
        *self.best.borrow_mut() = manifest.best;
        Ok(Found {
            state,
            tensors,
            best,
            other_threads: manifest.identity.threads != identity.threads,
            skipped: Vec::new(),
        })
    }

    fn write_best(&self, best: &BestWeights) -> Result<(usize, FileEntry), RunFolderError> {
        if let Some(written) = self.best.borrow().as_ref()
            && written.0 == best.step
        {
            return Ok(written.clone());
        }
        let name = format!("best-{:010}.safetensors", best.step);
        let written = (best.step, self.write_tensors(&name, &best.tensors)?);
        *self.best.borrow_mut() = Some(written.clone());
        Ok(written)
    }

    fn write_tensors(
        &self,
        name: &str,
        tensors: &[(String, &Tensor)],
    ) -> Result<FileEntry, RunFolderError> {
        let path = self.folder.join(name);
        let named = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), *tensor));
        tensor_file::write(&path, named)?;
        let (bytes, sha256) = digest(&path).map_err(RunFolderError::io(&path))?;
        Ok(FileEntry {
            name: name.to_owned(),
            bytes,
            sha256,
        })
    }

    fn read_tensors(
        &self,
        manifest: &Path,
        entry: &FileEntry,
    ) -> Result<BTreeMap<String, Tensor>, RunFolderError> {
        let path = self.folder.join(&entry.name);
        let (bytes, sha256) = digest(&path).map_err(RunFolderError::io(&path))?;
        if (bytes, &sha256) != (entry.bytes, &entry.sha256) {
            let reason = format!("{} was changed or cut after it was written", entry.name);
            return Err(RunFolderError::damaged(manifest, reason));
        }
        Ok(tensor_file::read(&path)?)
    }

    fn manifest(&self, step: usize) -> PathBuf {
        self.folder.join(format!("step-{step:010}.json"))
    }

    /// Steps that have a manifest, in order.
    fn steps(&self) -> Result<Vec<usize>, RunFolderError> {
        let mut steps = Vec::new();
        for name in self.names()? {
            let number = name
                .strip_prefix("step-")
                .and_then(|rest| rest.strip_suffix(".json"));
            steps.extend(number.and_then(|number| number.parse::<usize>().ok()));
        }
        steps.sort_unstable();
        Ok(steps)
    }

    fn names(&self) -> Result<Vec<String>, RunFolderError> {
        let failed = || RunFolderError::io(&self.folder);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            names.push(name.to_string_lossy().into_owned());
        }
        Ok(names)
    }

    /// Removes all checkpoints but the last `keep`, manifests first, and then
    /// every file of ours that no manifest names.
    fn sweep(&self, keep: usize) -> Result<(), RunFolderError> {
        let steps = self.steps()?;
        let (old, kept) = steps.split_at(steps.len().saturating_sub(keep));
        for &step in old {
            remove(&self.manifest(step))?;
        }
        let mut named = BTreeSet::new();
        for &step in kept {
            let path = self.manifest(step);
            // A manifest that cannot be read is for `latest` to report; until
            // then nothing is removed that it may name.
            let Ok(manifest) = read_manifest::<serde_json::Value>(&path) else {
                return Ok(());
            };
            named.insert(manifest.tensors.name);
            named.extend(manifest.best.map(|(_, entry)| entry.name));
        }
        for name in self.names()? {
            let ours = ["step-", "best-", ".partial-"];
            let ours = ours.iter().any(|start| name.starts_with(start));
            if ours && !name.ends_with(".json") && !named.contains(&name) {
                remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn read_manifest<S: DeserializeOwned>(path: &Path) -> Result<Manifest<S>, RunFolderError> {
    let text = fs::read(path).map_err(RunFolderError::io(path))?;
    serde_json::from_slice(&text).map_err(|error| RunFolderError::damaged(path, error.to_string()))
}

fn remove(path: &Path) -> Result<(), RunFolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunFolderError::io(path)(error))
        }
        _ => Ok(()),
    }
}

/// Size and SHA-256 of a file.
fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut file = fs::File::open(path)?;
    let mut block = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            break;
        }
        bytes += length as u64;
        hash.update(&block[..length]);
    }
    let hex = hash.finalize();
    Ok((
        bytes,
        hex.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}
