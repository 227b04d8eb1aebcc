//! The adapter folder: everything that was trained, and what it belongs to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ast_model::{Checkpoint, Pooling, Positions, Precision, tensor_file};
use serde::{Deserialize, Serialize};
use tch::{Kind, no_grad};

use crate::{AdaptOptions, AdaptedModel, AdapterError, Compat, MethodConfig};

/// Version of the folder's layout.
pub const FORMAT_VERSION: u32 = 1;

const DESCRIPTION: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// What an adapter is and what it belongs to: `adapter_config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterDescription {
    /// [`FORMAT_VERSION`] when written.
    pub format_version: u32,
    /// The method with all its hyper-parameters.
    pub method: MethodConfig,
    /// Which behaviour of the authors' program the method was set to.
    pub compat: Compat,
    /// [`Checkpoint::fingerprint`] of the backbone, cut to its blocks and
    /// adapted to the input length.
    pub backbone_fingerprint: String,
    /// What the backbone is, in words.
    pub backbone: String,
    /// How many of the backbone's first blocks are used.
    pub blocks: usize,
    /// Steps between patches along frequency (mel bins) and time (frames).
    pub strides: [i64; 2],
    /// Number format of the frozen matrices in training.
    pub precision: Precision,
    /// Frames T of one input.
    pub max_length: i64,
    /// How the position embeddings were adapted to `max_length`.
    pub positions: Positions,
    /// From tokens to one vector per clip.
    pub pooling: Pooling,
    /// Names of the C classes, in the order of the logits.
    pub labels: Vec<String>,
    /// Settings of the front end, as the program that trained wrote them.
    pub features: serde_json::Value,
}

/// Writes the adapter folder and returns its size in bytes.
///
/// # Errors
/// When the folder cannot be made or written.
pub fn save(
    folder: &Path,
    model: &AdaptedModel,
    description: &AdapterDescription,
) -> Result<u64, AdapterError> {
    fs::create_dir_all(folder).map_err(AdapterError::io(folder))?;
    let weights = folder.join(WEIGHTS);
    let tensors = kept(model).map(|(name, tensor)| (name.as_str(), tensor));
    tensor_file::write(&weights, tensors)?;
    let path = folder.join(DESCRIPTION);
    let text =
        serde_json::to_string_pretty(description).map_err(|error| AdapterError::Description {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    tensor_file::replace(&path, format!("{text}\n").as_bytes())?;
    let mut size = 0;
    for file in [&path, &weights] {
        size += fs::metadata(file).map_err(AdapterError::io(file))?.len();
    }
    Ok(size)
}

/// Loads an adapter folder onto the backbone it was trained on.
///
/// `options` gives precision and device; its other fields come from the folder.
///
/// # Errors
/// A missing, damaged or newer file, another backbone, or tensors that do not
/// belong to the described method.
pub fn load(
    folder: &Path,
    backbone: &Checkpoint,
    options: &AdaptOptions,
) -> Result<(AdaptedModel, AdapterDescription), AdapterError> {
    let description = read_description(&folder.join(DESCRIPTION))?;
    let found = backbone.fingerprint();
    if found != description.backbone_fingerprint {
        return Err(AdapterError::WrongBackbone {
            path: folder.to_owned(),
            expected: description.backbone_fingerprint,
            found,
        });
    }
    let options = AdaptOptions {
        classes: description.labels.len() as i64,
        pooling: description.pooling,
        ..options.clone()
    };
    let model = AdaptedModel::new(backbone, &description.method, &options)?;
    restore(&folder.join(WEIGHTS), &model)?;
    Ok((model, description))
}

fn read_description(path: &Path) -> Result<AdapterDescription, AdapterError> {
    let text = fs::read_to_string(path).map_err(AdapterError::io(path))?;
    let refuse = |reason: String| AdapterError::Description {
        path: path.to_owned(),
        reason,
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let version = value["format_version"].as_u64().unwrap_or(0);
    if version != u64::from(FORMAT_VERSION) {
        return Err(refuse(format!(
            "format version {version}; this program reads version {FORMAT_VERSION}"
        )));
    }
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}

/// What the weights file holds: trained tensors, then buffers.
fn kept(model: &AdaptedModel) -> impl Iterator<Item = &(String, tch::Tensor)> {
    model.trained().iter().chain(model.buffers())
}

/// Copies the tensors of a file into a model's trained tensors and buffers.
fn restore(path: &Path, model: &AdaptedModel) -> Result<(), AdapterError> {
    let mut stored: BTreeMap<String, tch::Tensor> = tensor_file::read(path)?;
    let refuse = |name: &str, problem: String| AdapterError::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        problem,
    };
    for (name, tensor) in kept(model) {
        let value = stored
            .remove(name)
            .ok_or_else(|| refuse(name, "is missing".into()))?;
        if value.size() != tensor.size() {
            let problem = format!("is {:?} instead of {:?}", value.size(), tensor.size());
            return Err(refuse(name, problem));
        }
        if value.isfinite().all().int64_value(&[]) == 0 {
            return Err(refuse(name, "holds values that are not finite".into()));
        }
        no_grad(|| tensor.shallow_clone().f_copy_(&value.to_kind(Kind::Float)))?;
    }
    match stored.keys().next() {
        Some(extra) => Err(refuse(extra, "is not part of the method".into())),
        None => Ok(()),
    }
}
