//! Every way in which a checkpoint may lie on the disk gives the same weights,
//! and the report accounts for every tensor.

mod original;
mod shards;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ast_model::{
    AstConfig, AstError, Checkpoint, LoadOptions, Positions, PreprocessorConfig, tensor_file,
};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbone")
}

fn stored() -> BTreeMap<String, Tensor> {
    tensor_file::read(&fixture().join("model.safetensors")).unwrap()
}

fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    tensor_file::write(path, named).unwrap();
}

fn same(left: &Checkpoint, right: &Checkpoint) {
    assert_eq!(left.config, right.config);
    assert_eq!(left.fingerprint(), right.fingerprint());
    let head = |checkpoint: &Checkpoint| {
        let head = checkpoint.classifier()?;
        Some((head.dense_weight.shallow_clone(), head.labels.clone()))
    };
    assert_eq!(head(left), head(right));
}

#[test]
fn one_tensor_under_two_names_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(
        fixture().join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let mut tensors = stored();
    let extra = Tensor::zeros([32], (Kind::Float, tch::Device::Cpu));
    tensors.insert("layernorm.bias".to_owned(), extra);
    write(&folder.path().join("model.safetensors"), &tensors);
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(matches!(error, AstError::DuplicateTensor { .. }), "{error}");
}

#[test]
fn missing_tensors_are_refused_unless_allowed_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(
        fixture().join("config.json"),
        folder.path().join("config.json"),
    )
    .unwrap();
    let mut tensors = stored();
    tensors.retain(|name, _| !name.ends_with("embeddings.distillation_token"));
    write(&folder.path().join("model.safetensors"), &tensors);
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(matches!(error, AstError::MissingTensor { .. }), "{error}");
    let options = LoadOptions {
        allow_missing: true,
        ..LoadOptions::default()
    };
    let (found, report) = Checkpoint::load_with(folder.path(), &options).unwrap();
    assert_eq!(report.missing, ["embeddings.distillation_token"]);
    assert!(!report.used.contains(&report.missing[0]));
    assert_eq!(
        found.tensors()["embeddings.distillation_token"].size(),
        [1, 1, 32]
    );
}

#[test]
fn another_length_at_load_is_what_with_length_gives_and_is_reported() {
    let (whole, _) = Checkpoint::load(&fixture()).unwrap();
    for positions in [Positions::Crop, Positions::Interpolate, Positions::Zero] {
        let options = LoadOptions {
            max_length: Some(40),
            positions,
            ..LoadOptions::default()
        };
        let (found, report) = Checkpoint::load_with(&fixture(), &options).unwrap();
        same(&whole.with_length(40, positions).unwrap(), &found);
        let [resized] = report.resized.as_slice() else {
            panic!("{:?}", report.resized)
        };
        assert_eq!(resized.name, "embeddings.position_embeddings");
        assert_eq!(
            (&resized.from, &resized.to),
            (&vec![1, 62, 32], &vec![1, 38, 32])
        );
    }
    let options = LoadOptions {
        strides: Some([16, 16]),
        ..LoadOptions::default()
    };
    let (found, report) = Checkpoint::load_with(&fixture(), &options).unwrap();
    assert_eq!(report.resized[0].to, [1, 8 * 4 + 2, 32]);
    assert_eq!(found.config.time_stride, 16);
    // One frame more is the same grid.
    let options = LoadOptions {
        max_length: Some(65),
        ..LoadOptions::default()
    };
    let (_, report) = Checkpoint::load_with(&fixture(), &options).unwrap();
    assert!(report.resized.is_empty());
}

/// Writes tensors in their own number format.
fn write_as_they_are(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let data: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| {
            let dtype = match tensor.kind() {
                Kind::BFloat16 => Dtype::BF16,
                Kind::Half => Dtype::F16,
                _ => Dtype::F32,
            };
            let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
            tensor.copy_data_u8(&mut bytes, tensor.numel());
            let shape: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
            (name.as_str(), dtype, shape, bytes)
        })
        .collect();
    let views = data.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn half_precision_files_are_widened_and_reported() {
    let (whole, _) = Checkpoint::load(&fixture()).unwrap();
    for kind in [Kind::BFloat16, Kind::Half] {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(
            fixture().join("config.json"),
            folder.path().join("config.json"),
        )
        .unwrap();
        let narrow = stored().into_iter().map(|(name, tensor)| {
            let kind = if name.ends_with("bias") {
                Kind::Float
            } else {
                kind
            };
            (name, tensor.to_kind(kind))
        });
        write_as_they_are(&folder.path().join("model.safetensors"), &narrow.collect());
        let (found, report) = Checkpoint::load(folder.path()).unwrap();
        for (name, tensor) in found.tensors() {
            let exact = &whole.tensors()[name];
            let is_bias = name.ends_with("bias");
            let stored = if is_bias {
                exact.copy()
            } else {
                exact.to_kind(kind).to_kind(Kind::Float)
            };
            assert_eq!(tensor.kind(), Kind::Float);
            assert_eq!(*tensor, stored, "{name}");
            assert_eq!(report.cast.contains(name), !is_bias, "{name}");
        }
        assert!(report.cast.contains(&"classifier.dense.weight".to_owned()));
    }
}

