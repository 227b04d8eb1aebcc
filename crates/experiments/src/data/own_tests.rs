use super::*;
use crate::data::{Columns, FeatureOptions, Split};
use std::fs;

/// Writes `samples` values of a tone at 16 kHz.
fn wav(path: &Path, samples: u32) {
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("wav");
    for index in 0..samples {
        let value = (f64::from(index) * 0.05).sin() * 9000.0;
        file.write_sample(value as i16).expect("sample");
    }
    file.finalize().expect("wav");
}

fn sizes(split: &Split) -> [usize; 3] {
    [&split.train, &split.validation, &split.test].map(Vec::len)
}

fn refused(place: &Path) -> String {
    Dataset::own(place, &OwnOptions::default())
        .expect_err("refused")
        .to_string()
}

#[test]
fn a_folder_per_class_is_all_that_is_needed() {
    let root = tempfile::tempdir().expect("folder");
    for class in ["10", "9"] {
        for take in 0..10 {
            wav(&root.path().join(format!("{class}/take {take}.wav")), 4_000);
        }
    }
    wav(&root.path().join("9/long/x.WAV"), 8_000);
    fs::write(root.path().join("9/notes.txt"), "no sound").expect("file");
    fs::write(root.path().join("9/._take 1.wav"), "of a file system").expect("file");
    let data = Dataset::own(root.path(), &OwnOptions::default()).expect("data set");
    assert_eq!(data.manifest.class_names(), ["9", "10"]);
    assert_eq!(data.clips.len(), 21);
    assert_eq!(data.manifest.defaults.max_length, 48);
    assert_eq!(sizes(&data.splits().expect("splits")[0]), [13, 4, 4]);
}

#[test]
fn folders_of_parts_are_kept_and_validation_is_taken_from_training() {
    let root = tempfile::tempdir().expect("folder");
    for (part, count) in [("Train", 10), ("test", 3)] {
        for class in ["a", "b"] {
            for take in 0..count {
                wav(
                    &root.path().join(format!("{part}/{class}/{part}{take}.wav")),
                    800,
                );
            }
        }
    }
    let data = Dataset::own(root.path(), &OwnOptions::default()).expect("data set");
    let split = &data.splits().expect("splits")[0];
    assert_eq!(sizes(split), [16, 4, 6]);
    assert!(
        split
            .test
            .iter()
            .all(|&i| data.clips[i].group("part") == "test")
    );
}

#[test]
fn a_table_with_times_speakers_and_other_endings_is_cut_and_kept_apart() {
    let root = tempfile::tempdir().expect("folder");
    wav(&root.path().join("long/talk.wav"), 64_000);
    let mut table = "path,label,speaker,start,end\n".to_owned();
    for piece in 0..8 {
        let start = 0.5 * f64::from(piece);
        let label = ["yes", "no"][piece as usize % 2];
        let speaker = piece / 2;
        let end = start + 0.5;
        table += &format!("long/talk.mp3,{label},s{speaker},{start},{end}\n");
    }
    let file = root.path().join("my clips.csv");
    fs::write(&file, &table).expect("table");
    let options = OwnOptions {
        max_length: Some(60),
        ..OwnOptions::default()
    };
    // All pieces are of one recording, so no split is without a leak.
    let data = Dataset::own(&file, &options).expect("data set");
    assert_eq!(data.manifest.name, "my-clips");
    let text = data.splits().expect_err("leak").to_string();
    assert!(text.contains("file `long/talk.wav`"), "{text}");
    let allowed = crate::data::Protocol {
        allow_leaks: vec!["file".to_owned()],
        ..Default::default()
    };
    let split = data.splits_for(&allowed).expect("allowed").remove(0);
    let speakers = |part: &[usize]| -> BTreeSet<String> {
        part.iter()
            .map(|&i| data.clips[i].group("speaker").to_owned())
            .collect()
    };
    assert!(speakers(&split.train).is_disjoint(&speakers(&split.test)));
    assert_eq!(sizes(&split).iter().sum::<usize>(), 8);

    // Half a second is 8,000 samples: 48 frames, the same as of the piece alone.
    let extractor = Extractor::new(crate::front_end::pipeline(60)).expect("front end");
    let (features, _) = data
        .features(&extractor, FeatureOptions::default(), &|_, _| {})
        .expect("features");
    let whole = extractor
        .load(root.path().join("long/talk.wav"))
        .expect("sound");
    for (index, clip) in data.clips.iter().enumerate() {
        assert_eq!(features.frames(index), 48);
        let start = (clip.segment.expect("segment").start * 16_000.0) as usize;
        let alone = extractor.extract(&whole.samples[start..start + 8_000], 16_000);
        let alone = alone.expect("features");
        assert_eq!(alone.as_slice().expect("rows"), features.clip(index));
    }
    let names: BTreeSet<String> = data.clips.iter().map(|clip| clip.name()).collect();
    assert_eq!(names.len(), 8);
    let hashes: BTreeSet<_> = data.hashes().expect("hashes").iter().collect();
    assert_eq!(hashes.len(), 8);
}

