//! What can go wrong with the folder of a run.

use std::path::{Path, PathBuf};

use ast_model::AstError;
use thiserror::Error;

/// Errors of run folders and checkpoints.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// A file or folder that cannot be read or written.
    #[error("{path}: {source}; check that the path is writable and that the disk has room", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process works in the folder.
    #[error("{path} is in use by another process; wait for it to end, or choose another folder", path = path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint that is not what was written.
    #[error("checkpoint {path} cannot be used ({reason}); remove it to start again from the beginning", path = path.display())]
    Damaged {
        /// Its manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint of a run with other settings.
    #[error("checkpoint {path} belongs to another run (its settings, clips or model differ: {found} instead of {expected}); choose another folder, or remove this one", path = path.display())]
    OtherRun {
        /// Its manifest.
        path: PathBuf,
        /// Identity of the run that asks.
        expected: String,
        /// Identity in the manifest.
        found: String,
    },
    /// A tensor file that cannot be read or written.
    #[error(transparent)]
    Tensors(#[from] AstError),
}

impl RunFolderError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| RunFolderError::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        RunFolderError::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