#[test]
fn the_preprocessor_s_settings_are_read_kept_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, _) = Checkpoint::load(&fixture()).unwrap();
    assert_eq!(checkpoint.preprocessor(), None);
    checkpoint.save(folder.path()).unwrap();
    let path = folder.path().join("preprocessor_config.json");
    let text = r#"{"do_normalize": false, "feature_extractor_type": "ASTFeatureExtractor",
        "feature_size": 1, "max_length": 64, "mean": -6.5, "num_mel_bins": 128,
        "padding_value": 0.0, "sampling_rate": 22050, "std": 3.25}"#;
    fs::write(&path, text).unwrap();
    let expected = PreprocessorConfig {
        do_normalize: false,
        mean: -6.5,
        std: 3.25,
        num_mel_bins: 128,
        max_length: 64,
        sampling_rate: 22_050,
    };
    let (found, _) = Checkpoint::load(folder.path()).unwrap();
    assert_eq!(found.preprocessor(), Some(&expected));
    assert_eq!(found.fingerprint(), checkpoint.fingerprint());
    let shorter = found.with_length(40, Positions::Crop).unwrap();
    assert_eq!(shorter.preprocessor().unwrap().max_length, 40);
    let copy = tempfile::tempdir().unwrap();
    found.save(copy.path()).unwrap();
    let (again, _) = Checkpoint::load(copy.path()).unwrap();
    assert_eq!(again.preprocessor(), Some(&expected));

    for (old, new, field) in [
        ("\"std\": 3.25", "\"std\": 0.0", "std"),
        (
            "\"num_mel_bins\": 128",
            "\"num_mel_bins\": 64",
            "num_mel_bins",
        ),
        (
            "\"sampling_rate\": 22050",
            "\"sampling_rate\": 0",
            "sampling_rate",
        ),
    ] {
        fs::write(&path, text.replace(old, new)).unwrap();
        let error = Checkpoint::load(folder.path()).unwrap_err();
        assert!(
            matches!(error, AstError::Preprocessor { field: f, .. } if f == field),
            "{error}"
        );
    }
    checkpoint.save(folder.path()).unwrap();
    assert!(
        !path.exists(),
        "settings of another checkpoint must not stay"
    );
}

#[test]
fn the_classifier_and_its_labels_are_kept_but_do_not_change_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, _) = Checkpoint::load(&fixture()).unwrap();
    checkpoint.save(folder.path()).unwrap();
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("LABEL_3", "dog bark");
    fs::write(&path, text).unwrap();
    let (found, _) = Checkpoint::load(folder.path()).unwrap();
    assert_eq!(found.classifier().unwrap().labels[3], "dog bark");
    let copy = tempfile::tempdir().unwrap();
    found.save(copy.path()).unwrap();
    same(&found, &Checkpoint::load(copy.path()).unwrap().0);

    let mut tensors = stored();
    tensors.retain(|name, _| name != "classifier.dense.bias");
    write(&folder.path().join("model.safetensors"), &tensors);
    let (headless, _) = Checkpoint::load(folder.path()).unwrap();
    assert!(headless.classifier().is_none());
    assert_eq!(headless.fingerprint(), checkpoint.fingerprint());
    assert!(checkpoint.first_blocks(1).unwrap().classifier().is_none());
    assert!(checkpoint.first_blocks(2).unwrap().classifier().is_some());
}

#[test]
fn another_activation_than_the_ast_s_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (checkpoint, _) = Checkpoint::load(&fixture()).unwrap();
    checkpoint.save(folder.path()).unwrap();
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("\"gelu\"", "\"relu\"");
    fs::write(&path, text).unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("hidden_act"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn saving_and_loading_keeps_every_bit(blocks in 0usize..3, heads in 1i64..3, frames in 16i64..60, seed: u64) {
        let config = AstConfig {
            hidden_size: 8 * heads,
            num_attention_heads: heads,
            intermediate_size: 12,
            num_hidden_layers: blocks,
            num_mel_bins: 20,
            max_length: frames,
            ..AstConfig::base()
        };
        let checkpoint = Checkpoint::random(&config, seed).unwrap();
        let folder = tempfile::tempdir().unwrap();
        checkpoint.save(folder.path()).unwrap();
        let (again, report) = Checkpoint::load(folder.path()).unwrap();
        same(&checkpoint, &again);
        prop_assert_eq!(report.used.len(), checkpoint.names().count());
        prop_assert!(report.unused.is_empty() && report.missing.is_empty());
    }
}
