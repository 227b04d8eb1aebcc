//! `soft-moa eval` on the parts of a run, and the ways in which `train` takes
//! sounds, with the real program.

mod support;

use std::fs;

use serde_json::Value;
use support::user::{User, recording};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// `clips.csv` with this first line, and `row` of class and take for every
/// recording.
fn table(user: &User, head: &str, row: &dyn Fn(&str, u32) -> String) {
    let mut text = format!("{head}\n");
    for class in ["chirp", "noise"] {
        for take in 0..10 {
            text += &format!("recordings/{class}/{take}.wav,{}\n", row(class, take));
        }
    }
    user.write("clips.csv", &text);
}

/// Trains a linear probe for an epoch into `r`; the figures of the test.
fn trained(user: &User, more: &[&str]) -> Value {
    let usual = [
        "train", "--method", "linear", "--epochs", "1", "--out", "r", "--json",
    ];
    let outcome = user.run(&[&usual[..], more].concat()).succeeded();
    json(&outcome.stdout)["test"].clone()
}

#[test]
fn a_part_is_the_clips_of_the_run_whatever_its_seed_and_shares() {
    let user = User::new();
    let other = [
        "--seed",
        "3",
        "--set",
        "test=0.3",
        "--set",
        "validation=0.1",
    ];
    let tested = trained(&user, &[&["--data", "recordings"][..], &other].concat());
    assert_eq!(tested["clips"], 6);
    let parts = json(&user.read("r/split.json"));
    let names = |part: &str| -> Vec<String> {
        let clips = parts[part].as_object().unwrap();
        clips.keys().cloned().collect()
    };
    assert_eq!((names("train").len(), names("validation").len()), (12, 2));
    // More recordings change nothing, and the run says where the others are.
    recording(&user.path().join("recordings/noise/new.wav"), "noise", 77);
    for command in [
        &["eval", "r", "--part", "test", "--json"][..],
        &[
            "eval",
            "r/adapter",
            "--data",
            "recordings",
            "--part",
            "test",
            "--json",
        ],
    ] {
        let measured = json(&user.run(command).succeeded().stdout);
        assert_eq!(measured["metrics"], tested);
    }
    // Of all clips it is told which are no test.
    let all = user.run(&["eval", "r", "--json"]).succeeded();
    assert_eq!(json(&all.stdout)["metrics"]["clips"], 21);
    let told = "of these 21 clips the run was trained on 12 and chose its epoch by 2";
    assert!(all.stderr.contains(told), "{}", all.stderr);
    // An adapter alone knows no parts, and neither do folders of classes.
    fs::rename(user.path().join("r/adapter"), user.path().join("alone")).unwrap();
    let alone = ["eval", "alone", "--data", "recordings", "--part", "test"];
    user.run(&alone)
        .refused(&["neither the adapter nor the data say", "leave --part out"]);
    user.run(&["eval", "alone"])
        .refused(&["name sounds", "--data"]);
    fs::rename(user.path().join("alone"), user.path().join("r/adapter")).unwrap();
    user.run(&["eval", "r", "--part", "tset"])
        .refused(&["name train, validation, test"]);
    // What is gone or changed is named.
    let clip = &names("test")[0];
    recording(&user.path().join("recordings").join(clip), "noise", 99);
    user.run(&["eval", "r", "--part", "test"]).refused(&[
        "1 of the 6 clips",
        "are other sounds now",
        clip,
    ]);
    fs::remove_file(user.path().join("recordings").join(clip)).unwrap();
    user.run(&["eval", "r", "--part", "test"]).refused(&[
        "1 of the 6 clips",
        "are not there any more",
        clip,
    ]);
}

#[test]
fn tables_and_folders_with_the_test_alone_can_be_measured_on() {
    let user = User::new();
    trained(&user, &["--data", "recordings"]);
    fs::create_dir(user.path().join("test")).unwrap();
    for class in ["chirp", "noise"] {
        let name = format!("test/{class}/1.wav");
        recording(&user.path().join(name), class, 30);
    }
    user.write(
        "test.csv",
        "path,label,split\ntest/chirp/1.wav,chirp,test\n",
    );
    let clips = |data: &str| {
        let outcome = user.run(&["eval", "r", "--data", data, "--json"]);
        json(&outcome.succeeded().stdout)["metrics"]["clips"].clone()
    };
    assert_eq!((clips("test"), clips("test.csv")), (2.into(), 1.into()));
    user.write("other.csv", "path,label\ntest/chirp/1.wav,bark\n");
    user.run(&["eval", "r", "--data", "other.csv"])
        .refused(&["knows no class bark; it knows chirp, noise"]);
}

