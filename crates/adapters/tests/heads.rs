//! Heads beyond the linear one, and what can be computed once per clip.

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION, FrozenPart, Head,
    MethodConfig, PrototypicalHead,
};
use ast_model::{AstConfig, Checkpoint, Pooling, Positions, Precision, Step, init};
use tch::{Kind, Tensor, no_grad};

const HEADS: [Head; 5] = [
    Head::Linear,
    Head::NormLinear,
    Head::Attentive,
    Head::Prototypical(PrototypicalHead { per_class: 3 }),
    Head::GatedLayers,
];

fn checkpoint() -> Checkpoint {
    let shape = AstConfig {
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 64,
        frequency_stride: 16,
        time_stride: 16,
        max_length: 32,
        ..AstConfig::base()
    };
    Checkpoint::random(&shape, 7).unwrap()
}

/// The method with few values, from block `first_block` on.
fn model(method: &str, head: Head, first_block: usize) -> AdaptedModel {
    let text = match method {
        "linear" | "full" | "bitfit" => format!(r#"{{"method":"{method}"}}"#),
        "soft-moa" => r#"{"method":"soft-moa","mixture":{"bottleneck":{"width":4}}}"#.to_owned(),
        _ => format!(r#"{{"method":"{method}","bottleneck":{{"width":4}}}}"#),
    };
    let method: MethodConfig = serde_json::from_str(&text).unwrap();
    let options = AdaptOptions {
        head,
        first_block,
        ..AdaptOptions::new(5)
    };
    AdaptedModel::new(&checkpoint(), &method, &options).unwrap()
}

fn features() -> Tensor {
    init::normal(3, "features", &[3, 32, 128], 1.0)
}

fn trained<'a>(model: &'a AdaptedModel, name: &str) -> &'a Tensor {
    let named = model.trained().iter().find(|(known, _)| known == name);
    &named.unwrap_or_else(|| panic!("{name} is not trained")).1
}

fn logits(model: &AdaptedModel) -> Tensor {
    no_grad(|| model.forward(&features(), &Step::evaluation()).unwrap())
}

fn difference(one: &Tensor, two: &Tensor) -> f64 {
    (one - two).abs().max().double_value(&[])
}

#[test]
fn every_head_works_with_every_kind_of_method_and_all_of_it_trains() {
    for head in HEADS {
        for method in ["linear", "full", "adapter", "soft-moa"] {
            let model = model(method, head, 0);
            let step = Step::training(1);
            let scores = model.forward(&features(), &step).unwrap();
            assert_eq!(scores.size(), [3, 5], "{head:?} on {method}");
            let labels = Tensor::from_slice(&[0i64, 1, 2]);
            scores.cross_entropy_for_logits(&labels).backward();
            for (name, tensor) in model.trained() {
                if name.starts_with("classification_head.") {
                    let gradient = tensor.grad();
                    assert!(gradient.defined(), "{head:?} on {method}: {name}");
                    let largest = gradient.abs().max().double_value(&[]);
                    assert!(largest > 0.0, "{head:?} on {method}: {name}");
                }
            }
        }
    }
}

#[test]
fn the_attentive_head_starts_as_the_linear_one() {
    let (linear, attentive) = (
        model("adapter", Head::Linear, 0),
        model("adapter", Head::Attentive, 0),
    );
    assert!(difference(&logits(&linear), &logits(&attentive)) < 1e-5);
    let query = trained(&attentive, "classification_head.query");
    // Another query weighs the tokens in another way.
    let other = init::normal(5, "query", &[32], 3.0);
    no_grad(|| query.shallow_clone().copy_(&other));
    assert!(difference(&logits(&linear), &logits(&attentive)) > 1e-4);
}

#[test]
fn gates_on_the_last_block_are_the_linear_head() {
    let (linear, gated) = (
        model("adapter", Head::Linear, 0),
        model("adapter", Head::GatedLayers, 0),
    );
    assert!(difference(&logits(&linear), &logits(&gated)) > 1e-4);
    let gates = trained(&gated, "classification_head.gates");
    assert_eq!(gates.size(), [2]);
    no_grad(|| {
        gates
            .shallow_clone()
            .copy_(&Tensor::from_slice(&[-100f32, 0.0]))
    });
    assert!(difference(&logits(&linear), &logits(&gated)) < 1e-5);
}