#[test]
fn folds_rotate_and_splits_are_kept_in_json_lines() {
    let root = tempfile::tempdir().expect("folder");
    let mut folds = String::new();
    let mut parts = String::new();
    for index in 0..24 {
        let name = format!("{index}.wav");
        wav(&root.path().join(&name), 800);
        let label = index % 2;
        folds += &format!(
            "{{\"path\":\"{name}\",\"label\":{label},\"fold\":{}}}\n",
            index / 2 % 12
        );
        let part = ["train", "train", "dev", "eval"][index / 2 % 4];
        parts += &format!("{{\"path\":\"{name}\",\"label\":{label},\"split\":\"{part}\"}}\n");
    }
    let open = |name: &str, text: &str| {
        let file = root.path().join(name);
        fs::write(&file, text).expect("table");
        let data = Dataset::own(&file, &OwnOptions::default()).expect("data set");
        data.splits().expect("splits")
    };
    let rotation = open("folds.jsonl", &folds);
    assert_eq!(rotation.len(), 12);
    assert_eq!(
        (&*rotation[1].name, &*rotation[11].name),
        ("fold 1", "fold 11")
    );
    assert_eq!(sizes(&open("parts.jsonl", &parts)[0]), [12, 6, 6]);
}

#[test]
fn what_is_missing_is_named_with_a_remedy() {
    let root = tempfile::tempdir().expect("folder");
    wav(&root.path().join("only/a.wav"), 800);
    assert!(refused(root.path()).contains("at least two classes"));
    let table = |text: &str| {
        let file = root.path().join("t.csv");
        fs::write(&file, text).expect("table");
        refused(&file)
    };
    let cases = [
        ("file,label\nonly/a.wav,x\n", "no column `path`"),
        ("path,label,speakr\nonly/a.wav,x,s\n", "is it `speaker`?"),
        (
            "path,label\nonly/a.wav,x\nonly/b.wav,y\n",
            "only/b.wav (line 3 of t.csv) is not there",
        ),
        ("path,label\nonly/a.wav,x\nonly/a.wav,y\n", "stands twice"),
        (
            "path,label,split\nonly/a.wav,x,trian\n",
            "`trian` is no part",
        ),
        (
            "path,label,split\nonly/a.wav,x,train\n",
            "a train and a test part",
        ),
        (
            "path,label,start,end\nonly/a.wav,y,0,1\nonly/a.wav,x,2,1\n",
            "must end later",
        ),
        ("path,label\nonly/a.wav,\n", "has no `label`"),
    ];
    for (text, part) in cases {
        let message = table(text);
        assert!(message.contains(part), "{message} lacks {part}");
    }
}

#[test]
fn a_named_column_must_be_there_and_a_folder_has_none() {
    let root = tempfile::tempdir().expect("folder");
    wav(&root.path().join("a/x.wav"), 800);
    wav(&root.path().join("b/y.wav"), 800);
    let file = root.path().join("t.csv");
    fs::write(&file, "path,label,recording\na/x.wav,a,1\nb/y.wav,b,2\n").expect("table");
    let options = OwnOptions {
        columns: Columns {
            group: "recording_id".to_owned(),
            ..Columns::default()
        },
        ..OwnOptions::default()
    };
    let refused = |place: &Path| {
        Dataset::own(place, &options)
            .expect_err("refused")
            .to_string()
    };
    let text = refused(&file);
    let named = "no column `recording_id` to be the group, only label, path, recording";
    assert!(
        text.contains(named) && text.contains("did you mean `recording`?"),
        "{text}"
    );
    let text = refused(root.path());
    assert!(text.contains("has no columns"), "{text}");
}

#[test]
fn another_name_of_the_paths_is_named_with_the_setting() {
    let root = tempfile::tempdir().expect("folder");
    let file = root.path().join("t.csv");
    fs::write(&file, "filename,label\na.wav,a\n").expect("table");
    let text = refused(&file);
    assert!(text.contains("--set columns.path=filename"), "{text}");
    // Whoever names the folder is told that there is a table in it.
    wav(&root.path().join("audio/a.wav"), 800);
    let text = refused(root.path());
    assert!(text.contains("t.csv in it"), "{text}");
}

