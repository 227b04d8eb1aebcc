//! The backbone against numbers from Hugging Face's `ASTForAudioClassification`
//! (transformers 4.28.1, f32) on a tiny model with random weights: hidden 32,
//! 2 blocks, 2 heads, 64 frames, 128 bins, 5 classes. `fixtures/backbone` holds
//! its `config.json`, its weights and, in `io.safetensors`, the input and every
//! hidden state.

use std::collections::HashMap;
use std::path::Path;

use ast_model::{AstModel, BindOptions, Checkpoint, Pooling, Precision};
use tch::{Device, Tensor};

const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/backbone")
        .join(name)
}

fn tensors(name: &str) -> HashMap<String, Tensor> {
    Tensor::read_safetensors(fixture(name))
        .unwrap()
        .into_iter()
        .collect()
}

fn largest_difference(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    (found - expected).abs().max().double_value(&[])
}

#[test]
fn every_hidden_state_the_pooler_and_the_logits_match() {
    let (checkpoint, report) = Checkpoint::load(&fixture("")).unwrap();
    assert_eq!(
        report.unused.len(),
        4,
        "only the classifier: {:?}",
        report.unused
    );
    let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).unwrap();
    let io = tensors("io.safetensors");
    let states = model.hidden_states(&io["input"]).unwrap();
    assert_eq!(states.len(), 3);
    for (index, state) in states.iter().enumerate() {
        let expected = &io[&format!("hidden_states.{index}")];
        assert!(
            largest_difference(state, expected) < TOLERANCE,
            "hidden state {index}"
        );
    }
    let last = model.forward_plain(&io["input"]).unwrap();
    assert!(largest_difference(&last, &io["last_hidden_state"]) < TOLERANCE);
    let pooled = Pooling::ClsDist.pool(&last);
    assert!(largest_difference(&pooled, &io["pooler_output"]) < TOLERANCE);

    let classifier = checkpoint.classifier().expect("the fixture has one");
    assert_eq!(classifier.classes(), 5);
    let logits = classifier.forward(&pooled).unwrap();
    assert!(largest_difference(&logits, &io["logits"]) < TOLERANCE);
}

#[test]
fn bf16_stays_within_two_percent_of_f32() {
    let (checkpoint, _) = Checkpoint::load(&fixture("")).unwrap();
    let io = tensors("io.safetensors");
    let options = BindOptions {
        precision: Precision::Bf16,
        ..BindOptions::frozen()
    };
    let model = AstModel::bind(&checkpoint, &options).unwrap();
    let last = model.forward_plain(&io["input"]).unwrap();
    let relative = |found: &Tensor, expected: &Tensor| {
        ((found - expected).norm() / expected.norm()).double_value(&[])
    };
    assert!(relative(&last, &io["last_hidden_state"]) < 2e-2);
    let classifier = checkpoint.classifier().expect("the fixture has one");
    let logits = classifier.forward(&Pooling::ClsDist.pool(&last)).unwrap();
    let error = relative(&logits, &io["logits"]);
    assert!(error < 2e-2, "logits: {error}");
    assert!(error > 0.0, "these are the products of f32");
}

#[test]
fn a_batch_equals_its_single_clips_in_any_order() {
    let (checkpoint, _) = Checkpoint::load(&fixture("")).unwrap();
    let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).unwrap();
    let input = &tensors("io.safetensors")["input"];
    let whole = model.forward_plain(input).unwrap();
    let order = Tensor::from_slice(&[2i64, 0, 1]);
    let shuffled = model.forward_plain(&input.index_select(0, &order)).unwrap();
    assert!(largest_difference(&shuffled, &whole.index_select(0, &order)) < 1e-5);
    for index in 0..3 {
        let single = model.forward_plain(&input.narrow(0, index, 1)).unwrap();
        assert!(largest_difference(&single, &whole.narrow(0, index, 1)) < 1e-5);
    }
}

#[test]
fn loading_saving_and_loading_again_changes_nothing() {
    let (checkpoint, first) = Checkpoint::load(&fixture("")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    checkpoint.save(folder.path()).unwrap();
    let (again, report) = Checkpoint::load(folder.path()).unwrap();
    assert_eq!(again.fingerprint(), checkpoint.fingerprint());
    assert_eq!(again.config, checkpoint.config);
    assert_eq!(report, first);
    assert!(report.cast.is_empty());
}

#[test]
fn gradients_reach_trained_tensors_and_only_those() {
    let (checkpoint, _) = Checkpoint::load(&fixture("")).unwrap();
    let trained = |name: &str| name.contains("layernorm_after");
    let options = BindOptions {
        trained: &trained,
        ..BindOptions::frozen()
    };
    let model = AstModel::bind(&checkpoint, &options).unwrap();
    let names: Vec<&str> = model
        .trained()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names.len(), 4);
    let input = &tensors("io.safetensors")["input"];
    model
        .forward_plain(input)
        .unwrap()
        .square()
        .sum(tch::Kind::Float)
        .backward();
    assert!(
        model
            .trained()
            .iter()
            .all(|(_, t)| t.grad().abs().max().double_value(&[]) > 0.0)
    );
    assert!(checkpoint.tensors().values().all(|t| !t.requires_grad()));
    assert_eq!(input.device(), Device::Cpu);
}
