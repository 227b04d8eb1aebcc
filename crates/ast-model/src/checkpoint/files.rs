//! The files of a checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::{Checkpoint, PreprocessorConfig, names, shards};
use crate::{AstConfig, AstError, tensor_file};

pub(super) const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Endings of files that torch pickles.
const PICKLED: [&str; 5] = ["bin", "pt", "pth", "ckpt", "pkl"];
/// The one activation of the AST.
const ACTIVATION: &str = "gelu";

/// Where the parts of a checkpoint lie.
pub(super) struct Files {
    /// A safetensors file, or the index of several.
    weights: PathBuf,
    folder: PathBuf,
}

impl Files {
    /// Finds the weights at `path`: a folder, a safetensors file or an index.
    pub fn find(path: &Path) -> Result<Self, AstError> {
        if !path.is_file() {
            return Ok(Files {
                weights: weights_in(path)?,
                folder: path.to_owned(),
            });
        }
        if is_pickled(path) {
            return Err(AstError::Pickle {
                path: path.to_owned(),
            });
        }
        Ok(Files {
            weights: path.to_owned(),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        })
    }

    /// All tensors by the names in the files.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, AstError> {
        let name = self.weights.to_string_lossy();
        if name.ends_with(".index.json") {
            return shards::read(&self.weights);
        }
        tensor_file::read(&self.weights)
    }

    /// `config.json`, if it is there.
    pub fn config(&self) -> Result<Option<AstConfig>, AstError> {
        let path = self.folder.join(CONFIG);
        if !path.is_file() {
            return Ok(None);
        }
        // Whatever is no object, `AstConfig::read` refuses.
        let whole = read_json(&path)?;
        let activation = whole.get("hidden_act").and_then(Value::as_str);
        if let Some(name) = activation.filter(|name| *name != ACTIVATION) {
            return Err(AstError::Config {
                field: "hidden_act",
                value: format!("{name:?}"),
                problem: "is not supported: every AST has gelu, in its exact form",
            });
        }
        AstConfig::read(&path).map(Some)
    }

    /// `preprocessor_config.json`, if it is there.
    pub fn preprocessor(&self) -> Result<Option<PreprocessorConfig>, AstError> {
        let path = self.folder.join(PREPROCESSOR);
        if !path.is_file() {
            return Ok(None);
        }
        PreprocessorConfig::read(&path).map(Some)
    }

    /// The names of `classes` classes in `config.json`, if it has all of them.
    pub fn labels(&self, classes: usize) -> Option<Vec<String>> {
        let config = read_json(&self.folder.join(CONFIG)).ok()?;
        let names = config["id2label"].as_object()?;
        let name = |class: usize| Some(names.get(&class.to_string())?.as_str()?.to_owned());
        let whole = names.len() == classes;
        whole.then(|| (0..classes).map(name).collect())?
    }
}

/// The weights in a folder: the name Hugging Face gives them, an index, or the
/// only safetensors file whatever its name.
fn weights_in(folder: &Path) -> Result<PathBuf, AstError> {
    for name in [WEIGHTS, shards::INDEX] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let missing = || AstError::NotACheckpoint {
        path: folder.to_owned(),
        file: WEIGHTS,
    };
    let entries = std::fs::read_dir(folder).map_err(|_| missing())?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut safe = files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"));
    if let (Some(only), None) = (safe.next(), safe.next()) {
        return Ok(only.clone());
    }
    // Trainers leave other pickled files beside the weights.
    let is_model = |path: &&PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("pytorch_model"))
    };
    let mut pickled = files.iter().filter(|path| is_pickled(path));
    let pickled = pickled.clone().find(is_model).or(pickled.next());
    Err(match pickled {
        Some(path) => AstError::Pickle { path: path.clone() },
        None => missing(),
    })
}

fn is_pickled(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| PICKLED.iter().any(|pickled| ending == *pickled))
}

fn read_json(path: &Path) -> Result<Value, AstError> {
    let text = std::fs::read(path).map_err(AstError::io(path))?;
    serde_json::from_slice(&text).map_err(|error| malformed(path, &error))
}

/// Writes all files; the weights last, so that a folder with new weights has
/// the rest as well.
pub(super) fn write(folder: &Path, checkpoint: &Checkpoint) -> Result<(), AstError> {
    std::fs::create_dir_all(folder).map_err(AstError::io(folder))?;
    write_config(folder, checkpoint)?;
    write_preprocessor(folder, checkpoint.preprocessor())?;
    let head = checkpoint.classifier().map(|head| head.tensors());
    let head = head.iter().flatten().map(|(name, tensor)| (*name, *tensor));
    let own = checkpoint.tensors.iter();
    let named: Vec<(String, &Tensor)> = own
        .map(|(name, tensor)| (name.as_str(), tensor))
        .chain(head)
        .map(|(name, tensor)| (names::prefixed(name), tensor))
        .collect();
    tensor_file::write(
        &folder.join(WEIGHTS),
        named.iter().map(|(name, tensor)| (name.as_str(), *tensor)),
    )
}

fn write_config(folder: &Path, checkpoint: &Checkpoint) -> Result<(), AstError> {
    let path = folder.join(CONFIG);
    let mut value =
        serde_json::to_value(&checkpoint.config).map_err(|error| malformed(&path, &error))?;
    value["model_type"] = "audio-spectrogram-transformer".into();
    value["hidden_act"] = ACTIVATION.into();
    value["architectures"] = json!(["ASTModel"]);
    if let Some(head) = checkpoint.classifier() {
        let classes = || head.labels.iter().enumerate();
        let names: Map<_, _> = classes()
            .map(|(i, name)| (i.to_string(), json!(name)))
            .collect();
        let ids: Map<_, _> = classes()
            .map(|(i, name)| (name.clone(), json!(i)))
            .collect();
        value["architectures"] = json!(["ASTForAudioClassification"]);
        value["id2label"] = names.into();
        value["label2id"] = ids.into();
    }
    tensor_file::replace(&path, format!("{value:#}\n").as_bytes())
}

fn write_preprocessor(
    folder: &Path,
    preprocessor: Option<&PreprocessorConfig>,
) -> Result<(), AstError> {
    let path = folder.join(PREPROCESSOR);
    match preprocessor {
        Some(config) => tensor_file::replace(&path, format!("{:#}\n", config.to_json()).as_bytes()),
        // That of an earlier checkpoint would be taken for this one's.
        None if path.is_file() => std::fs::remove_file(&path).map_err(AstError::io(&path)),
        None => Ok(()),
    }
}

fn malformed(path: &Path, error: &serde_json::Error) -> AstError {
    AstError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
