//! Manifests and file names nobody meant: mutations of the real ones.

mod fuzz_bodies {
    pub mod manifest;
}

use std::fs;
use std::path::Path;

use fuzz_bodies::manifest::manifest_any;
use proptest::prelude::*;
use proptest::sample::Index;

/// Every manifest of the project.
fn manifests() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
    assert!(texts.len() >= 4);
    texts
}

/// Names that the real manifests match, and others.
fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        "ogg/[ㄅ-ㄩ]{1,3}[1-4]?/[35]\\.ogg",
        "audio/[1-5]-[0-9]{1,6}-[A-C]-[0-9]{1,2}\\.(wav|ogg)",
        "audio/fold[0-9]{1,2}/[0-9]{1,6}-[0-9]-[0-9]-[0-9]{1,2}\\.wav",
        "\\PC{1,12}(/\\PC{1,12}){0,3}",
    ];
    prop::collection::vec(name, 0..30)
}

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index, Index),
    Insert(Index, String),
    Repeat(Index, Index),
    Digit(Index, char),
    /// Another number in the place of one.
    Number(Index, u64),
}

/// Numbers that nobody counts to; TOML knows none above the last.
fn large() -> impl Strategy<Value = u64> {
    prop_oneof![
        1_000u64..100_000,
        Just(1_000_000_000),
        Just(999_999_999_999_999_999),
        Just(i64::MAX as u64),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Cut(a, b)),
        (any::<Index>(), "\\PC{1,8}").prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Repeat(a, b)),
        (any::<Index>(), prop::char::range('0', '9'))
            .prop_map(|(at, digit)| Change::Digit(at, digit)),
        (any::<Index>(), large()).prop_map(|(at, number)| Change::Number(at, number)),
    ]
}

fn changed(text: &str, change: &Change) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.is_empty() {
        return String::new();
    }
    let size = letters.len();
    match change {
        Change::Cut(a, b) => {
            let (a, b) = (a.index(size), b.index(size));
            let end = a.max(b).min(a.min(b) + 40);
            letters.drain(a.min(b)..end);
        }
        Change::Insert(at, text) => {
            let at = at.index(size);
            letters.splice(at..at, text.chars());
        }
        Change::Repeat(a, b) => {
            let (a, b) = (a.index(size), b.index(size));
            let piece = letters[a.min(b)..a.max(b).min(a.min(b) + 200)].to_vec();
            letters.splice(a..a, piece);
        }
        Change::Digit(at, digit) => {
            let digits: Vec<usize> = (0..size).filter(|&i| letters[i].is_ascii_digit()).collect();
            if !digits.is_empty() {
                letters[digits[at.index(digits.len())]] = *digit;
            }
        }
        Change::Number(at, number) => {
            let is_digit = |i: usize| letters.get(i).is_some_and(char::is_ascii_digit);
            let starts: Vec<usize> = (0..size)
                .filter(|&i| is_digit(i) && (i == 0 || !is_digit(i - 1)))
                .collect();
            if !starts.is_empty() {
                let start = starts[at.index(starts.len())];
                let end = (start..size).find(|&i| !is_digit(i)).unwrap_or(size);
                letters.splice(start..end, number.to_string().chars());
            }
        }
    }
    letters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn changed_manifests_over_any_files_are_refused_or_keep_their_promises(
        which in any::<Index>(),
        changes in prop::collection::vec(change(), 0..4),
        names in names(),
    ) {
        let texts = manifests();
        let mut text = texts[which.index(texts.len())].clone();
        for change in &changes {
            text = changed(&text, change);
        }
        manifest_any(&text, &names);
    }

    #[test]
    fn any_text_is_refused_or_a_manifest(text in "\\PC{0,200}") {
        manifest_any(&text, &[]);
    }
}

#[test]
fn any_number_of_folds_is_refused_or_made() {
    let texts = manifests();
    let folds = texts.iter().find(|text| text.contains("\nfolds = "));
    let folds = folds.expect("one of the manifests has folds");
    let (before, after) = folds.split_once("\nfolds = ").unwrap();
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let unlimited: Vec<&str> = before
        .lines()
        .filter(|line| !line.starts_with("count ="))
        .collect();
    for number in [0, 3, 1_000, 1_001, 1_000_000_000, i64::MAX as u64] {
        let text = format!("{}\nfolds = {number}{after}", unlimited.join("\n"));
        let parsed = experiments::data::Manifest::parse(&text, Path::new("m.toml"));
        assert_eq!(parsed.is_ok(), (3..=1_000).contains(&number), "{number}");
        manifest_any(&text, &[]);
    }
}

#[test]
fn the_body_gets_as_far_as_splits() {
    // Two voices with three syllables in four tones: every check of the body runs.
    let text = manifests()
        .into_iter()
        .find(|text| text.contains("mandarin-tone"))
        .unwrap();
    let text = text.replace("count = 2334\n", "");
    let mut names = Vec::new();
    for syllable in ["ㄅㄚ", "ㄇㄚ", "ㄉㄚ", "ㄌㄚ"] {
        for tone in ["", "2", "3", "4"] {
            for voice in [3, 5] {
                names.push(format!("ogg/{syllable}{tone}/{voice}.ogg"));
            }
        }
    }
    manifest_any(&text, &names);
    let folder = tempfile::tempdir().unwrap();
    for name in &names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    let manifest = experiments::data::Manifest::parse(&text, Path::new("m.toml")).unwrap();
    let dataset = experiments::data::Dataset::with_manifest(manifest, folder.path()).unwrap();
    assert_eq!(dataset.clips.len(), 32);
    assert_eq!(dataset.splits().unwrap().len(), 2);
}
