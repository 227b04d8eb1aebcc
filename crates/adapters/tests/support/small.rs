//! Small models of every method, trained a little by noise.
#![allow(dead_code)] // each test program uses its part of this module

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, Head, MethodConfig,
};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision, Step, init};
use serde_json::{Value, json};
use tch::{Tensor, no_grad};

pub const FRAMES: i64 = 46;
pub const BINS: i64 = 36;

/// A backbone of this width and depth whose biases and LayerNorms are not at
/// their initial values.
pub fn backbone(width: i64, blocks: usize) -> Checkpoint {
    // Threads gain nothing here, and wait for each other on a busy machine.
    tch::set_num_threads(1);
    let config = AstConfig {
        hidden_size: width,
        num_attention_heads: 2,
        intermediate_size: 2 * width + 4,
        num_hidden_layers: blocks,
        num_mel_bins: BINS,
        max_length: FRAMES,
        ..AstConfig::base()
    };
    let plain = Checkpoint::random(&config, 3).unwrap();
    let moved = plain.tensors().iter().map(|(name, tensor)| {
        let noise = init::normal(4, name, &tensor.size(), 0.1);
        (name.clone(), tensor + noise)
    });
    plain.with_tensors(moved.collect(), None).unwrap()
}

/// Every method of the registry, and forms of it that have other tensors.
pub fn methods() -> Vec<MethodConfig> {
    let narrow = json!({ "width": 3 });
    let mut list: Vec<Value> = MethodConfig::names()
        .into_iter()
        .map(|name| {
            let mut value = serde_json::to_value(MethodConfig::named(name).unwrap()).unwrap();
            for field in ["bottleneck", "rank"] {
                if value.get(field).is_some() {
                    value[field] = narrow.clone();
                }
            }
            if value.get("mixture").is_some() {
                value["mixture"]["bottleneck"] = narrow.clone();
            }
            value
        })
        .collect();
    let conformer = json!({ "conformer": { "kernel": 4 } });
    list.extend([
        json!({ "method": "adapter", "bottleneck": narrow, "kind": conformer, "placement": "houlsby" }),
        json!({ "method": "adapter", "bottleneck": narrow, "kind": { "convpass": {} } }),
        json!({ "method": "soft-moa", "slots": 2, "router_norm": "soft_moe", "mixture": {
            "experts": 3, "bottleneck": narrow, "placement": "houlsby", "expert": conformer } }),
        json!({ "method": "lora", "rank": narrow, "targets": "all", "dora": true }),
        json!({ "method": "lora", "rank": narrow, "targets": "qkvo", "scaling": "rank_stabilised" }),
        json!({ "method": "prompt", "prompts": 4, "deep": false, "keep_distillation": true }),
    ]);
    list.into_iter()
        .map(|value| method(value).with_compat(Compat::Fixed))
        .collect()
}

pub fn method(value: Value) -> MethodConfig {
    serde_json::from_value(value).unwrap()
}

/// Three classes, mean over all tokens, linear head.
pub fn options() -> AdaptOptions {
    AdaptOptions::new(3)
}

pub fn description(
    method: &MethodConfig,
    backbone: &Checkpoint,
    options: &AdaptOptions,
) -> AdapterDescription {
    AdapterDescription {
        format_version: FORMAT_VERSION,
        method: method.clone(),
        compat: Compat::Fixed,
        backbone_fingerprint: backbone.fingerprint(),
        backbone: "random".into(),
        blocks: backbone.config.num_hidden_layers,
        strides: [10, 10],
        precision: Precision::F32,
        max_length: FRAMES,
        positions: Positions::Crop,
        pooling: options.pooling,
        head: options.head,
        first_block: options.first_block,
        mask_padding: options.mask_padding,
        labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
        features: json!({}),
    }
}

/// A model whose trained tensors and buffers have been moved.
pub fn trained(
    backbone: &Checkpoint,
    method: &MethodConfig,
    options: &AdaptOptions,
) -> AdaptedModel {
    let model = AdaptedModel::new(backbone, method, options).unwrap();
    move_tensors(&model, 11);
    model
}

pub fn move_tensors(model: &AdaptedModel, seed: u64) {
    for (name, tensor) in model.trained().iter().chain(model.buffers()) {
        // Variances must stay positive.
        let noise = init::uniform(seed, name, &tensor.size(), 0.2);
        let _ = no_grad(|| tensor.shallow_clone().g_add_(&noise));
    }
}

pub fn input(seed: u64) -> Tensor {
    init::normal(seed, "input", &[2, FRAMES, BINS], 1.0)
}

pub fn logits(model: &AdaptedModel, input: &Tensor) -> Tensor {
    model.forward(input, &Step::evaluation()).unwrap().detach()
}

/// What Hugging Face's class has.
pub fn hugging_face() -> AdaptOptions {
    AdaptOptions {
        pooling: Pooling::ClsDist,
        head: Head::NormLinear,
        ..options()
    }
}

pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}
