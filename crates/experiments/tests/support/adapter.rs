//! A cache with a tiny backbone, and an adapter on it whose answer is known.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, Head, MethodConfig,
    save,
};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision};
use audio_frontend::PipelineConfig;
use tch::{Tensor, no_grad};
use tempfile::TempDir;

use super::{Outcome, run, tone};

/// Frames of a window.
pub const FRAMES: usize = 32;

/// The shape of the tiny backbone.
pub fn shape() -> AstConfig {
    AstConfig {
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 32,
        frequency_stride: 16,
        time_stride: 16,
        max_length: 64,
        ..AstConfig::tiny()
    }
}

/// `cache/backbones/{other, tiny}`, `adapter` and `sounds`.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        let backbone = |seed: u64, name: &str| {
            let checkpoint = Checkpoint::random(&shape(), seed).unwrap();
            let folder = place.path("cache/backbones").join(name);
            checkpoint.save(&folder).unwrap();
            checkpoint
        };
        backbone(2, "other");
        let full = backbone(1, "tiny");
        let cut = full.first_blocks(1).unwrap();
        let backbone = cut.with_length(FRAMES as i64, Positions::Crop).unwrap();
        place.adapter(&backbone);
        tone(&place.path("sounds/a.wav"), 300.0, 16_000, 1);
        tone(&place.path("sounds/b.wav"), 900.0, 22_050, 2);
        place
    }

    /// A head that says (e.g.) "dog" with 3/4 to everything: p = (1/4, 3/4).
    fn adapter(&self, backbone: &Checkpoint) {
        let method = MethodConfig::named("linear").unwrap();
        let model = AdaptedModel::new(backbone, &method, &AdaptOptions::new(2)).unwrap();
        let set = |name: &str, value: Tensor| {
            let found = model.trained().iter().find(|(known, _)| known == name);
            no_grad(|| found.unwrap().1.shallow_clone().copy_(&value));
        };
        set("classification_head.weight", Tensor::from(0f32));
        set(
            "classification_head.bias",
            Tensor::from_slice(&[0.0, 3f32.ln()]),
        );
        let mut front_end = PipelineConfig::default();
        front_end.ast.max_length = FRAMES;
        let description = AdapterDescription {
            format_version: FORMAT_VERSION,
            method,
            compat: Compat::Fixed,
            backbone_fingerprint: backbone.fingerprint(),
            backbone: "tiny, first 1 blocks".into(),
            blocks: 1,
            strides: [16, 16],
            precision: Precision::F32,
            max_length: FRAMES as i64,
            positions: Positions::Crop,
            pooling: Pooling::All,
            head: Head::Linear,
            first_block: 0,
            mask_padding: false,
            labels: ["cat", "dog"].map(str::to_owned).to_vec(),
            features: serde_json::to_value(front_end).unwrap(),
        };
        save(&self.path("adapter"), &model, &description).unwrap();
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn write(&self, relative: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The program in this folder, with its cache.
    pub fn program(&self, arguments: &[&str]) -> Command {
        program(self.folder.path(), arguments)
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(self.program(arguments).stdin(Stdio::null()))
    }
}

/// The program in `folder`, with the cache `folder/cache` and one thread.
pub fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
    command.args(arguments).current_dir(folder);
    command.env("SOFT_MOA_CACHE", folder.join("cache"));
    command.env("OMP_NUM_THREADS", "1");
    for name in ["HF_ENDPOINT", "HF_TOKEN"] {
        command.env_remove(name);
    }
    command
}
