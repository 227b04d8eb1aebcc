//! Many adapters on one backbone.

#[path = "support/small.rs"]
mod small;

use adapters::{AdaptOptions, AdaptedModel, AdapterError, AdapterSet, load, save};
use ast_model::{Checkpoint, Pooling, Precision, Step};
use serde_json::json;
use small::{FRAMES, backbone, description, input, logits, method, methods, options, trained};
use tch::{Device, Tensor};
use tempfile::TempDir;

const BLOCKS: usize = 4;

fn set(backbone: Checkpoint) -> AdapterSet {
    AdapterSet::new(backbone, Precision::F32, Device::Cpu).unwrap()
}

fn late(first_block: usize) -> AdaptOptions {
    AdaptOptions {
        first_block,
        ..options()
    }
}

fn folder(backbone: &Checkpoint, name: &str, options: &AdaptOptions) -> TempDir {
    let method = methods().into_iter().find(|m| m.name() == name).unwrap();
    let model = trained(backbone, &method, options);
    let folder = TempDir::new().unwrap();
    let told = description(&method, backbone, options);
    save(folder.path(), &model, &told).unwrap();
    folder
}

#[test]
fn all_at_once_gives_the_bits_of_separate_models_and_computes_the_prefix_once() {
    let ours = backbone(16, BLOCKS);
    let probe = AdaptOptions {
        pooling: Pooling::Cls,
        ..options()
    };
    let adapters = [
        ("probe", "linear", options()),
        ("probe of one token", "linear", probe),
        ("late", "soft-moa", late(2)),
        ("later", "lora", late(3)),
        ("whole", "adapter", options()),
        ("prompts", "prompt", options()),
    ];
    let mut set = set(backbone(16, BLOCKS));
    let mut alone = Vec::new();
    for (name, method, options) in &adapters {
        let folder = folder(&ours, method, options);
        set.load(name, folder.path()).unwrap();
        alone.push(load(folder.path(), &ours, &AdaptOptions::new(1)).unwrap().0);
    }
    let pass = set.forward_all(&input(1)).unwrap();
    for ((name, ..), model) in adapters.iter().zip(&alone) {
        assert_eq!(pass.logits[*name], logits(model, &input(1)), "{name}");
        assert_eq!(
            logits(set.get(name).unwrap(), &input(1)),
            pass.logits[*name]
        );
    }
    // The common prefix once (4), then what is each adapter's own: 2 of the
    // late one, 1 of the later, 4 of the whole, 4 of the prompts.
    assert_eq!(pass.blocks_computed, 4 + 2 + 1 + 4 + 4);
}

/// Clips of 46 and 20 frames, filled up.
fn padded() -> Tensor {
    let features = input(8);
    let _ = features.get(1).narrow(0, 20, FRAMES - 20).fill_(-0.7);
    features
}

#[test]
fn an_adapter_that_masks_padding_leaves_the_others_as_they_are() {
    let ours = backbone(16, BLOCKS);
    let masked = |options: AdaptOptions| AdaptOptions {
        mask_padding: true,
        ..options
    };
    // In both orders of the names, with and without a common prefix.
    for names in [["a", "b", "c", "d", "e"], ["e", "d", "c", "b", "a"]] {
        let mut set = set(backbone(16, BLOCKS));
        let members = [
            ("linear", masked(options())),
            ("linear", options()),
            ("soft-moa", options()),
            ("adapter", late(2)),
            ("prompt", options()),
        ];
        for (name, (method, options)) in names.into_iter().zip(members) {
            let folder = folder(&ours, method, &options);
            set.load(name, folder.path()).unwrap();
        }
        let pass = set.forward_all(&padded()).unwrap();
        for name in names {
            let alone = logits(set.get(name).unwrap(), &padded());
            assert_eq!(pass.logits[name], alone, "{name} of {names:?}");
        }
        assert_ne!(pass.logits[names[0]], pass.logits[names[1]]);
    }
}

#[test]
fn a_step_tells_a_model_nothing_of_the_padding_another_has_found() {
    let ours = backbone(16, 1);
    let linear = method(json!({ "method": "linear" }));
    let with = |mask_padding| {
        let options = AdaptOptions {
            mask_padding,
            ..options()
        };
        trained(&ours, &linear, &options)
    };
    let step = Step::evaluation();
    let _ = with(true).forward(&padded(), &step).unwrap();
    let after = with(false).forward(&padded(), &step).unwrap();
    assert_eq!(after, logits(&with(false), &padded()));
}

