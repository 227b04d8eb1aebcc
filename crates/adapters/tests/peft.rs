//! LoRA adapters as Hugging Face `peft` reads them. That it does, and gives
//! equal logits, is tested by `cargo xtask bench-peers peft`; here are names,
//! shapes and settings.

#[path = "support/small.rs"]
mod small;

use std::fs;

use adapters::{AdaptOptions, AdapterError, PeftBase, export_peft};
use ast_model::tensor_file;
use serde_json::{Value, json};
use small::{backbone, description, hugging_face, method, options, trained};
use tempfile::TempDir;

/// Exports a LoRA adapter with these settings for a backbone of two blocks.
fn exported(settings: Value, options: &AdaptOptions, base: PeftBase) -> (TempDir, Value) {
    let backbone = backbone(16, 2);
    let mut value = json!({ "method": "lora", "rank": { "width": 4 } });
    let fields = value.as_object_mut().unwrap();
    fields.extend(settings.as_object().unwrap().clone());
    let lora = method(value);
    let model = trained(&backbone, &lora, options);
    let told = description(&lora, &backbone, options);
    let folder = TempDir::new().unwrap();
    export_peft(folder.path(), &model, &told, base, "tiny").unwrap();
    let text = fs::read(folder.path().join("adapter_config.json")).unwrap();
    (folder, serde_json::from_slice(&text).unwrap())
}

fn shapes(folder: &TempDir) -> Vec<(String, Vec<i64>)> {
    let path = folder.path().join("adapter_model.safetensors");
    let tensors = tensor_file::read(&path).unwrap();
    tensors
        .into_iter()
        .map(|(name, t)| (name, t.size()))
        .collect()
}

#[test]
fn a_classifier_has_updates_final_layernorm_and_head_under_peft_s_names() {
    let settings = json!({ "targets": "qv", "alpha": 8.0, "scaling": "alpha_over_rank" });
    let (folder, config) = exported(settings, &hugging_face(), PeftBase::Classifier);
    let query = "base_model.model.audio_spectrogram_transformer.encoder.layer.0.attention.\
                 attention.query";
    let found = shapes(&folder);
    let has = |name: &str, shape: &[i64]| {
        assert!(
            found.contains(&(name.to_owned(), shape.to_vec())),
            "{name}: {found:?}"
        );
    };
    has(&format!("{query}.lora_A.weight"), &[4, 16]);
    has(&format!("{query}.lora_B.weight"), &[16, 4]);
    has(
        "base_model.model.audio_spectrogram_transformer.layernorm.bias",
        &[16],
    );
    has("base_model.model.classifier.layernorm.weight", &[16]);
    has("base_model.model.classifier.dense.weight", &[3, 16]);
    assert_eq!(found.len(), 2 * 2 * 2 + 2 + 4);
    let expected = json!({
        "peft_type": "LORA", "task_type": null, "base_model_name_or_path": "tiny",
        "inference_mode": true, "r": 4, "lora_alpha": 8, "lora_dropout": 0.0,
        "target_modules": ["query", "value"],
        "modules_to_save": ["classifier", "audio_spectrogram_transformer.layernorm"],
        "bias": "none", "fan_in_fan_out": false, "use_rslora": false, "use_dora": false,
    });
    assert_eq!(config, expected);
}

#[test]
fn the_factor_peft_computes_is_ours_with_every_scaling() {
    // Width 16 and rank 4: the rate is 4.
    for (scaling, expected) in [
        ("alpha_over_rate", 1.5),
        ("alpha_over_rank", 1.5),
        ("rank_stabilised", 3.0),
    ] {
        let settings = json!({ "alpha": 6.0, "scaling": scaling });
        let (_, config) = exported(settings, &options(), PeftBase::Encoder);
        let (alpha, rank) = (&config["lora_alpha"], config["r"].as_f64().unwrap());
        let divisor = match config["use_rslora"].as_bool().unwrap() {
            true => rank.sqrt(),
            false => rank,
        };
        assert_eq!(alpha.as_f64().unwrap() / divisor, expected, "{scaling}");
    }
}

#[test]
fn an_encoder_has_no_head_and_dora_has_magnitudes() {
    let settings = json!({ "targets": "all", "dora": true });
    let (folder, config) = exported(settings, &options(), PeftBase::Encoder);
    let found = shapes(&folder);
    let module = "base_model.model.encoder.layer.1.intermediate.dense";
    let magnitude = (format!("{module}.lora_magnitude_vector"), vec![36]);
    assert!(found.contains(&magnitude), "{found:?}");
    assert_eq!(found.len(), 2 * 6 * 3 + 2);
    assert!(config["use_dora"].as_bool().unwrap());
    assert_eq!(config["modules_to_save"], json!(["layernorm"]));
    let targets = json!([
        "query",
        "key",
        "value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ]);
    assert_eq!(config["target_modules"], targets);
}

#[test]
fn maps_and_blocks_that_names_cannot_tell_apart_are_told_by_a_pattern() {
    let late = AdaptOptions {
        first_block: 1,
        ..options()
    };
    let (_, config) = exported(json!({ "targets": "ffn" }), &late, PeftBase::Encoder);
    let pattern = r".*encoder\.layer\.(1)\.(intermediate\.dense|output\.dense)";
    assert_eq!(config["target_modules"], json!(pattern));
    assert_eq!(config.get("layers_to_transform"), None);
    let (_, config) = exported(json!({ "targets": "qv" }), &late, PeftBase::Encoder);
    assert_eq!(config["layers_to_transform"], json!([1]));
    assert_eq!(config["layers_pattern"], json!("layer"));
}

#[test]
fn what_peft_cannot_hold_is_refused_with_the_remedy() {
    let backbone = backbone(16, 1);
    let folder = TempDir::new().unwrap();
    let attempt = |value: Value, options: &AdaptOptions| {
        let method = method(value);
        let model = trained(&backbone, &method, options);
        let told = description(&method, &backbone, options);
        let error = export_peft(folder.path(), &model, &told, PeftBase::Classifier, "x");
        let error = error.unwrap_err();
        assert!(matches!(error, AdapterError::NotForPeft { .. }));
        error.to_string()
    };
    let text = attempt(json!({ "method": "bitfit" }), &hugging_face());
    assert!(text.contains("LoRA alone"), "{text}");
    let text = attempt(
        json!({ "method": "lora", "rank": { "width": 2 } }),
        &options(),
    );
    assert!(
        text.contains("cls_dist") && text.contains("ASTModel"),
        "{text}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
