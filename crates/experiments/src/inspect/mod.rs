//! What a file or folder is, its sizes and settings, and what is wrong with it.

mod data;
mod features;
mod models;
mod runs;
mod sounds;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::backbones;

/// What was found out about a path.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The path.
    pub path: PathBuf,
    /// What it is, in a few words.
    pub kind: &'static str,
    /// Sizes, counts and settings, in the order of interest.
    pub facts: Facts,
    /// What a user should know, though it can be used as it is.
    pub remarks: Vec<String>,
    /// What is wrong, each with what to do about it; empty when nothing is.
    pub problems: Vec<String>,
}

/// Named values in an order of their own; as JSON an object.
#[derive(Debug, Default)]
pub struct Facts(pub Vec<(&'static str, Value)>);

impl Serialize for Facts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Report {
    fn new(path: &Path, kind: &'static str) -> Self {
        Report {
            path: path.to_owned(),
            kind,
            facts: Facts::default(),
            remarks: Vec::new(),
            problems: Vec::new(),
        }
    }

    fn fact(&mut self, name: &'static str, value: impl Into<Value>) {
        self.facts.0.push((name, value.into()));
    }

    fn remark(&mut self, what: impl Into<String>) {
        self.remarks.push(what.into());
    }

    fn problem(&mut self, what: impl Into<String>) {
        self.problems.push(what.into());
    }

    /// For people: a line a fact, then what to know and what is wrong.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.path.display(), self.kind);
        let width = self.facts.0.iter().map(|(name, _)| name.len()).max();
        for (name, value) in &self.facts.0 {
            let width = width.unwrap_or(0);
            text += &format!("  {name:width$}  {}\n", words(value));
        }
        for remark in &self.remarks {
            text += &format!("  note: {remark}\n");
        }
        for problem in &self.problems {
            text += &format!("  problem: {problem}\n");
        }
        text
    }
}

/// A value without the quotes and brackets of JSON.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let parts: Vec<String> = values.iter().map(words).collect();
            parts.join(", ")
        }
        Value::Object(fields) => {
            let part = |(name, value): (&String, &Value)| format!("{name} {}", words(value));
            let parts: Vec<String> = fields.iter().map(part).collect();
            parts.join(", ")
        }
        other => other.to_string(),
    }
}

/// Finds out what `path` is. `cache` is where the backbone of an adapter is
/// looked for.
///
/// # Errors
/// A path that is not there or is nothing this program knows.
pub fn inspect(path: &Path, cache: &Path) -> Result<Report> {
    let about = fs::metadata(path)
        .with_context(|| format!("there is no {}; check the path", path.display()))?;
    if about.is_dir() {
        return inspect_folder(path, cache);
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("features") => features::report(path),
        Some("safetensors") => models::checkpoint(path),
        Some("toml") => data::manifest(path),
        Some("csv" | "tsv" | "jsonl" | "ndjson") => data::table(path),
        _ => sounds::file(path),
    }
}

fn inspect_folder(path: &Path, cache: &Path) -> Result<Report> {
    let has = |file: &str| path.join(file).exists();
    if has(backbones::ADAPTER_FILE) {
        return models::adapter(path, cache);
    }
    if has("results.json") && has("runs") {
        return runs::benchmark(path);
    }
    if has("record.json") {
        return runs::benchmark_run(path);
    }
    if has("run.toml") {
        return runs::run(path);
    }
    if backbones::is_checkpoint(path) {
        return models::checkpoint(path);
    }
    if let Some(report) = sounds::folder(path)? {
        return Ok(report);
    }
    bail!(
        "{} is no adapter, checkpoint, run or folder of sounds; name one of these, or a feature \
         cache, manifest or sound file",
        path.display()
    )
}
