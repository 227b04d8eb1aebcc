//! Settings of a row or a task by name: `mixture.experts=2,7,15`.

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::bench::{MethodSpec, TaskSpec};
use crate::data::toml_error::{nearest, unknown_field};

/// Start of the names of settings of tasks.
const TASK: &str = "task.";

/// Fields of a row that are no settings of one.
const FIXED: [&str; 2] = ["label", "config"];

/// Fields of a task that other options decide.
const CHOSEN: [&str; 4] = ["name", "folds", "seeds", "methods"];

/// What `--set KEY=VALUE,…` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    /// Name with dots.
    key: String,
    /// Whether it is a task's.
    of_task: bool,
    /// Its values, as TOML and as they were written.
    values: Vec<(Value, String)>,
}

impl Setting {
    /// Reads `KEY=VALUE,…`; a value is TOML, or a plain word.
    pub fn parse(text: &str) -> Result<Self> {
        let (key, values) = text.split_once('=').unwrap_or((text, ""));
        let parts = parts(values);
        ensure!(
            !key.is_empty() && parts.iter().all(|part| !part.is_empty()),
            "--set {text}: write KEY=VALUE or KEY=VALUE,VALUE,…, for example mixture.experts=2,7,15"
        );
        let of_task = key.starts_with(TASK);
        let setting = Setting {
            key: key.trim_start_matches(TASK).to_owned(),
            of_task,
            values: parts.into_iter().map(|part| (value(&part), part)).collect(),
        };
        ensure!(
            !of_task || setting.values.len() == 1,
            "--set {text}: a setting of tasks takes one value; make a sweep for each"
        );
        Ok(setting)
    }

    /// Sets a setting of a task; those of rows are left alone.
    pub fn on_task(&self, task: &TaskSpec) -> Result<TaskSpec> {
        let Some((value, _)) = self.values.first().filter(|_| self.of_task) else {
            return Ok(task.clone());
        };
        let key = &self.key;
        if CHOSEN.contains(&key.as_str()) {
            bail!("task.{key} is no setting; choose with --task, --folds, --seeds and --method");
        }
        let mut table = Table::try_from(task)?;
        insert(&mut table, key, value.clone(), TASK)?;
        read(table, key, TASK, &known::<TaskSpec>(&CHOSEN))
            .with_context(|| format!("task {:?}", task.name))
    }

    /// The rows that one row becomes, one a value; the row alone where the setting
    /// is a task's.
    pub fn on_row(&self, row: &MethodSpec) -> Result<Vec<MethodSpec>> {
        if self.of_task {
            return Ok(vec![row.clone()]);
        }
        let with = |(value, text): &(Value, String)| {
            let mut changed = self.change(row, value.clone())?;
            changed.label = format!("{} {}={text}", row.label, self.key);
            Ok(changed)
        };
        let made: Result<Vec<MethodSpec>> = self.values.iter().map(with).collect();
        made.with_context(|| format!("row {:?}", row.label))
    }

    /// A field of the row itself (`learning_rate`), or else of its method.
    fn change(&self, row: &MethodSpec, value: Value) -> Result<MethodSpec> {
        let own = known::<MethodSpec>(&FIXED);
        let mut table = Table::try_from(row)?;
        let first = self.key.split('.').next().unwrap_or_default();
        if own.iter().any(|field| field == first) {
            insert(&mut table, &self.key, value, "")?;
        } else {
            let config = table.get_mut("config").and_then(Value::as_table_mut);
            let config = config.context("a row has a method")?;
            insert(config, &self.key, value, "")?;
        }
        read(table, &self.key, "", &own)
    }
}

/// Puts a value at a place with dots, making tables on the way.
fn insert(table: &mut Table, key: &str, value: Value, place: &str) -> Result<()> {
    let (first, rest) = match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
            return Ok(());
        }
        Some(parts) => parts,
    };
    let inner = table
        .entry(first)
        .or_insert_with(|| Value::Table(Table::new()));
    // A word that stands for a table with nothing in it, as in `kind = "convpass"`.
    if inner.is_str() {
        *inner = Value::Table(Table::new());
    }
    let Some(inner) = inner.as_table_mut() else {
        bail!("`{place}{first}` is a value of its own; there is no `{place}{key}`");
    };
    insert(inner, rest, value, &format!("{place}{first}."))
}

/// Turns a table back into what it was; an unknown key names the nearest one.
fn read<T: DeserializeOwned>(table: Table, key: &str, place: &str, also: &[String]) -> Result<T> {
    Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| {
            let message = error.message();
            let Some((field, mut known)) = unknown_field(message) else {
                return anyhow!("`{place}{key}`: {message}");
            };
            let parents = key
                .rsplit_once(field.as_str())
                .map_or("", |(start, _)| start);
            if known.is_empty() && key.contains('.') {
                return anyhow!("there is no setting `{place}{key}`: its method has none");
            }
            if parents.is_empty() {
                known.extend(also.iter().cloned());
            }
            match nearest(&field, &known) {
                Some(nearest) => anyhow!(
                    "there is no setting `{place}{key}`; did you mean `{place}{parents}{nearest}`?"
                ),
                None => anyhow!("there is no setting `{place}{key}`; this method has none"),
            }
        })
}

/// The fields of a struct that denies unknown ones, but for some: asked of serde,
/// which tells them nowhere else.
fn known<T: Serialize + DeserializeOwned>(without: &[&str]) -> Vec<String> {
    let table = Table::from_iter([("?".to_owned(), Value::Boolean(true))]);
    let asked: Result<T, toml::de::Error> = Value::Table(table).try_into();
    let known = asked.err().and_then(|error| unknown_field(error.message()));
    let (_, mut known) = known.unwrap_or_default();
    known.retain(|field| !without.contains(&field.as_str()));
    known
}

/// Cuts at the commas that stand in no bracket and no quotes.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// TOML, or a word without quotes.
fn value(text: &str) -> Value {
    let table: Result<Table, _> = toml::from_str(&format!("value = {text}"));
    let value = table.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}
