//! `soft-moa train`, from a new user's folder of recordings to predictions,
//! with the real program.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ast_model::{AstConfig, Checkpoint};
use serde_json::Value;
use support::adapter::{program, shape};
use support::{Outcome, run};
use tempfile::TempDir;

/// Half a second: a chirp that rises from a pitch of its own, or noise.
fn recording(path: &Path, class: &str, take: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    let mut state = 1 + take;
    for i in 0..8000 {
        let time = i as f32 / 16_000.0;
        let value = if class == "chirp" {
            let start = 300.0 + 40.0 * take as f32;
            (std::f32::consts::TAU * (start * time + 1500.0 * time * time)).sin()
        } else {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / u32::MAX as f32 * 2.0 - 1.0
        };
        writer.write_sample((6000.0 * value) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

/// `recordings/{chirp, noise}/{0 … 9}.wav` and a tiny backbone in the cache.
struct User {
    folder: TempDir,
}

impl User {
    fn new() -> Self {
        let user = User {
            folder: tempfile::tempdir().unwrap(),
        };
        for class in ["chirp", "noise"] {
            for take in 0..10 {
                let name = format!("recordings/{class}/{take}.wav");
                recording(&user.folder.path().join(name), class, take);
            }
        }
        // Soft-MoA makes bottlenecks of 1/128 of the width.
        let shape = AstConfig {
            hidden_size: 128,
            ..shape()
        };
        let backbone = Checkpoint::random(&shape, 1).unwrap();
        let place = user.folder.path().join("cache/backbones/tiny");
        backbone.save(&place).unwrap();
        user
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), arguments);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}

const TRAIN: [&str; 5] = ["train", "--data", "recordings", "--method", "soft-moa"];
const RUN: &str = "runs/recordings-soft-moa";

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&TRAIN[..], more].concat()
}

