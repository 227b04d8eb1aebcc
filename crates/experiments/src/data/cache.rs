//! Features of a data set in one file, so that a second run need not compute
//! them again, nor hold them in memory.
//!
//! Layout, little-endian: 8 bytes magic with version; 32 bytes key; u64 clips,
//! max_length and F; f32 value of padding; u32 bytes of a value; 32 bytes
//! SHA-256 of all this and of the index; the index, for each clip u32 frames
//! and the first 8 bytes of the SHA-256 of its values; then the values of all
//! clips, [frames, F] each, without padding.
//!
//! The file is written under another name and then renamed, so that it is
//! complete or absent. A lock makes a second process that wants the same
//! features wait for the first; where the file system knows no locks both
//! compute them, and the last rename wins. Opening checks length, header,
//! index and the checksum of every clip.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::bytes::Bytes;
use super::cache_lock::{Lock, partial_prefix, remove_leftovers};
use super::compute::Encoded;
use super::error::DataError;
use super::features::{FeatureShape, Features, reserve};
use super::{Hash, hex};

/// Changes with the layout and with the arithmetic of the front end, so that
/// files of another version are built anew.
const MAGIC: &[u8; 8] = b"ASTFEAT2";
/// Bytes before the index.
pub(super) const HEADER: usize = 8 + 32 + 3 * 8 + 2 * 4 + 32;
/// Bytes of one clip in the index.
const ENTRY: usize = 4 + 8;

/// Computes all clips and gives them to the function in order; may be called
/// more than once.
pub(super) type Build<'a> =
    dyn Fn(&mut dyn FnMut(Encoded) -> Result<(), DataError>) -> Result<(), DataError> + 'a;

/// What became of the feature cache in one call; the note is for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheUse {
    /// No cache was asked for.
    Off,
    /// The features lie in a file that was there, or that another process made
    /// in the meantime.
    Hit,
    /// There was no file; it was written.
    Built,
    /// There was a damaged file, computed and written again. Says what was wrong.
    Rebuilt(String),
    /// The features are good but could not be stored. Says why and what to do.
    NotStored(String),
}

impl CacheUse {
    /// What a user should know, if anything.
    pub fn note(&self) -> Option<&str> {
        match self {
            Self::Off | Self::Hit | Self::Built => None,
            Self::Rebuilt(note) | Self::NotStored(note) => Some(note),
        }
    }
}

/// What a cache file was computed from.
#[derive(Debug, Clone)]
pub(super) struct Key {
    hash: Hash,
    clips: usize,
    shape: FeatureShape,
}

impl Key {
    /// The key for sounds with these hashes, in this order, and these settings.
    pub(super) fn new(sounds: &[Hash], settings: &str, shape: FeatureShape) -> Self {
        let mut hash = Sha256::new();
        hash.update((settings.len() as u64).to_le_bytes());
        hash.update(settings.as_bytes());
        hash.update((shape.max_length as u64).to_le_bytes());
        hash.update((shape.bins as u64).to_le_bytes());
        hash.update((shape.format.bytes() as u64).to_le_bytes());
        for sound in sounds {
            hash.update(sound);
        }
        Self {
            hash: hash.finalize().into(),
            clips: sounds.len(),
            shape,
        }
    }

    /// Name of the cache file of data set `name`, without its ending.
    fn stem(&self, name: &str) -> String {
        format!("{name}-{}", hex(&self.hash[..8]))
    }

    /// Path of the cache file of data set `name` in `folder`.
    pub(super) fn path(&self, folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{}.features", self.stem(name)))
    }

    /// Byte at which the values begin.
    fn start(&self) -> usize {
        HEADER + ENTRY * self.clips
    }

    /// All that stands before the values.
    fn head(&self, index: &[u8]) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEADER + index.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&self.hash);
        for size in [self.clips, self.shape.max_length, self.shape.bins] {
            head.extend_from_slice(&(size as u64).to_le_bytes());
        }
        head.extend_from_slice(&self.shape.padding.to_le_bytes());
        head.extend_from_slice(&(self.shape.format.bytes() as u32).to_le_bytes());
        let checksum = Sha256::new().chain_update(&head).chain_update(index);
        head.extend_from_slice(&checksum.finalize());
        head.extend_from_slice(index);
        head
    }
}

/// The features under `key` from `folder`, else from `build`, then stored.
pub(super) fn load_or_build(
    folder: &Path,
    name: &str,
    key: &Key,
    build: &Build<'_>,
) -> Result<(Features, CacheUse), DataError> {
    let path = key.path(folder, name);
    if let Ok(features) = load(&path, key) {
        return Ok((features, CacheUse::Hit));
    }
    let lock = Lock::acquire(folder, &key.stem(name));
    // Another process may have built it while this one waited.
    let damage = match load(&path, key) {
        Ok(features) => return Ok((features, CacheUse::Hit)),
        Err(Fault::Absent) => None,
        Err(Fault::Damaged(what)) => Some(format!(
            "the feature cache {} was damaged ({what}) and has been built again",
            path.display()
        )),
    };
    if lock.as_ref().is_ok_and(|lock| lock.alone) {
        remove_leftovers(folder, &key.stem(name));
    }
    let stored = store(&path, &key.stem(name), key, build);
    let opened = match stored {
        Ok(()) => open(&path, key).map_err(Fault::into_io),
        Err(StoreError::Data(error)) => return Err(error),
        Err(StoreError::File(error)) => Err(error),
    };
    match (opened, damage) {
        (Ok(features), None) => Ok((features, CacheUse::Built)),
        (Ok(features), Some(damage)) => Ok((features, CacheUse::Rebuilt(damage))),
        (Err(error), _) => {
            let note = not_stored(&path, &error);
            Ok((
                in_memory(key.clips, key.shape, build)?,
                CacheUse::NotStored(note),
            ))
        }
    }
}

