//! Folders as users unpack them, read through the manifests of the project.

use super::*;
use crate::data::{Dataset, Protocol, Split, ValidationRule};
use std::collections::BTreeSet;
use std::fs;

/// The manifest of the project, for fewer clips than it promises.
fn manifest(name: &str) -> Manifest {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let mut manifest = Manifest::load(&folder.join(format!("{name}.toml"))).expect("manifest");
    manifest.clips.count = None;
    manifest
}

fn put(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, content).expect("file");
}

fn names(data: &Dataset, part: &[usize], group: &str) -> BTreeSet<String> {
    let value = |&index: &usize| data.clips[index].group(group).to_owned();
    part.iter().map(value).collect()
}

/// Every word by three speakers, one in each part; the lists name `.wav`, some
/// files are `.flac`.
fn speech_commands(root: &Path) -> Manifest {
    let manifest = manifest("speech-commands-v2");
    let mut lists = [String::new(), String::new()];
    for word in manifest.class_names() {
        for (part, speaker) in ["0a0", "1b1", "2c2"].into_iter().enumerate() {
            let ending = if part == 1 { "flac" } else { "wav" };
            put(root, &format!("{word}/{speaker}_nohash_0.{ending}"), "");
            if part > 0 {
                lists[part - 1] += &format!("{word}/{speaker}_nohash_0.wav\n");
            }
        }
    }
    put(root, "validation_list.txt", &lists[0]);
    put(root, "testing_list.txt", &lists[1]);
    put(root, "_background_noise_/white_noise.wav", "");
    put(root, "README.md", "");
    manifest
}

#[test]
fn speech_commands_follow_the_lists_and_ignore_the_noise() {
    let root = tempfile::tempdir().expect("folder");
    let manifest = speech_commands(root.path());
    let data = Dataset::with_manifest(manifest, root.path()).expect("clips");
    assert_eq!((data.clips.len(), data.classes()), (105, 35));
    let classes = data.manifest.class_names();
    assert!(classes.is_sorted());
    assert_eq!((classes[0], classes[34]), ("backward", "zero"));
    let splits = data.splits().expect("splits");
    assert_eq!(splits.len(), 1);
    let speakers = |part: &[usize]| {
        names(&data, part, "speaker")
            .into_iter()
            .collect::<String>()
    };
    let parts = [&splits[0].train, &splits[0].validation, &splits[0].test];
    assert_eq!(parts.map(|part| speakers(part)), ["0a0", "1b1", "2c2"]);
}

#[test]
fn lists_that_are_missing_or_name_missing_files_are_errors() {
    let root = tempfile::tempdir().expect("folder");
    let manifest = speech_commands(root.path());
    let refused = || Dataset::with_manifest(manifest.clone(), root.path()).expect_err("refused");
    put(root.path(), "testing_list.txt", "bed/9_nohash_0.wav\n");
    let text = refused().to_string();
    assert!(
        text.contains("bed/9_nohash_0.wav") && text.contains("lists 1 files"),
        "{text}"
    );
    put(root.path(), "testing_list.txt", "bed/1b1_nohash_0.wav\n");
    let text = refused().to_string();
    assert!(
        text.contains("line 1") && text.contains("another list"),
        "{text}"
    );
    fs::remove_file(root.path().join("testing_list.txt")).expect("removed");
    let text = refused().to_string();
    assert!(text.contains("testing_list.txt"), "{text}");
}

/// Every intent once in each part, by another speaker.
fn fluent(root: &Path) -> Manifest {
    let manifest = manifest("fluent-speech-commands");
    for part in ["train", "valid", "test"] {
        let mut table = ",path,speakerId,transcription,action,object,location\n".to_owned();
        for (number, class) in manifest.label.classes.iter().enumerate() {
            let path = format!("wavs/speakers/{part}/{number}.wav");
            put(root, &path, "");
            table += &format!(
                "{number},{path},{part},\"Now, do it\",{}\n",
                class.values[0]
            );
        }
        // As the official files: nothing after the last value.
        put(root, &format!("data/{part}_data.csv"), table.trim_end());
    }
    manifest
}