#[test]
fn columns_have_other_names_where_the_settings_say_so() {
    let user = User::new();
    table(&user, "filename,label,room", &|class, take| {
        format!("{class},{}", take / 2)
    });
    let data = ["--data", "clips.csv"];
    let train = |more: &[&str]| {
        let usual = [
            "train",
            "--method",
            "linear",
            "--data",
            "clips.csv",
            "--dry-run",
        ];
        user.run(&[&usual[..], more].concat())
    };
    train(&[]).refused(&["no column `path`", "--set columns.path=filename"]);
    let named = ["--set", "columns.path=filename", "--group", "room"];
    let tested = trained(&user, &[&data[..], &named].concat());
    // The run knows what they are called.
    let measured = user
        .run(&["eval", "r", "--part", "test", "--json"])
        .succeeded();
    assert_eq!(json(&measured.stdout)["metrics"], tested);
    train(&[&named[..2], &["--group", "rooms"]].concat())
        .refused(&["no column `rooms` to be the group", "did you mean `room`?"]);
    user.run(&[
        "train",
        "--data",
        "recordings",
        "--group",
        "room",
        "--dry-run",
    ])
    .refused(&["a folder of sounds has no columns"]);
    // What hangs together in one piece is divided only with leave.
    table(&user, "path,label,speaker", &|class, _| {
        format!("{class},me")
    });
    train(&[]).refused(&["speaker (1 of them)", "allow_leaks = [\"speaker\"]"]);
    train(&["--allow-leak", "speaker"]).succeeded();
}

#[test]
fn settings_below_one_key_and_large_numbers() {
    let user = User::new();
    user.write(
        "masks.toml",
        "data = 'recordings'\n[training.augmentation.spec_augment]\nmax_bins = 24\nmax_frames = 8\n",
    );
    let set = "training.augmentation.time_shift.max_frames=5";
    let plan = ["train", "--config", "masks.toml", "--dry-run", "--set", set];
    let told = user.run(&plan).succeeded().stdout;
    for line in ["max_bins = 24", "max_frames = 8", "max_frames = 5"] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let plan = ["train", "--config", "masks.toml", "--dry-run"];
    let with = |more: &[&str]| user.run(&[&plan[..], more].concat());
    with(&["--set", "training.adamw.weigth_decay=0"])
        .refused(&["did you mean `training.adamw.weight_decay`?"]);
    with(&["--set", "training.batch=abc"]).refused(&["training.batch: invalid type"]);
    with(&["--seed", "18446744073709551615"])
        .refused(&["seed = 18446744073709551615 is too large"]);
    // Masks that do not fit are told before anything is computed.
    with(&["--set", "training.augmentation.spec_augment.max_frames=500"])
        .refused(&["training.augmentation", "max_frames = 500"]);
    // The seed of a run is that of its training.
    let told = with(&["--set", "seed=4"]).succeeded().stdout;
    assert_eq!(told.matches("seed = 4\n").count(), 2, "{told}");
}

#[test]
fn a_manifest_gives_folds_and_settings() {
    let user = User::new();
    let manifest = r#"
name = "takes"
title = "chirps and noise"
licence = "CC0-1.0"
caveat = "generated"
clips.pattern = '^(?<class>[a-z]+)/(?<take>[0-9])\.wav$'
[label]
group = "class"
classes = [{ name = "noise", values = ["noise"] }, { name = "chirp", values = ["chirp"] }]
[split]
protocol = "group-rotation"
group = "take"
order = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
[defaults]
max_length = 40
batch = 3
epochs = 2
spec_augment = { max_bins = 20, max_frames = 4 }
"#;
    user.write("takes.toml", manifest);
    let usual = [
        "train",
        "--manifest",
        "takes.toml",
        "--method",
        "linear",
        "--out",
        "r",
    ];
    let with = |more: &[&str]| user.run(&[&usual[..], more].concat());
    with(&[]).refused(&["name their folder with --data", "takes=FOLDER"]);
    let outcome = with(&["--data", "recordings", "--fold", "2"]).succeeded();
    for words in [
        "classes    2: noise, chirp",
        "as the manifest",
        "take 2 is tested",
        "clips      16 to train, 2 to validate, 2 to test on",
        "length     40 frames",
        "2 epochs of batches of 3",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    }
    let kept = user.read("r/run.toml");
    assert!(kept.contains("max_bins = 20"), "{kept}");
    let measured = user
        .run(&["eval", "r", "--part", "test", "--json"])
        .succeeded();
    assert_eq!(json(&measured.stdout)["metrics"]["clips"], 2);
    with(&["--data", "recordings", "--fold", "10"]).refused(&["divided in 10 ways", "no 10"]);
    with(&["--data", "recordings", "--group", "take"]).refused(&["leave `group` out"]);
    let unknown = ["train", "--manifest", "esc-5", "--data", "recordings"];
    user.run(&unknown)
        .refused(&["no manifest esc-5", "esc-50, urbansound8k"]);
}

