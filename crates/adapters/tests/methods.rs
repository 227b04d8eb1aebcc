//! What holds for every method of the registry.

#[allow(dead_code)] // another file uses the rest
#[path = "support/variants.rs"]
mod variants;

use std::fs;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, AdapterError, Compat, FORMAT_VERSION, Head,
    MethodConfig, NoSettings, load, save,
};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision, Step, init};
use proptest::prelude::*;
use tch::{Kind, Tensor};

fn backbone(seed: u64) -> Checkpoint {
    let config = AstConfig {
        hidden_size: 16,
        num_attention_heads: 2,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_mel_bins: 36,
        max_length: 46,
        ..AstConfig::base()
    };
    Checkpoint::random(&config, seed).unwrap()
}

fn methods(compat: Compat) -> Vec<MethodConfig> {
    let all = variants::variants(compat);
    all.into_iter().map(|variant| variant.method).collect()
}

fn input(seed: u64) -> Tensor {
    init::normal(seed, "input", &[2, 46, 36], 1.0)
}

fn logits(model: &AdaptedModel, input: &Tensor) -> Tensor {
    model.forward(input, &Step::evaluation()).unwrap().detach()
}

/// Moves every trained tensor a little, as training would.
fn disturb(model: &AdaptedModel, seed: u64) {
    tch::no_grad(|| {
        for (name, tensor) in model.trained() {
            let noise = init::normal(seed, name, &tensor.size(), 0.1);
            let _ = tensor.shallow_clone().g_add_(&noise);
        }
    });
}

fn description(method: &MethodConfig, backbone: &Checkpoint) -> AdapterDescription {
    AdapterDescription {
        format_version: FORMAT_VERSION,
        method: method.clone(),
        compat: Compat::Fixed,
        backbone_fingerprint: backbone.fingerprint(),
        backbone: "random".into(),
        blocks: 2,
        strides: [10, 10],
        precision: Precision::F32,
        max_length: 46,
        positions: Positions::Crop,
        pooling: Pooling::All,
        head: Head::Linear,
        first_block: 0,
        mask_padding: false,
        labels: ["a", "b", "c"].map(str::to_owned).to_vec(),
        features: serde_json::json!({}),
    }
}

#[test]
fn with_zero_up_every_method_that_can_starts_at_the_linear_probe() {
    let backbone = backbone(1);
    let options = AdaptOptions::new(3);
    let probe =
        AdaptedModel::new(&backbone, &MethodConfig::Linear(NoSettings {}), &options).unwrap();
    for method in methods(Compat::Fixed) {
        let model = AdaptedModel::new(&backbone, &method, &options).unwrap();
        let difference = (logits(&model, &input(2)) - logits(&probe, &input(2)))
            .abs()
            .max()
            .double_value(&[]);
        if variants::can_start_at_the_probe(&method) {
            assert!(difference < 1e-6, "{method:?}: {difference}");
        } else {
            assert!(difference > 1e-6, "{method:?}: {difference}");
        }
    }
    let paper = methods(Compat::Paper).pop().unwrap();
    let model = AdaptedModel::new(&backbone, &paper, &options).unwrap();
    assert_ne!(logits(&model, &input(2)), logits(&probe, &input(2)));
}

/// Every place an adapter can have, and whether it starts at the linear probe
/// with `zero_up`: it does where the sub-layer's output reaches the stream
/// beside it, and nothing else does.
#[test]
fn with_zero_up_an_adapter_starts_at_the_probe_unless_all_passes_through_it() {
    let backbone = backbone(1);
    let options = AdaptOptions::new(3);
    let linear = MethodConfig::Linear(NoSettings {});
    let probe = AdaptedModel::new(&backbone, &linear, &options).unwrap();
    let rows = [
        ("parallel", "before", false, true),
        ("parallel", "before", true, false),
        ("parallel", "after", false, true),
        ("sequential", "before", false, false),
        ("sequential", "after", false, false),
        ("sequential", "after", true, true),
    ];
    let kinds = [
        r#""bottleneck""#,
        r#"{"convpass": {}}"#,
        r#"{"conformer": {"kernel": 3}}"#,
    ];
    for (insertion, position, residual, starts) in rows {
        for placement in ["pfeiffer-mhsa", "pfeiffer-ffn", "houlsby"] {
            for kind in kinds {
                let json = format!(
                    r#"{{"method": "adapter", "bottleneck": {{"width": 3}}, "kind": {kind},
                        "placement": "{placement}", "insertion": "{insertion}",
                        "position": "{position}", "residual": {residual},
                        "parallel_residual": true, "init": "zero_up"}}"#
                );
                let method: MethodConfig = serde_json::from_str(&json).unwrap();
                let method = method.with_compat(Compat::Fixed);
                let model = AdaptedModel::new(&backbone, &method, &options).unwrap();
                let apart = (logits(&model, &input(2)) - logits(&probe, &input(2)))
                    .abs()
                    .max();
                let apart = apart.double_value(&[]);
                assert_eq!(apart < 1e-6, starts, "{json}: {apart}");
            }
        }
    }
}

