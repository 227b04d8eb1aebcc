use std::fs;

use proptest::prelude::*;

use crate::data::{Columns, Dataset, OwnOptions, Protocol, Split};

/// A table with this text; every path in its first column is a file.
fn open(text: &str, options: &OwnOptions) -> (tempfile::TempDir, Dataset) {
    let root = tempfile::tempdir().expect("folder");
    for line in text.lines().skip(1) {
        let path = line.split(',').next().expect("path");
        fs::write(root.path().join(path), "").expect("file");
    }
    let file = root.path().join("clips.csv");
    fs::write(&file, text).expect("table");
    let options = OwnOptions {
        max_length: Some(10),
        ..options.clone()
    };
    let data = Dataset::own(&file, &options).expect("data set");
    (root, data)
}

fn split(data: &Dataset, options: &OwnOptions) -> Split {
    let protocol = Protocol {
        allow_leaks: options.allow_leaks.clone(),
        ..Protocol::default()
    };
    let mut splits = data.splits_for(&protocol).expect("splits");
    assert_eq!(splits.len(), 1);
    splits.remove(0)
}

/// That no value of `group` is in two parts.
fn kept_apart(data: &Dataset, split: &Split, group: &str) -> bool {
    let parts = [&split.train, &split.validation, &split.test];
    data.clips.iter().all(|clip| {
        let value = clip.group(group);
        let holds = |part: &&&Vec<usize>| part.iter().any(|&i| data.clips[i].group(group) == value);
        value.is_empty() || parts.iter().filter(holds).count() == 1
    })
}

/// Twenty clips of two classes, with what `more` says of clip i.
fn table(columns: &str, more: &dyn Fn(usize) -> String) -> String {
    let mut text = format!("path,label,{columns}\n");
    for index in 0..20 {
        text += &format!("{index}.wav,{},{}\n", index % 2, more(index));
    }
    text
}

#[test]
fn of_two_folds_the_last_is_tested_and_the_other_validates_too() {
    let options = OwnOptions::default();
    let text = table("fold", &|index| format!("{}", 1 + index / 10));
    let (_root, data) = open(&text, &options);
    let split = split(&data, &options);
    let folds = |part: &[usize]| -> Vec<&str> {
        let mut folds: Vec<&str> = part.iter().map(|&i| data.clips[i].group("fold")).collect();
        folds.dedup();
        folds
    };
    assert_eq!(folds(&split.train), ["1"]);
    assert_eq!(folds(&split.validation), ["1"]);
    assert_eq!((folds(&split.test), split.test.len()), (vec!["2"], 10));
}

#[test]
fn folds_of_some_clips_are_groups_and_one_fold_for_all_says_nothing() {
    let options = OwnOptions::default();
    let some = |index: usize| match index {
        0..8 => format!("{}", index / 2 % 2),
        _ => String::new(),
    };
    let (_root, data) = open(&table("fold", &some), &options);
    assert!(kept_apart(&data, &split(&data, &options), "fold"));
    let (_root, data) = open(&table("fold", &|_| "1".to_owned()), &options);
    assert_eq!(split(&data, &options).test.len(), 4);
}

#[test]
fn speakers_who_share_recordings_stay_together_with_them() {
    // Ten recordings of two pieces each; pairs of them share both speakers.
    let mut text = "path,label,speaker,start,end\n".to_owned();
    for piece in 0..20 {
        let recording = piece / 2;
        let speaker = (recording / 2) * 2 + piece % 2;
        let start = piece % 2;
        text += &format!(
            "{recording}.wav,{},s{speaker},{start},{}\n",
            piece / 2 % 2,
            start + 1
        );
    }
    let options = OwnOptions::default();
    let (_root, data) = open(&text, &options);
    let split = split(&data, &options);
    assert!(kept_apart(&data, &split, "speaker"));
    assert!(kept_apart(&data, &split, "file"));
    assert_eq!(
        [split.train.len(), split.validation.len(), split.test.len()],
        [12, 4, 4]
    );
}

#[test]
fn a_split_with_folds_holds_whole_folds_out() {
    let options = OwnOptions::default();
    let row = |index: usize| match index {
        0..14 => format!("train,{}", index / 2),
        _ => "test,".to_owned(),
    };
    let (_root, data) = open(&table("split,fold", &row), &options);
    let split = split(&data, &options);
    assert!(kept_apart(&data, &split, "fold"));
    assert!(!split.validation.is_empty() && split.test.len() == 6);
}

#[test]
fn the_group_the_user_names_is_kept_together_beside_the_speaker() {
    let options = OwnOptions {
        columns: Columns {
            group: "room".to_owned(),
            ..Columns::default()
        },
        ..OwnOptions::default()
    };
    // Rooms and speakers cross: 0 1 | 1 2 | 2 3 ... would tie everything, so
    // they do so in blocks of four clips.
    let row = |index: usize| format!("r{},s{}", index / 2, index.div_ceil(2) + index / 4 * 10);
    let (_root, data) = open(&table("room,speaker", &row), &options);
    let parts = split(&data, &options);
    assert!(kept_apart(&data, &parts, "group") && kept_apart(&data, &parts, "speaker"));
    // Three rooms and one speaker cannot be divided: the message says why and
    // what to do, and with leave it can.
    let row = |index: usize| format!("r{},s", index % 5);
    let (_root, data) = open(&table("room,speaker", &row), &options);
    let text = data.splits().expect_err("leak").to_string();
    assert!(
        text.contains("speaker `s`") && text.contains("allow_leaks = [\"speaker\"]"),
        "{text}"
    );
    let allowed = OwnOptions {
        allow_leaks: vec!["speaker".to_owned()],
        ..options
    };
    let (_root, data) = open(&table("room,speaker", &row), &allowed);
    assert!(kept_apart(&data, &split(&data, &allowed), "group"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_group_is_in_two_parts_where_there_is_enough_to_deal(
        of in prop::collection::vec((0usize..24, 0usize..24), 20),
    ) {
        let text = table("speaker,group", &|index| format!("s{},g{}", of[index].0, of[index].1));
        let options = OwnOptions::default();
        let (_root, data) = open(&text, &options);
        // What is refused is refused for a leak or for an empty part.
        if let Ok(splits) = data.splits() {
            prop_assert!(kept_apart(&data, &splits[0], "speaker"));
            prop_assert!(kept_apart(&data, &splits[0], "group"));
        }
    }
}
