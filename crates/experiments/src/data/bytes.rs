//! Bytes that are read from any thread: in memory, or a file mapped into it.

use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Bytes {
    /// In memory of their own.
    Memory(Vec<u8>),
    /// In a file that the system reads when a page is first used and may drop
    /// again: it counts as the system's file cache. libtorch does the mapping,
    /// as for checkpoints; the lock is held only to take another handle, never
    /// while bytes are copied or read from the disk.
    Mapped(Mutex<Tensor>),
}

impl Bytes {
    /// The file at `path`, mapped, or read where it cannot be mapped: on
    /// Windows, where a mapped file could not be replaced, and for paths that
    /// are no UTF-8.
    ///
    /// Replacing the file by renaming another onto it is safe. It must not be
    /// written or cut in place while in use.
    ///
    /// # Errors
    /// What the system says when the file cannot be read.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let size = std::fs::metadata(path)?.len();
        match map(path, size) {
            Some(mapping) => Ok(Self::Mapped(Mutex::new(mapping))),
            None => Ok(Self::Memory(std::fs::read(path)?)),
        }
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Mapped(mapping) => handle(mapping).numel(),
        }
    }

    /// Whether the bytes are a mapped file.
    pub(super) fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapped(_))
    }

    /// Hands the bytes of `range` to `read`.
    ///
    /// # Panics
    /// As a slice does, when the range does not lie within the bytes.
    pub(super) fn with<T>(&self, range: Range<usize>, read: impl FnOnce(&[u8]) -> T) -> T {
        let mapping = match self {
            Self::Memory(bytes) => return read(&bytes[range]),
            Self::Mapped(mapping) => handle(mapping),
        };
        let mut bytes = vec![0; range.len()];
        let part = mapping.narrow(0, range.start as i64, range.len() as i64);
        part.copy_data_u8(&mut bytes, range.len());
        read(&bytes)
    }
}

/// A handle of its own on the mapping. A thread that panicked leaves the
/// mapping as it was, so a poisoned lock is as good as another.
fn handle(mapping: &Mutex<Tensor>) -> Tensor {
    let mapping = mapping.lock().unwrap_or_else(PoisonError::into_inner);
    mapping.shallow_clone()
}

fn map(path: &Path, size: u64) -> Option<Tensor> {
    if cfg!(windows) || size == 0 {
        return None;
    }
    let size = i64::try_from(size).ok()?;
    Tensor::f_from_file(path.to_str()?, false, size, (Kind::Uint8, Device::Cpu)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_reads_as_what_was_written_from_many_threads_at_once() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("bytes");
        let written: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &written).expect("written");
        let bytes = Bytes::open(&path).expect("opened");
        assert_eq!(bytes.len(), written.len());
        assert_eq!(bytes.is_mapped(), cfg!(not(windows)));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (bytes, written) = (&bytes, &written);
                scope.spawn(move || {
                    for start in (thread * 100..90_000).step_by(997) {
                        let range = start..start + 1_001;
                        let same = |read: &[u8]| read == &written[range.clone()];
                        assert!(bytes.with(range.clone(), same));
                    }
                });
            }
        });
    }

    #[test]
    fn an_empty_file_has_no_bytes_and_a_missing_one_is_an_error() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("bytes");
        assert!(Bytes::open(&path).is_err());
        std::fs::write(&path, b"").expect("written");
        assert_eq!(Bytes::open(&path).expect("opened").len(), 0);
    }

    #[test]
    fn a_file_replaced_by_renaming_keeps_its_old_bytes_for_those_who_have_it_open() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, b"old bytes").expect("written");
        std::fs::write(&other, b"new").expect("written");
        let bytes = Bytes::open(&path).expect("opened");
        std::fs::rename(&other, &path).expect("renamed");
        assert!(bytes.with(0..9, |read| read == b"old bytes"));
    }
}
