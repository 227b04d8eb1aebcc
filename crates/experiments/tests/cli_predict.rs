//! `soft-moa predict` and `embed`, with the real program.

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use support::adapter::{FRAMES, Place};
use support::tone;

/// 16-bit samples of a tone, without a header.
fn raw(seconds: f32) -> Vec<u8> {
    (0..(16_000.0 * seconds) as u32)
        .map(|i| (8000.0 * (i as f32 * 0.1).sin()) as i16)
        .flat_map(i16::to_le_bytes)
        .collect()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_backbone_is_found_by_its_fingerprint_and_classes_come_with_probabilities() {
    let place = Place::new();
    let outcome = place.run(&["predict", "adapter", "sounds"]).succeeded();
    let rows: Vec<&str> = outcome.stdout.lines().collect();
    // A third of a second has 31 frames.
    assert_eq!(rows.len(), 2, "{}", outcome.stdout);
    for (row, name) in rows.iter().zip(["sounds/a.wav", "sounds/b.wav"]) {
        assert!(row.starts_with(name), "{row}");
        assert!(
            row.ends_with("0.00      0.31  dog 75.0 %  cat 25.0 %"),
            "{row}"
        );
    }
    let outcome = place.run(&["predict", "adapter", "sounds", "--json", "--top", "1"]);
    for line in lines(&outcome.succeeded().stdout) {
        assert_eq!(line["top"].as_array().unwrap().len(), 1);
        assert_eq!(line["top"][0]["label"], "dog");
        let probability = line["top"][0]["probability"].as_f64().unwrap();
        assert!((probability - 0.75).abs() < 1e-6);
    }
}

#[test]
fn long_sounds_are_windows_with_time_stamps_and_one_line_where_asked_for() {
    let place = Place::new();
    let samples = raw(1.0);
    let feed = |options: &[&str]| {
        let mut arguments = vec!["predict", "adapter", "-", "--raw", "16000", "--json"];
        arguments.extend(options);
        let mut command = place.program(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&samples).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        lines(&String::from_utf8(output.stdout).unwrap())
    };
    let times = |rows: &[Value]| -> Vec<(f64, f64)> {
        let time = |row: &Value, name: &str| row[name].as_f64().unwrap();
        rows.iter()
            .map(|row| (time(row, "start"), time(row, "end")))
            .collect()
    };
    // A second has 98 frames; windows of 32 begin every 16.
    let rows = feed(&[]);
    assert_eq!(rows[0]["file"], "standard input");
    let expected = [0.0, 0.16, 0.32, 0.48, 0.64, 0.8];
    let starts: Vec<f64> = times(&rows).iter().map(|(start, _)| *start).collect();
    assert_eq!(starts, expected);
    assert_eq!(times(&rows)[5], (0.8, 0.98));
    let rows = feed(&["--hop", "0.32", "--drop-tail"]);
    assert_eq!(times(&rows), [(0.0, 0.32), (0.32, 0.64), (0.64, 0.96)]);
    let rows = feed(&["--per-file"]);
    assert_eq!(times(&rows), [(0.0, 0.98)]);
    assert_eq!(rows[0]["top"][0]["label"], "dog");
}

#[test]
fn a_sound_file_may_come_through_standard_input() {
    let place = Place::new();
    let mut command = place.program(&["predict", "adapter", "-"]);
    let file = fs::File::open(place.path("sounds/b.wav")).unwrap();
    let outcome = support::run(command.stdin(file)).succeeded();
    assert!(
        outcome.stdout.starts_with("standard input  "),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.contains("dog 75.0 %"));
    place
        .run(&["predict", "adapter", "sounds", "--raw", "16000"])
        .refused(&["add - to the sounds"]);
}

#[test]
fn a_bad_file_is_named_and_the_others_are_predicted() {
    let place = Place::new();
    place.write("sounds/a2.wav", "no sound");
    let arguments = ["predict", "adapter", "sounds", "missing.wav"];
    let outcome = place.run(&arguments);
    assert_eq!(outcome.stdout.lines().count(), 2, "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("error: sounds/a2.wav"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("missing.wav"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("2 of 4 sounds could not be read"));
    assert_eq!(outcome.code, Some(2));
    let outcome = place.run(&["predict", "adapter", "sounds", "--json"]);
    assert_eq!(outcome.code, Some(2));
    let rows = lines(&outcome.stdout);
    let files: Vec<&str> = rows
        .iter()
        .map(|row| row["file"].as_str().unwrap())
        .collect();
    assert_eq!(files, ["sounds/a.wav", "sounds/a2.wav", "sounds/b.wav"]);
    assert!(rows[1]["error"].as_str().unwrap().contains("not audio"));
}

#[test]
fn another_backbone_is_refused_and_a_missing_one_described() {
    let place = Place::new();
    let with = |backbone| place.run(&["predict", "adapter", "sounds", "--backbone", backbone]);
    with("tiny").succeeded();
    with("cache/backbones/tiny").succeeded();
    with("other").refused(&["was not trained on other", "tiny, first 1 blocks"]);
    with("owner/name").refused(&["soft-moa fetch owner/name", "other, tiny"]);
    fs::remove_dir_all(place.path("cache/backbones/tiny")).unwrap();
    place.run(&["predict", "adapter", "sounds"]).refused(&[
        "is not in the cache",
        "tiny, first 1 blocks",
        "Tried: other",
    ]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    for index in 0..40 {
        tone(&place.path(&format!("many/{index}.wav")), 500.0, 16_000, 1);
    }
    let mut command = place.program(&["predict", "adapter", "many"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn embeddings_are_printed_or_written_with_an_index() {
    let place = Place::new();
    let printed = place
        .run(&["embed", "sounds", "--adapter", "adapter"])
        .succeeded();
    let rows = lines(&printed.stdout);
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["shape"], serde_json::json!([16]));
    let expected: Vec<f32> = rows
        .iter()
        .flat_map(|row| row["values"].as_array().unwrap())
        .map(|value| value.as_f64().unwrap() as f32)
        .collect();
    for out in ["e.safetensors", "e.npy"] {
        place
            .run(&["embed", "sounds", "--adapter", "adapter", "--out", out])
            .succeeded();
        let path = place.path(out);
        let tensor = match out {
            "e.npy" => tch::Tensor::read_npy(&path).unwrap(),
            _ => ast_model::tensor_file::read(&path).unwrap()["embeddings"].shallow_clone(),
        };
        assert_eq!(tensor.size(), [2, 16]);
        let values: Vec<f32> = tensor.contiguous().view([-1]).try_into().unwrap();
        assert_eq!(values, expected, "{out}");
    }
    let index = fs::read_to_string(place.path("e.index.jsonl")).unwrap();
    let index = lines(&index);
    assert_eq!(index[1]["file"], "sounds/b.wav");
    assert_eq!(index[1]["row"], 1);
}

#[test]
fn a_plain_backbone_embeds_tokens() {
    let place = Place::new();
    let frames = FRAMES.to_string();
    let arguments = [
        "embed",
        "sounds/a.wav",
        "--tokens",
        "--backbone",
        "tiny",
        "--max-length",
    ];
    let outcome = place
        .run(&[&arguments[..], &[&frames]].concat())
        .succeeded();
    // 8 × 2 patches and two special tokens.
    assert_eq!(
        lines(&outcome.stdout)[0]["shape"],
        serde_json::json!([18, 16])
    );
    place
        .run(&["embed", "sounds/a.wav"])
        .refused(&["--backbone", "other, tiny"]);
    place
        .run(&[
            "embed",
            "sounds/a.wav",
            "--backbone",
            "tiny",
            "--out",
            "x.csv",
        ])
        .refused(&[".safetensors, .npy and .jsonl"]);
}
