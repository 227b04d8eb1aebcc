//! Every way in which a checkpoint may lie on the disk gives the same weights,
//! and the report accounts for every tensor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ast_model::{
    AstConfig, AstError, Checkpoint, ConfigSource, LoadOptions, Positions, PreprocessorConfig,
    tensor_file,
};
use proptest::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Kind, Tensor};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backbone")
}

/// Narrow, with heads as wide as convention has it.
fn small() -> AstConfig {
    AstConfig {
        hidden_size: 64,
        num_attention_heads: 1,
        intermediate_size: 96,
        num_hidden_layers: 2,
        max_length: 128,
        ..AstConfig::base()
    }
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

/// `config.json` of the fixture, and its weights in two files with an index.
fn sharded(folder: &Path) {
    fs::copy(fixture().join("config.json"), folder.join("config.json")).unwrap();
    let names = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    let mut parts = [BTreeMap::new(), BTreeMap::new()];
    let mut map = serde_json::Map::new();
    for (index, (name, tensor)) in stored().into_iter().enumerate() {
        map.insert(name.clone(), names[index % 2].into());
        parts[index % 2].insert(name, tensor);
    }
    for (name, part) in names.iter().zip(&parts) {
        write(&folder.join(name), part);
    }
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(
        folder.join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
}

fn edit_index(folder: &Path, edit: impl FnOnce(String) -> String) -> AstError {
    let path = folder.join("model.safetensors.index.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, edit(text)).unwrap();
    Checkpoint::load(folder).unwrap_err()
}

#[test]
fn shards_prefixes_and_a_bare_file_give_the_same_weights() {
    let (whole, _) = Checkpoint::load(&fixture()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    sharded(folder.path());
    let (parts, report) = Checkpoint::load(folder.path()).unwrap();
    same(&whole, &parts);
    assert_eq!(report.config, ConfigSource::File);
    let index = folder.path().join("model.safetensors.index.json");
    same(&whole, &Checkpoint::load(&index).unwrap().0);

    let bare = tempfile::tempdir().unwrap();
    fs::copy(
        fixture().join("config.json"),
        bare.path().join("config.json"),
    )
    .unwrap();
    let short = stored().into_iter().map(|(name, tensor)| {
        let name = name.trim_start_matches("audio_spectrogram_transformer.");
        (name.to_owned(), tensor)
    });
    let path = bare.path().join("any name.safetensors");
    write(&path, &short.collect());
    same(&whole, &Checkpoint::load(&path).unwrap().0);
    same(&whole, &Checkpoint::load(bare.path()).unwrap().0);
}

#[test]
fn an_index_that_leaves_the_folder_or_does_not_fit_its_files_is_refused() {
    let first = "model-00001-of-00002.safetensors";
    for foreign in [
        "../x.safetensors",
        "/x.safetensors",
        "a\\\\x.safetensors",
        "x.bin",
        "..",
    ] {
        let folder = tempfile::tempdir().unwrap();
        sharded(folder.path());
        let error = edit_index(folder.path(), |text| text.replacen(first, foreign, 1));
        assert!(
            error.to_string().contains("plain name"),
            "{foreign}: {error}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    sharded(folder.path());
    let error = edit_index(folder.path(), |text| {
        text.replace(first, "gone.safetensors")
    });
    assert!(
        error.to_string().contains("gone.safetensors is not there"),
        "{error}"
    );

    let folder = tempfile::tempdir().unwrap();
    sharded(folder.path());
    let second = first.replace("00001", "00002");
    let error = edit_index(folder.path(), |text| text.replacen(first, &second, 1));
    assert!(error.to_string().contains("is not in"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    sharded(folder.path());
    let twice = |text: String| {
        text.replace(
            "\"weight_map\":{",
            "\"weight_map\":{\"classifier.dense.bias\":\"a.safetensors\",",
        )
    };
    let error = edit_index(folder.path(), twice);
    assert!(error.to_string().contains("named twice"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    sharded(folder.path());
    fs::copy(
        fixture().join("model.safetensors"),
        folder.path().join(first),
    )
    .unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("again in"), "{error}");
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

/// The tensors of a checkpoint under the names of the original release.
fn original_names(checkpoint: &Checkpoint, module: &str) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    let mut put = |name: String, tensor: Tensor| tensors.insert(format!("{module}{name}"), tensor);
    let all = checkpoint.tensors();
    let copy = |name: &str| all[name].copy();
    for (old, new) in [
        ("cls_token", "embeddings.cls_token"),
        ("dist_token", "embeddings.distillation_token"),
        ("pos_embed", "embeddings.position_embeddings"),
        (
            "patch_embed.proj.weight",
            "embeddings.patch_embeddings.projection.weight",
        ),
        (
            "patch_embed.proj.bias",
            "embeddings.patch_embeddings.projection.bias",
        ),
        ("norm.weight", "layernorm.weight"),
        ("norm.bias", "layernorm.bias"),
    ] {
        put(format!("v.{old}"), copy(new));
    }
    for block in 0..checkpoint.config.num_hidden_layers {
        for part in ["weight", "bias"] {
            let new = |name: &str| copy(&format!("encoder.layer.{block}.{name}.{part}"));
            for (old, name) in [
                ("norm1", "layernorm_before"),
                ("norm2", "layernorm_after"),
                ("attn.proj", "attention.output.dense"),
                ("mlp.fc1", "intermediate.dense"),
                ("mlp.fc2", "output.dense"),
            ] {
                put(format!("v.blocks.{block}.{old}.{part}"), new(name));
            }
            let thirds =
                ["query", "key", "value"].map(|name| new(&format!("attention.attention.{name}")));
            put(
                format!("v.blocks.{block}.attn.qkv.{part}"),
                Tensor::cat(&thirds, 0),
            );
        }
    }
    let width = checkpoint.config.hidden_size;
    let fill = |size: &[i64]| Tensor::ones(size, (Kind::Float, tch::Device::Cpu));
    put("v.head.weight".into(), fill(&[1000, width]));
    put("mlp_head.0.weight".into(), fill(&[width]));
    put("mlp_head.0.bias".into(), fill(&[width]));
    put("mlp_head.1.weight".into(), fill(&[7, width]));
    put("mlp_head.1.bias".into(), fill(&[7]));
    tensors
}

#[test]
fn the_original_release_s_names_give_the_same_weights_and_the_shape_is_told() {
    let config = AstConfig {
        layer_norm_eps: 1e-6,
        ..small()
    };
    let expected = Checkpoint::random(&config, 5).unwrap();
    for module in ["module.", ""] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audioset_10_10_0.4593.safetensors");
        write(&path, &original_names(&expected, module));
        for place in [path.as_path(), folder.path()] {
            let (found, report) = Checkpoint::load(place).unwrap();
            assert_eq!(found.config, config);
            assert_eq!(found.fingerprint(), expected.fingerprint());
            assert_eq!(report.config, ConfigSource::Derived);
            assert_eq!(report.used.len(), expected.names().count());
            assert_eq!(report.unused.len(), 5, "{:?}", report.unused);
            assert_eq!(found.classifier().unwrap().classes(), 7);
        }
        let given = AstConfig {
            max_length: 130,
            ..config.clone()
        };
        let options = LoadOptions {
            config: Some(given.clone()),
            ..LoadOptions::default()
        };
        let (found, report) = Checkpoint::load_with(&path, &options).unwrap();
        assert_eq!(
            (found.config.clone(), report.config),
            (given, ConfigSource::Given)
        );
        // With config.json alongside, that is what holds.
        let beside = AstConfig {
            num_attention_heads: 2,
            ..config.clone()
        };
        let other = tempfile::tempdir().unwrap();
        Checkpoint::random(&beside, 1)
            .unwrap()
            .save(other.path())
            .unwrap();
        fs::copy(
            other.path().join("config.json"),
            folder.path().join("config.json"),
        )
        .unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap().0.config, beside);
    }
}

#[test]
fn tensors_that_do_not_tell_a_shape_ask_for_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let config = AstConfig {
        frequency_stride: 16,
        // 8 rows of 11, which are no whole rows at a stride of 10.
        max_length: 118,
        ..small()
    };
    Checkpoint::random(&config, 5)
        .unwrap()
        .save(folder.path())
        .unwrap();
    let (expected, _) = Checkpoint::load(folder.path()).unwrap();
    fs::remove_file(folder.path().join("config.json")).unwrap();
    let error = Checkpoint::load(&path).unwrap_err();
    assert!(matches!(error, AstError::UnknownShape { .. }), "{error}");
    assert!(error.to_string().contains("config.json"), "{error}");
    let options = LoadOptions {
        config: Some(config),
        ..LoadOptions::default()
    };
    same(
        &expected,
        &Checkpoint::load_with(&path, &options).unwrap().0,
    );
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
