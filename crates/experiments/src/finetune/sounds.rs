//! Anyone's sounds as a data set: a folder per class, or a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use audio_frontend::FILE_ENDINGS;
use regex::Regex;
use toml::{Table, Value};

use super::RunConfig;
use super::parts::Rule;
use crate::data::{Clip, Dataset, Manifest, Split, list_files};
use crate::normalisation::is_sound;

/// Names that folders and columns use for the parts of a split.
const PARTS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("validation", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing", "eval"]),
];

/// How the sounds lie, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the labels are taken from.
    pub labels: String,
    /// What decides the parts.
    pub split: String,
}

/// Anyone's sounds, ready to be trained on.
#[derive(Debug)]
pub struct Opened {
    /// The clips; the split of its manifest is not used.
    pub dataset: Dataset,
    /// Their parts.
    pub split: Split,
    /// How the sounds were understood.
    pub layout: Layout,
}

/// The data set that `config.data` is.
///
/// # Errors
/// Sounds that are not there or make no data set, with what to do.
pub fn open(config: &RunConfig) -> Result<Opened> {
    let data = config
        .data
        .as_deref()
        .context("there is nothing to train on; name sounds with --data")?;
    ensure!(
        data.exists(),
        "there is no {}; check the path",
        data.display()
    );
    let (dataset, rule, layout) = if data.is_dir() {
        of_folder(data, config)?
    } else {
        of_table(data, config)?
    };
    let split = rule.split(&dataset.clips)?;
    Ok(Opened {
        dataset,
        split,
        layout,
    })
}

/// A manifest for the classes `labels`, which are values of `group`.
fn manifest(
    data: &Path,
    labels: &BTreeSet<String>,
    group: &str,
    pattern: &str,
) -> Result<Manifest> {
    ensure!(
        labels.len() >= 2,
        "{} has {} classes ({}); training needs at least two: a folder per class, or a label per row",
        data.display(),
        labels.len(),
        labels.iter().cloned().collect::<Vec<_>>().join(", ")
    );
    let class = |name: &String| -> Value {
        let values = vec![Value::from(name.clone())];
        table([("name", name.clone().into()), ("values", values.into())]).into()
    };
    let classes: Vec<Value> = labels.iter().map(class).collect();
    let defaults = [("max_length", 1024), ("batch", 32), ("epochs", 1)];
    let defaults = table(defaults.map(|(name, value)| (name, value.into())));
    let label = table([("group", group.into()), ("classes", classes.into())]);
    // A manifest must have a split; the parts are made by a rule of their own.
    let split = table([
        ("protocol", "group-k-fold".into()),
        ("group", group.into()),
        ("folds", 3.into()),
    ]);
    let whole = table([
        ("name", "sounds".into()),
        ("title", "sounds of the user".into()),
        ("licence", "unknown".into()),
        ("caveat", "".into()),
        ("clips", table([("pattern", pattern.into())]).into()),
        ("label", label.into()),
        ("split", split.into()),
        ("defaults", defaults.into()),
    ]);
    Manifest::parse(&toml::to_string(&whole)?, data)
        .with_context(|| format!("{} makes no data set", data.display()))
}

/// What decides the parts, and that in words: the values of a group that name
/// them, or shares of every class.
fn rule(
    parts: Option<(&str, &BTreeSet<String>)>,
    group: Option<&str>,
    config: &RunConfig,
) -> Result<(Rule, String)> {
    let mut rule = Rule {
        group: group.map(str::to_owned),
        named: None,
        validation: config.validation.unwrap_or(0.15),
        test: config.test.unwrap_or(0.15),
        seed: config.seed.unwrap_or(super::plan::SEED),
    };
    let within = match group {
        Some(group) => format!(", no {group} in two parts"),
        None => String::new(),
    };
    let Some((column, values)) = parts else {
        let words = format!(
            "{:.0} % to validate on, {:.0} % to test on, of every class{within}",
            100.0 * rule.validation,
            100.0 * rule.test
        );
        return Ok((rule, words));
    };
    let named = PARTS.map(|(_, names)| -> Vec<String> {
        let known = |value: &&String| names.contains(&value.to_lowercase().as_str());
        values.iter().filter(known).cloned().collect()
    });
    ensure!(
        !named[0].is_empty() && !named[2].is_empty(),
        "the values of {column} are {}; name the parts train, validation and test",
        values.iter().cloned().collect::<Vec<_>>().join(", ")
    );
    rule.named = Some((column.to_owned(), named));
    Ok((rule, format!("as {column} says{within}")))
}