#[test]
fn sounds_in_the_way_of_parts_are_named_instead_of_making_the_parts_classes() {
    let root = tempfile::tempdir().expect("folder");
    for name in ["train/dog/a.wav", "train/cat/b.wav", "test/dog/c.wav"] {
        wav(&root.path().join(name), 800);
    }
    for stray in ["train/stray.wav", "_noise_/x.wav", "more/1/x.wav"] {
        wav(&root.path().join(stray), 800);
        let text = refused(root.path());
        assert!(text.contains("1 sound files lie elsewhere"), "{text}");
        assert!(text.contains(stray), "{text}");
        fs::remove_file(root.path().join(stray)).expect("removed");
    }
    // A class may well have the name of a part.
    let root = tempfile::tempdir().expect("folder");
    for name in ["train/a.wav", "car/b.wav", "test/c.wav"] {
        wav(&root.path().join(name), 800);
    }
    let data = Dataset::own(root.path(), &OwnOptions::default()).expect("data set");
    assert_eq!(data.manifest.class_names(), ["car", "test", "train"]);
}

#[test]
fn sounds_to_measure_on_may_have_one_class_and_one_part() {
    let root = tempfile::tempdir().expect("folder");
    wav(&root.path().join("test/dog/a.wav"), 800);
    let file = root.path().join("t.csv");
    fs::write(&file, "path,label,split\ntest/dog/a.wav,dog,test\n").expect("table");
    let options = OwnOptions {
        measured_only: true,
        ..OwnOptions::default()
    };
    for place in [root.path(), &file] {
        let data = Dataset::own(place, &options).expect("data set");
        assert_eq!(data.manifest.class_names(), ["dog"]);
        assert!(Dataset::own(place, &OwnOptions::default()).is_err());
    }
}

#[test]
fn clips_of_a_table_may_have_several_labels() {
    let root = tempfile::tempdir().expect("folder");
    let mut table = "path,label\n".to_owned();
    for (index, label) in ["dog; cat", "cat", "dog", "cat;bird"]
        .into_iter()
        .enumerate()
    {
        wav(&root.path().join(format!("{index}.wav")), 800);
        table += &format!("{index}.wav,{label}\n");
    }
    let file = root.path().join("t.csv");
    fs::write(&file, table).expect("table");
    let options = OwnOptions {
        separator: Some(";".to_owned()),
        ..OwnOptions::default()
    };
    let data = Dataset::own(&file, &options).expect("data set");
    assert_eq!(data.manifest.class_names(), ["bird", "cat", "dog"]);
    let expected = [0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0].map(|value: u8| f32::from(value));
    assert_eq!(data.multi_hot().expect("several"), expected);
    assert!(
        Dataset::own(&file, &OwnOptions::default())
            .expect("single")
            .multi_hot()
            .is_none()
    );
}

#[test]
fn reading_ends_when_it_is_told_to_and_leaves_no_cache() {
    let root = tempfile::tempdir().expect("folder");
    for name in ["a/x.wav", "b/y.wav"] {
        wav(&root.path().join(name), 800);
    }
    let data = Dataset::own(root.path(), &OwnOptions::default()).expect("data set");
    let asked = std::sync::atomic::AtomicUsize::new(0);
    // It is told so once the files are hashed and the first one is read.
    let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3;
    let cache = root.path().join("cache");
    let options = FeatureOptions {
        cache: Some(&cache),
        stop: crate::data::Stop::new(&stop),
        ..FeatureOptions::default()
    };
    let extractor = Extractor::new(crate::front_end::pipeline(10)).expect("front end");
    let result = data.features(&extractor, options, &|_, _| {});
    assert!(matches!(result, Err(DataError::Stopped)), "{result:?}");
    assert_eq!(fs::read_dir(&cache).expect("cache").count(), 0);
    let again = FeatureOptions {
        cache: Some(&cache),
        ..FeatureOptions::default()
    };
    let (_, usage) = data
        .features(&extractor, again, &|_, _| {})
        .expect("features");
    assert_eq!(usage, crate::data::CacheUse::Built);
}

#[test]
fn a_class_without_training_clips_is_told_by_its_name() {
    let root = tempfile::tempdir().expect("folder");
    for name in [
        "train/dog/a.wav",
        "train/dog/b.wav",
        "test/dog/c.wav",
        "test/owl/d.wav",
    ] {
        wav(&root.path().join(name), 800);
    }
    let data = Dataset::own(root.path(), &OwnOptions::default()).expect("data set");
    let text = data.splits().expect_err("refused").to_string();
    assert!(text.contains("class owl has no training clip"), "{text}");
}