#[test]
fn linear_probes_share_every_block() {
    let mut set = set(backbone(16, BLOCKS));
    for task in 0..7 {
        let linear = method(json!({ "method": "linear" }));
        let options = AdaptOptions {
            seed: task,
            ..AdaptOptions::new(2 + task as i64)
        };
        set.insert(&task.to_string(), &linear, &options).unwrap();
    }
    let pass = set.forward_all(&input(2)).unwrap();
    assert_eq!(pass.blocks_computed, BLOCKS);
    assert_eq!(pass.logits["6"].size(), [2, 8]);
    assert!(set.remove("6") && !set.remove("6"));
    assert_eq!(set.forward_all(&input(2)).unwrap().logits.len(), 6);
}

#[test]
fn frozen_weights_exist_once() {
    let backbone = backbone(16, 2);
    let places: Vec<_> = [
        "encoder.layer.1.output.dense.weight",
        "embeddings.cls_token",
    ]
    .iter()
    .map(|name| backbone.tensors()[*name].data_ptr())
    .collect();
    let mut set = set(backbone);
    let lora = method(json!({ "method": "lora", "rank": { "width": 2 } }));
    set.insert("a", &lora, &options()).unwrap();
    set.insert("b", &lora, &options()).unwrap();
    let shared = set.shared().checkpoint();
    let found: Vec<_> = [
        "encoder.layer.1.output.dense.weight",
        "embeddings.cls_token",
    ]
    .iter()
    .map(|name| shared.tensors()[*name].data_ptr())
    .collect();
    assert_eq!(found, places);
    // What an adapter trains is its own: changing it changes no other.
    let before = logits(set.get("b").unwrap(), &input(3));
    small::move_tensors(set.get("a").unwrap(), 5);
    assert_eq!(logits(set.get("b").unwrap(), &input(3)), before);
    assert_ne!(logits(set.get("a").unwrap(), &input(3)), before);
}

#[test]
fn a_model_beside_others_trains_like_one_of_its_own() {
    let ours = backbone(16, 2);
    let shared = set(backbone(16, 2));
    for method in methods() {
        let alone = AdaptedModel::new(&ours, &method, &options()).unwrap();
        let beside = AdaptedModel::beside(shared.shared(), &method, &options()).unwrap();
        let step = Step::training(1);
        let target = Tensor::from_slice(&[0i64, 2]);
        for model in [&alone, &beside] {
            let scores = model.forward(&input(4), &step).unwrap();
            scores.cross_entropy_for_logits(&target).backward();
        }
        let names = |model: &AdaptedModel| -> Vec<String> {
            model
                .trained()
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        };
        assert_eq!(names(&alone), names(&beside), "{}", method.name());
        for ((name, a), (_, b)) in alone.trained().iter().zip(beside.trained()) {
            let (a, b) = (a.grad(), b.grad());
            assert_eq!(a.defined(), b.defined(), "{}: {name}", method.name());
            if a.defined() {
                assert_eq!(a, b, "{}: {name}", method.name());
            }
        }
    }
}

#[test]
fn methods_of_the_last_blocks_train_nothing_before_them() {
    let backbone = backbone(16, BLOCKS);
    for method in methods() {
        let made = AdaptedModel::new(&backbone, &method, &late(3));
        if ["prompt", "ssf"].contains(&method.name()) {
            let error = made.err().expect("refused").to_string();
            assert!(error.contains("leave it at 0"), "{error}");
            continue;
        }
        let model = made.unwrap();
        for (name, _) in model.trained() {
            let early = (0..3).any(|b| name.starts_with(&format!("encoder.layer.{b}.")));
            assert!(!early && !name.starts_with("embeddings."), "{name}");
        }
        assert!(model.shared_blocks() >= Some(3), "{}", method.name());
        let plain = logits(
            &AdaptedModel::new(&backbone, &method, &options()).unwrap(),
            &input(1),
        );
        assert_eq!(plain.size(), logits(&model, &input(1)).size());
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let mut set = set(backbone(16, 1));
    let linear = method(json!({ "method": "linear" }));
    set.insert("birds", &linear, &options()).unwrap();
    let error = set.get("bird").err().expect("refused");
    assert!(matches!(error, AdapterError::UnknownAdapter { .. }));
    assert!(error.to_string().contains("birds"), "{error}");
    let other = folder(&backbone(16, 2), "linear", &options());
    assert!(set.load("birds", other.path()).is_err());
    assert_eq!(set.names().collect::<Vec<_>>(), ["birds"]);
    assert!(set.description("birds").unwrap().is_none());
}
