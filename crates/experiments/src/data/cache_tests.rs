use super::*;
use std::cell::Cell;

const SHAPE: FeatureShape = FeatureShape {
    max_length: 4,
    bins: 2,
    padding: 0.5,
    format: crate::data::FeatureFormat::F32,
};

/// Own values of three clips with 4, 2 and 3 frames.
fn values() -> [Vec<f32>; 3] {
    [0..8, 8..12, 12..18].map(|range| range.map(|value| value as f32 / 7.0).collect())
}

/// The same clips as they are read.
fn features() -> Vec<Vec<f32>> {
    let padded = |mut values: Vec<f32>| {
        values.resize(8, 0.5);
        values
    };
    values().map(padded).to_vec()
}

fn key(settings: &str) -> Key {
    Key::new(&[[1; 32], [2; 32], [3; 32]], settings, SHAPE)
}

/// One call, and whether it computed.
fn call(folder: &Path, key: &Key) -> (Vec<Vec<f32>>, CacheUse, bool) {
    let computed = Cell::new(false);
    let build: &Build<'_> = &|store| {
        computed.set(true);
        for values in values() {
            store(Encoded {
                frames: (values.len() / 2) as u32,
                bytes: SHAPE.format.encode(&values).expect("bytes"),
            })?;
        }
        Ok(())
    };
    let (features, outcome) = load_or_build(folder, "tones", key, build).expect("features");
    let clips = (0..features.clips()).map(|index| features.clip(index));
    (clips.collect(), outcome, computed.get())
}

/// The one file of the folder.
fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn the_second_call_reads_what_the_first_one_wrote() {
    let parent = tempfile::tempdir().expect("folder");
    let folder = parent.path().join("made/on/demand");
    assert_eq!(
        call(&folder, &key("a")),
        (features(), CacheUse::Built, true)
    );
    assert_eq!(call(&folder, &key("a")), (features(), CacheUse::Hit, false));
    let length = fs::metadata(only_file(&folder)).expect("file").len();
    assert_eq!(length, (8 + 32 + 24 + 8 + 32 + 3 * 12 + 18 * 4) as u64);
}

#[test]
fn other_settings_or_sounds_do_not_hit() {
    let folder = tempfile::tempdir().expect("folder");
    call(folder.path(), &key("a"));
    assert!(call(folder.path(), &key("b")).2);
    let other_order = Key::new(&[[2; 32], [1; 32], [3; 32]], "a", SHAPE);
    assert!(call(folder.path(), &other_order).2);
}

#[test]
fn a_file_of_another_key_under_the_same_name_is_damaged() {
    let folder = tempfile::tempdir().expect("folder");
    call(folder.path(), &key("a"));
    fs::rename(
        only_file(folder.path()),
        key("b").path(folder.path(), "tones"),
    )
    .expect("rename");
    let (_, outcome, computed) = call(folder.path(), &key("b"));
    assert!(
        computed && matches!(&outcome, CacheUse::Rebuilt(note) if note.contains("header")),
        "{outcome:?}"
    );
}

#[test]
fn a_flipped_byte_anywhere_and_a_missing_end_are_noticed_and_repaired() {
    let folder = tempfile::tempdir().expect("folder");
    call(folder.path(), &key("a"));
    let path = only_file(folder.path());
    let good = fs::read(&path).expect("file");
    // Every field of the header is longer than 3 bytes.
    for position in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[position] ^= 1;
        fs::write(&path, bad).expect("write");
        let (read, outcome, _) = call(folder.path(), &key("a"));
        assert_eq!(read, features());
        assert!(
            matches!(outcome, CacheUse::Rebuilt(_)),
            "byte {position}: {outcome:?}"
        );
        assert_eq!(fs::read(&path).expect("file"), good);
    }
    for length in [0, 8, HEADER, good.len() - 1] {
        fs::write(&path, &good[..length]).expect("write");
        let (read, outcome, _) = call(folder.path(), &key("a"));
        assert_eq!(read, features());
        assert!(
            outcome
                .note()
                .is_some_and(|note| note.contains("bytes instead of ")),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_folder_that_cannot_be_written_stops_nothing_and_says_so() {
    let parent = tempfile::tempdir().expect("folder");
    let file = parent.path().join("a-file");
    fs::write(&file, b"in the way").expect("write");
    let (read, outcome, _) = call(&file, &key("a"));
    assert_eq!(read, features());
    let note = outcome.note().expect("note");
    assert!(
        note.contains("a-file") && note.contains("going on without the cache"),
        "{note}"
    );
}

#[test]
fn a_full_disk_names_the_file_and_the_remedy() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let note = not_stored(Path::new("cache/tones.features"), &full);
    assert!(
        note.contains("cache/tones.features") && note.contains("free some disk space"),
        "{note}"
    );
}

#[test]
fn an_error_while_computing_is_handed_on_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("folder");
    let bad: &Build<'_> = &|_| {
        Err(DataError::BadFiles {
            total: 1,
            files: Vec::new(),
        })
    };
    assert!(load_or_build(folder.path(), "tones", &key("a"), bad).is_err());
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
}

#[test]
fn half_precision_takes_half_the_bytes_and_another_key() {
    let folder = tempfile::tempdir().expect("folder");
    let halves = FeatureShape {
        format: crate::data::FeatureFormat::F16,
        ..SHAPE
    };
    let key = Key::new(&[[1; 32]], "a", halves);
    let build: &Build<'_> = &|store| {
        let bytes = halves.format.encode(&[0.1, 2.0]).expect("bytes");
        store(Encoded { frames: 1, bytes })
    };
    for outcome in [CacheUse::Built, CacheUse::Hit] {
        let (features, usage) = load_or_build(folder.path(), "tones", &key, build).expect("built");
        assert_eq!(usage, outcome);
        let clip = features.clip(0);
        assert!((clip[0] - 0.1).abs() < 1e-4 && clip[0] != 0.1, "{clip:?}");
        // Padding is not stored, and exact.
        assert_eq!(clip[1..], [2.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    }
    let length = fs::metadata(only_file(folder.path())).expect("file").len();
    assert_eq!(length, (HEADER + 12 + 4) as u64);
    let single = Key::new(&[[1; 32]], "a", SHAPE);
    assert_ne!(single.path(Path::new(""), ""), key.path(Path::new(""), ""));
}

#[test]
fn what_a_killed_builder_left_is_removed_and_other_files_stay() {
    let folder = tempfile::tempdir().expect("folder");
    let stem = key("a").stem("tones");
    let leftover = folder.path().join(format!("{}x1", partial_prefix(&stem)));
    let other = folder.path().join(partial_prefix("other-0"));
    fs::write(&leftover, b"half").expect("written");
    fs::write(&other, b"in work").expect("written");
    call(folder.path(), &key("a"));
    assert!(!leftover.exists() && other.exists());
}

#[test]
fn of_many_who_want_the_same_features_one_computes_and_the_others_read() {
    let folder = tempfile::tempdir().expect("folder");
    let key = key("a");
    let computed: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| call(folder.path(), &key)))
            .collect();
        let results = threads
            .into_iter()
            .map(|thread| thread.join().expect("ended"));
        results
            .map(|(read, _, computed)| {
                assert_eq!(read, features());
                computed
            })
            .collect()
    });
    assert_eq!(computed.iter().filter(|&&computed| computed).count(), 1);
    only_file(folder.path());
}
