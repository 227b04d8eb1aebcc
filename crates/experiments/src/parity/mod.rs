//! `soft-moa parity`: the front end, the backbone and every method against
//! golden numbers, which other programs computed.
//!
//! A golden folder has `frontend/` (see [`frontend`]) and `models/` (see
//! [`models`]). Sizes, classes and settings come from its files. A part that is
//! absent is said; a file that cannot be compared is a failure, never a skip.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tch::Device;

pub mod exact;
pub mod frontend;
pub mod models;

/// One quantity of one file.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Path from the golden folder.
    pub file: String,
    /// What is compared.
    pub what: String,
    /// Largest error of plain values: features, hidden states.
    pub values: Option<f64>,
    /// Largest error of the logits.
    pub logits: Option<f64>,
    /// Error of the loss.
    pub loss: Option<f64>,
    /// Largest relative error of a gradient.
    pub gradients: Option<f64>,
    /// Number of trained values.
    pub trained: Option<u64>,
    /// What is wrong; empty when everything agrees.
    pub problems: Vec<String>,
}

impl Row {
    /// A row of a file that cannot be compared.
    pub fn failed(file: String, what: impl Into<String>, problem: impl Into<String>) -> Self {
        Row {
            file,
            what: what.into(),
            problems: vec![problem.into()],
            ..Row::default()
        }
    }

    /// Notes a problem unless `error` is at most `allowed`; NaN is not.
    pub fn check(&mut self, what: &str, error: f64, allowed: f64) {
        if error.is_nan() || error > allowed {
            self.problems
                .push(format!("{what} off by {error:.1e}, allowed {allowed:.0e}"));
        }
    }
}

/// Everything that was compared.
#[derive(Debug, Default)]
pub struct Parity {
    /// A row a file, or a quantity of one.
    pub rows: Vec<Row>,
    /// Parts that the folder does not have.
    pub absent: Vec<String>,
}

/// Compares everything in a golden folder; models compute on `device`, the front
/// end on the CPU.
///
/// # Errors
/// When the folder cannot be read or holds neither part.
pub fn run(folder: &Path, device: Device) -> Result<Parity> {
    let mut parity = Parity::default();
    frontend::run(folder, &mut parity)?;
    models::run(folder, device, &mut parity)?;
    if parity.rows.is_empty() {
        bail!(
            "{} holds nothing to compare with; a golden folder has frontend/*.safetensors or \
             models/backbone.safetensors (absent: {})",
            folder.display(),
            parity.absent.join(", ")
        );
    }
    Ok(parity)
}

impl Parity {
    /// Number of rows with a problem.
    pub fn failures(&self) -> usize {
        let failed = self.rows.iter().filter(|row| !row.problems.is_empty());
        failed.count()
    }

    /// The table in Markdown, then every problem, then what is absent.
    pub fn report(&self) -> String {
        let mut text = String::from(
            "| file | compared | values | logits | loss | gradients | trained | |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.1e}"));
        for row in &self.rows {
            let verdict = if row.problems.is_empty() {
                "pass"
            } else {
                "**FAIL**"
            };
            let trained = row.trained.map_or(String::new(), |n| n.to_string());
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {trained} | {verdict} |",
                row.file,
                row.what,
                number(row.values),
                number(row.logits),
                number(row.loss),
                number(row.gradients)
            );
        }
        text.push('\n');
        for row in &self.rows {
            for problem in &row.problems {
                let _ = writeln!(text, "FAIL {}: {problem}", row.file);
            }
        }
        for part in &self.absent {
            let _ = writeln!(text, "absent: {part}");
        }
        let (failed, all) = (self.failures(), self.rows.len());
        let _ = writeln!(text, "{} of {all} passed", all - failed);
        text
    }
}

/// The larger of two, NaN if one is: `f64::max` drops NaN, and with it the
/// difference that matters most.
pub(crate) fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// The safetensors files of a folder, sorted; `None` where there is no folder.
pub(crate) fn safetensors_in(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "safetensors") {
            files.push(path);
        }
    }
    files.sort();
    Ok(Some(files))
}

/// The path as it stands in the table: from the golden folder on.
pub(crate) fn shown(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .display()
        .to_string()
}
