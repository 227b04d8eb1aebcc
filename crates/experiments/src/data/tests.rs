use super::*;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A front end of `max_length` frames.
fn extractor(max_length: usize) -> Extractor {
    let mut config = audio_frontend::PipelineConfig::default();
    config.ast.max_length = max_length;
    Extractor::new(config).expect("front end")
}

/// Samples at 16 kHz that give exactly `frames` frames.
fn tone(frames: usize, pitch: f32) -> Vec<f32> {
    let samples = 400 + 160 * (frames - 1);
    (0..samples)
        .map(|index| 0.3 * (index as f32 * pitch).sin())
        .collect()
}

fn write_wav(path: &Path, samples: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("wav");
    for sample in samples {
        file.write_sample(*sample).expect("sample");
    }
    file.finalize().expect("wav");
}

const MANIFEST: &str = r#"
    name = "toys"
    title = "t"
    licence = "CC0-1.0"
    caveat = "c"
    [clips]
    pattern = '^(?<class>[xy])-(?<speaker>[0-9]+)\.wav$'
    [label]
    group = "class"
    classes = [{ name = "x", values = ["x"] }, { name = "y", values = ["y"] }]
    [split]
    protocol = "group-k-fold"
    group = "speaker"
    folds = 3
    [defaults]
    max_length = 4
    batch = 2
    epochs = 1
"#;

/// A folder of six toy clips, 2 frames in class x and 6 in class y, and its
/// manifest.
fn toys() -> (tempfile::TempDir, Manifest) {
    let root = tempfile::tempdir().expect("folder");
    for speaker in 0..3 {
        let pitch = 0.1 + 0.1 * speaker as f32;
        write_wav(
            &root.path().join(format!("x-{speaker}.wav")),
            &tone(2, pitch),
        );
        write_wav(
            &root.path().join(format!("y-{speaker}.wav")),
            &tone(6, pitch),
        );
    }
    let manifest = Manifest::parse(MANIFEST, Path::new("toys.toml")).expect("manifest");
    (root, manifest)
}

fn load(root: &Path, manifest: &Manifest) -> Dataset {
    Dataset::with_manifest(manifest.clone(), root).expect("data set")
}

