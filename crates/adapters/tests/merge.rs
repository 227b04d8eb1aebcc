//! Adapters folded into plain weights.

#[path = "support/small.rs"]
mod small;

use adapters::{AdaptOptions, AdapterError, load, merge};
use ast_model::{AstModel, BindOptions, Checkpoint, Pooling};
use serde_json::{Value, json};
use small::{
    backbone, description, difference, hugging_face, input, logits, method, methods, options,
    trained,
};
use tempfile::TempDir;

/// Every method that plain weights can express.
fn mergeable() -> Vec<Value> {
    let lora = |targets: &str, scaling: &str, dora: bool| {
        json!({ "method": "lora", "rank": { "width": 3 }, "targets": targets,
                "scaling": scaling, "dora": dora })
    };
    vec![
        json!({ "method": "linear" }),
        json!({ "method": "full" }),
        json!({ "method": "bitfit" }),
        json!({ "method": "layernorm" }),
        json!({ "method": "ssf" }),
        lora("qv", "alpha_over_rate", false),
        lora("all", "alpha_over_rank", false),
        lora("qkvo", "rank_stabilised", false),
        lora("all", "rank_stabilised", true),
    ]
}

/// f32 rounding: 2 blocks of width 24.
const ROUNDING: f64 = 5e-6;

#[test]
fn merged_weights_give_the_logits_of_the_adapter() {
    let backbone = backbone(24, 2);
    for value in mergeable() {
        let method = method(value.clone());
        let model = trained(&backbone, &method, &options());
        let told = description(&method, &backbone, &options());
        let merged = merge(&model, &told, &backbone).unwrap();
        let (before, after) = (logits(&model, &input(1)), logits(&merged.model, &input(1)));
        let error = difference(&before, &after) / before.abs().max().double_value(&[]);
        println!("{value}: {error:.1e}");
        assert!(error < ROUNDING, "{value}: {error:.1e}");
        // It is the weights that changed, unless nothing but the head trains.
        let moved = merged.checkpoint.fingerprint() != backbone.fingerprint();
        assert!(moved, "{value}");

        let folder = TempDir::new().unwrap();
        merged.save(folder.path()).unwrap();
        let (saved, _) = Checkpoint::load(folder.path()).unwrap();
        assert_eq!(saved.fingerprint(), merged.checkpoint.fingerprint());
        let head = folder.path().join("head");
        let (again, _) = load(&head, &saved, &AdaptOptions::new(1)).unwrap();
        assert_eq!(logits(&again, &input(1)), after, "{value}");
    }
}

#[test]
fn with_hugging_face_s_head_the_checkpoint_alone_is_the_classifier() {
    let backbone = backbone(24, 2);
    for value in mergeable() {
        let method = method(value.clone());
        let model = trained(&backbone, &method, &hugging_face());
        let told = description(&method, &backbone, &hugging_face());
        let merged = merge(&model, &told, &backbone).unwrap();
        assert_eq!(merged.obstacle(), None);
        let folder = TempDir::new().unwrap();
        merged.save(folder.path()).unwrap();
        let (saved, _) = Checkpoint::load(folder.path()).unwrap();
        let head = saved.classifier().unwrap();
        assert_eq!(head.labels, told.labels);
        let plain = AstModel::bind(&saved, &BindOptions::frozen()).unwrap();
        let tokens = plain.forward_plain(&input(1)).unwrap();
        let found = head.forward(&Pooling::ClsDist.pool(&tokens)).unwrap();
        let before = logits(&model, &input(1));
        let error = difference(&found, &before) / before.abs().max().double_value(&[]);
        assert!(error < ROUNDING, "{value}: {error:.1e}");
    }
}

#[test]
fn a_head_that_hugging_face_does_not_have_is_said() {
    let backbone = backbone(16, 1);
    let linear = method(json!({ "method": "linear" }));
    let cases = [
        (options(), "cls_dist"),
        (
            AdaptOptions {
                head: adapters::Head::Linear,
                ..hugging_face()
            },
            "norm_linear",
        ),
    ];
    for (options, word) in cases {
        let model = trained(&backbone, &linear, &options);
        let told = description(&linear, &backbone, &options);
        let merged = merge(&model, &told, &backbone).unwrap();
        assert!(merged.obstacle().unwrap().contains(word));
        assert!(merged.checkpoint.classifier().is_none());
    }
}

#[test]
fn only_the_blocks_a_method_acts_in_are_changed() {
    let backbone = backbone(16, 3);
    let late = AdaptOptions {
        first_block: 2,
        ..options()
    };
    let lora = method(json!({ "method": "lora", "rank": { "width": 2 }, "targets": "all" }));
    let model = trained(&backbone, &lora, &late);
    let merged = merge(&model, &description(&lora, &backbone, &late), &backbone).unwrap();
    for (name, tensor) in merged.checkpoint.tensors() {
        let same = *tensor == backbone.tensors()[name];
        let changes = name.starts_with("layernorm.")
            || (name.starts_with("encoder.layer.2.")
                && name.ends_with(".weight")
                && !name.contains("layernorm"));
        assert_eq!(same, !changes, "{name}");
    }
    assert!(
        difference(
            &logits(&merged.model, &input(1)),
            &logits(&model, &input(1))
        ) < 1e-5
    );
}

#[test]
fn every_other_method_is_refused_with_its_reason() {
    let backbone = backbone(16, 1);
    let mut refused = Vec::new();
    for method in methods() {
        let model = trained(&backbone, &method, &options());
        let told = description(&method, &backbone, &options());
        if let Err(error) = merge(&model, &told, &backbone) {
            assert!(matches!(error, AdapterError::NotMergeable { .. }));
            assert!(error.to_string().contains("keep it as an adapter folder"));
            refused.push(method.name());
        }
    }
    refused.sort_unstable();
    refused.dedup();
    let expected = [
        "adapter",
        "dense-moa",
        "prefix",
        "prompt",
        "soft-moa",
        "sparse-moa",
    ];
    assert_eq!(refused, expected);
}
