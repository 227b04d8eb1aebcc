//! What a user says about a run, and how it is read.

use std::path::{Path, PathBuf};

use adapters::{Compat, Head, MethodConfig};
use anyhow::{Context, Result, anyhow, bail, ensure};
use ast_model::{Patchout, Pooling, Positions, PrecisionChoice};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::layers::{self, USUAL_METHOD, merge};
use crate::data::toml_error::{line_of, nearest, unknown_field};
use crate::data::{Columns, FeatureFormat};

/// A run as written in a TOML file. What is left out is chosen; `run.toml` in
/// the run folder is the same with everything filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// A folder with a folder per class, or a CSV, TSV or JSON-lines file with
    /// the columns `path` and `label` (and, if there are, `start`, `end`,
    /// `split`, `fold`, `speaker`, `group`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// A data set with a manifest, whose folder `data` then is: a manifest file,
    /// or the name of one that comes with the program (`esc-50`,
    /// `speech-commands-v2`, ...). A folder that lies as one of these is
    /// unpacked is taken for it unless this is `none`. Default: what `data` is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Names of the columns of a table that are not called as
    /// [`Columns`](crate::data::Columns) has them:
    /// `columns = { path = "file" }`.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub columns: Table,
    /// Text between the labels of a clip, where clips of a table may have
    /// several. The objective is then `binary-cross-entropy`. Default: one label
    /// a clip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Groups that may stand in two parts: `speaker`, `group`, `fold`, `file`,
    /// `source`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_leaks: Vec<String>,
    /// Name of a method, or a table with its settings:
    /// `method = { method = "soft-moa", mixture = { experts = 3 } }`. Default
    /// `soft-moa`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Value>,
    /// Which behaviour of the authors' program: decides what the method leaves
    /// open, and what `positions` and the choice of the epoch are where they are
    /// not given. Default `fixed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compat: Option<Compat>,
    /// Name or folder of the backbone. Default: see
    /// [`usual`](crate::backbones::usual).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backbone: Option<String>,
    /// Only the backbone's first so many blocks. Default all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// Steps between patches along frequency (mel bins) and time (frames).
    /// Default the backbone's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strides: Option<[i64; 2]>,
    /// What happens to the position embeddings. Default `crop`, with
    /// `compat = "paper"` `zero`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// From tokens to one vector per clip. Default `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// From that vector to class scores: `linear` (the default), `norm_linear`,
    /// `attentive`, `gated_layers`, or `{ prototypical = { per_class = 3 } }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// The first block in which the method acts. Default 0, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_block: Option<usize>,
    /// Whether frames that only fill short clips up are left out of pooling and
    /// routing. Default no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_padding: Option<bool>,
    /// Patches dropped in training steps. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patchout: Option<Patchout>,
    /// Frames of a clip, 100 a second; longer clips are cut. Default: enough
    /// for 95 of 100 training clips, and what the backbone takes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Number format of the frozen weights. Default f32.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<PrecisionChoice>,
    /// Share of the clips to validate on, where the data have no parts.
    /// Default 0.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    /// Share of the clips to test on, where the data have no parts. Default
    /// 0.15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<f64>,
    /// Column of a table no value of which may be in two parts. Default
    /// `speaker` or `group` where there is such a column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Which fold is tested, from 0, where the data have folds. Default 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Seed of split, initial values, order and dropout. Default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Whether every epoch is written as a TensorBoard event too. Default no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensorboard: Option<bool>,
    /// Number format of the features in the cache: `f32`, or `f16` for half the
    /// file. Default `f32`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureFormat>,
    /// How many of the last checkpoints are kept while the run goes on, beside
    /// the best weights; at least 1. Default 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_checkpoints: Option<usize>,
    /// Fields of [`TrainingConfig`](crate::training::TrainingConfig) that shall
    /// differ from what is chosen.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub training: Table,
}

impl RunConfig {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML; an unknown key, with the line
    /// and the nearest known key.
    pub fn load(path: &Path) -> Result<Self> {
        let text = read(path)?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: &str) -> Result<Self> {
        let read = toml::from_str(text);
        read.map_err(|error| explained(&error, Some(text), ""))
    }

