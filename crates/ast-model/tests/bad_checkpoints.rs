//! Damaged, hostile and foreign checkpoints are refused with a remedy.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use ast_model::{AstConfig, AstError, Checkpoint, LoadReport, Positions};
use proptest::prelude::*;

fn saved(folder: &Path) {
    let config = AstConfig {
        num_hidden_layers: 1,
        max_length: 16,
        ..AstConfig::tiny()
    };
    Checkpoint::random(&config, 3)
        .unwrap()
        .save(folder)
        .unwrap();
}

#[test]
fn a_folder_without_weights_names_the_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("config.json"), "{error}");
    saved(folder.path());
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

#[test]
fn a_pickle_file_is_refused_with_the_way_to_convert_it() {
    let folder = tempfile::tempdir().unwrap();
    saved(folder.path());
    let weights = folder.path().join("model.safetensors");
    fs::rename(weights, folder.path().join("pytorch_model.bin")).unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(matches!(error, AstError::Pickle { .. }));
    assert!(error.to_string().contains("save_file"), "{error}");
}

#[test]
fn a_pickle_is_refused_under_every_name_and_when_it_is_named_directly() {
    for name in [
        "audioset_10_10_0.4593.pth",
        "model.pt",
        "any.bin",
        "last.CKPT",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, b"PK\x03\x04").unwrap();
        fs::write(folder.path().join("README.md"), "").unwrap();
        for place in [path.as_path(), folder.path()] {
            let error = Checkpoint::load(place).unwrap_err();
            assert!(
                matches!(&error, AstError::Pickle { path: p } if *p == path),
                "{error}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("optimizer.pt"), "").unwrap();
    fs::write(folder.path().join("pytorch_model.bin"), "").unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("pytorch_model.bin"), "{error}");
}

#[test]
fn a_pickle_named_safetensors_is_recognised_and_so_is_a_pointer_of_git_lfs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for content in [
        &b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl"[..],
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j",
        b"\x80\x04}q",
    ] {
        fs::write(&path, content).unwrap();
        let error = Checkpoint::load(folder.path()).unwrap_err();
        assert!(matches!(error, AstError::Pickle { .. }), "{error}");
    }
    fs::write(
        &path,
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    )
    .unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("git lfs pull"), "{error}");
}

#[test]
fn weights_of_another_model_name_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    saved(folder.path());
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2"),
    )
    .unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("encoder.layer.1."), "{error}");
    fs::write(
        &path,
        text.replace("\"intermediate_size\": 768", "\"intermediate_size\": 700"),
    )
    .unwrap();
    let error = Checkpoint::load(folder.path()).unwrap_err();
    assert!(matches!(error, AstError::TensorShape { .. }), "{error}");
}

/// `config.json`, weights and fingerprint of a model as small as they get.
static LEAST: LazyLock<(Vec<u8>, Vec<u8>, String)> = LazyLock::new(|| {
    let config = AstConfig {
        hidden_size: 2,
        num_attention_heads: 1,
        intermediate_size: 1,
        num_hidden_layers: 1,
        patch_size: 2,
        num_mel_bins: 2,
        max_length: 2,
        ..AstConfig::base()
    };
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::random(&config, 3).unwrap();
    checkpoint.save(folder.path()).unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    (
        read("config.json"),
        read("model.safetensors"),
        checkpoint.fingerprint(),
    )
});

/// The smallest model with other bytes as its weights.
fn load_least(weights: &[u8]) -> Result<(Checkpoint, LoadReport), AstError> {
    load_files(&LEAST.0, weights)
}

/// A folder with these bytes as `config.json` and weights.
fn load_files(config: &[u8], weights: &[u8]) -> Result<(Checkpoint, LoadReport), AstError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    Checkpoint::load(folder.path())
}

#[test]
fn a_configuration_that_is_no_object_is_malformed() {
    let names = br#"{"hidden_act": []}"#;
    for text in [&b"[]"[..], b"1", b"\"x\"", b"true", b"null", b"", names] {
        let error = load_files(text, &LEAST.1).unwrap_err();
        let shown = String::from_utf8_lossy(text);
        assert!(
            matches!(error, AstError::Malformed { .. }),
            "{shown}: {error}"
        );
    }
}

#[test]
fn lengths_that_no_memory_holds_are_refused_before_anything_is_made() {
    let checkpoint = load_least(&LEAST.1).unwrap().0;
    for positions in [Positions::Crop, Positions::Interpolate, Positions::Zero] {
        let error = checkpoint
            .with_grid(1 << 20, [1, 1], positions)
            .unwrap_err();
        assert!(error.to_string().contains("smaller max_length"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_flipped_bit_in_the_header_is_an_error_or_changes_nothing(at in 0.0..1.0f64, bit in 0u8..8) {
        let (_, whole, expected) = &*LEAST;
        let mut bytes = whole.clone();
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[(at * header as f64) as usize] ^= 1 << bit;
        // The note on the format, {"format":"pt"}, says nothing about weights.
        if let Ok((found, report)) = load_least(&bytes) {
            prop_assert_eq!(&found.fingerprint(), expected);
            prop_assert!(report.unused.is_empty());
        }
    }

    #[test]
    fn a_changed_configuration_never_panics(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<usize>()),
    ) {
        let (config, weights, _) = &*LEAST;
        let mut config = config.clone();
        for (at, byte) in changes {
            let at = at % config.len();
            config[at] = byte;
        }
        if let Some(cut) = cut {
            config.truncate(cut % config.len());
        }
        let _ = load_files(&config, weights);
    }

    #[test]
    fn a_truncated_file_is_an_error(at in 0.0..1.0f64) {
        let (_, whole, _) = &*LEAST;
        prop_assert!(load_least(&whole[..(at * whole.len() as f64) as usize]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_cut_or_changed_header_never_panics(cut in 0usize..6000, at in 0usize..4000, byte: u8) {
        let folder = tempfile::tempdir().unwrap();
        saved(folder.path());
        let path = folder.path().join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= byte;
        let _ = { fs::write(&path, &bytes).unwrap(); Checkpoint::load(folder.path()) };
        fs::write(&path, &bytes[..cut]).unwrap();
        prop_assert!(Checkpoint::load(folder.path()).is_err());
    }
}
