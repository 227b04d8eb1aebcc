//! Whether a file is the one the hub announced.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::client::About;
use crate::AstError;

/// A checksum as the hub gives it in an ETag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// Of the content; for large files.
    Sha256(String),
    /// Of `blob <size>\0` and the content, as Git does; for small files.
    GitSha1(String),
}

impl Checksum {
    /// Nothing where the tag is no checksum, as with some mirrors.
    pub fn from_etag(tag: &str) -> Option<Self> {
        let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
        let digits = tag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match tag.len() {
            64 if digits => Some(Checksum::Sha256(tag.to_ascii_lowercase())),
            40 if digits => Some(Checksum::GitSha1(tag.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// Enough of it to tell two states of a file apart.
    pub fn short(&self) -> &str {
        match self {
            Checksum::Sha256(digits) | Checksum::GitSha1(digits) => &digits[..12],
        }
    }
}

/// What is wrong with the file, if anything.
pub(super) fn fault(path: &Path, about: &About) -> Result<Option<String>, AstError> {
    let size = path.metadata().map_err(AstError::io(path))?.len();
    if let Some(announced) = about.size
        && size != announced
    {
        return Ok(Some(format!(
            "it has {size} bytes where the hub announced {announced}"
        )));
    }
    let (announced, found) = match &about.checksum {
        Some(Checksum::Sha256(digits)) => (digits, digest(path, Sha256::new())?),
        Some(Checksum::GitSha1(digits)) => {
            let mut hash = Sha1::new();
            hash.update(format!("blob {size}\0"));
            (digits, digest(path, hash)?)
        }
        None => return Ok(None),
    };
    Ok((*announced != found)
        .then(|| format!("its checksum is {found} where the hub announced {announced}")))
}

fn digest<D: Digest>(path: &Path, mut hash: D) -> Result<String, AstError> {
    let mut file = File::open(path).map_err(AstError::io(path))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(AstError::io(path))? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    let digits = hash.finalize();
    Ok(digits.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_checked_as_git_does_and_large_ones_by_sha256() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello");
        std::fs::write(&path, "hello\n").unwrap();
        let about = |tag: &str| About {
            size: Some(6),
            checksum: Checksum::from_etag(tag),
            commit: None,
        };
        // What `git hash-object` and `sha256sum` say.
        let git = "W/\"ce013625030ba8dba906f756967f9e9ca394464a\"";
        let sha = "\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"";
        for tag in [git, sha] {
            assert!(about(tag).checksum.is_some());
            assert_eq!(fault(&path, &about(tag)).unwrap(), None);
            let other = tag.replace("03", "13");
            assert!(fault(&path, &about(&other)).unwrap().is_some());
        }
        assert_eq!(
            Checksum::from_etag("\"d41d8cd98f00b204e9800998ecf8427e\""),
            None
        );
    }
}