#[test]
fn fluent_commands_have_31_intents_in_the_order_of_the_paper() {
    let root = tempfile::tempdir().expect("folder");
    let manifest = fluent(root.path());
    let data = Dataset::with_manifest(manifest, root.path()).expect("clips");
    assert_eq!((data.clips.len(), data.classes()), (93, 31));
    for clip in &data.clips {
        let number = clip.relative.rsplit('/').next().expect("name");
        assert_eq!(number, format!("{}.wav", clip.label));
    }
    let class = |index: usize| data.manifest.label.classes[index].values[0].as_str();
    assert_eq!(class(0), "change language,none,none");
    assert_eq!(class(13), "activate,lights,washroom");
    assert_eq!(class(20), "decrease,heat,kitchen");
    assert_eq!(class(26), "change language,Chinese,none");
    assert_eq!(class(30), "bring,shoes,none");
    let split = data.splits().expect("splits").remove(0);
    assert_eq!(
        names(&data, &split.validation, "speaker"),
        ["valid".to_owned()].into()
    );
    assert_eq!(
        [split.train.len(), split.validation.len(), split.test.len()],
        [31; 3]
    );
}

#[test]
fn a_speaker_in_two_official_parts_is_refused_unless_asked_for() {
    let root = tempfile::tempdir().expect("folder");
    let manifest = fluent(root.path());
    let path = root.path().join("data/test_data.csv");
    let table = fs::read_to_string(&path).expect("table");
    fs::write(&path, table.replace(",test,", ",train,")).expect("table");
    let data = Dataset::with_manifest(manifest, root.path()).expect("clips");
    let text = data.splits().expect_err("leak").to_string();
    assert!(
        text.contains("speaker `train` is in the training part"),
        "{text}"
    );
    let asked = Protocol {
        allow_leaks: vec!["speaker".to_owned()],
        ..Protocol::default()
    };
    assert!(data.splits_for(&asked).is_ok());
}

/// Both speakers of five sessions in every class and in one that is left out.
fn iemocap(root: &Path) -> Manifest {
    for session in 1..=5 {
        for speaker in ["F", "M"] {
            let dialogue = format!("Ses0{session}{speaker}_script01_1");
            let mut lines = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n".to_owned();
            for turn in ["F", "M"] {
                for (number, label) in ["neu", "hap", "exc", "sad", "ang", "fru"]
                    .iter()
                    .enumerate()
                {
                    let name = format!("{dialogue}_{turn}00{number}");
                    lines += &format!(
                        "[6.29 - 8.23]\t{name}\t{label}\t[2.5, 2.5, 2.5]\nC-E2:\tNeutral;\t()\n"
                    );
                    let wav = format!("Session{session}/sentences/wav/{dialogue}/{name}.wav");
                    put(root, &wav, "");
                }
            }
            let folder = format!("Session{session}/dialog/EmoEvaluation");
            put(root, &format!("{folder}/{dialogue}.txt"), &lines);
            put(root, &format!("{folder}/._{dialogue}.txt"), &lines);
            put(
                root,
                &format!("{folder}/Categorical/{dialogue}_e1.txt"),
                &lines,
            );
        }
    }
    manifest("iemocap")
}

