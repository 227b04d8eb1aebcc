//! Manifests and tables of data sets.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Report;
use crate::data::Manifest;

/// A manifest of `datasets/`.
pub(super) fn manifest(path: &Path) -> Result<Report> {
    let mut report = Report::new(path, "manifest of a data set");
    let manifest = match Manifest::load(path) {
        Ok(manifest) => manifest,
        Err(error) => {
            report.problem(error.to_string());
            return Ok(report);
        }
    };
    report.fact("name", manifest.name.as_str());
    report.fact("title", manifest.title.as_str());
    report.fact("licence", manifest.licence.as_str());
    report.fact("classes", manifest.label.classes.len());
    report.fact("labels", json!(manifest.class_names()));
    report.fact("split", serde_json::to_value(&manifest.split)?);
    report.fact("defaults", serde_json::to_value(&manifest.defaults)?);
    Ok(report)
}

/// A table with a row for every clip: its columns and number of rows.
pub(super) fn table(path: &Path) -> Result<Report> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let mut report = Report::new(path, "table of clips");
    match ending {
        Some("csv" | "tsv") => {
            let delimiter = if ending == Some("tsv") { b'\t' } else { b',' };
            let mut builder = csv::ReaderBuilder::new();
            let reader = builder.delimiter(delimiter).from_path(path);
            let mut reader = reader.with_context(|| format!("cannot read {}", path.display()))?;
            let columns: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
            let mut rows = 0;
            for (index, record) in reader.records().enumerate() {
                match record {
                    Ok(_) => rows += 1,
                    Err(error) => report.problem(format!("row {}: {error}", index + 1)),
                }
            }
            finish(&mut report, columns, rows);
        }
        _ => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let mut columns = Vec::new();
            let mut rows = 0;
            for (index, line) in text.lines().enumerate() {
                if line.trim().is_empty() {
                    continue;
                }
                match serde_json::from_str::<serde_json::Map<_, _>>(line) {
                    Ok(row) if rows == 0 => columns = row.into_iter().map(|(key, _)| key).collect(),
                    Ok(_) => {}
                    Err(error) => report.problem(format!("line {}: {error}", index + 1)),
                }
                rows += 1;
            }
            if rows == 0 {
                bail!("{} is empty; write a JSON object a line", path.display());
            }
            finish(&mut report, columns, rows);
        }
    }
    Ok(report)
}

fn finish(report: &mut Report, columns: Vec<String>, rows: usize) {
    for needed in ["path", "label"] {
        if !columns.iter().any(|column| column == needed) {
            report.problem(format!("it has no column {needed}; name one so"));
        }
    }
    report.fact("columns", json!(columns));
    report.fact("rows", rows);
}