#[test]
fn a_new_user_comes_from_two_folders_of_recordings_to_predictions() {
    let user = User::new();
    let outcome = user.run(&TRAIN).succeeded();
    let told = &outcome.stderr;
    for words in [
        "classes    2: chirp, noise",
        "clips      12 to train, 4 to validate, 4 to test on",
        // 48 frames hold half a second.
        "length     48 frames",
        "backbone   tiny, 2 blocks",
        "epoch 1/50",
        "predict with: soft-moa predict runs/recordings-soft-moa/adapter SOUNDS",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(
        outcome.stdout.contains("accuracy 100.0 %"),
        "{}",
        outcome.stdout
    );
    let lines = user.read(&format!("{RUN}/metrics.jsonl"));
    assert_eq!(lines.lines().count(), 50);
    // The line that says how to predict, with sounds nobody has heard.
    let place = user.folder.path();
    recording(&place.join("new/chirp.wav"), "chirp", 11);
    recording(&place.join("new/noise.wav"), "noise", 99);
    let adapter = format!("{RUN}/adapter");
    let predicted = user
        .run(&["predict", &adapter, "new", "--top", "1"])
        .succeeded();
    let rows: Vec<&str> = predicted.stdout.lines().collect();
    assert!(rows[0].contains("  chirp "), "{}", predicted.stdout);
    assert!(rows[1].contains("  noise "), "{}", predicted.stdout);
    let evaluated = user.run(&["eval", RUN, "--data", "recordings", "--json"]);
    let value: Value = serde_json::from_str(&evaluated.succeeded().stdout).unwrap();
    assert_eq!(value["metrics"]["clips"], 20);
    assert!(value["metrics"]["accuracy"].as_f64().unwrap() > 0.9);
    let inspected = user.run(&["inspect", RUN]).succeeded().stdout;
    assert!(inspected.contains("run of soft-moa train"), "{inspected}");
}

#[test]
fn a_finished_run_is_told_again_and_another_configuration_is_refused() {
    let user = User::new();
    let first = user.run(&with(&["--epochs", "2", "--json"])).succeeded();
    let weights = fs::metadata(
        user.folder
            .path()
            .join(RUN)
            .join("adapter/adapter_model.safetensors"),
    );
    let written = weights.unwrap().modified().unwrap();
    let again = user.run(&with(&["--epochs", "2", "--json"])).succeeded();
    assert_eq!(first.stdout, again.stdout);
    assert!(
        again.stderr.contains("this run is finished"),
        "{}",
        again.stderr
    );
    let weights = fs::metadata(
        user.folder
            .path()
            .join(RUN)
            .join("adapter/adapter_model.safetensors"),
    );
    assert_eq!(weights.unwrap().modified().unwrap(), written);
    user.run(&with(&["--epochs", "3"]))
        .refused(&["training.epochs was 2, is 3", "choose another --out"]);
    recording(
        &user.folder.path().join("recordings/noise/x.wav"),
        "noise",
        7,
    );
    user.run(&with(&["--epochs", "2"])).refused(&["the sounds"]);
}

#[test]
fn a_file_and_flags_make_the_configuration_that_is_kept() {
    let user = User::new();
    user.write(
        "run.toml",
        "data = 'recordings'\nmethod = { method = 'lora', rank = { width = 2 } }\nblocks = 1\n\
         [training]\nepochs = 5\nbatch = 7\n",
    );
    let arguments = [
        "train", "--config", "run.toml", "--epochs", "1", "--out", "r",
    ];
    user.run(&[&arguments[..], &["--set", "training.clip_norm=2.5"]].concat())
        .succeeded();
    let kept = user.read("r/run.toml");
    for line in [
        "blocks = 1",
        "epochs = 1",
        "batch = 7",
        "clip_norm = 2.5",
        "width = 2",
    ] {
        assert!(kept.contains(line), "{line}: {kept}");
    }
    // What was kept makes the same run.
    let dry = ["train", "--config", "r/run.toml", "--dry-run"];
    assert_eq!(user.run(&dry).succeeded().stdout.trim(), kept.trim());
    for (text, words) in [
        (
            "dta = 'x'",
            "line 1: there is no key `dta`; did you mean `data`?",
        ),
        ("[training]\nepoch = 1", "did you mean `training.epochs`?"),
        (
            "[method]\nmethod = 'lora'\nrnk = 1",
            "did you mean `method.rank`?",
        ),
    ] {
        user.write("bad.toml", text);
        user.run(&["train", "--config", "bad.toml", "--data", "recordings"])
            .refused(&[words]);
    }
}

#[test]
fn the_paper_s_behaviour_is_whole_and_both_counts_are_told() {
    let user = User::new();
    let resolved = |more: &[&str]| {
        let dry = with(&[&["--set", "compat=paper", "--dry-run"][..], more].concat());
        toml::from_str::<toml::Table>(&user.run(&dry).succeeded().stdout).unwrap()
    };
    let paper = resolved(&[]);
    assert_eq!(paper["positions"].as_str(), Some("zero"));
    assert_eq!(paper["training"]["selection"].as_str(), Some("last"));
    assert!(paper["training"].get("patience").is_none());
    assert_eq!(
        paper["method"]["mixture"]["add_twice"].as_bool(),
        Some(true)
    );
    let given = [
        "--set",
        "positions=crop",
        "--set",
        "training.selection=best-loss",
    ];
    let own = resolved(&given);
    assert_eq!(own["positions"].as_str(), Some("crop"));
    assert_eq!(own["training"]["selection"].as_str(), Some("best-loss"));

    let arguments = with(&["--set", "compat=paper", "--epochs", "1", "--json"]);
    let result = user.run(&arguments).succeeded().stdout;
    let result: Value = serde_json::from_str(&result).unwrap();
    let adapter = user.read(&format!("{RUN}/adapter/adapter_config.json"));
    let adapter: Value = serde_json::from_str(&adapter).unwrap();
    assert_eq!(adapter["compat"], "paper");
    assert_eq!(adapter["positions"], "zero");
    // Two blocks of 7 experts of width 1 in a model of width 128, with Φ and
    // the LayerNorm; then head and final LayerNorm.
    let paper = 2 * (7 * (2 * 128 + 1 + 128) + 7 * 128 + 2 * 128);
    assert_eq!(result["trained_values_paper"], paper);
    assert_eq!(result["trained_values"], paper + 2 * 128 + 2 + 2 * 128);
    let again = with(&["--set", "compat=paper", "--epochs", "1"]);
    let told = user.run(&again).succeeded().stdout;
    assert!(told.contains(&format!("{paper} without head")), "{told}");
}

#[test]
fn a_table_of_clips_trains_with_its_own_parts() {
    let user = User::new();
    let mut table = "path,label,split\n".to_owned();
    for class in ["chirp", "noise"] {
        for take in 0..10 {
            let part = match take {
                8 => "dev",
                9 => "test",
                _ => "train",
            };
            table += &format!("recordings/{class}/{take}.wav,{class},{part}\n");
        }
    }
    user.write("clips.csv", &table);
    let arguments = [
        "train",
        "--data",
        "clips.csv",
        "--method",
        "linear",
        "--epochs",
        "1",
    ];
    let outcome = user.run(&arguments).succeeded();
    let parts = "clips      16 to train, 2 to validate, 2 to test on";
    assert!(outcome.stderr.contains(parts), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("as split says"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_the_reason() {
    let user = User::new();
    user.run(&["train"]).refused(&["name sounds with --data"]);
    user.run(&["train", "--data", "nowhere"])
        .refused(&["check the path"]);
    user.run(&["train", "--data", "recordings/noise"])
        .refused(&["0 sub-folders", "at least two classes"]);
    user.run(&["train", "--data", "recordings", "--method", "soft-mao"])
        .refused(&["soft-moa"]);
    user.write("recordings/noise/bad.wav", "no sound");
    user.run(&TRAIN).refused(&["bad.wav"]);
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_or_killed_goes_on_and_ends_with_the_same_adapter() {
    use std::io::{BufRead, BufReader, Read};
    let user = User::new();
    let adapter = |run: &str| {
        fs::read(
            user.folder
                .path()
                .join(run)
                .join("adapter/adapter_model.safetensors"),
        )
        .unwrap()
    };
    let arguments = |out: &'static str| with(&["--epochs", "30", "--out", out]);
    user.run(&arguments("undisturbed")).succeeded();
    for (signal, code) in [("TERM", Some(75)), ("INT", Some(130)), ("KILL", None)] {
        let mut command = user.command(&arguments("r"));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("epoch ") {
            line.clear();
            assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended early");
        }
        let id = child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status();
        assert!(sent.unwrap().success());
        let mut rest = String::new();
        told.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), code, "{signal}: {rest}");
    }
    let outcome = user.run(&arguments("r")).succeeded();
    assert!(
        outcome.stderr.contains("going on after"),
        "{}",
        outcome.stderr
    );
    assert_eq!(adapter("r"), adapter("undisturbed"));
}