#[test]
fn features_are_cut_and_padded_in_the_order_of_the_clips() {
    let (root, manifest) = toys();
    let data = load(root.path(), &manifest);
    let calls = AtomicUsize::new(0);
    let progress = |done: usize, total: usize| {
        assert!(done <= total && total == 6);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    let extractor = extractor(4);
    let (features, outcome) = data
        .features(&extractor, FeatureOptions::default(), &progress)
        .expect("features");
    assert_eq!(outcome, CacheUse::Off);
    assert_eq!(calls.into_inner(), 6);
    assert_eq!((features.max_length(), features.bins()), (4, 128));
    let frames: Vec<usize> = (0..features.clips()).map(|i| features.frames(i)).collect();
    assert_eq!(frames, [2, 2, 2, 4, 4, 4]);
    for (index, clip) in data.clips.iter().enumerate() {
        let alone = extractor.extract_file(&clip.path).expect("features");
        assert_eq!(alone.as_slice().expect("contiguous"), features.clip(index));
    }
    assert_ne!(features.clip(0), features.clip(1));
}

#[test]
fn all_bad_files_are_named_at_once_with_what_is_wrong() {
    let (root, manifest) = toys();
    let at = |name: &str| root.path().join(name);
    fs::write(at("x-0.wav"), b"").expect("file");
    fs::write(at("x-1.wav"), b"this is no sound at all, only text").expect("file");
    write_wav(&at("x-2.wav"), &[0.5; 100]);
    write_wav(&at("y-0.wav"), &[f32::NAN; 800]);
    let whole = fs::read(at("y-1.wav")).expect("file");
    fs::write(at("y-1.wav"), &whole[..whole.len() / 2]).expect("file");
    let loud: Vec<f32> = tone(6, 0.1).iter().map(|sample| sample * 1e30).collect();
    write_wav(&at("y-2.wav"), &loud);

    let data = load(root.path(), &manifest);
    let error = data
        .features(&extractor(4), FeatureOptions::default(), &|_, _| {})
        .expect_err("bad files");
    let text = error.to_string();
    assert!(text.starts_with("6 of 6 clips"), "{text}");
    let expected = [
        ("x-0.wav", "empty"),
        ("x-1.wav", "not audio"),
        ("x-2.wav", "fewer than"),
        ("y-0.wav", "NaN"),
        ("y-1.wav", "truncated"),
        ("y-2.wav", "has a sample of"),
    ];
    for ((name, fault), line) in expected.iter().zip(text.lines().skip(1)) {
        assert!(line.contains(name) && line.contains(fault), "{line}");
    }
}

#[test]
fn a_file_that_ends_early_is_used_where_the_manifest_allows_it() {
    let (root, mut manifest) = toys();
    let path = root.path().join("y-1.wav");
    let whole = fs::read(&path).expect("file");
    let cache = tempfile::tempdir().expect("folder");
    let run = |manifest: &Manifest| {
        let options = FeatureOptions {
            cache: Some(cache.path()),
            ..FeatureOptions::default()
        };
        let data = load(root.path(), manifest);
        data.features(&extractor(8), options, &|_, _| {})
    };
    let (first, _) = run(&manifest).expect("whole files");
    manifest.clips.allow_truncated = true;
    let (same, outcome) = run(&manifest).expect("whole files");
    assert_eq!(outcome, CacheUse::Built, "another setting");
    for index in 0..first.clips() {
        assert_eq!(first.clip(index), same.clip(index));
    }
    let samples_end = whole.len() - 4 * 2 * 160;
    fs::write(&path, &whole[..samples_end]).expect("cut");
    let (cut, _) = run(&manifest).expect("allowed");
    assert_eq!((same.frames(4), cut.frames(4)), (6, 4));
    manifest.clips.allow_truncated = false;
    let error = run(&manifest).expect_err("not allowed").to_string();
    assert!(error.contains("y-1.wav"), "{error}");
}

#[test]
fn a_changed_file_is_computed_again_and_a_touched_one_is_not() {
    let (root, manifest) = toys();
    let cache = tempfile::tempdir().expect("folder");
    let run = || {
        let data = load(root.path(), &manifest);
        let options = FeatureOptions {
            cache: Some(cache.path()),
            ..FeatureOptions::default()
        };
        let (features, outcome) = data
            .features(&extractor(4), options, &|_, _| {})
            .expect("features");
        let clips = (0..features.clips()).map(|index| features.clip(index));
        (clips.collect::<Vec<_>>(), outcome)
    };
    let (first, outcome) = run();
    assert_eq!(outcome, CacheUse::Built);
    write_wav(&root.path().join("x-0.wav"), &tone(2, 0.1));
    assert_eq!(run(), (first.clone(), CacheUse::Hit));
    write_wav(&root.path().join("x-0.wav"), &tone(2, 0.11));
    let (changed, outcome) = run();
    assert_eq!(outcome, CacheUse::Built);
    assert_ne!(first, changed);
}

#[test]
fn a_clip_that_vanished_is_named() {
    let (root, manifest) = toys();
    let data = load(root.path(), &manifest);
    fs::remove_file(root.path().join("x-1.wav")).expect("removed");
    let error = data.fingerprint().expect_err("missing").to_string();
    assert!(error.contains("x-1.wav"), "{error}");
}

#[test]
fn the_fingerprint_follows_sounds_and_protocol_but_not_place_or_title() {
    let (root, manifest) = toys();
    let print =
        |root: &Path, manifest: &Manifest| load(root, manifest).fingerprint().expect("hash");
    let first = print(root.path(), &manifest);
    let (elsewhere, mut renamed) = toys();
    renamed.title = "another title".to_owned();
    renamed.defaults.epochs = 99;
    assert_eq!(print(elsewhere.path(), &renamed), first);

    let mut other_folds = manifest.clone();
    other_folds.split = SplitSpec::GroupKFold {
        group: "speaker".to_owned(),
        folds: 3,
        seed: 1,
        extra: Vec::new(),
    };
    assert_ne!(print(root.path(), &other_folds), first);
    write_wav(&root.path().join("x-0.wav"), &tone(2, 0.11));
    assert_ne!(print(root.path(), &manifest), first);
}

#[test]
fn class_counts_follow_the_part() {
    let (root, manifest) = toys();
    let data = load(root.path(), &manifest);
    assert_eq!(data.class_counts(&[0, 1, 5]), [2, 1]);
    assert_eq!(data.source(), "recordings");
}

#[test]
fn synthesised_sounds_split_by_voice_like_recordings() {
    let data = synthetic::dataset(0);
    assert_eq!(data.manifest.validate(), Ok(()));
    assert_eq!((data.clips.len(), data.source()), (320, "synthesised"));
    assert!(data.clips.is_sorted_by(|a, b| a.relative < b.relative));
    let folds = data.splits().expect("splits");
    assert_eq!(folds.len(), 2);
    for fold in &folds {
        let sizes = (fold.train.len(), fold.validation.len(), fold.test.len());
        assert_eq!(sizes, (128, 32, 160));
        assert_eq!(data.class_counts(&fold.test), [40; 4]);
    }
}

#[test]
fn synthesised_sounds_give_features_of_their_own_length() {
    let data = synthetic::dataset(0);
    let extractor = extractor(data.manifest.defaults.max_length);
    let (features, _) = data
        .features(&extractor, FeatureOptions::default(), &|_, _| {})
        .expect("features");
    assert_eq!((features.clips(), features.max_length()), (320, 46));
    assert!((0..320).all(|index| (22..=39).contains(&features.frames(index))));
    let rows: std::collections::BTreeSet<String> = (0..320)
        .map(|index| format!("{:?}", &features.clip(index)[..256]))
        .collect();
    assert_eq!(rows.len(), 320, "every clip has its own sound");
}

#[test]
fn synthesised_sounds_depend_on_the_seed_only() {
    let print = |seed| synthetic::dataset(seed).fingerprint().expect("hash");
    assert_eq!(print(3), print(3));
    assert_ne!(print(3), print(4));
}

#[test]
fn synthesised_sounds_are_short_finite_and_of_even_loudness() {
    let data = synthetic::dataset(0);
    let Sounds::Samples(sounds) = &data.sounds else {
        panic!("not synthesised");
    };
    for samples in sounds {
        let seconds = samples.len() as f32 / synthetic::SAMPLE_RATE as f32;
        assert!((0.24..0.41).contains(&seconds), "{seconds} s");
        let power =
            samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32;
        assert!((0.09..0.12).contains(&power.sqrt()), "{power}");
        assert!(samples.iter().all(|sample| sample.abs() < 1.0));
    }
}

/// The manifests that come with the program.
#[test]
fn every_manifest_of_the_project_is_valid_and_named_like_its_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("datasets") {
        let path = entry.expect("entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let manifest = Manifest::load(&path).expect("valid");
            assert_eq!(
                path.file_stem().and_then(|stem| stem.to_str()),
                Some(manifest.name.as_str())
            );
            names.push(manifest.name);
        }
    }
    for expected in [
        "mandarin-tone",
        "prompt-language",
        "stamp-language",
        "ktuberling-object",
        "drums",
    ] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
}

