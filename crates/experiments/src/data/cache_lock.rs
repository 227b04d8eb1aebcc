//! One process at a time builds a cache file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// How the name of a file begins that is not finished.
pub(super) fn partial_prefix(stem: &str) -> String {
    format!(".{stem}.partial-")
}

/// Removes what builders that were killed left behind.
pub(super) fn remove_leftovers(folder: &Path, stem: &str) {
    let prefix = partial_prefix(stem);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // What cannot be removed only takes space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Held while a file is built; freed when dropped, also when the process is
/// killed.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// Whether it is sure that no other process builds the file.
    pub(super) alone: bool,
}

impl Lock {
    /// Waits until no other process builds `stem` in `folder`.
    pub(super) fn acquire(folder: &Path, stem: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(format!(".{stem}.lock"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        let alone = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => file.lock().is_ok(),
            // Some network file systems know no locks. The rename at the end
            // still keeps the file whole, so going on is safe.
            Err(TryLockError::Error(_)) => false,
        };
        Ok(Self { file, path, alone })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed before it is freed: who waited for this one finds the
        // features built. Somebody who comes now makes a new one and finds
        // them built too.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}
