//! From the path that a table gives to the file that is there: the stem
//! counts, the format may be another one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use audio_frontend::FILE_ENDINGS;

/// Whether the ending of the file is that of a sound.
pub(in crate::data) fn is_sound(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        FILE_ENDINGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}

/// Sound files by folder and stem, listed when first asked for.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    folders: BTreeMap<PathBuf, BTreeMap<OsString, Vec<PathBuf>>>,
}

impl Resolver {
    /// The file at `wanted`, or the one sound file beside it with the same
    /// stem.
    ///
    /// # Errors
    /// A sentence without the name: it is missing, or there are several.
    pub(super) fn resolve(&mut self, wanted: &Path) -> Result<PathBuf, String> {
        let (Some(folder), Some(stem)) = (wanted.parent(), wanted.file_stem()) else {
            return Err("is no path of a file".to_owned());
        };
        if !self.folders.contains_key(folder) {
            self.folders.insert(folder.to_path_buf(), listed(folder));
        }
        let found = self
            .folders
            .get(folder)
            .and_then(|stems| stems.get(stem))
            .map_or(&[][..], Vec::as_slice);
        match found {
            _ if found.iter().any(|file| file == wanted) => Ok(wanted.to_path_buf()),
            [only] => Ok(only.clone()),
            [] if wanted.is_file() => Ok(wanted.to_path_buf()),
            [] => Err("is not there, in no known format".to_owned()),
            [first, second, ..] => Err(format!(
                "could be {} or {}; remove one",
                first.display(),
                second.display()
            )),
        }
    }
}

fn listed(folder: &Path) -> BTreeMap<OsString, Vec<PathBuf>> {
    let mut stems: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let (true, Some(stem)) = (is_sound(&path), path.file_stem()) {
            stems.entry(stem.to_owned()).or_default().push(path);
        }
    }
    for files in stems.values_mut() {
        files.sort();
    }
    stems
}
