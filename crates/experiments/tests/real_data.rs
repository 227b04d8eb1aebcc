//! Real recordings, where there are any. `SOFT_MOA_TEST_DATA` names a folder
//! with `ESC-50/` in it, as unpacked (the recordings in any format), and
//! `speech-commands-12/` with a `metadata.csv`, and the folders that `cargo xtask
//! data` makes under their names; without it these tests say that
//! they were skipped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use audio_frontend::Extractor;
use experiments::data::{Columns, Dataset, FeatureOptions, Manifest, OwnOptions};
use experiments::front_end::pipeline;

fn place(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SOFT_MOA_TEST_DATA").map(PathBuf::from);
    let place = folder.map(|folder| folder.join(name));
    let found = place.filter(|place| place.is_dir());
    if found.is_none() {
        eprintln!("SKIPPED: no {name} in the folder that SOFT_MOA_TEST_DATA names");
    }
    found
}

#[test]
fn esc_50_has_its_official_folds_and_labels() {
    let Some(root) = place("ESC-50") else { return };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/esc-50.toml");
    let data = Dataset::load(&manifest, &root).unwrap();
    assert_eq!((data.clips.len(), data.classes()), (2000, 50));
    let splits = data.splits().unwrap();
    assert_eq!(splits.len(), 5);
    for split in &splits {
        let sizes = [&split.train, &split.validation, &split.test].map(Vec::len);
        assert_eq!(sizes, [1200, 400, 400]);
        assert_eq!(data.class_counts(&split.test), [8; 50]);
    }
    // The official table says the same of every clip.
    let mut table = csv::Reader::from_path(root.join("meta/esc50.csv")).unwrap();
    let names = data.manifest.class_names();
    let records = table.records().map(Result::unwrap);
    let mut seen = 0;
    for (record, clip) in records.zip(&data.clips) {
        let stem = record[0].strip_suffix(".wav").unwrap();
        assert!(clip.relative.starts_with(&format!("audio/{stem}.")));
        assert_eq!(clip.group("fold"), &record[1]);
        assert_eq!(clip.label.to_string(), &record[2]);
        assert_eq!(names[clip.label], &record[3]);
        assert_eq!(clip.group("source"), &record[5]);
        seen += 1;
    }
    assert_eq!(seen, 2000);
}

#[test]
fn spoken_words_from_a_table_keep_their_speakers_apart() {
    let Some(root) = place("speech-commands-12") else {
        return;
    };
    let options = OwnOptions {
        columns: Columns {
            path: "file".to_owned(),
            ..Columns::default()
        },
        ..OwnOptions::default()
    };
    let mut data = Dataset::own(&root.join("metadata.csv"), &options).unwrap();
    assert_eq!((data.clips.len(), data.classes()), (3960, 12));
    assert_eq!(data.manifest.defaults.max_length, 98);
    let split = data.splits().unwrap().remove(0);
    let speakers = |part: &[usize]| -> BTreeSet<String> {
        let speaker = |&index: &usize| data.clips[index].group("speaker").to_owned();
        part.iter().map(speaker).collect()
    };
    let parts = [&split.train, &split.validation, &split.test];
    assert_eq!(parts.map(|part| speakers(part).len()), [322, 24, 67]);
    // Some of them through the cache: every bit as computed alone.
    data.clips.truncate(64);
    let extractor = Extractor::new(pipeline(100)).unwrap();
    let cache = tempfile::tempdir().unwrap();
    let options = FeatureOptions {
        cache: Some(cache.path()),
        ..FeatureOptions::default()
    };
    let (features, _) = data.features(&extractor, options, &|_, _| {}).unwrap();
    for (index, clip) in data.clips.iter().enumerate() {
        let alone = extractor.extract_file(&clip.path).unwrap();
        assert_eq!(alone.as_slice().unwrap(), features.clip(index));
    }
}

/// Every manifest of a data set that is fetched, with its folder below the one
/// of the test data, where it is there.
fn fetched() -> Vec<(PathBuf, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let manifest = Manifest::load(&file).unwrap();
        let text = |field: &str| manifest.source.get(field).and_then(|value| value.as_str());
        let name = match text("kind") {
            Some("debian") => manifest.name.as_str(),
            Some("same-as") => text("data-set").unwrap(),
            _ => continue,
        };
        found.extend(place(name).map(|root| (file.clone(), root)));
    }
    found
}

#[test]
fn fetched_recordings_are_as_many_as_their_manifest_says_and_can_be_divided() {
    for (manifest, root) in fetched() {
        let data = Dataset::load(&manifest, &root).unwrap();
        assert_eq!(Some(data.clips.len()), data.manifest.clips.count);
        for split in data.splits().unwrap() {
            let mut used: Vec<usize> = [&split.train, &split.validation, &split.test]
                .into_iter()
                .flatten()
                .copied()
                .collect();
            used.extend(split.extra.iter().flat_map(|(_, part)| part));
            let clips = used.len();
            used.sort_unstable();
            used.dedup();
            assert_eq!(clips, used.len(), "{}", data.manifest.name);
            assert!(!split.validation.is_empty());
        }
    }
}