#[test]
fn clips_with_several_labels_train_predict_and_are_measured() {
    let user = User::new();
    // Noise is loud as well as some of the chirps.
    let label = |class: &str, take: u32| match (class, take % 2) {
        ("chirp", 0) => "chirp;loud".to_owned(),
        ("chirp", _) => "chirp".to_owned(),
        _ => "noise;loud".to_owned(),
    };
    table(&user, "path,label", &label);
    let several = ["--data", "clips.csv", "--set", "separator=;"];
    let tested = trained(&user, &several);
    assert!(tested["mean_average_precision"].is_f64(), "{tested}");
    assert_eq!(tested["per_class"].as_array().unwrap().len(), 3);
    let measured = user
        .run(&["eval", "r", "--part", "test", "--json"])
        .succeeded();
    assert_eq!(json(&measured.stdout)["metrics"], tested);
    // Each class has a probability of its own.
    let chirp = "recordings/chirp/0.wav";
    let predicted = user.run(&["predict", "r", chirp, "--json"]).succeeded();
    let top = json(predicted.stdout.lines().next().unwrap())["top"].clone();
    let sum: f64 = top
        .as_array()
        .unwrap()
        .iter()
        .map(|class| class["probability"].as_f64().unwrap())
        .sum();
    assert_eq!(top.as_array().unwrap().len(), 3);
    assert!((sum - 1.0).abs() > 1e-3, "{top}");
    // The objective and the labels must fit, which is said before anything is
    // computed.
    let wrong = [
        "train",
        "--data",
        "recordings",
        "--set",
        "training.objective=binary-cross-entropy",
    ];
    let outcome = user.run(&wrong);
    assert!(!outcome.stderr.contains("features"), "{}", outcome.stderr);
    outcome.refused(&["several labels", "separator"]);
}

#[test]
fn epochs_are_written_for_tensorboard_where_asked_for() {
    let user = User::new();
    trained(&user, &["--data", "recordings"]);
    assert!(!user.path().join("r/tensorboard").exists());
    fs::remove_dir_all(user.path().join("r")).unwrap();
    trained(&user, &["--data", "recordings", "--tensorboard"]);
    let events = fs::read_dir(user.path().join("r/tensorboard")).unwrap();
    assert_eq!(events.count(), 1);
    assert_eq!(user.read("r/metrics.jsonl").lines().count(), 1);
}

#[test]
fn checkpoints_that_a_kill_left_beside_the_result_are_removed() {
    let user = User::new();
    trained(&user, &["--data", "recordings"]);
    fs::create_dir(user.path().join("r/checkpoints")).unwrap();
    user.write("r/checkpoints/step-0000000001.safetensors", "left");
    trained(&user, &["--data", "recordings"]);
    assert!(!user.path().join("r/checkpoints").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_is_heard_while_sounds_are_read() {
    use std::process::{Command, Stdio};
    let user = User::new();
    for take in 100..300 {
        recording(
            &user.path().join(format!("recordings/chirp/{take}.wav")),
            "chirp",
            take,
        );
    }
    let mut command = user.command(&["train", "--data", "recordings", "--method", "linear"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It listens once SIGTERM (15) is among the signals that it catches.
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap_or("0").trim(), 16);
        (caught.unwrap_or(0) >> 14) & 1 == 1
    };
    while !listens() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{told}");
    assert!(told.contains("stopped while sounds were read"), "{told}");
}

#[cfg(unix)]
#[test]
fn messages_that_nobody_reads_stop_nothing() {
    use std::process::Stdio;
    let user = User::new();
    let arguments = [
        "train",
        "--data",
        "recordings",
        "--method",
        "linear",
        "--epochs",
        "2",
    ];
    let mut command = user.command(&arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As `2>&1 | head` does.
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(
        user.path()
            .join("runs/recordings-linear/result.json")
            .is_file()
    );
}
