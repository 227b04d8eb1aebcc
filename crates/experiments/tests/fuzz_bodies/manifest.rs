//! What must hold for any manifest and any file names; the body of the
//! property tests in `tests/fuzz_manifest.rs` and of the fuzz target in `fuzz/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use experiments::data::{Dataset, Manifest, Split};

/// Reads `text` as a manifest and, if it is one, finds and splits the clips
/// among empty files called `names`.
///
/// # Panics
/// If the outcome breaks a promise of the crate.
pub fn manifest_any(text: &str, names: &[String]) {
    let Ok(manifest) = Manifest::parse(text, Path::new("fuzz.toml")) else {
        return;
    };
    assert!(manifest.class_names().len() >= 2);
    let again = toml::to_string(&manifest).expect("a manifest can be written");
    let again = Manifest::parse(&again, Path::new("again.toml")).expect("and read again");
    assert_eq!(again, manifest);

    let folder = tempfile::tempdir().expect("a temporary folder");
    names.iter().for_each(|name| make_file(folder.path(), name));
    let Ok(dataset) = Dataset::with_manifest(manifest, folder.path()) else {
        return;
    };
    assert!(!dataset.clips.is_empty());
    for clip in &dataset.clips {
        assert!(
            clip.path.starts_with(folder.path()),
            "{}",
            clip.path.display()
        );
        assert_eq!(clip.path, folder.path().join(&clip.relative));
        assert!(clip.label < dataset.classes());
    }
    for split in dataset.splits().into_iter().flatten() {
        check_split(&split, dataset.clips.len());
    }
}

/// Puts an empty file under `root`; names that the system refuses, or that
/// lead out of the folder, are passed over.
fn make_file(root: &Path, name: &str) {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !name.split('/').all(plain) {
        return;
    }
    let path = root.join(name);
    if path
        .parent()
        .is_some_and(|parent| fs::create_dir_all(parent).is_ok())
    {
        let _ = fs::write(path, b"");
    }
}

fn check_split(split: &Split, clips: usize) {
    let extra = split.extra.iter().flat_map(|(_, part)| part);
    let parts = [&split.train, &split.validation, &split.test];
    let mut seen = BTreeSet::new();
    for &index in parts.into_iter().flatten().chain(extra) {
        assert!(index < clips);
        assert!(seen.insert(index), "clip {index} is in two parts");
    }
}