#[test]
fn a_prototype_that_is_a_token_has_the_full_score() {
    let head = Head::Prototypical(PrototypicalHead { per_class: 1 });
    let model = model("linear", head, 0);
    let backbone = ast_model::AstModel::bind(&checkpoint(), &ast_model::BindOptions::frozen());
    let tokens = backbone.unwrap().forward_plain(&features()).unwrap();
    let prototypes = trained(&model, "classification_head.prototypes");
    // Class 2 is twice token 4 of clip 1: only the direction counts.
    let token = tokens.select(0, 1).select(0, 4) * 2.0;
    no_grad(|| prototypes.shallow_clone().select(0, 2).copy_(&token));
    let scores = logits(&model);
    assert!((scores.double_value(&[1, 2]) - 10.0).abs() < 1e-4);
    assert!(scores.max().double_value(&[]) < 10.0 + 1e-4);
    // By hand for another class: ten times the largest cosine.
    let unit = |x: &Tensor| x / x.square().sum_dim_intlist(-1, true, Kind::Float).sqrt();
    let cosines = unit(&tokens.select(0, 0)).matmul(&unit(&prototypes.select(0, 3)));
    let expected = 10.0 * cosines.max().double_value(&[]);
    assert!((scores.double_value(&[0, 3]) - expected).abs() < 1e-4);
}

#[test]
fn what_is_kept_of_a_clip_gives_the_same_scores() {
    let depth = 2;
    let head = Head::Prototypical(PrototypicalHead::default());
    for (method, head, first_block, part) in [
        ("linear", Head::Linear, 0, Some(FrozenPart::Pooled)),
        ("linear", Head::NormLinear, 0, Some(FrozenPart::Pooled)),
        (
            "linear",
            Head::Attentive,
            0,
            Some(FrozenPart::Tokens { block: depth }),
        ),
        ("linear", head, 0, Some(FrozenPart::Tokens { block: depth })),
        ("linear", Head::GatedLayers, 0, Some(FrozenPart::Layers)),
        (
            "soft-moa",
            Head::Linear,
            1,
            Some(FrozenPart::Tokens { block: 1 }),
        ),
        (
            "adapter",
            Head::Attentive,
            1,
            Some(FrozenPart::Tokens { block: 1 }),
        ),
        ("adapter", Head::GatedLayers, 1, None),
        ("adapter", Head::Linear, 0, None),
        ("full", Head::Linear, 0, None),
    ] {
        let model = model(method, head, first_block);
        assert_eq!(model.frozen_part(), part, "{method}, {head:?}");
        let kept = model.frozen(&features()).unwrap();
        assert!(!kept.requires_grad());
        let step = Step::evaluation();
        let scores = no_grad(|| model.forward_frozen(&kept, &step)).unwrap();
        let expected = logits(&model);
        if matches!(part, Some(FrozenPart::Tokens { .. }) | None) {
            assert_eq!(
                scores, expected,
                "{method}, {head:?}: the same batch, the same bits"
            );
        } else {
            let difference = difference(&scores, &expected);
            assert!(difference < 2e-6, "{method}, {head:?}: {difference}");
        }
    }
}

#[test]
fn dropped_patches_leave_nothing_to_keep() {
    let options = AdaptOptions {
        patchout: ast_model::Patchout {
            share: 0.25,
            ..Default::default()
        },
        ..AdaptOptions::new(5)
    };
    let method = MethodConfig::named("linear").unwrap();
    let model = AdaptedModel::new(&checkpoint(), &method, &options).unwrap();
    assert_eq!(model.frozen_part(), None);
}

#[test]
fn activation_checkpointing_refuses_a_head_that_needs_all_blocks() {
    let model = model("adapter", Head::GatedLayers, 0);
    let (features, step) = (features(), Step::training(1));
    let error = model.forward_recomputed(&features, &step).err().unwrap();
    assert!(error.to_string().contains("choose another head"), "{error}");
}

#[test]
fn every_head_is_saved_and_loaded_to_the_bit() {
    let backbone = checkpoint();
    for head in HEADS {
        let folder = tempfile::tempdir().unwrap();
        let method: MethodConfig = MethodConfig::named("linear").unwrap();
        let description = AdapterDescription {
            format_version: FORMAT_VERSION,
            method: method.clone(),
            compat: Compat::Fixed,
            backbone_fingerprint: backbone.fingerprint(),
            backbone: "random".into(),
            blocks: 2,
            strides: [16, 16],
            precision: Precision::F32,
            max_length: 32,
            positions: Positions::Crop,
            pooling: Pooling::All,
            head,
            first_block: 0,
            mask_padding: false,
            labels: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            features: serde_json::json!({}),
        };
        let model = model("linear", head, 0);
        adapters::save(folder.path(), &model, &description).unwrap();
        let options = AdaptOptions {
            seed: 9,
            ..AdaptOptions::new(5)
        };
        let (loaded, described) = adapters::load(folder.path(), &backbone, &options).unwrap();
        assert_eq!(described.head, head);
        assert_eq!(logits(&loaded), logits(&model), "{head:?}");
    }
}

#[test]
fn a_prototypical_head_without_prototypes_is_refused() {
    let options = AdaptOptions {
        head: Head::Prototypical(PrototypicalHead { per_class: 0 }),
        ..AdaptOptions::new(5)
    };
    let method = MethodConfig::named("linear").unwrap();
    let error = AdaptedModel::new(&checkpoint(), &method, &options)
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("head.per_class = 0 must be at least 1"),
        "{error}"
    );
}