/// A folder per class, below folders for the parts or not.
fn of_folder(data: &Path, config: &RunConfig) -> Result<(Dataset, Rule, Layout)> {
    let files: Vec<String> = list_files(data)?
        .into_iter()
        .filter(|(_, path)| is_sound(path))
        .map(|(relative, _)| relative)
        .collect();
    ensure!(
        !files.is_empty(),
        "{} holds no sound file ({}); name another folder",
        data.display(),
        FILE_ENDINGS.join(", ")
    );
    let firsts: BTreeSet<String> = files
        .iter()
        .filter_map(|file| Some(file.split_once('/')?.0.to_owned()))
        .collect();
    let is_part = |name: &String| {
        let name = name.to_lowercase();
        PARTS
            .iter()
            .any(|(_, names)| names.contains(&name.as_str()))
    };
    let by_parts = firsts.len() >= 2 && firsts.iter().all(is_part);
    let ending = format!("(?i:{})", FILE_ENDINGS.join("|"));
    let before = if by_parts { "(?<part>[^/]+)/" } else { "" };
    let plain = format!(r"^{before}(?<class>[^/]+)/(?:(?<folder>.+)/)?[^/]+\.{ending}$");
    let pattern = config.pattern.clone().unwrap_or(plain);
    let regex = Regex::new(&pattern).with_context(|| format!("pattern `{pattern}`"))?;
    let names: BTreeSet<&str> = regex.capture_names().flatten().collect();
    ensure!(
        names.contains("class"),
        "pattern `{pattern}` has no group `class`; write (?<class>…) around the label"
    );
    let mut labels = BTreeSet::new();
    let mut parts = BTreeSet::new();
    let (mut clips, mut nested) = (0, 0);
    for file in &files {
        let Some(found) = regex.captures(file) else {
            continue;
        };
        let value = |name: &str| found.name(name).map(|value| value.as_str().to_owned());
        labels.extend(value("class"));
        parts.extend(value("part"));
        clips += 1;
        nested += usize::from(value("folder").is_some());
    }
    let group = match &config.group {
        Some(group) => Some(group.as_str()),
        None if config.pattern.is_none() && clips > 0 && nested == clips => Some("folder"),
        None => None,
    };
    let own = names.contains("part").then_some(("part", &parts));
    let (rule, words) = rule(own, group, config)?;
    let manifest = manifest(data, &labels, "class", &pattern)?;
    let left_out = files.len() - clips;
    let labels = match left_out {
        0 => format!("folders ({clips} clips)"),
        _ => format!("folders ({clips} clips; {left_out} other sound files are left out)"),
    };
    let split = words.replace("no folder in", "no inner folder in");
    let dataset = Dataset::with_manifest(manifest, data)?;
    Ok((dataset, rule, Layout { labels, split }))
}

/// A row a clip.
fn of_table(path: &Path, config: &RunConfig) -> Result<(Dataset, Rule, Layout)> {
    let (columns, rows) = read_table(path)?;
    let has = |name: &str| columns.iter().any(|column| column == name);
    let needed = ["path", "label"].into_iter().chain(config.group.as_deref());
    for needed in needed {
        ensure!(
            has(needed),
            "{} has no column {needed}; its columns are {}",
            path.display(),
            columns.join(", ")
        );
    }
    ensure!(
        !has("start") && !has("end"),
        "{} cuts clips out of files with the columns start and end, which this command does not \
         do; cut the files beforehand and leave the columns out",
        path.display()
    );
    let values = |name: &str| -> BTreeSet<String> {
        rows.iter()
            .filter_map(|row| row.get(name).cloned())
            .collect()
    };
    let usual = || ["group", "speaker"].into_iter().find(|name| has(name));
    let group = config.group.as_deref().or_else(usual);
    let labels = values("label");
    let manifest = manifest(path, &labels, "label", "(?<label>)")?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let root = parent.unwrap_or(Path::new("."));
    let classes: Vec<&String> = labels.iter().collect();
    let mut clips = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        let (Some(file), Some(label)) = (row.get("path"), row.get("label")) else {
            bail!("{}: row {} lacks path or label", path.display(), index + 1);
        };
        clips.push(Clip {
            path: root.join(file),
            relative: file.clone(),
            label: classes.binary_search(&label).unwrap_or_default(),
            groups: row.clone(),
        });
    }
    clips.sort_by(|a, b| a.relative.cmp(&b.relative));
    if let Some(twice) = clips.windows(2).find(|two| two[0].path == two[1].path) {
        bail!(
            "{} names {} twice; leave one of the rows out",
            path.display(),
            twice[0].relative
        );
    }
    let own = values("split");
    let parts = has("split").then_some(("split", &own));
    let (rule, split) = rule(parts, group, config)?;
    let labels = format!("column label ({} rows)", rows.len());
    let dataset = Dataset::with_clips(manifest, clips, root);
    Ok((dataset, rule, Layout { labels, split }))
}

type Row = BTreeMap<String, String>;

/// Columns and rows of a CSV, TSV or JSON-lines file.
fn read_table(path: &Path) -> Result<(Vec<String>, Vec<Row>)> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let unreadable = || format!("cannot read {}", path.display());
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some(ending @ ("csv" | "tsv")) => {
            let mut builder = csv::ReaderBuilder::new();
            builder.delimiter(if ending == "tsv" { b'\t' } else { b',' });
            let mut reader = builder.from_path(path).with_context(unreadable)?;
            let columns: Vec<String> = reader
                .headers()
                .with_context(unreadable)?
                .iter()
                .map(|name| name.trim_start_matches('\u{feff}').to_owned())
                .collect();
            let mut rows = Vec::new();
            for record in reader.records() {
                let record = record.with_context(unreadable)?;
                let values = record.iter().map(str::to_owned);
                rows.push(columns.iter().cloned().zip(values).collect());
            }
            Ok((columns, rows))
        }
        Some("jsonl" | "ndjson") => {
            let text = std::fs::read_to_string(path).with_context(unreadable)?;
            let mut columns = BTreeSet::new();
            let mut rows = Vec::new();
            for (index, line) in text.lines().enumerate() {
                if line.trim().is_empty() {
                    continue;
                }
                let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
                    .with_context(|| format!("{}, line {}", path.display(), index + 1))?;
                columns.extend(row.keys().cloned());
                let words = row.into_iter().map(|(key, value)| match value {
                    serde_json::Value::String(text) => (key, text),
                    other => (key, other.to_string()),
                });
                rows.push(words.collect());
            }
            Ok((columns.into_iter().collect(), rows))
        }
        _ => bail!(
            "{} is neither a folder nor a table (.csv, .tsv, .jsonl); name a folder with a folder \
             per class, or a table with the columns path and label",
            path.display()
        ),
    }
}

/// A TOML table of these entries.
fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// Where a path leads, for records of runs.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
