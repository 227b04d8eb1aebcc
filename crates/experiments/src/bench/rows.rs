//! Rows of a profile: a method with its rate, and what it changes of the
//! settings that all rows share.

use std::collections::BTreeMap;

use adapters::{Compat, Head, MethodConfig};
use anyhow::{Context, Result, ensure};
use ast_model::{Pooling, Positions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Settings of a row that are not its method's: the rows of one table should
/// share them unless the table is about them.
pub(super) const SHARED: [&str; 7] = [
    "positions",
    "train_clips_per_class",
    "epochs",
    "mask_padding",
    "first_block",
    "pooling",
    "head",
];

/// What the rows of a profile have where they leave it open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    pub compat: Compat,
    pub positions: Positions,
}

/// One row of a table, with everything that it leaves open filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodSpec {
    /// Name of the row.
    pub label: String,
    /// Initial learning rate.
    pub learning_rate: f64,
    /// The method with its hyper-parameters.
    pub config: MethodConfig,
    /// Position policy instead of the backbone's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Limit of training clips per class instead of the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_clips_per_class: Option<usize>,
    /// Passes over the training clips instead of the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Whether padded frames are left out of pooling and routing (quirk Q30);
    /// not when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_padding: Option<bool>,
    /// The first block in which the method acts instead of the task's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_block: Option<usize>,
    /// From tokens to one vector per clip instead of the task's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// From that vector to class scores instead of the task's way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
}

/// A row as it is written in a profile: whole, or as another row with changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowText {
    pub label: String,
    /// Label of a row that stands before; what is left out here is as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    like: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    learning_rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<MethodConfig>,
    /// Changes of single settings by their dotted path, for example
    /// `{ "mixture.experts" = 2 }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    set: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positions: Option<Positions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    train_clips_per_class: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask_padding: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_block: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pooling: Option<Pooling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<Head>,
}

impl RowText {
    /// The row with what it leaves open, given the rows before it.
    ///
    /// # Errors
    /// A row to be like that does not stand before, no method or rate at all,
    /// or a setting that the method does not have.
    pub fn resolve(&self, before: &[MethodSpec]) -> Result<MethodSpec> {
        let base = match &self.like {
            None => None,
            Some(like) => {
                let found = before.iter().find(|row| row.label == *like);
                Some(found.with_context(|| format!("like: no row {like:?} stands before it"))?)
            }
        };
        let rate = self.learning_rate.or(base.map(|row| row.learning_rate));
        let config = self.config.as_ref().or(base.map(|row| &row.config));
        let mut row = MethodSpec {
            label: self.label.clone(),
            learning_rate: rate.context("learning_rate is missing; give it, or `like`")?,
            config: config
                .context("config is missing; give it, or `like`")?
                .clone(),
            positions: self.positions.or(base.and_then(|row| row.positions)),
            train_clips_per_class: self
                .train_clips_per_class
                .or(base.and_then(|row| row.train_clips_per_class)),
            epochs: self.epochs.or(base.and_then(|row| row.epochs)),
            mask_padding: self.mask_padding.or(base.and_then(|row| row.mask_padding)),
            first_block: self.first_block.or(base.and_then(|row| row.first_block)),
            pooling: self.pooling.or(base.and_then(|row| row.pooling)),
            head: self.head.or(base.and_then(|row| row.head)),
        };
        for (path, value) in &self.set {
            row = row.with(path, value)?;
        }
        Ok(row)
    }
}

impl MethodSpec {
    /// The row with one setting changed: a setting of the method by its dotted
    /// path, `learning_rate`, or one of [`SHARED`].
    pub(super) fn with(&self, path: &str, value: &Value) -> Result<Self> {
        let mut row = self.clone();
        let failed = || format!("setting {path} = {value}");
        match path {
            "positions" => row.positions = read(value).with_context(failed)?,
            "epochs" => row.epochs = read(value).with_context(failed)?,
            "mask_padding" => row.mask_padding = read(value).with_context(failed)?,
            "first_block" => row.first_block = read(value).with_context(failed)?,
            "pooling" => row.pooling = read(value).with_context(failed)?,
            "head" => row.head = read(value).with_context(failed)?,
            "learning_rate" => row.learning_rate = read(value).with_context(failed)?,
            "train_clips_per_class" => {
                row.train_clips_per_class = read(value).with_context(failed)?;
            }
            _ => {
                let mut config = serde_json::to_value(&self.config)?;
                set(&mut config, path, value).with_context(failed)?;
                row.config = read(&config).with_context(failed)?;
            }
        }
        Ok(row)
    }

    /// Whether the two give the same run but for their names, in a profile of
    /// this kind.
    pub(super) fn same_run(&self, other: &Self, usual: Usual) -> bool {
        let filled = |row: &Self| MethodSpec {
            label: String::new(),
            config: row.config.clone().with_compat(usual.compat),
            positions: row.positions.or(Some(usual.positions)),
            ..row.clone()
        };
        filled(self) == filled(other)
    }

    /// Every setting of the row by its dotted path; nested settings of the
    /// method are taken apart.
    pub(super) fn settings(&self) -> Result<BTreeMap<String, Value>> {
        let mut settings = BTreeMap::new();
        flatten(&serde_json::to_value(&self.config)?, "", &mut settings);
        let mut add = |name: &str, value: Value| settings.insert(name.to_owned(), value);
        add("learning_rate", self.learning_rate.into());
        add("positions", serde_json::to_value(self.positions)?);
        let clips = self.train_clips_per_class;
        add("train_clips_per_class", serde_json::to_value(clips)?);
        add("epochs", serde_json::to_value(self.epochs)?);
        add("mask_padding", serde_json::to_value(self.mask_padding)?);
        add("first_block", serde_json::to_value(self.first_block)?);
        add("pooling", serde_json::to_value(self.pooling)?);
        add("head", serde_json::to_value(self.head)?);
        Ok(settings)
    }

    pub(super) fn validate(&self) -> Result<()> {
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate.is_finite(),
            "learning_rate must be a number above 0"
        );
        for (field, value) in [
            ("train_clips_per_class", self.train_clips_per_class),
            ("epochs", self.epochs),
        ] {
            ensure!(value != Some(0), "{field} must be at least 1");
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T> {
    Ok(serde_json::from_value(value.clone())?)
}

/// Sets the value at a dotted path; objects on the way that are not there, or
/// are a plain name, are made.
fn set(root: &mut Value, path: &str, value: &Value) -> Result<()> {
    let mut place = root;
    for key in path.split('.') {
        ensure!(!key.is_empty(), "the path has an empty part");
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let object = place.as_object_mut().context("no object")?;
        place = object.entry(key).or_insert(Value::Null);
    }
    *place = value.clone();
    Ok(())
}

fn flatten(value: &Value, path: &str, settings: &mut BTreeMap<String, Value>) {
    let Value::Object(fields) = value else {
        settings.insert(path.to_owned(), value.clone());
        return;
    };
    for (key, value) in fields {
        let path = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        flatten(value, &path, settings);
    }
}
