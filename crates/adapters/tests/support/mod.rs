//! Compares one method with one golden file.

use std::path::{Path, PathBuf};

use adapters::{MethodConfig, parity};
use ast_model::{Checkpoint, Pooling};
use tch::Device;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden")
}

/// Fails unless logits, loss, the set of trained tensors and every gradient of
/// `method` are those of the file.
pub fn check(behaviour: &str, name: &str, method: &MethodConfig) {
    let path = folder().join(behaviour).join(format!("{name}.safetensors"));
    let (checkpoint, _) = Checkpoint::load(&folder()).unwrap();
    let outcome = parity::compare(&path, &checkpoint, method, Pooling::All, Device::Cpu).unwrap();
    assert!(outcome.passed(), "{name}: {:?}", outcome.problems);
    assert!(outcome.trained > 0);
}
