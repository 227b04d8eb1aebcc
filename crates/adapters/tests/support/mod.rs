//! Compares one method with one golden file.

mod authors;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
use ast_model::{Checkpoint, Step};
use authors::Naming;
use tch::{Kind, Tensor, no_grad};

/// Largest absolute error of logits and loss.
const LOGITS: f64 = 1e-5;
/// Largest error of a gradient, relative to its largest value ...
const GRADIENTS: f64 = 1e-4;
/// ... and what is rounding noise: a key bias has no influence on a softmax,
/// so its gradient is zero but for rounding.
const NOISE: f64 = 1e-8;

type Tensors = HashMap<String, Tensor>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden")
}

/// Fails unless logits, loss, the set of trained tensors and every gradient of
/// `method` are those of the file.
pub fn check(behaviour: &str, name: &str, method: &MethodConfig) {
    let path = folder().join(behaviour).join(format!("{name}.safetensors"));
    let golden: Tensors = Tensor::read_safetensors(&path)
        .unwrap()
        .into_iter()
        .collect();
    let (checkpoint, _) = Checkpoint::load(&folder()).unwrap();
    let model = AdaptedModel::new(&checkpoint, method, &AdaptOptions::new(5)).unwrap();
    for (kind, tensors) in [("trainable", model.trained()), ("buffer", model.buffers())] {
        let mut values = 0;
        for (ours, tensor) in tensors {
            let theirs = lookup(&golden, kind, ours, &tensor.size())
                .unwrap_or_else(|| panic!("{name}: no golden tensor for {ours}"));
            no_grad(|| tensor.shallow_clone().copy_(&theirs));
            values += tensor.numel();
        }
        let stored = golden
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{kind}.")));
        let expected: usize = stored.map(|(_, tensor)| tensor.numel()).sum();
        assert_eq!(values, expected, "{name}: number of {kind} values");
    }

    let logits = model
        .forward(&golden["input"], &Step::evaluation())
        .unwrap();
    let loss = logits.cross_entropy_for_logits(&golden["target"].to_kind(Kind::Int64));
    assert!(error(&logits, &golden["logits"]) < LOGITS, "{name}: logits");
    assert!(error(&loss, &golden["loss"]) < LOGITS, "{name}: loss");

    loss.backward();
    for (ours, tensor) in model.trained() {
        let found = tensor.grad();
        match lookup(&golden, "grad", ours, &tensor.size()) {
            Some(theirs) => {
                let allowed = GRADIENTS * theirs.abs().max().double_value(&[]) + NOISE;
                let off = error(&found, &theirs);
                assert!(
                    off < allowed,
                    "{name}: gradient of {ours} off by {off} > {allowed}"
                );
            }
            None => assert!(!found.defined(), "{name}: {ours} should get no gradient"),
        }
    }
}

fn error(found: &Tensor, expected: &Tensor) -> f64 {
    (found - expected).abs().max().double_value(&[])
}

/// The golden tensor or gradient that belongs to one of our names.
fn lookup(golden: &Tensors, kind: &str, ours: &str, shape: &[i64]) -> Option<Tensor> {
    let naming = Naming {
        houlsby: golden.keys().any(|key| key.contains(".moa_ffn.")),
        conformer: golden.keys().any(|key| key.contains(".pwise_conv1.")),
        ablation: false,
    };
    let parts: Option<Vec<Tensor>> = authors::parts(ours, shape, naming)
        .iter()
        .map(|part| {
            // The prompt-tuned model's names have no `model.` before them.
            let names = [
                format!("{kind}.model.{}", part.name),
                format!("{kind}.{}", part.name),
            ];
            let found = names.iter().find_map(|name| golden.get(name))?;
            assert_eq!(found.size(), part.shape, "{}", part.name);
            Some(found.shallow_clone())
        })
        .collect();
    Some(authors::assemble(ours, shape, &parts?))
}
