//! The folder of one run: resolved configuration, metrics, checkpoints, and
//! later the adapter. One process works in it at a time, and a kill at any
//! instant leaves the previous state readable.
//!
//! ```text
//! RUN/
//!   lock                       empty; held while a process works here
//!   config.json                the resolved configuration
//!   environment.json           the machine and the versions
//!   metrics.jsonl              one line an epoch
//!   tensorboard/               event files, where asked for
//!   checkpoints/               see `Checkpoints`
//!   adapter/                   the result
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::atomic;

mod checkpoints;
mod error;

pub use checkpoints::{BestWeights, Checkpoints, Found, Identity};
pub use error::RunFolderError;

/// A run folder that this process alone works in, until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held for its lock, which the system gives back when the process ends,
    /// however it ends.
    _lock: File,
}

impl RunFolder {
    /// Makes the folder where it is missing and locks it.
    ///
    /// # Errors
    /// [`RunFolderError::Busy`] while another process has it, or when it cannot
    /// be made.
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        fs::create_dir_all(path).map_err(RunFolderError::io(path))?;
        let name = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(RunFolderError::io(&name))?;
        match lock.try_lock() {
            Ok(()) => Ok(RunFolder {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(RunFolderError::Busy {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(RunFolderError::io(&name)(source)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its checkpoints, of which the last `keep` are kept.
    ///
    /// # Errors
    /// When the folder for them cannot be made or read.
    pub fn checkpoints(&self, keep: usize) -> Result<Checkpoints, RunFolderError> {
        Checkpoints::open(&self.path.join("checkpoints"), keep)
    }

    /// Removes all checkpoints, once the run has its result.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn remove_checkpoints(&self) -> Result<(), RunFolderError> {
        let path = self.path.join("checkpoints");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RunFolderError::io(&path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes a value as indented JSON, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunFolderError> {
        let path = self.path.join(name);
        let json = serde_json::to_vec_pretty(value).map_err(std::io::Error::from);
        let json = json.map(|mut json| {
            json.push(b'\n');
            json
        });
        json.and_then(|json| atomic::replace(&path, &json))
            .map_err(RunFolderError::io(&path))
    }

    /// Writes values as JSON lines, whole or not at all. The lines of all epochs
    /// are written again after each: there are few, and a kill between a
    /// checkpoint and a line can then neither lose nor repeat one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_lines(&self, name: &str, values: &[impl Serialize]) -> Result<(), RunFolderError> {
        let path = self.path.join(name);
        let mut text = Vec::new();
        let lines = values.iter().try_for_each(|value| {
            serde_json::to_writer(&mut text, value)?;
            text.push(b'\n');
            Ok::<(), serde_json::Error>(())
        });
        lines
            .map_err(std::io::Error::from)
            .and_then(|()| atomic::replace(&path, &text))
            .map_err(RunFolderError::io(&path))
    }
}

#[cfg(test)]
mod tests;
