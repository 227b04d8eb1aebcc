//! Weights in several files, with prefixes, without, and alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ast_model::{AstError, Checkpoint, ConfigSource};

use super::{fixture, same, stored, write};

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
