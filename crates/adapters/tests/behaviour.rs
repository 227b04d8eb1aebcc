//! What every method does to the model: which tensors it changes, in which
//! precisions, with and without activation checkpointing, and what it sees of
//! the order of the patches.

#[allow(dead_code)] // another file uses the rest
#[path = "support/variants.rs"]
mod variants;

use std::collections::BTreeMap;

use adapters::{AdaptOptions, AdaptedModel, Compat, MethodConfig};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision, Step, init};
use proptest::prelude::*;
use tch::{Kind, Tensor, no_grad};
use variants::{has_no_influence, looks_along_tokens, variants};

/// Patches that do not overlap: grid [2, 4].
fn config() -> AstConfig {
    AstConfig {
        hidden_size: 16,
        num_attention_heads: 2,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_mel_bins: 32,
        max_length: 64,
        frequency_stride: 16,
        time_stride: 16,
        ..AstConfig::base()
    }
}

fn backbone() -> Checkpoint {
    Checkpoint::random(&config(), 3).unwrap()
}

fn input(seed: u64) -> Tensor {
    init::normal(seed, "input", &[3, 64, 32], 1.0)
}

/// The same without positions. Zeros come with another length only, so it is
/// made from a longer model.
fn backbone_without_positions() -> Checkpoint {
    let longer = AstConfig {
        max_length: 80,
        ..config()
    };
    let checkpoint = Checkpoint::random(&longer, 3).unwrap();
    checkpoint.with_length(64, Positions::Zero).unwrap()
}

/// A model whose trained tensors, but for positions, have moved a little from
/// where they start.
fn moved(checkpoint: &Checkpoint, method: &MethodConfig, options: &AdaptOptions) -> AdaptedModel {
    let model = AdaptedModel::new(checkpoint, method, options).unwrap();
    no_grad(|| {
        let positions = |name: &str| name == "embeddings.position_embeddings";
        for (name, tensor) in model.trained().iter().filter(|(name, _)| !positions(name)) {
            let noise = init::normal(9, name, &tensor.size(), 0.1);
            let _ = tensor.shallow_clone().g_add_(&noise);
        }
    });
    model
}

fn values(tensors: &[(String, Tensor)]) -> BTreeMap<String, Tensor> {
    let copy = |(name, tensor): &(String, Tensor)| (name.clone(), tensor.detach().copy());
    tensors.iter().map(copy).collect()
}

fn logits(model: &AdaptedModel, input: &Tensor) -> Tensor {
    no_grad(|| model.forward(input, &Step::evaluation())).unwrap()
}

fn largest(x: &Tensor) -> f64 {
    x.abs().max().to_kind(Kind::Double).double_value(&[])
}

/// Task loss and the method's own.
fn loss(model: &AdaptedModel, step: &Step) -> Tensor {
    let target = Tensor::from_slice(&[0i64, 2, 1]);
    let task = model
        .forward(&input(4), step)
        .unwrap()
        .cross_entropy_for_logits(&target);
    step.take_loss()
        .into_iter()
        .fold(task, |sum, extra| sum + extra)
}

#[test]
fn one_step_changes_the_method_s_tensors_and_no_others() {
    for variant in variants(Compat::Fixed) {
        let (checkpoint, label) = (backbone(), format!("{:?}", variant.method));
        let before = checkpoint.fingerprint();
        let model = moved(&checkpoint, &variant.method, &AdaptOptions::new(3));
        let from_backbone: Vec<&str> = checkpoint
            .names()
            .filter(|name| model.trained().iter().any(|(trained, _)| trained == name))
            .collect();
        let expected: Vec<&str> = checkpoint
            .names()
            .filter(|name| (variant.backbone)(name))
            .collect();
        assert_eq!(from_backbone, expected, "{label}");

        let (old, buffers) = (values(model.trained()), values(model.buffers()));
        loss(&model, &Step::training(5)).backward();
        for (name, tensor) in model.trained() {
            no_grad(|| {
                let change = tensor.grad() * 0.5;
                let _ = tensor.shallow_clone().g_sub_(&change);
            });
            let changed = *tensor != old[name];
            assert!(changed || has_no_influence(name), "{label}: {name}");
        }
        // The penalty of ReLU routing follows what the step before has shown.
        let moves = |name: &str| !name.ends_with(".router_penalty");
        for (name, buffer) in model.buffers().iter().filter(|(name, _)| moves(name)) {
            assert_ne!(*buffer, buffers[name], "{label}: {name}");
        }
        assert_eq!(checkpoint.fingerprint(), before, "{label}");
    }
}

#[test]
fn evaluation_changes_nothing() {
    let checkpoint = backbone();
    for variant in variants(Compat::Fixed) {
        let model = moved(&checkpoint, &variant.method, &AdaptOptions::new(3));
        let before = (values(model.trained()), values(model.buffers()));
        let first = logits(&model, &input(1));
        assert_eq!(logits(&model, &input(1)), first);
        assert_eq!((values(model.trained()), values(model.buffers())), before);
    }
}

