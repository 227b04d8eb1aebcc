//! From files on their way to a model in the cache.

use std::fs;
use std::path::PathBuf;

use super::place::Place;
use crate::{AstError, tensor_file};

/// A folder beside the final one that holds what has come so far.
pub(super) struct Staging {
    pub folder: PathBuf,
}

impl Staging {
    /// That of one state of the repository: parts of two must not mix.
    pub fn new(place: &Place, commit: &str) -> Result<Self, AstError> {
        let commit: String = commit
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(12)
            .collect();
        let name = format!("{}{commit}", prefix(place));
        let folder = place.folder.with_file_name(name);
        fs::create_dir_all(&folder).map_err(AstError::io(&folder))?;
        Ok(Staging { folder })
    }

    /// Writes where the files are from.
    pub fn note(
        &self,
        place: &Place,
        endpoint: &str,
        commit: Option<&str>,
    ) -> Result<(), AstError> {
        let note = serde_json::json!({
            "id": place.id,
            "revision": place.revision,
            "commit": commit,
            "endpoint": endpoint,
        });
        tensor_file::replace(
            &self.folder.join("source.json"),
            format!("{note:#}\n").as_bytes(),
        )
    }

    /// Gives the folder its name, and removes what older attempts left.
    pub fn install(self, place: &Place) -> Result<(), AstError> {
        if place.folder.exists() {
            self.move_files(place)?;
        } else {
            fs::rename(&self.folder, &place.folder).map_err(AstError::io(&place.folder))?;
        }
        let parent = place.folder.parent().into_iter();
        let leftovers = parent
            .filter_map(|parent| fs::read_dir(parent).ok())
            .flatten();
        for entry in leftovers.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(&prefix(place)) {
                // They only take room; the model is there.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }

    /// Into a folder that lacked something: the weights last, which make it
    /// complete.
    fn move_files(&self, place: &Place) -> Result<(), AstError> {
        let entries = fs::read_dir(&self.folder).map_err(AstError::io(&self.folder))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_by_key(|name| name.to_string_lossy().starts_with("model"));
        for name in names {
            let target = place.folder.join(&name);
            fs::rename(self.folder.join(&name), &target).map_err(AstError::io(&target))?;
        }
        Ok(())
    }
}

fn prefix(place: &Place) -> String {
    format!("{}.partial-", place.label())
}