/// The features from `build`, kept in memory.
pub(super) fn in_memory(
    clips: usize,
    shape: FeatureShape,
    build: &Build<'_>,
) -> Result<Features, DataError> {
    let mut frames = Vec::with_capacity(clips);
    let mut bytes = Vec::new();
    build(&mut |encoded| {
        reserve(&mut bytes, encoded.bytes.len(), clips, shape)?;
        bytes.extend_from_slice(&encoded.bytes);
        frames.push(encoded.frames);
        Ok(())
    })?;
    bytes.shrink_to_fit();
    let too_large = || DataError::TooLarge {
        clips,
        max_length: shape.max_length,
        bins: shape.bins,
    };
    Features::new(shape, &frames, Bytes::Memory(bytes), 0).ok_or_else(too_large)
}

/// Why a cache file was not used.
#[derive(Debug)]
enum Fault {
    Absent,
    Damaged(String),
}

impl Fault {
    fn into_io(self) -> io::Error {
        match self {
            Self::Absent => io::ErrorKind::NotFound.into(),
            Self::Damaged(what) => io::Error::other(what),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Absent,
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Opens the file and checks everything in it.
fn load(path: &Path, key: &Key) -> Result<Features, Fault> {
    let bytes = Bytes::open(path)?;
    let (frames, checksums) = read_index(&bytes, key)?;
    let row = key.shape.bins * key.shape.format.bytes();
    let mut end = key.start();
    let mut clips = Vec::with_capacity(frames.len());
    for (&count, checksum) in frames.iter().zip(checksums) {
        let start = end;
        // `read_index` has checked that all of it fits the file.
        end += count as usize * row;
        clips.push((start..end, checksum));
    }
    let whole = clips
        .into_par_iter()
        .all(|(range, expected)| bytes.with(range, |values| checksum(values) == expected));
    if !whole {
        return Err(Fault::Damaged("another checksum".to_owned()));
    }
    features(key, &frames, bytes)
}

/// Opens a file that was just written, without reading its values.
fn open(path: &Path, key: &Key) -> Result<Features, Fault> {
    let bytes = Bytes::open(path)?;
    let (frames, _) = read_index(&bytes, key)?;
    features(key, &frames, bytes)
}

fn features(key: &Key, frames: &[u32], bytes: Bytes) -> Result<Features, Fault> {
    let fault = || Fault::Damaged("another index".to_owned());
    Features::new(key.shape, frames, bytes, key.start()).ok_or_else(fault)
}

/// Frames and checksum of every clip, after length, header and index were
/// found good.
fn read_index(bytes: &Bytes, key: &Key) -> Result<(Vec<u32>, Vec<[u8; 8]>), Fault> {
    let length = bytes.len();
    if length < key.start() {
        return Err(Fault::Damaged(format!(
            "{length} bytes instead of at least {}",
            key.start()
        )));
    }
    let head = bytes.with(0..key.start(), <[u8]>::to_vec);
    let index = &head[HEADER..];
    if head[..HEADER - 32] != key.head(&[])[..HEADER - 32] {
        return Err(Fault::Damaged("another header".to_owned()));
    }
    if head != key.head(index) {
        return Err(Fault::Damaged("another checksum of the index".to_owned()));
    }
    let mut frames = Vec::with_capacity(key.clips);
    let mut checksums = Vec::with_capacity(key.clips);
    let mut sum = 0usize;
    for entry in index.chunks_exact(ENTRY) {
        let (count, checksum) = entry.split_at(4);
        let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]);
        sum = sum.saturating_add(count as usize);
        frames.push(count);
        let mut eight = [0; 8];
        eight.copy_from_slice(checksum);
        checksums.push(eight);
    }
    let row = key.shape.bins * key.shape.format.bytes();
    let expected = sum.saturating_mul(row).saturating_add(key.start());
    if length != expected {
        return Err(Fault::Damaged(format!(
            "{length} bytes instead of {expected}"
        )));
    }
    Ok((frames, checksums))
}

fn checksum(values: &[u8]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(&Sha256::digest(values)[..8]);
    eight
}

/// Why features were not stored.
enum StoreError {
    /// They cannot be computed.
    Data(DataError),
    /// The file cannot be written.
    File(io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

fn store(path: &Path, stem: &str, key: &Key, build: &Build<'_>) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    let prefix = partial_prefix(stem);
    builder.prefix(&prefix);
    #[cfg(unix)] // private by default; a cache is for all whom the umask lets in
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // Dropped on an error, which removes the file.
    let mut file = builder.tempfile_in(folder)?;
    io::copy(&mut io::repeat(0).take(key.start() as u64), &mut file)?;
    let mut index = Vec::with_capacity(ENTRY * key.clips);
    let mut failed = None;
    let built = build(&mut |encoded| {
        index.extend_from_slice(&encoded.frames.to_le_bytes());
        index.extend_from_slice(&checksum(&encoded.bytes));
        file.write_all(&encoded.bytes).map_err(|error| {
            failed = Some(error);
            DataError::TooLarge {
                clips: key.clips,
                max_length: key.shape.max_length,
                bins: key.shape.bins,
            }
        })
    });
    if let Some(error) = failed {
        return Err(StoreError::File(error));
    }
    built.map_err(StoreError::Data)?;
    file.rewind()?;
    file.write_all(&key.head(&index))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn not_stored(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some disk space",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable or name another one"
        }
        _ => "check the folder",
    };
    format!(
        "cannot store the features in {}: {error}; going on without the cache; {remedy}, or they are computed anew next time",
        path.display()
    )
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
