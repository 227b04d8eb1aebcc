//! `soft-moa pretrain`: a backbone from recordings, used by the other commands.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Outcome, Setup, run};

const CONFIG: &str = r#"
name = "tiny-audio"
max_length = 32
tasks = [{ name = "tones" }]
masked = { weight = 0.5, share = 0.5, decoder = { width = 16, blocks = 1, heads = 2 } }

[start.shape]
hidden_size = 32
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 64
layer_norm_eps = 1e-6
patch_size = 16
frequency_stride = 16
time_stride = 16
max_length = 32
num_mel_bins = 128

[training]
epochs = 3
batch = 4
learning_rate = 1e-3
seed = 1
selection = "best-loss"
"#;

fn pretrain(setup: &Setup, config: &str, out: &str, more: &[&str]) -> Outcome {
    let file = setup.path("pretrain.toml");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
    command.args(["pretrain", "--json", "--values", "f16", "--config"]);
    command.arg(file).arg("--out").arg(setup.path(out));
    command.arg("--cache").arg(setup.path("cache"));
    command.arg("--datasets").arg(setup.path("datasets"));
    command.env("OMP_NUM_THREADS", "1");
    run(command.args(more))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn a_pretrained_backbone_is_a_checkpoint_with_a_card_that_train_uses() {
    let setup = Setup::new();
    let first = pretrain(&setup, CONFIG, "made", &[]).succeeded();
    let made: Value = serde_json::from_str(first.stdout.trim()).unwrap();
    let backbone = setup.path("made").join("tiny-audio");
    assert_eq!(made["epochs"], 3);
    assert!(made["validation"]["accuracy tones"].is_number(), "{made}");
    // Two bytes a value and a header.
    let parameters = made["parameters"].as_u64().unwrap();
    let weights = size(&backbone.join("model.safetensors"));
    assert!(weights < 2 * parameters + 8000, "{weights}");
    let card = fs::read_to_string(backbone.join("README.md")).unwrap();
    for said in [
        "CC0-1.0",
        "soft-moa pretrain",
        made["sha256"].as_str().unwrap(),
    ] {
        assert!(card.contains(said), "{said} is not in\n{card}");
    }
    let metrics = fs::read_to_string(setup.path("made").join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 3);
    assert!(metrics.contains("masked loss"), "{metrics}");

    // The same run elsewhere gives the same weights; again, it is finished.
    let second = pretrain(&setup, CONFIG, "twice", &[]).succeeded();
    let second: Value = serde_json::from_str(second.stdout.trim()).unwrap();
    assert_eq!(second["sha256"], made["sha256"]);
    let again = pretrain(&setup, CONFIG, "made", &[]).succeeded();
    assert!(again.stderr.contains("finished"), "{}", again.stderr);

    let mut train = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
    train.args(["train", "--method", "linear", "--epochs", "1", "--json"]);
    train.arg("--backbone").arg(&backbone);
    train.arg("--data").arg(setup.path("cache/data/tones"));
    train.arg("--out").arg(setup.path("trained"));
    train.arg("--cache").arg(setup.path("cache"));
    let trained = run(&mut train).succeeded();
    assert!(
        trained.stdout.contains("\"epochs\":1"),
        "{}",
        trained.stdout
    );
}

#[test]
fn what_cannot_be_learnt_is_said_before_anything_is_computed() {
    let setup = Setup::new();
    let refused = |config: &str, words: &[&str]| {
        let outcome = pretrain(&setup, config, "refused", &[]);
        assert_ne!(outcome.code, Some(0));
        for word in words {
            assert!(outcome.stderr.contains(word), "{word}: {}", outcome.stderr);
        }
    };
    let overlapping = CONFIG.replace("time_stride = 16", "time_stride = 10");
    refused(&overlapping, &["overlap", "start.strides"]);
    let unknown = CONFIG.replace("name = \"tones\"", "name = \"songs\"");
    refused(&unknown, &["songs.toml"]);
    let twice = CONFIG.replace("[training]", "[start]\ncheckpoint = \"x\"\n[training]");
    refused(&twice, &["start"]);
}

#[test]
fn a_folder_of_another_run_is_left_alone() {
    let setup = Setup::new();
    pretrain(&setup, CONFIG, "made", &[]).succeeded();
    let other = CONFIG.replace("epochs = 3", "epochs = 4");
    let outcome = pretrain(&setup, &other, "made", &[]);
    assert_ne!(outcome.code, Some(0));
    assert!(
        outcome.stderr.contains("other settings"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_recording_held_out_by_one_data_set_trains_in_none() {
    let setup = Setup::new();
    let tones = fs::read_to_string(setup.path("datasets/tones.toml")).unwrap();
    // The same recordings by voice, held out by pitch and take.
    let voices = tones
        .replace("name = \"tones\"", "name = \"voices\"")
        .replace("group = \"pitch\"", "group = \"voice\"")
        .replace("\"low\"", "\"a\"")
        .replace("\"high\"", "\"b\"")
        .replace("test_group = \"voice\"", "test_group = \"pitch\"");
    setup.write("datasets/voices.toml", &voices);
    let place = setup.path("cache/data/tones");
    setup.write("cache/data/voices.path", place.to_str().unwrap());
    let both = CONFIG.replace(
        "[{ name = \"tones\" }]",
        "[{ name = \"tones\" }, { name = \"voices\" }]",
    );
    let made = pretrain(&setup, &both, "made", &[]).succeeded();
    let made: Value = serde_json::from_str(made.stdout.trim()).unwrap();
    let count = |source: usize, part: &str| made["sources"][source][part].as_u64().unwrap();
    let [a, b] = [0, 1].map(|source| count(source, "validation"));
    // 32 recordings: none that either holds out trains, in both sets alike.
    assert_eq!(count(0, "train"), count(1, "train"));
    let common = 32 - count(0, "train");
    assert!(common >= a.max(b) && common <= a + b, "{made}");
    assert!(made["validation"]["accuracy voices"].is_number());
}
