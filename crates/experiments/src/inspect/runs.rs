//! What runs and benchmarks leave behind.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::Report;
use crate::backbones::ADAPTER_FILE;
use crate::record::RunRecord;

/// Results of `soft-moa bench`.
pub(super) fn benchmark(path: &Path) -> Result<Report> {
    let mut report = Report::new(path, "results of a benchmark");
    let (mut whole, mut begun) = (0, 0);
    for folder in fs::read_dir(path.join("runs"))?.flatten() {
        let record = folder.path().join("record.json");
        if !record.is_file() {
            begun += 1;
        } else if read_record(&record).is_ok() {
            whole += 1;
        } else {
            report.problem(format!(
                "{} cannot be read; remove its folder, the run is made again",
                record.display()
            ));
        }
    }
    report.fact("finished runs", whole);
    report.fact("unfinished runs", begun);
    if begun > 0 {
        report.remark("give the same bench command again to make the missing runs");
    }
    Ok(report)
}

fn read_record(path: &Path) -> Result<RunRecord> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// One run of a benchmark.
pub(super) fn benchmark_run(path: &Path) -> Result<Report> {
    let mut report = Report::new(path, "run of a benchmark");
    let record = match read_record(&path.join("record.json")) {
        Ok(record) => record,
        Err(error) => {
            report.problem(format!("record.json cannot be read: {error}"));
            return Ok(report);
        }
    };
    report.fact("task", record.task);
    report.fact("method", record.method);
    report.fact("backbone", record.backbone);
    report.fact("fold", record.fold);
    report.fact("seed", record.seed);
    report.fact("clips", serde_json::to_value(record.clips)?);
    report.fact("epochs", record.epochs.len());
    report.fact("test accuracy", record.test_accuracy);
    report.fact("trained values", record.trainable_parameters);
    report.fact("seconds", record.seconds);
    Ok(report)
}

/// A run of `soft-moa train`.
pub(super) fn run(path: &Path) -> Result<Report> {
    let mut report = Report::new(path, "run of soft-moa train");
    let settings: Result<toml::Table> = fs::read_to_string(path.join("run.toml"))
        .map_err(anyhow::Error::from)
        .and_then(|text| Ok(toml::from_str(&text)?));
    match settings {
        Ok(settings) => report.fact("configuration", serde_json::to_value(settings)?),
        Err(error) => report.problem(format!("run.toml cannot be read: {error:#}")),
    }
    let text = fs::read_to_string(path.join("metrics.jsonl")).unwrap_or_default();
    let lines: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    report.fact("epochs", lines.len());
    if let Some(last) = lines.last() {
        report.fact("last epoch", last.clone());
    }
    let finished = path.join("adapter").join(ADAPTER_FILE).is_file();
    report.fact("finished", json!(finished));
    if !finished {
        report.remark("it is not finished; give the same train command again to go on");
    }
    Ok(report)
}
