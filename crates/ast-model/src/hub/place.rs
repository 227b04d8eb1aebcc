//! Names of models and revisions, and the folders they have in the cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::client::Problem;
use crate::AstError;

/// A longer part of a name is none of the hub's.
const MAX_NAME: usize = 96;

/// One revision of one model in one cache.
pub(super) struct Place {
    /// `owner/name`.
    pub id: String,
    pub revision: String,
    /// Where the model lies once it is complete.
    pub folder: PathBuf,
}

impl Place {
    pub fn new(id: &str, revision: &str, cache: &Path) -> Result<Self, AstError> {
        let bad = |name: &str, problem| AstError::HubName {
            name: name.to_owned(),
            problem,
        };
        let (owner, name) = id
            .split_once('/')
            .filter(|(owner, name)| is_name(owner) && is_name(name))
            .ok_or_else(|| {
                bad(
                    id,
                    "is not owner/name with letters, digits, `-`, `_` and `.`",
                )
            })?;
        if !revision.split('/').all(is_name) {
            return Err(bad(revision, "is not the name of a branch, tag or commit"));
        }
        let folder = cache
            .join(format!("{owner}--{name}"))
            .join(revision.replace('/', "%2F"));
        Ok(Place {
            id: id.to_owned(),
            revision: revision.to_owned(),
            folder,
        })
    }

    /// Name of the folder of this revision.
    pub fn label(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Waits until no other process fetches this revision. The system ends the
    /// lock with the process, so that a kill leaves none behind.
    pub fn lock(&self) -> Result<File, AstError> {
        let parent = self.folder.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(AstError::io(parent))?;
        let path = parent.join(format!("{}.lock", self.label()));
        let file = File::create(&path).map_err(AstError::io(&path))?;
        file.lock().map_err(AstError::io(&path))?;
        Ok(file)
    }

    /// What the user must hear.
    pub fn explain(&self, problem: Problem) -> AstError {
        match problem {
            Problem::Unreachable { url, reason } => AstError::HubUnreachable {
                url,
                reason,
                id: self.id.clone(),
                folder: self.folder.clone(),
            },
            Problem::Refused { url, status } => AstError::HubRefused {
                url,
                status,
                advice: match status {
                    401 | 403 => {
                        "the model does not exist or is not open to you: check the id, accept \
                         its terms on the hub if it has any, and give an access token"
                    }
                    404 => "no such model, revision or file: check the id and the revision",
                    _ => {
                        "the request itself is not accepted, so trying again will not help: check \
                         the address of the hub, or fetch the files by hand"
                    }
                },
            },
            Problem::Unannounced { url, limit } => AstError::HubUnannounced {
                url,
                limit,
                folder: self.folder.clone(),
            },
            Problem::Fatal(error) => error,
        }
    }
}

/// A part of a path on the hub that can do no harm as one of a folder.
fn is_name(part: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&part.len())
        && part.bytes().all(known)
        && !part.starts_with(['.', '-'])
        && !part.ends_with(['.', '-'])
        && !part.contains("..")
        && !part.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_cache_are_refused() {
        let cache = Path::new("cache");
        for id in [
            "",
            "/",
            "ast",
            "a/b/c",
            "../b",
            "a/..",
            "a/.b",
            "a\\b/c",
            "C:/b",
            "a/b\0",
            "a/b ",
            "a b/c",
            "a--b/c",
            "a/b?x",
            "a/b#x",
            "a/%2e%2e",
            "/etc/passwd",
            "a//b",
        ] {
            assert!(Place::new(id, "main", cache).is_err(), "{id:?}");
        }
        for revision in ["", "..", "a/../b", "/main", "main/", "a b", ".git", "-x"] {
            assert!(Place::new("a/b", revision, cache).is_err(), "{revision:?}");
        }
        let place = Place::new("MIT/ast_1.0-x", "refs/pr/1", cache).unwrap();
        assert_eq!(
            place.folder,
            cache.join("MIT--ast_1.0-x").join("refs%2Fpr%2F1")
        );
    }
}