    /// Several layers of settings, later ones on top: tables are merged key by
    /// key, everything else is replaced. A method that is named anew loses the
    /// settings of the one below; a `seed` is also that of training, unless the
    /// layer says otherwise.
    ///
    /// # Errors
    /// An unknown key, with the nearest known one, or a value of another type.
    pub fn layered(layers: impl IntoIterator<Item = Table>) -> Result<Self> {
        let all = layers::merged(layers);
        let read = Value::Table(all).try_into();
        read.map_err(|error| explained(&error, None, ""))
    }

    /// The settings of a TOML file as a layer.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn layer(path: &Path) -> Result<Table> {
        let text = read(path)?;
        let place = || path.display().to_string();
        Self::parse(&text).with_context(place)?;
        toml::from_str(&text).with_context(place)
    }

    /// The names of the columns of a table.
    ///
    /// # Errors
    /// An unknown column, with the nearest known one.
    pub fn columns(&self) -> Result<Columns> {
        let read = Value::Table(self.columns.clone()).try_into();
        read.map_err(|error| explained(&error, None, "columns."))
    }

    /// The method with its settings.
    ///
    /// # Errors
    /// An unknown name or an unknown setting, with the nearest known one.
    pub fn method(&self) -> Result<MethodConfig> {
        let method = match &self.method {
            None => MethodConfig::named(USUAL_METHOD)?,
            Some(Value::String(name)) => MethodConfig::named(name)?,
            Some(value @ Value::Table(_)) => value
                .clone()
                .try_into()
                .map_err(|error| explained(&error, None, "method."))?,
            Some(other) => bail!("method is {other}; write a name or a table"),
        };
        Ok(method.with_compat(self.compat.unwrap_or(Compat::Fixed)))
    }

    /// `chosen` with what [`training`](Self::training) says instead.
    ///
    /// # Errors
    /// An unknown field, with the nearest known one, or a value out of range.
    pub fn training<T: Serialize + for<'a> Deserialize<'a>>(&self, chosen: &T) -> Result<T> {
        let mut table = Table::try_from(chosen)?;
        merge(&mut table, self.training.clone());
        let merged = Value::Table(table).try_into();
        merged.map_err(|error| explained(&error, None, "training."))
    }

    /// Checks what can be checked without sounds and backbone.
    ///
    /// # Errors
    /// Says what is out of range.
    pub fn validate(&self) -> Result<()> {
        let shares = [self.validation, self.test];
        for (field, share) in ["validation", "test"].iter().zip(shares) {
            if let Some(share) = share {
                ensure!(
                    share > 0.0 && share < 1.0,
                    "{field} is {share}; give a share above 0 and below 1"
                );
            }
        }
        ensure!(
            shares.iter().flatten().sum::<f64>() < 1.0,
            "validation and test take all clips; leave some to train on"
        );
        ensure!(
            self.keep_checkpoints != Some(0),
            "keep_checkpoints is 0; keep at least 1, or a run could not go on"
        );
        Ok(())
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; check the path", path.display()))
}

/// An error of the TOML reader that names place or line and nearest known key;
/// `place` is where the value read stands.
fn explained(error: &toml::de::Error, text: Option<&str>, place: &str) -> anyhow::Error {
    let message = error.message();
    let line = match (text, error.span()) {
        (Some(text), Some(span)) => format!("line {}: ", line_of(text, span.start)),
        _ => String::new(),
    };
    // The keys on the way are told by the last line of its words alone.
    let words = match text {
        None => error.to_string(),
        Some(_) => String::new(),
    };
    let last = words.trim_end().lines().last().unwrap_or_default();
    let keys = last
        .strip_prefix("in `")
        .and_then(|keys| keys.strip_suffix('`'))
        .unwrap_or_default();
    match unknown_field(message) {
        Some((field, known)) => {
            let place = match keys {
                "" => place.to_owned(),
                keys => format!("{place}{keys}."),
            };
            let hint = match nearest(&field, &known) {
                Some(nearest) => format!("did you mean `{place}{nearest}`?"),
                None => "remove it".to_owned(),
            };
            anyhow!("{line}there is no key `{place}{field}`; {hint}")
        }
        None => match format!("{place}{keys}").trim_end_matches('.') {
            "" => anyhow!("{line}{message}"),
            key => anyhow!("{line}{key}: {message}"),
        },
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