#[test]
fn every_trained_tensor_gets_a_gradient_once_it_has_moved() {
    let backbone = backbone(3);
    for method in methods(Compat::Fixed) {
        let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(3)).unwrap();
        disturb(&model, 9);
        let target = Tensor::from_slice(&[0i64, 2]);
        let step = Step::training(1);
        let loss = model
            .forward(&input(4), &step)
            .unwrap()
            .cross_entropy_for_logits(&target);
        let loss = step
            .take_loss()
            .into_iter()
            .fold(loss, |sum, extra| sum + extra);
        loss.backward();
        for (name, tensor) in model.trained() {
            let largest = tensor.grad().abs().max().double_value(&[]);
            let reached = largest > 0.0 || variants::has_no_influence(name);
            assert!(reached, "{}: {name}", method.name());
        }
    }
}

#[test]
fn only_sparse_moa_asks_for_auxiliary_losses_and_only_in_training() {
    let backbone = backbone(3);
    for method in methods(Compat::Fixed) {
        let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(3)).unwrap();
        let asks = |step: Step| {
            let _ = model.forward(&input(4), &step).unwrap();
            step.take_loss().is_some()
        };
        assert!(!asks(Step::evaluation()));
        assert_eq!(asks(Step::training(1)), method.name() == "sparse-moa");
    }
}

#[test]
fn a_saved_adapter_loads_with_the_same_bits() {
    let backbone = backbone(5);
    for method in methods(Compat::Fixed) {
        let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(3)).unwrap();
        disturb(&model, 11);
        // Moves running statistics, where there are any.
        let _ = model.forward(&input(7), &Step::training(1)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let bytes = save(folder.path(), &model, &description(&method, &backbone)).unwrap();
        assert!(bytes > 4 * model.counts().all);
        let (again, told) = load(folder.path(), &backbone, &AdaptOptions::new(1)).unwrap();
        assert_eq!(told, description(&method, &backbone));
        assert_eq!(
            logits(&again, &input(6)),
            logits(&model, &input(6)),
            "{}",
            method.name()
        );
        assert_eq!(again.buffers(), model.buffers(), "{}", method.name());
    }
}

