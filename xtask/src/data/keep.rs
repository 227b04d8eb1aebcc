//! Of an unpacked package only the recordings, each once.

use crate::files;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Removes from `root` every link, every file with another ending, and of files
/// with the same contents all but the first in order of their paths: a
/// recording that is there twice could be trained on and tested.
pub fn recordings(root: &Path, endings: &[String]) -> Result<()> {
    let mut files = Vec::new();
    let mut waiting = vec![root.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let explain = || format!("cannot list {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(explain)? {
            let entry = entry.with_context(explain)?;
            let kind = entry.file_type().with_context(explain)?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() && is_one_of(endings, &entry.path()) {
                files.push(entry.path());
            } else {
                remove(&entry.path())?;
            }
        }
    }
    // As `files::listing` orders them: by the text of the path.
    files.sort_by_cached_key(|path| path.to_string_lossy().into_owned());
    remove_repeated(&files)
}

fn remove_repeated(files: &[PathBuf]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for path in files {
        if !seen.insert(files::sha256(path)?) {
            remove(path)?;
        }
    }
    Ok(())
}

fn is_one_of(endings: &[String], path: &Path) -> bool {
    let found = path.extension().and_then(|ending| ending.to_str());
    found.is_some_and(|found| endings.iter().any(|ending| ending == found))
}

fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_equal_recordings_stays() {
        let dir = tempfile::tempdir().expect("tempdir");
        let write = |name: &str, content: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, content).expect("file");
        };
        write("b/tree.ogg", "same");
        write("a/oak.ogg", "same");
        write("a/birch.wav", "other");
        write("a/ash.OGG", "another ending");
        write("a/picture.png", "no recording");
        recordings(dir.path(), &["ogg".to_owned(), "wav".to_owned()]).expect("kept");
        let found = files::listing(dir.path()).expect("readable");
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a/birch.wav", "a/oak.ogg"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_go_and_what_they_point_to_stays() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (inside, outside) = (dir.path().join("inside"), dir.path().join("outside"));
        for folder in [&inside, &outside] {
            std::fs::create_dir(folder).expect("folder");
        }
        std::fs::write(outside.join("x.ogg"), "x").expect("file");
        std::fs::write(inside.join("y.ogg"), "y").expect("file");
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, inside.join(name)).expect("link");
        };
        link("y.ogg", "a.ogg");
        link("nowhere.ogg", "broken.ogg");
        link("../outside", "folder");
        recordings(&inside, &["ogg".to_owned()]).expect("kept");
        let found = files::listing(&inside).expect("readable");
        assert_eq!(found, [("y.ogg".to_owned(), 1)]);
        assert!(outside.join("x.ogg").is_file());
    }
}
