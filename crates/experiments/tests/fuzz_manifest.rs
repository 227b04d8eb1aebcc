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
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Cut(a, b)),
        (any::<Index>(), "\\PC{1,8}").prop_map(|(at, text)| Change::Insert(at, text)),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Change::Repeat(a, b)),
        (any::<Index>(), prop::char::range('0', '9'))
            .prop_map(|(at, digit)| Change::Digit(at, digit)),
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