#[test]
fn adapters_that_do_not_fit_are_refused_with_the_reason() {
    let ours = backbone(5);
    let method = MethodConfig::Linear(NoSettings {});
    let model = AdaptedModel::new(&ours, &method, &AdaptOptions::new(3)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &model, &description(&method, &ours)).unwrap();
    let attempt = |checkpoint: &Checkpoint| {
        load(folder.path(), checkpoint, &AdaptOptions::new(3))
            .err()
            .unwrap()
    };
    assert!(matches!(
        attempt(&backbone(6)),
        AdapterError::WrongBackbone { .. }
    ));

    let path = folder.path().join("adapter_config.json");
    let good = fs::read_to_string(&path).unwrap();
    let versions = [
        ("\"format_version\": 2", "\"format_version\": 3"),
        ("\"compat\"", "\"odd\""),
    ];
    for (from, to) in versions {
        fs::write(&path, good.replace(from, to)).unwrap();
        assert!(matches!(attempt(&ours), AdapterError::Description { .. }));
    }
    let other = good.replace("\"method\": \"linear\"", "\"method\": \"full\"");
    fs::write(&path, other).unwrap();
    assert!(matches!(attempt(&ours), AdapterError::Tensor { .. }));
    fs::write(&path, good).unwrap();
    let weights = folder.path().join("adapter_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 7]).unwrap();
    assert!(attempt(&ours).to_string().contains("damaged"));
}

#[test]
fn what_the_user_says_outweighs_the_compat_mode() {
    let json = r#"{"method": "soft-moa", "mixture": {"add_twice": false, "init": "zero_up"}}"#;
    let given: MethodConfig = serde_json::from_str(json).unwrap();
    assert_eq!(given.clone().with_compat(Compat::Paper), given);
    let MethodConfig::SoftMoa(filled) = MethodConfig::named("soft-moa")
        .unwrap()
        .with_compat(Compat::Paper)
    else {
        panic!("another method")
    };
    assert_eq!(filled.mixture.add_twice, Some(true));
}

/// Every setting inside a method that the compat mode decides: where it is,
/// and its values for `paper` and `fixed`.
#[test]
fn every_setting_of_the_compat_mode_is_filled_unless_given() {
    let rows = [
        (r#"{"method": "lora"}"#, "/init", "\"paper\"", "\"zero_up\""),
        (r#"{"method": "ssf"}"#, "/init", "\"paper\"", "\"zero_up\""),
        (
            r#"{"method": "adapter"}"#,
            "/init",
            "\"paper\"",
            "\"zero_up\"",
        ),
        (
            r#"{"method": "adapter", "kind": {"convpass": {"use_convolution": null}}}"#,
            "/kind/convpass/use_convolution",
            "false",
            "true",
        ),
        (
            r#"{"method": "adapter", "kind": {"conformer": {"input_norm": null}}}"#,
            "/kind/conformer/input_norm",
            "\"unused\"",
            "\"applied\"",
        ),
        (
            r#"{"method": "adapter", "insertion": "sequential", "position": "after",
                "residual": null}"#,
            "/residual",
            "true",
            "false",
        ),
        (
            r#"{"method": "adapter", "residual": true, "parallel_residual": null}"#,
            "/parallel_residual",
            "true",
            "false",
        ),
        (
            r#"{"method": "dense-moa", "mixture": {"add_twice": null}}"#,
            "/mixture/add_twice",
            "true",
            "false",
        ),
        (
            r#"{"method": "soft-moa", "mixture": {"init": null}}"#,
            "/mixture/init",
            "\"paper\"",
            "\"zero_up\"",
        ),
    ];
    for (json, place, paper, fixed) in rows {
        let given: MethodConfig = serde_json::from_str(json).unwrap();
        for (compat, expected) in [(Compat::Paper, paper), (Compat::Fixed, fixed)] {
            let filled = given.clone().with_compat(compat);
            let value = serde_json::to_value(&filled).unwrap();
            let found = value.pointer(place).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(expected), "{json}");
            // What is there stays, whatever the other mode says.
            for other in [Compat::Paper, Compat::Fixed] {
                assert_eq!(filled.clone().with_compat(other), filled, "{json}");
            }
        }
    }
}

#[test]
fn an_unknown_method_or_field_is_named() {
    let error = MethodConfig::named("sof-moa").unwrap_err().to_string();
    assert!(
        error.contains("sof-moa") && error.contains("soft-moa"),
        "{error}"
    );
    let wrong = [
        r#"{"method": "soft-moa", "slotz": 2}"#,
        r#"{"method": "linear", "slotz": 2}"#,
    ];
    for json in wrong {
        let error = serde_json::from_str::<MethodConfig>(json).unwrap_err();
        assert!(error.to_string().contains("slotz"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn hyper_parameters_are_used_or_refused_but_never_panic(
        experts in -2i64..9, width in -1i64..70, slots in -1i64..4, k in -1i64..9,
    ) {
        let backbone = backbone(1);
        let mixture = serde_json::json!({ "experts": experts, "bottleneck": { "width": width } });
        let candidates = [
            serde_json::json!({ "method": "soft-moa", "mixture": mixture, "slots": slots }),
            serde_json::json!({ "method": "sparse-moa", "mixture": mixture, "routing": { "k": k } }),
            serde_json::json!({ "method": "adapter", "bottleneck": { "width": width } }),
            serde_json::json!({
                "method": "adapter", "bottleneck": { "width": width },
                "kind": { "conformer": { "kernel": k } },
            }),
            serde_json::json!({ "method": "lora", "rank": { "width": width }, "alpha": slots }),
            serde_json::json!({ "method": "prompt", "prompts": experts }),
            serde_json::json!({ "method": "prefix", "tokens": experts }),
        ];
        for candidate in candidates {
            let method: MethodConfig = serde_json::from_value(candidate).unwrap();
            if let Ok(model) = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(2)) {
                let out = logits(&model, &input(1));
                prop_assert_eq!(out.size(), [2, 2]);
                prop_assert_eq!(out.isfinite().all().to_kind(Kind::Int64).int64_value(&[]), 1);
            }
        }
    }
}
