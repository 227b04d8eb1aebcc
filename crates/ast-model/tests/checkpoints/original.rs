//! Names of the original release, and shapes told from tensors.

use std::collections::BTreeMap;
use std::fs;

use ast_model::{AstConfig, AstError, Checkpoint, ConfigSource, LoadOptions};
use tch::{Kind, Tensor};

use super::{same, write};

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
