//! The backbone and its classifier with weights given by a formula, against
//! the figures of Hugging Face's `ASTForAudioClassification` with the same
//! weights: width 24, 2 blocks, 3 heads, 36 mel bins, 46 frames, 5 classes.
//!
//! The k-th tensor in the bytewise order of the names has the values
//! 0.2 sin(0.7 k + 0.37 i), plus 1 for the scales of LayerNorms; the input is
//! sin(0.01 i), with i the row-major index. The tests of `adapters` have the
//! methods' figures on the same model.

use std::collections::BTreeMap;

use ast_model::{AstConfig, AstModel, BindOptions, Checkpoint, Pooling, tensor_file};
use tch::{Device, Kind, Tensor};

fn config() -> AstConfig {
    AstConfig {
        hidden_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 48,
        num_mel_bins: 36,
        max_length: 46,
        ..AstConfig::base()
    }
}

fn sine(shape: &[i64], offset: f64, step: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let index = Tensor::arange(count, (Kind::Double, Device::Cpu));
    (index * step + offset).sin().reshape(shape)
}

/// The model as a folder that Hugging Face could read.
fn checkpoint() -> Checkpoint {
    let random = Checkpoint::random(&config(), 1).unwrap();
    let own = random.tensors().iter();
    let mut shapes: BTreeMap<String, Vec<i64>> =
        own.map(|(name, t)| (name.clone(), t.size())).collect();
    for part in ["layernorm.weight", "layernorm.bias"] {
        shapes.insert(format!("classifier.{part}"), vec![24]);
    }
    shapes.insert("classifier.dense.weight".into(), vec![5, 24]);
    shapes.insert("classifier.dense.bias".into(), vec![5]);
    let filled = shapes.iter().enumerate().map(|(k, (name, shape))| {
        let wave = sine(shape, 0.7 * k as f64, 0.37) * 0.2;
        let scale = name.contains("layernorm") && name.ends_with("weight");
        let value = if scale { wave + 1.0 } else { wave };
        (name.clone(), value.to_kind(Kind::Float))
    });
    let filled: Vec<(String, Tensor)> = filled.collect();
    let folder = tempfile::tempdir().unwrap();
    let named = filled.iter().map(|(name, tensor)| (name.as_str(), tensor));
    tensor_file::write(&folder.path().join("model.safetensors"), named).unwrap();
    let text = serde_json::to_string(&config()).unwrap();
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    Checkpoint::load(folder.path()).unwrap().0
}

/// Sum and sum of squares, to the six decimals that were noted.
fn check(what: &str, found: &Tensor, sum: f64, squares: f64) {
    let found = found.to_kind(Kind::Double);
    for (name, ours, noted) in [
        ("sum", found.sum(Kind::Double), sum),
        ("squares", found.square().sum(Kind::Double), squares),
    ] {
        let ours = ours.double_value(&[]);
        let close = (ours - noted).abs() < 1e-4 * noted.abs().max(0.1);
        assert!(close, "{what}: {name} {ours} instead of {noted}");
    }
}

#[test]
fn embeddings_hidden_states_pooler_and_classifier_have_the_figures_of_hugging_face() {
    let checkpoint = checkpoint();
    let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).unwrap();
    let input = sine(&[2, 46, 36], 0.0, 0.01).to_kind(Kind::Float);
    let embedded = model.hidden_states(&input).unwrap().swap_remove(0);
    assert_eq!(embedded.size(), [2, 14, 24]);
    check("embeddings", &embedded, -16.536294, 528.714900);
    let last = model.forward_plain(&input).unwrap();
    check("last hidden state", &last, -9.785334, 702.889511);
    let pooled = Pooling::ClsDist.pool(&last);
    check("pooler", &pooled, -0.380351, 50.323111);
    let classifier = checkpoint.classifier().expect("all of its tensors");
    let logits = classifier.forward(&pooled).unwrap();
    check("logits", &logits, 0.584680, 12.940106);
    let first = [-1.229303, 1.596383, -1.242720, 1.011406, 0.153176];
    for (class, noted) in first.into_iter().enumerate() {
        let ours = logits.double_value(&[0, class as i64]);
        assert!(
            (ours - noted).abs() < 1e-4,
            "logit {class}: {ours} instead of {noted}"
        );
    }
}