/// The data set `name` of the project in made folders: one empty file for every
/// class in every fold, named by `file`.
fn in_official_folds(name: &str, folds: usize, file: &dyn Fn(usize, usize) -> String) -> Dataset {
    let datasets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let mut manifest = Manifest::load(&datasets.join(format!("{name}.toml"))).expect("manifest");
    manifest.clips.count = None;
    let root = tempfile::tempdir().expect("folder");
    for fold in 1..=folds {
        for class in 0..manifest.label.classes.len() {
            let path = root.path().join(file(fold, class));
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, b"").expect("file");
        }
    }
    Dataset::with_manifest(manifest, root.path()).expect("clips")
}

/// The folds that are trained, validated and tested on, for every run.
fn runs(data: &Dataset) -> Vec<[String; 3]> {
    let folds = |part: &[usize]| {
        let mut found: Vec<&str> = part.iter().map(|&i| data.clips[i].group("fold")).collect();
        found.sort_unstable();
        found.dedup();
        found.join(" ")
    };
    let splits = data.splits().expect("splits");
    let parts = |split: &Split| [&split.train, &split.validation, &split.test].map(|p| folds(p));
    splits.iter().map(parts).collect()
}

#[test]
fn esc_50_is_run_in_the_official_folds_with_the_official_class_numbers() {
    let endings = ["wav", "ogg", "flac"];
    let file = |fold: usize, class: usize| {
        let ending = endings[class % endings.len()];
        format!("audio/{fold}-{fold}0{class}-A-{class}.{ending}")
    };
    let data = in_official_folds("esc-50", 5, &file);
    assert_eq!((data.clips.len(), data.classes()), (250, 50));
    let numbered = |clip: &Clip| clip.group("target") == clip.label.to_string();
    assert!(data.clips.iter().all(numbered));
    let names = data.manifest.class_names();
    assert_eq!(
        (names[0], names[37], names[49]),
        ("dog", "clock_alarm", "hand_saw")
    );
    let expected = [
        ["1 2 3", "4", "5"],
        ["2 3 4", "5", "1"],
        ["3 4 5", "1", "2"],
        ["1 4 5", "2", "3"],
        ["1 2 5", "3", "4"],
    ];
    assert_eq!(runs(&data), expected);
}

#[test]
fn urbansound8k_is_run_in_the_official_folds_with_one_held_out() {
    let file = |fold: usize, class: usize| format!("audio/fold{fold}/7{fold}-{class}-0-2.wav");
    let data = in_official_folds("urbansound8k", 10, &file);
    assert_eq!((data.clips.len(), data.classes()), (100, 10));
    let numbered = |clip: &Clip| clip.group("target") == clip.label.to_string();
    assert!(data.clips.iter().all(numbered));
    let runs = runs(&data);
    assert_eq!(runs.len(), 10);
    assert_eq!(runs[0], ["1 2 3 4 5 6 7 8", "9", "10"]);
    assert_eq!(runs[1], ["2 3 4 5 6 7 8 9", "10", "1"]);
    assert_eq!(runs[9], ["1 10 2 3 4 5 6 7", "8", "9"]);
}