#[test]
fn a_frozen_backbone_in_bf16_works_with_every_method() {
    let checkpoint = backbone();
    for variant in variants(Compat::Fixed) {
        let label = format!("{:?}", variant.method);
        let options = AdaptOptions {
            precision: Precision::Bf16,
            ..AdaptOptions::new(3)
        };
        let wide = moved(&checkpoint, &variant.method, &AdaptOptions::new(3));
        let narrow = moved(&checkpoint, &variant.method, &options);
        let expected = logits(&wide, &input(1));
        let error = largest(&(logits(&narrow, &input(1)) - &expected));
        assert!(
            error < 0.05 * (1.0 + largest(&expected)),
            "{label}: {error}"
        );
        loss(&narrow, &Step::training(5)).backward();
        for (name, tensor) in narrow.trained() {
            let gradient = tensor.grad();
            assert_eq!(gradient.kind(), Kind::Float, "{label}: {name}");
            assert!(largest(&gradient).is_finite(), "{label}: {name}");
        }
    }
}

#[test]
fn activation_checkpointing_gives_the_same_gradients_and_statistics() {
    let checkpoint = backbone();
    for variant in variants(Compat::Fixed) {
        let label = format!("{:?}", variant.method);
        let plain = moved(&checkpoint, &variant.method, &AdaptOptions::new(3));
        loss(&plain, &Step::training(5)).backward();

        let kept = moved(&checkpoint, &variant.method, &AdaptOptions::new(3));
        let (features, step) = (input(4), Step::training(5));
        let pass = kept.forward_recomputed(&features, &step).unwrap();
        let target = Tensor::from_slice(&[0i64, 2, 1]);
        let task = pass.logits().cross_entropy_for_logits(&target);
        pass.backward(&task).unwrap();

        for ((name, a), (_, b)) in plain.trained().iter().zip(kept.trained()) {
            let (a, b) = (a.grad(), b.grad());
            let error = largest(&(&a - b));
            assert!(
                error < 1e-5 * (1.0 + largest(&a)),
                "{label}: {name} {error}"
            );
        }
        assert_eq!(values(plain.buffers()), values(kept.buffers()), "{label}");
    }
}

/// The clips with their patches in another order.
fn shuffled(features: &Tensor, order: &[usize]) -> Tensor {
    let patch = |index: usize| {
        let (f, t) = ((index / 4) as i64, (index % 4) as i64);
        features.narrow(1, 16 * t, 16).narrow(2, 16 * f, 16)
    };
    let row = |f: usize| {
        let patches: Vec<Tensor> = (0..4).map(|t| patch(order[4 * f + t])).collect();
        Tensor::cat(&patches, 1)
    };
    Tensor::cat(&[row(0), row(1)], 2)
}

/// How much the logits change when the patches change places.
fn sensitivity(checkpoint: &Checkpoint, method: &MethodConfig, order: &[usize]) -> f64 {
    let model = moved(checkpoint, method, &AdaptOptions::new(3));
    let features = input(2);
    let straight = logits(&model, &features);
    let other = logits(&model, &shuffled(&features, order));
    largest(&(other - &straight)) / (1.0 + largest(&straight))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn without_positions_only_a_token_convolution_sees_the_order_of_the_patches(
        order in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
    ) {
        let checkpoint = backbone_without_positions();
        for variant in variants(Compat::Fixed) {
            let moved = sensitivity(&checkpoint, &variant.method, &order);
            if !looks_along_tokens(&variant.method) {
                prop_assert!(moved < 1e-5, "{:?}: {moved}", variant.method);
            }
        }
    }
}

#[test]
fn token_convolutions_and_positions_see_the_order_of_the_patches() {
    let order = [5, 2, 7, 0, 3, 6, 1, 4];
    let without = backbone_without_positions();
    for variant in variants(Compat::Fixed) {
        if looks_along_tokens(&variant.method) {
            let moved = sensitivity(&without, &variant.method, &order);
            assert!(moved > 1e-4, "{:?}: {moved}", variant.method);
        }
        let moved = sensitivity(&backbone(), &variant.method, &order);
        assert!(moved > 1e-4, "{:?}: {moved}", variant.method);
    }
}

#[test]
fn prompts_refuse_to_pool_a_token_they_have_removed() {
    let prompts = |keep: bool| -> MethodConfig {
        let json = format!(r#"{{"method": "prompt", "prompts": 2, "keep_distillation": {keep}}}"#);
        serde_json::from_str(&json).unwrap()
    };
    let options = AdaptOptions {
        pooling: Pooling::ClsDist,
        ..AdaptOptions::new(3)
    };
    let checkpoint = backbone();
    let error = AdaptedModel::new(&checkpoint, &prompts(false), &options);
    let error = error.err().unwrap().to_string();
    assert!(error.contains("keep_distillation"), "{error}");
    assert!(AdaptedModel::new(&checkpoint, &prompts(true), &options).is_ok());
}

#[test]
fn an_adapter_with_residual_where_it_harms_is_refused_unless_wanted() {
    let check = |settings: &str, compat: Compat| {
        let json = format!(
            r#"{{"method": "adapter", "bottleneck": {{"width": 3}}, "residual": true, {settings}}}"#
        );
        let method: MethodConfig = serde_json::from_str(&json).unwrap();
        method.with_compat(compat).validate(&config())
    };
    let parallel = r#""insertion": "parallel""#;
    let error = check(parallel, Compat::Fixed).unwrap_err().to_string();
    assert!(error.contains("parallel_residual"), "{error}");
    check(parallel, Compat::Paper).unwrap();
    check(r#""parallel_residual": true"#, Compat::Fixed).unwrap();
    check(r#""parallel_residual": false"#, Compat::Paper).unwrap_err();
    check(r#""insertion": "sequential""#, Compat::Fixed).unwrap();
    let before = r#""insertion": "sequential", "position": "before""#;
    check(before, Compat::Paper).unwrap_err();
}
