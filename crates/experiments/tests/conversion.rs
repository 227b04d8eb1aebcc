//! `soft-moa merge` and `soft-moa export-peft` from the command line.

use std::path::Path;
use std::process::Command;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, Head, MethodConfig,
    load, save,
};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision, Step, init};
use serde_json::json;
use tch::{Tensor, no_grad};
use tempfile::TempDir;

/// A backbone of three blocks and 64 frames, and an adapter on its first two
/// blocks at 48 frames.
struct Folders {
    root: TempDir,
    logits: Tensor,
    input: Tensor,
}

impl Folders {
    fn new(method: &str) -> Self {
        let root = TempDir::new().unwrap();
        let config = AstConfig {
            hidden_size: 16,
            num_attention_heads: 2,
            intermediate_size: 32,
            num_hidden_layers: 3,
            num_mel_bins: 36,
            max_length: 64,
            ..AstConfig::base()
        };
        let full = Checkpoint::random(&config, 1).unwrap();
        full.save(&root.path().join("backbone")).unwrap();
        let cut = full.first_blocks(2).unwrap();
        let backbone = cut.with_length(48, Positions::Crop).unwrap();
        let method: MethodConfig = serde_json::from_str(method).unwrap();
        let options = AdaptOptions {
            pooling: Pooling::ClsDist,
            head: Head::NormLinear,
            ..AdaptOptions::new(3)
        };
        let model = AdaptedModel::new(&backbone, &method, &options).unwrap();
        for (name, tensor) in model.trained() {
            let noise = init::normal(2, name, &tensor.size(), 0.1);
            let _ = no_grad(|| tensor.shallow_clone().g_add_(&noise));
        }
        let description = AdapterDescription {
            format_version: FORMAT_VERSION,
            method,
            compat: Compat::Fixed,
            backbone_fingerprint: backbone.fingerprint(),
            backbone: "random".into(),
            blocks: 2,
            strides: [10, 10],
            precision: Precision::F32,
            max_length: 48,
            positions: Positions::Crop,
            pooling: options.pooling,
            head: options.head,
            first_block: 0,
            mask_padding: false,
            labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
            features: json!({}),
        };
        save(&root.path().join("adapter"), &model, &description).unwrap();
        let input = init::normal(3, "input", &[2, 48, 36], 1.0);
        let logits = model.forward(&input, &Step::evaluation()).unwrap().detach();
        Folders {
            root,
            logits,
            input,
        }
    }

    fn run(&self, command: &[&str]) -> (Option<i32>, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
        let at = |name: &str| self.root.path().join(name);
        program.args(command).arg(at("adapter"));
        program.arg("--backbone").arg(at("backbone"));
        let output = program.arg("--out").arg(at("out")).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

const LORA: &str = r#"{"method": "lora", "rank": {"width": 2}}"#;

fn has(folder: &Path, files: &[&str]) {
    for file in files {
        assert!(folder.join(file).is_file(), "{file}");
    }
}

#[test]
fn merge_writes_a_checkpoint_with_the_adapter_s_logits() {
    let folders = Folders::new(LORA);
    let (code, text) = folders.run(&["merge"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("ASTForAudioClassification reads it"),
        "{text}"
    );
    let out = folders.root.path().join("out");
    has(
        &out,
        &[
            "config.json",
            "model.safetensors",
            "head/adapter_config.json",
        ],
    );
    let (merged, _) = Checkpoint::load(&out).unwrap();
    assert_eq!(merged.classifier().unwrap().labels, ["a", "b", "c"]);
    let (model, _) = load(&out.join("head"), &merged, &AdaptOptions::new(1)).unwrap();
    let found = model.forward(&folders.input, &Step::evaluation()).unwrap();
    let error = (found - &folders.logits).abs().max().double_value(&[]);
    assert!(error < 1e-6, "{error}");
    // Nothing is overwritten.
    let (code, text) = folders.run(&["merge"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("name a new folder"), "{text}");
}

#[test]
fn export_peft_writes_adapter_and_backbone_and_says_how_to_load_them() {
    let folders = Folders::new(LORA);
    let (code, text) = folders.run(&["export-peft"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("num_labels=3"), "{text}");
    let out = folders.root.path().join("out");
    let files = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "backbone/config.json",
    ];
    has(&out, &files);
    let (backbone, _) = Checkpoint::load(&out.join("backbone")).unwrap();
    assert_eq!(backbone.config.num_hidden_layers, 2);
}

#[test]
fn methods_without_such_a_form_are_refused_with_the_reason() {
    let folders = Folders::new(r#"{"method": "prefix"}"#);
    for (command, word) in [("merge", "keys and values"), ("export-peft", "LoRA alone")] {
        let (code, text) = folders.run(&[command]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(word), "{text}");
        assert!(!folders.root.path().join("out").exists());
    }
}
