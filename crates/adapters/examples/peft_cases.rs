//! Writes LoRA adapters for Hugging Face `peft`, merged checkpoints, and the
//! logits that each must give.
//!
//! `cargo xtask bench-peers peft` runs it and lets `benches/peers/peft_load.py`
//! load everything with transformers and peft.
//!
//! DIR/backbone is the checkpoint, DIR/io.safetensors the input; every other
//! folder is a case, with `expected.safetensors`.

use std::collections::BTreeMap;
use std::path::Path;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, Head, MethodConfig,
    PeftBase, export_peft, merge,
};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision, Step, init, tensor_file};
use serde_json::{Value, json};
use tch::{Tensor, no_grad};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let Some(folder) = std::env::args_os().nth(1) else {
        return Err("one argument: the new folder".into());
    };
    let folder = Path::new(&folder);
    let backbone = backbone()?;
    backbone.save(&folder.join("backbone"))?;
    let config = &backbone.config;
    let shape = [3, config.max_length, config.num_mel_bins];
    let input = init::normal(6, "input", &shape, 1.0);
    tensor_file::write(&folder.join("io.safetensors"), [("input", &input)])?;

    let lora = |targets: &str, scaling: &str, dora: bool| {
        json!({ "method": "lora", "rank": { "width": 4 }, "alpha": 6.0, "targets": targets,
                "scaling": scaling, "dora": dora })
    };
    let cases = [
        ("peft.q", lora("q", "alpha_over_rate", false), 0),
        ("peft.qv", lora("qv", "alpha_over_rank", false), 0),
        (
            "peft.qkvo.rslora",
            lora("qkvo", "rank_stabilised", false),
            0,
        ),
        ("peft.qv.dora", lora("qv", "alpha_over_rank", true), 0),
        (
            "peft.all.rslora.dora",
            lora("all", "rank_stabilised", true),
            0,
        ),
        ("peft.ffn", lora("ffn", "alpha_over_rank", false), 0),
        ("peft.qv.late", lora("qv", "alpha_over_rate", false), 2),
        ("peft.ffn.late", lora("ffn", "alpha_over_rate", false), 2),
        ("merged.qv", lora("qv", "alpha_over_rate", false), 0),
        ("merged.all.dora", lora("all", "rank_stabilised", true), 0),
        ("merged.ssf", json!({ "method": "ssf" }), 0),
        ("merged.bitfit", json!({ "method": "bitfit" }), 0),
        ("merged.full", json!({ "method": "full" }), 0),
    ];
    for (name, method, first_block) in cases {
        let options = AdaptOptions {
            pooling: Pooling::ClsDist,
            head: Head::NormLinear,
            first_block,
            ..AdaptOptions::new(4)
        };
        let case = Case::new(&backbone, method, &options)?;
        let place = folder.join(name);
        if name.starts_with("merged.") {
            merge(&case.model, &case.description, &backbone)?.save(&place)?;
        } else {
            let base = PeftBase::Classifier;
            export_peft(&place, &case.model, &case.description, base, "../backbone")?;
        }
        case.expect(&place, &input, &[])?;
    }

    let options = AdaptOptions::new(4);
    let case = Case::new(&backbone, lora("qkvo", "alpha_over_rate", false), &options)?;
    let place = folder.join("encoder.qkvo");
    let base = PeftBase::Encoder;
    export_peft(&place, &case.model, &case.description, base, "../backbone")?;
    case.expect(&place, &input, &["weight", "bias"])
}

/// Three blocks of width 32, all values moved away from where they start.
fn backbone() -> Result<Checkpoint> {
    let config = AstConfig {
        hidden_size: 32,
        num_attention_heads: 4,
        intermediate_size: 64,
        num_hidden_layers: 3,
        max_length: 64,
        ..AstConfig::base()
    };
    let plain = Checkpoint::random(&config, 3)?;
    let moved: BTreeMap<String, Tensor> = plain
        .tensors()
        .iter()
        .map(|(name, tensor)| {
            let noise = init::normal(4, name, &tensor.size(), 0.1);
            (name.clone(), tensor + noise)
        })
        .collect();
    Ok(plain.with_tensors(moved, None)?)
}

/// A trained model and what its folder would say of it.
struct Case {
    model: AdaptedModel,
    description: AdapterDescription,
}

impl Case {
    fn new(backbone: &Checkpoint, method: Value, options: &AdaptOptions) -> Result<Self> {
        let method: MethodConfig = serde_json::from_value(method)?;
        let model = AdaptedModel::new(backbone, &method, options)?;
        for (name, tensor) in model.trained() {
            let noise = init::normal(9, name, &tensor.size(), 0.1);
            let _ = no_grad(|| tensor.shallow_clone().g_add_(&noise));
        }
        let config = &backbone.config;
        let description = AdapterDescription {
            format_version: FORMAT_VERSION,
            method,
            compat: Compat::Fixed,
            backbone_fingerprint: backbone.fingerprint(),
            backbone: "random".into(),
            blocks: config.num_hidden_layers,
            strides: [config.frequency_stride, config.time_stride],
            precision: Precision::F32,
            max_length: config.max_length,
            positions: Positions::Crop,
            pooling: options.pooling,
            head: options.head,
            first_block: options.first_block,
            mask_padding: options.mask_padding,
            labels: (0..options.classes).map(|i| format!("class {i}")).collect(),
            features: json!({}),
        };
        Ok(Case { model, description })
    }

    /// Writes the logits, and with them tensors of the head.
    fn expect(&self, folder: &Path, input: &Tensor, head: &[&str]) -> Result<()> {
        let logits = self.model.forward(input, &Step::evaluation())?.detach();
        let mut tensors = vec![("logits".to_owned(), logits)];
        for (name, tensor) in self.model.trained() {
            if let Some(part) = name.strip_prefix("classification_head.")
                && head.contains(&part)
            {
                tensors.push((format!("head.{part}"), tensor.detach()));
            }
        }
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        Ok(tensor_file::write(
            &folder.join("expected.safetensors"),
            tensors,
        )?)
    }
}