#[test]
fn iemocap_has_ten_runs_of_four_classes_whose_speakers_change_places() {
    let root = tempfile::tempdir().expect("folder");
    let manifest = iemocap(root.path());
    let data = Dataset::with_manifest(manifest, root.path()).expect("clips");
    assert_eq!((data.clips.len(), data.classes()), (100, 4));
    let label = |name: &str| {
        let clip = data.clips.iter().find(|clip| clip.relative.ends_with(name));
        clip.expect("clip").label
    };
    let of = ["000", "001", "002", "003", "004"].map(|n| label(&format!("_F{n}.wav")));
    assert_eq!(of, [0, 1, 1, 2, 3]);
    let splits = data.splits().expect("splits");
    let speakers = |part: &[usize]| {
        let names: Vec<String> = names(&data, part, "speaker").into_iter().collect();
        names.join(" ")
    };
    let parts = |split: &Split| [&split.train, &split.validation, &split.test].map(|p| speakers(p));
    assert_eq!(splits.len(), 10);
    assert_eq!(parts(&splits[0]), ["1F 1M 2F 2M 3F 3M 4F 4M", "5F", "5M"]);
    assert_eq!(parts(&splits[1]), ["1F 1M 2F 2M 3F 3M 4F 4M", "5M", "5F"]);
    assert_eq!(parts(&splits[2])[1..], ["1F", "1M"]);
    assert_eq!(parts(&splits[9]), ["1F 1M 2F 2M 3F 3M 5F 5M", "4M", "4F"]);
}

#[test]
fn an_utterance_without_a_sound_is_named() {
    let root = tempfile::tempdir().expect("folder");
    let manifest = iemocap(root.path());
    let lost = "Session3/sentences/wav/Ses03M_script01_1/Ses03M_script01_1_F002";
    let path = |ending: &str| root.path().join(format!("{lost}.{ending}"));
    fs::rename(path("wav"), path("flac")).expect("renamed");
    let data = Dataset::with_manifest(manifest.clone(), root.path()).expect("the stem counts");
    assert_eq!(data.clips.len(), 100);
    fs::remove_file(path("flac")).expect("removed");
    let error = Dataset::with_manifest(manifest, root.path()).expect_err("missing");
    assert!(error.to_string().contains(lost), "{error}");
}

#[test]
fn the_paper_trains_on_nine_folds_of_urbansound8k_and_validates_on_the_tested_one() {
    let root = tempfile::tempdir().expect("folder");
    for fold in 1..=10 {
        for class in 0..10 {
            put(
                root.path(),
                &format!("audio/fold{fold}/{fold}7-{class}-0-2.wav"),
                "",
            );
        }
    }
    let data = Dataset::with_manifest(manifest("urbansound8k"), root.path()).expect("clips");
    let rules = |compat| Protocol::of(compat, &data.manifest.defaults);
    let paper = data
        .splits_for(&rules(adapters::Compat::Paper))
        .expect("splits");
    let fixed = data
        .splits_for(&rules(adapters::Compat::Fixed))
        .expect("splits");
    assert_eq!(
        rules(adapters::Compat::Paper).validation,
        ValidationRule::TestPart
    );
    for (paper, fixed) in paper.iter().zip(&fixed) {
        assert_eq!((&paper.test, &paper.validation), (&fixed.test, &fixed.test));
        assert_eq!((paper.train.len(), fixed.train.len()), (90, 80));
        assert!(
            fixed
                .validation
                .iter()
                .all(|index| !fixed.test.contains(index))
        );
    }
}

#[test]
fn a_recording_in_two_folds_of_esc_50_is_refused_but_for_the_four_known_ones() {
    let made = |source: &str| {
        let root = tempfile::tempdir().expect("folder");
        for fold in 1..=5 {
            for class in 0..50 {
                let own = if class == 0 && fold < 3 {
                    source.to_owned()
                } else {
                    format!("{fold}0{class}")
                };
                put(
                    root.path(),
                    &format!("audio/{fold}-{own}-A-{class}.wav"),
                    "",
                );
            }
        }
        Dataset::with_manifest(manifest("esc-50"), root.path())
            .expect("clips")
            .splits()
    };
    assert!(made("131943").is_ok());
    let text = made("777").expect_err("leak").to_string();
    assert!(text.contains("source `777`"), "{text}");
}
