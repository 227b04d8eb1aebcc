//! What a user says about a run, and how it is read.

use std::path::{Path, PathBuf};

use adapters::{Compat, Head, MethodConfig};
use anyhow::{Context, Result, anyhow, bail, ensure};
use ast_model::{Patchout, Pooling, Positions, PrecisionChoice};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::data::toml_error::{line_of, nearest, unknown_field};

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
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}; check the path", path.display()))?;
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

    /// This configuration with everything replaced that `over` says.
    #[must_use]
    pub fn overlaid(mut self, over: Self) -> Self {
        fn take<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        take(&mut self.data, over.data);
        take(&mut self.method, over.method);
        take(&mut self.compat, over.compat);
        take(&mut self.backbone, over.backbone);
        take(&mut self.blocks, over.blocks);
        take(&mut self.strides, over.strides);
        take(&mut self.positions, over.positions);
        take(&mut self.pooling, over.pooling);
        take(&mut self.head, over.head);
        take(&mut self.first_block, over.first_block);
        take(&mut self.mask_padding, over.mask_padding);
        take(&mut self.patchout, over.patchout);
        take(&mut self.max_length, over.max_length);
        take(&mut self.precision, over.precision);
        take(&mut self.validation, over.validation);
        take(&mut self.test, over.test);
        take(&mut self.group, over.group);
        take(&mut self.fold, over.fold);
        take(&mut self.seed, over.seed);
        self.training.extend(over.training);
        self
    }

    /// The method with its settings.
    ///
    /// # Errors
    /// An unknown name or an unknown setting, with the nearest known one.
    pub fn method(&self) -> Result<MethodConfig> {
        let method = match &self.method {
            None => MethodConfig::named("soft-moa")?,
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
        for (key, value) in &self.training {
            table.insert(key.clone(), value.clone());
        }
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
        Ok(())
    }
}

/// An error of the TOML reader that names line and nearest known key.
fn explained(error: &toml::de::Error, text: Option<&str>, place: &str) -> anyhow::Error {
    let message = error.message();
    let line = match (text, error.span()) {
        (Some(text), Some(span)) => format!("line {}: ", line_of(text, span.start)),
        _ => String::new(),
    };
    match unknown_field(message) {
        Some((field, known)) => {
            let hint = match nearest(&field, &known) {
                Some(nearest) => format!("did you mean `{place}{nearest}`?"),
                None => "remove it".to_owned(),
            };
            anyhow!("{line}there is no key `{place}{field}`; {hint}")
        }
        None => anyhow!("{line}{place}{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::TrainingConfig;

    #[test]
    fn unknown_keys_name_the_nearest_one_and_their_line() {
        let error = RunConfig::parse("seed = 1\nmax_lenght = 3\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 2"), "{text}");
        assert!(text.contains("did you mean `max_length`?"), "{text}");
        let config = RunConfig::parse("[training]\nbacth = 3\n").unwrap();
        let chosen = TrainingConfig::new(1, 2, 0.1, 3);
        let text = config.training(&chosen).unwrap_err().to_string();
        assert!(text.contains("did you mean `training.batch`?"), "{text}");
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_what_is_chosen() {
        let file = "seed = 1\nblocks = 2\n[training]\nbatch = 3\nepochs = 4\n";
        let file = RunConfig::parse(file).unwrap();
        let mut flags = RunConfig {
            seed: Some(5),
            ..RunConfig::default()
        };
        flags.training.insert("batch".into(), 6.into());
        let both = file.overlaid(flags);
        assert_eq!((both.seed, both.blocks), (Some(5), Some(2)));
        let training = both.training(&TrainingConfig::new(1, 2, 0.1, 3)).unwrap();
        assert_eq!((training.batch, training.epochs), (6, 4));
        assert_eq!(training.learning_rate, 0.1);
    }

    #[test]
    fn a_method_is_a_name_or_a_table() {
        let method = |text: &str| RunConfig::parse(text).unwrap().method();
        assert_eq!(method("").unwrap().name(), "soft-moa");
        assert_eq!(method("method = 'lora'").unwrap().name(), "lora");
        let table = "method = { method = 'soft-moa', mixture = { experts = 3 } }";
        assert_eq!(method(table).unwrap().name(), "soft-moa");
        assert!(
            method("method = 'loar'")
                .unwrap_err()
                .to_string()
                .contains("lora")
        );
        assert!(method("method = 3").is_err());
    }

    #[test]
    fn a_resolved_configuration_is_read_back() {
        let text = "data = 'x'\nvalidation = 0.2\nmethod = 'linear'\n[training]\nbatch = 3\n";
        let config = RunConfig::parse(text).unwrap();
        let again = RunConfig::parse(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }
}
