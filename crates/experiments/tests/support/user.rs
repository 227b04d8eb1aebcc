//! A new user with recordings of two classes and a tiny backbone.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ast_model::{AstConfig, Checkpoint};
use tempfile::TempDir;

use super::adapter::{program, shape};
use super::{Outcome, run};

/// Half a second: a chirp that rises from a pitch of its own, or noise.
pub fn recording(path: &Path, class: &str, take: u32) {
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
pub struct User {
    /// Where everything lies.
    pub folder: TempDir,
}

impl User {
    pub fn new() -> Self {
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

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path(), arguments);
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.command(arguments))
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }
}
