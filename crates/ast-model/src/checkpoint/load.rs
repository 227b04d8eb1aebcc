//! From files to a checkpoint, with an account of every tensor.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::files::Files;
use super::{Checkpoint, Classifier, derive, initial_value, names, original};
use crate::{AstConfig, AstError, Positions};

/// How a checkpoint is loaded. The default takes it as it is and refuses it
/// when a tensor is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadOptions {
    /// Give tensors that the files lack fresh values, as
    /// [`Checkpoint::random`] does, instead of failing. Default false.
    pub allow_missing: bool,
    /// Seed of those fresh values. Default 0.
    pub missing_seed: u64,
    /// Frames T that the position embeddings are made for. Default: as stored.
    pub max_length: Option<i64>,
    /// Steps between patches along frequency and time. Default: as stored.
    pub strides: Option<[i64; 2]>,
    /// What happens to the positions where the patch grid changes. Default crop.
    pub positions: Positions,
    /// The shape of the stored model, in place of `config.json` or of what the
    /// tensors tell. Default none.
    pub config: Option<AstConfig>,
}

/// Where the configuration of a loaded checkpoint is from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigSource {
    /// `config.json` beside the weights.
    #[default]
    File,
    /// Told from the shapes of the tensors, with strides of 10, 128 mel bins
    /// and heads of width 64 by convention.
    Derived,
    /// [`LoadOptions::config`].
    Given,
}

/// A tensor that was made to fit another patch grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resized {
    /// Canonical name.
    pub name: String,
    /// Shape in the file.
    pub from: Vec<i64>,
    /// Shape in the checkpoint.
    pub to: Vec<i64>,
}

/// What became of the tensors of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadReport {
    /// Where the configuration is from.
    pub config: ConfigSource,
    /// Tensors of the file that the model uses, by canonical name.
    pub used: Vec<String>,
    /// Tensors that the file lacks and that have fresh values.
    pub missing: Vec<String>,
    /// Tensors of the file that no part of the model uses. Those named
    /// `classifier.…` can be had as [`Checkpoint::classifier`].
    pub unused: Vec<String>,
    /// Tensors made to fit the patch grid that was asked for.
    pub resized: Vec<Resized>,
    /// Tensors converted from f16 or bf16 to f32.
    pub cast: Vec<String>,
}

pub(super) fn load(
    path: &Path,
    options: &LoadOptions,
) -> Result<(Checkpoint, LoadReport), AstError> {
    let files = Files::find(path)?;
    let stored_config = match &options.config {
        Some(_) => None,
        None => files.config()?,
    };
    let (mut found, is_original) = canonical(files.tensors()?)?;
    let mut report = LoadReport::default();
    let config = match (&options.config, stored_config) {
        (Some(given), _) => {
            report.config = ConfigSource::Given;
            given.clone()
        }
        (None, Some(stored)) => stored,
        (None, None) => {
            report.config = ConfigSource::Derived;
            derive::config(&found, is_original)?
        }
    };
    config.validate()?;
    let preprocessor = files.preprocessor()?;
    if let Some(preprocessor) = &preprocessor {
        preprocessor.check_bins(config.num_mel_bins)?;
    }
    let tensors = take(&config, &mut found, options, &mut report)?;
    report.unused = found.keys().cloned().collect();
    let mut classifier = Classifier::find(&found, &config, &mut report.cast);
    if let Some(head) = &mut classifier
        && let Some(labels) = files.labels(head.labels.len())
    {
        head.labels = labels;
    }
    let checkpoint = Checkpoint {
        config,
        tensors,
        classifier,
        preprocessor,
    };
    Ok((resize(checkpoint, options, &mut report)?, report))
}

/// Tensors by canonical name, and whether any had its name from the original
/// release.
fn canonical(
    stored: BTreeMap<String, Tensor>,
) -> Result<(BTreeMap<String, Tensor>, bool), AstError> {
    let mut tensors = BTreeMap::new();
    let mut is_original = false;
    for (name, tensor) in stored {
        let parts = match original::convert(&name, &tensor) {
            Some(parts) => {
                is_original = true;
                parts
            }
            None => vec![(names::canonical(&name).to_owned(), tensor)],
        };
        for (name, tensor) in parts {
            if tensors.contains_key(&name) {
                return Err(AstError::DuplicateTensor { name });
            }
            tensors.insert(name, tensor);
        }
    }
    Ok((tensors, is_original))
}

/// The tensors the configuration asks for, taken out of `found`.
fn take(
    config: &AstConfig,
    found: &mut BTreeMap<String, Tensor>,
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Result<BTreeMap<String, Tensor>, AstError> {
    let mut tensors = BTreeMap::new();
    for (name, shape) in names::parameters(config) {
        let Some(tensor) = found.remove(&name) else {
            if !options.allow_missing {
                let blocks = config.num_hidden_layers;
                return Err(AstError::MissingTensor { name, blocks });
            }
            let fresh = initial_value(options.missing_seed, &name, &shape);
            report.missing.push(name.clone());
            tensors.insert(name, fresh);
            continue;
        };
        if tensor.size() != shape {
            return Err(AstError::TensorShape {
                name,
                expected: shape,
                found: tensor.size(),
            });
        }
        report.used.push(name.clone());
        let tensor = widen(&name, &tensor, &mut report.cast)?;
        tensors.insert(name, tensor);
    }
    report.used.sort();
    Ok(tensors)
}

/// A tensor of weights as f32; only one that is converted is copied.
pub(super) fn widen(
    name: &str,
    tensor: &Tensor,
    cast: &mut Vec<String>,
) -> Result<Tensor, AstError> {
    match tensor.kind() {
        Kind::Float => Ok(tensor.shallow_clone()),
        Kind::Half | Kind::BFloat16 => {
            cast.push(name.to_owned());
            Ok(tensor.f_to_kind(Kind::Float)?)
        }
        other => Err(AstError::TensorType {
            name: name.to_owned(),
            found: format!("{other:?}"),
        }),
    }
}

fn resize(
    checkpoint: Checkpoint,
    options: &LoadOptions,
    report: &mut LoadReport,
) -> Result<Checkpoint, AstError> {
    if options.max_length.is_none() && options.strides.is_none() {
        return Ok(checkpoint);
    }
    let config = &checkpoint.config;
    let length = options.max_length.unwrap_or(config.max_length);
    let own = [config.frequency_stride, config.time_stride];
    let strides = options.strides.unwrap_or(own);
    let adapted = checkpoint.with_grid(length, strides, options.positions)?;
    if adapted.config.grid() != checkpoint.config.grid() {
        report.resized.push(Resized {
            name: names::POSITIONS.to_owned(),
            from: checkpoint.get(names::POSITIONS).size(),
            to: adapted.get(names::POSITIONS).size(),
        });
    }
    Ok(adapted)
}
