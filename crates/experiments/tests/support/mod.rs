//! A small benchmark on generated tones, run with the real program.

#![allow(dead_code)] // each test program uses its part of this module

pub mod adapter;
pub mod loopback;
pub mod sweep;
pub mod user;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Takes per class and voice.
const TAKES: usize = 8;

const MANIFEST: &str = r#"
name = "tones"
title = "pitch of a generated tone"
licence = "CC0-1.0"
caveat = "generated"

[clips]
pattern = '^(?<pitch>[a-z]+)/(?<voice>[ab])-(?<take>[0-9]+)\.wav$'

[label]
group = "pitch"

[[label.classes]]
name = "low"
values = ["low"]

[[label.classes]]
name = "high"
values = ["high"]

[split]
protocol = "leave-one-group-out"
test_group = "voice"
validation_group = "take"
validation_fraction = 0.25

[defaults]
max_length = 32
batch = 4
epochs = 2
"#;

const PROFILE: &str = r#"
name = "tiny"
title = "three methods on generated tones"
compat = "fixed"

[backbone]
checkpoint = "tiny"
title = "a tiny AST"
remedy = "run `cargo xtask data`"

[backbone.fallback]
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

[[tasks]]
name = "tones"
folds = [0]
seeds = [1]
methods = ["linear", "adapter", "soft-moa"]

[[methods]]
label = "linear"
learning_rate = 5e-3
config = { method = "linear" }

[[methods]]
label = "adapter"
learning_rate = 5e-3
config = { method = "adapter", bottleneck = { width = 4 } }

[[methods]]
label = "soft-moa"
learning_rate = 6e-3
config = { method = "soft-moa", mixture = { experts = 3, bottleneck = { width = 4 } } }
"#;

/// A temporary folder with recordings, a manifest and a profile.
pub struct Setup {
    folder: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Setup {
    pub fn new() -> Self {
        let setup = Setup {
            folder: tempfile::tempdir().unwrap(),
        };
        for (pitch, hertz) in [("low", 300.0), ("high", 1500.0)] {
            for (voice, detune) in [("a", 1.0), ("b", 1.1)] {
                for take in 0..TAKES {
                    let hertz = hertz * detune * (1.0 + 0.02 * take as f32);
                    tone(&setup.recording(pitch, voice, take), hertz, 16_000, 1);
                }
            }
        }
        setup.write("datasets/tones.toml", MANIFEST);
        setup.write("profile.toml", PROFILE);
        setup
    }

    /// The same after a benchmark that went well.
    pub fn finished() -> Self {
        let setup = Self::new();
        setup.bench().succeeded();
        setup
    }

    /// A path in the temporary folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The path of a clip.
    pub fn recording(&self, pitch: &str, voice: &str, take: usize) -> PathBuf {
        self.path(&format!("cache/data/tones/{pitch}/{voice}-{take}.wav"))
    }

    /// Writes a text file into the temporary folder.
    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces `from` by `to` in a text file that must hold it.
    pub fn edit(&self, relative: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(relative)).unwrap();
        assert!(text.contains(from), "{relative} does not hold {from}");
        self.write(relative, &text.replace(from, to));
    }

    /// Both folds and two seeds: twelve runs.
    pub fn with_twelve_runs(self) -> Self {
        self.edit(
            "profile.toml",
            "folds = [0]\nseeds = [1]",
            "folds = [0, 1]\nseeds = [1, 2]",
        );
        self
    }

    /// The program, ready to run the benchmark into a folder of that name.
    pub fn command(&self, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
        command
            .arg("bench")
            .arg("--profile-file")
            .arg(self.path("profile.toml"));
        command.arg("--cache").arg(self.path("cache"));
        command.arg("--datasets").arg(self.path("datasets"));
        command.arg("--out").arg(self.path(out));
        command.env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
        command
    }

    /// Runs the benchmark into `out`.
    pub fn bench(&self) -> Outcome {
        run(&mut self.command("out"))
    }

    /// Starts the benchmark into `out` and returns once run `number` of the
    /// plan, from 1, has started.
    pub fn start_until(&self, number: usize) -> Started {
        let mut command = self.command("out");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let seen = String::new();
        let mut started = Started {
            child,
            stderr,
            seen,
        };
        started.wait_for(&format!("[{number}/"));
        started
    }

    /// Contents of every run's record by run folder.
    pub fn records(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let runs = self.path(out).join("runs");
        let folders = fs::read_dir(runs)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        folders
            .filter_map(|folder| {
                let record = fs::read(folder.join("record.json")).ok()?;
                Some((folder.file_name()?.to_str()?.to_owned(), record))
            })
            .collect()
    }

    /// What must not depend on when and where a benchmark ran: by run, its
    /// accuracy, its epochs without their times, and the adapter's bytes.
    pub fn results(&self, out: &str) -> BTreeMap<String, (Value, Value, Vec<u8>)> {
        let records = self.records(out).into_iter();
        records
            .map(|(id, record)| {
                let record: Value = serde_json::from_slice(&record).unwrap();
                let mut epochs = record["epochs"].clone();
                for epoch in epochs.as_array_mut().unwrap() {
                    epoch.as_object_mut().unwrap().remove("seconds");
                }
                let adapter = format!("runs/{id}/adapter/adapter_model.safetensors");
                let adapter = fs::read(self.path(out).join(adapter)).unwrap();
                (id, (record["test_accuracy"].clone(), epochs, adapter))
            })
            .collect()
    }

    /// `results.json` of a benchmark.
    pub fn report(&self, out: &str) -> Value {
        let text = fs::read(self.path(out).join("results.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

/// A benchmark in progress.
pub struct Started {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Drop for Started {
    fn drop(&mut self) {
        // Only after a failed check is the program still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Started {
    /// Reads messages up to one that starts so.
    fn wait_for(&mut self, start: &str) {
        loop {
            let mut line = String::new();
            let length = self.stderr.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "no line begins with {start}: {}", self.seen);
            self.seen.push_str(&line);
            if line.starts_with(start) {
                return;
            }
        }
    }

    /// SIGKILL: nothing can be tidied up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(
            self.child.wait().unwrap().code(),
            None,
            "it ended before it was killed"
        );
    }

    /// Ctrl-C, and what the program makes of it.
    pub fn interrupt(self) -> Outcome {
        self.signalled("-INT")
    }

    /// SIGTERM, and what the program makes of it.
    pub fn terminate(self) -> Outcome {
        self.signalled("-TERM")
    }

    fn signalled(mut self, signal: &str) -> Outcome {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        self.stderr.read_to_string(&mut self.seen).unwrap();
        let mut stdout = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut stdout)
            .unwrap();
        Outcome {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr: std::mem::take(&mut self.seen),
        }
    }
}

impl Outcome {
    /// Checks that all went well.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Checks for exit code 2, with every one of `parts` in the message.
    pub fn refused(self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        let message = self
            .stderr
            .split_once("error: ")
            .map_or("", |(_, message)| message);
        for part in parts {
            assert!(
                message.contains(part),
                "the message lacks {part:?}:\n{}",
                self.stderr
            );
        }
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Writes a tone of a third of a second as 16-bit WAV.
pub fn tone(path: &Path, hertz: f32, rate: u32, channels: u16) {
    let wave = |index: u32| {
        let time = index as f32 / rate as f32;
        (0.3 * (std::f32::consts::TAU * hertz * time).sin() * f32::from(i16::MAX)) as i16
    };
    let samples: Vec<i16> = (0..rate / 3).map(wave).collect();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        for _ in 0..channels {
            writer.write_sample(sample).unwrap();
        }
    }
    writer.finalize().unwrap();
}
