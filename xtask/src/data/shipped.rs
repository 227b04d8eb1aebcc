//! A backbone that comes with this repository: copied into the cache.

use super::manifest::Shipped;
use crate::paths::{self, Paths};
use crate::{files, lock};
use anyhow::{Context, Result, bail};
use std::path::Path;

/// The file whose checksum the manifest has.
const WEIGHTS: &str = "model.safetensors";

/// Whether the cache has it, with these weights.
pub fn is_whole(paths: &Paths, name: &str, source: &Shipped) -> bool {
    let found = files::sha256(&paths.backbones().join(name).join(WEIGHTS));
    found.is_ok_and(|found| found == source.sha256)
}

/// Copies it into the cache, unless done.
pub fn ensure(paths: &Paths, name: &str, source: &Shipped) -> Result<()> {
    if is_whole(paths, name, source) {
        return Ok(());
    }
    let _lock = lock::acquire(&paths.backbones(), name)?;
    paths::remove_leftovers(&paths.backbones(), name);
    if is_whole(paths, name, source) {
        return Ok(());
    }
    let folder = paths.root.join(&source.folder);
    let found = files::sha256(&folder.join(WEIGHTS))?;
    if found != source.sha256 {
        bail!(
            "{} has the checksum {found} instead of {}; get it again with `git checkout -- {}`",
            folder.join(WEIGHTS).display(),
            source.sha256,
            source.folder
        );
    }
    let partial = paths::partial_folder(&paths.backbones(), name)?;
    let copy = partial.path().join(name);
    copy_files(&folder, &copy)?;
    paths::move_into_place(&copy, &paths.backbones().join(name))
}

/// The files of a folder; folders in it are left out.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let entries =
        std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        let target = to.join(entry.file_name());
        std::fs::copy(entry.path(), &target)
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(dir: &Path) -> (Paths, Shipped) {
        let paths = Paths {
            root: dir.to_path_buf(),
            cache: dir.join("cache"),
        };
        let folder = dir.join("backbones/net");
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join(WEIGHTS), "weights").expect("weights");
        std::fs::write(folder.join("config.json"), "{}").expect("configuration");
        let source = Shipped {
            folder: "backbones/net".to_owned(),
            sha256: files::sha256_of("weights"),
        };
        (paths, source)
    }

    #[test]
    fn it_is_copied_once_and_again_where_the_copy_is_damaged() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, source) = setting(dir.path());
        assert!(!is_whole(&paths, "net", &source));
        ensure(&paths, "net", &source).expect("copied");
        let copy = paths.backbones().join("net");
        assert!(copy.join("config.json").is_file());
        std::fs::remove_file(copy.join("config.json")).expect("removed");
        ensure(&paths, "net", &source).expect("still there");
        assert!(!copy.join("config.json").exists(), "copied twice");
        std::fs::write(copy.join(WEIGHTS), "cut").expect("damaged");
        ensure(&paths, "net", &source).expect("copied again");
        assert!(is_whole(&paths, "net", &source) && copy.join("config.json").is_file());
    }

    #[test]
    fn other_weights_than_those_of_the_manifest_are_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, source) = setting(dir.path());
        std::fs::write(dir.path().join("backbones/net").join(WEIGHTS), "other").expect("changed");
        let error = ensure(&paths, "net", &source).expect_err("refused");
        assert!(error.to_string().contains("git checkout"), "{error}");
        assert!(!paths.backbones().join("net").exists());
    }
}
