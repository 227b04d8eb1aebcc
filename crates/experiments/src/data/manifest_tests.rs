use super::*;
use std::path::Path;

/// A small manifest with everything in it that the tests change.
const GOOD: &str = r#"
name = "tones"
title = "Tone of a syllable"
licence = "CC0-1.0"
caveat = "Two voices."

[source]
anything = ["goes", "here"]

[clips]
pattern = '^(?<voice>[ab])/(?<syllable>[a-z]+)(?<tone>[0-9]?)\.wav$'
count = 4

[label]
group = "tone"
leave_out = ["9"]
classes = [
    { name = "first", values = ["", "1"] },
    { name = "second", values = ["2"] },
]

[split]
protocol = "leave-one-group-out"
test_group = "voice"
validation_group = "syllable"
validation_fraction = 0.2

[defaults]
max_length = 56
batch = 32
epochs = 10
"#;

const K_FOLD: &str = r#"
protocol = "group-k-fold"
group = "syllable"
folds = 5
extra = [{ name = "unheard", group = "voice", values = ["b"] }]
"#;

const ROTATION: &str = r#"
protocol = "group-rotation"
group = "voice"
order = ["c", "a", "b"]
"#;

fn parse(text: &str) -> Result<Manifest, DataError> {
    Manifest::parse(text, Path::new("datasets/tones.toml"))
}

/// `GOOD` with `from` replaced.
fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the test manifest has no `{from}`");
    GOOD.replace(from, to)
}

/// `GOOD` with another protocol.
fn with_split(split: &str) -> String {
    let start = GOOD.find("protocol").expect("split");
    let end = GOOD.find("[defaults]").expect("defaults");
    format!("{}{split}{}", &GOOD[..start], &GOOD[end..])
}

fn message(text: &str) -> String {
    parse(text).expect_err("the manifest is wrong").to_string()
}

#[test]
fn a_good_manifest_is_read_completely() {
    let manifest = parse(GOOD).expect("good");
    assert_eq!(manifest.class_names(), ["first", "second"]);
    assert_eq!(manifest.clips.count, Some(4));
    assert!(manifest.source.contains_key("anything"));
    let k_fold = parse(&with_split(K_FOLD)).expect("good");
    let SplitSpec::GroupKFold { folds, extra, .. } = &k_fold.split else {
        panic!("read {:?}", k_fold.split);
    };
    assert_eq!((*folds, extra.len()), (5, 1));
    let rotation = parse(&with_split(ROTATION)).expect("good");
    let SplitSpec::GroupRotation { group, order } = &rotation.split else {
        panic!("read {:?}", rotation.split);
    };
    assert_eq!((group.as_str(), order.concat().as_str()), ("voice", "cab"));
}

#[test]
fn an_unknown_field_names_file_field_and_nearest_known_field_at_every_level() {
    let cases = [
        (changed("title =", "titel ="), "titel", "title"),
        (changed("count =", "cuont ="), "cuont", "count"),
        (
            changed("leave_out =", "leaveout ="),
            "leaveout",
            "leave_out",
        ),
        (
            changed("\"first\", values", "\"first\", value"),
            "value",
            "values",
        ),
        (
            changed("validation_fraction", "validation_fractoin"),
            "validation_fractoin",
            "validation_fraction",
        ),
        (
            changed("max_length", "max_lenght"),
            "max_lenght",
            "max_length",
        ),
        (
            with_split(&K_FOLD.replace("folds", "fold")),
            "fold",
            "folds",
        ),
        (
            with_split(&K_FOLD.replace("values", "vals")),
            "vals",
            "values",
        ),
        (
            with_split(&ROTATION.replace("order", "ordr")),
            "ordr",
            "order",
        ),
    ];
    for (text, field, nearest) in cases {
        let message = message(&text);
        assert!(message.starts_with("datasets/tones.toml"), "{message}");
        assert!(
            message.contains(&format!("unknown field `{field}`")),
            "{message}"
        );
        assert!(
            message.contains(&format!("nearest known field is `{nearest}`")),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_field_beside_known_ones_tells_its_line() {
    let error = parse(&changed("epochs = 10", "epochs = 10\nepoch = 3")).expect_err("wrong");
    let line = GOOD
        .lines()
        .position(|line| line.starts_with("epochs"))
        .expect("there")
        + 2;
    assert!(
        error.to_string().contains(&format!(", line {line}:")),
        "{error}"
    );
}

#[test]
fn a_missing_field_and_broken_toml_name_file_and_line() {
    let missing = message(&changed("licence = \"CC0-1.0\"\n", ""));
    assert!(missing.contains("missing field `licence`"), "{missing}");
    let broken = message(&changed("count = 4", "count = "));
    assert!(broken.starts_with("datasets/tones.toml, line "), "{broken}");
}

#[test]
fn contradictions_are_refused_with_a_remedy() {
    let cases = [
        (changed("\"tones\"", "\"To nes\""), "lower-case letters"),
        (
            changed("(?<voice>[ab])", "(?<voice>[ab]"),
            "no regular expression",
        ),
        (
            changed("count = 4", "count = 4\nexclude = '('"),
            "`clips.exclude`",
        ),
        (changed("count = 4", "count = 0"), "`clips.count` is 0"),
        (
            with_split(&K_FOLD.replace("folds = 5", "folds = 999999999999999999")),
            "at most 1000",
        ),
        (
            with_split(&K_FOLD.replace("folds = 5", "folds = 1001")),
            "at most 1000",
        ),
        (
            changed("group = \"tone\"", "group = \"pitch\""),
            "syllable, tone, voice",
        ),
        (
            changed("values = [\"2\"]", "values = [\"1\"]"),
            "claimed twice",
        ),
        (
            changed("values = [\"2\"]", "values = [\"9\"]"),
            "claimed twice",
        ),
        (
            changed("values = [\"2\"]", "values = []"),
            "has no `values`",
        ),
        (
            changed("\"second\"", "\"first\""),
            "two classes are named `first`",
        ),
        (changed("= 0.2", "= 1.0"), "above 0 and below 1"),
        (changed("= 0.2", "= nan"), "above 0 and below 1"),
        (
            changed("test_group = \"voice\"", "test_group = \"speaker\""),
            "`split.test_group`",
        ),
        (
            changed("epochs = 10", "epochs = 0"),
            "`defaults.epochs` is 0",
        ),
        (with_split(&K_FOLD.replace("5", "2")), "at least 3"),
        (with_split(&K_FOLD.replace("[\"b\"]", "[]")), "no `values`"),
        (
            with_split(&K_FOLD.replace("group = \"voice\"", "group = \"who\"")),
            "`split.extra.group`",
        ),
        (with_split(&ROTATION.replace("\"c\", ", "")), "at least 3"),
        (with_split(&ROTATION.replace("\"c\"", "\"b\"")), "`b` twice"),
        (
            with_split(&ROTATION.replace("\"voice\"", "\"who\"")),
            "`split.group`",
        ),
    ];
    for (text, expected) in cases {
        let message = message(&text);
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("datasets/tones.toml"), "{message}");
    }
}

#[test]
fn a_missing_manifest_names_its_path() {
    let error = Manifest::load(Path::new("nowhere/none.toml")).expect_err("missing");
    assert!(error.to_string().contains("nowhere/none.toml"), "{error}");
}
