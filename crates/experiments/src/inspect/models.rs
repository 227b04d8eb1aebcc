//! Adapter folders and checkpoints.

use std::fs;
use std::path::Path;

use anyhow::Result;
use ast_model::{AstConfig, Checkpoint};
use serde_json::json;

use super::Report;
use crate::backbones;
use crate::predictor::front_end_of;

/// An adapter folder, loaded onto its backbone if that is in the cache.
pub(super) fn adapter(path: &Path, cache: &Path) -> Result<Report> {
    let mut report = Report::new(path, "adapter folder");
    let description = match adapters::describe(path) {
        Ok(description) => description,
        Err(error) => {
            report.problem(error.to_string());
            return Ok(report);
        }
    };
    report.fact("method", description.method.name());
    report.fact("settings", serde_json::to_value(&description.method)?);
    report.fact("classes", description.labels.len());
    report.fact("labels", json!(description.labels));
    report.fact("backbone", description.backbone.as_str());
    report.fact("blocks", description.blocks);
    report.fact("frames", description.max_length);
    report.fact("strides", json!(description.strides));
    report.fact("positions", serde_json::to_value(description.positions)?);
    report.fact("pooling", serde_json::to_value(description.pooling)?);
    report.fact("precision", description.precision.name());
    report.fact("compat", description.compat.name());
    report.fact("format version", description.format_version);
    report.fact("bytes", folder_size(path));
    if let Err(error) = front_end_of(&description) {
        report.problem(format!("{error:#}"));
    }
    match backbones::for_adapter(path, &description, None, cache) {
        Err(error) => report.problem(format!("{error:#}")),
        Ok(fitting) => {
            report.fact("backbone in the cache", fitting.name);
            let options = adapters::AdaptOptions::new(1);
            match adapters::load(path, &fitting.checkpoint, &options) {
                Ok((model, _)) => {
                    let counts = model.counts();
                    report.fact("trained values", counts.all);
                    report.fact("trained values without head", counts.paper);
                }
                Err(error) => report.problem(error.to_string()),
            }
        }
    }
    Ok(report)
}

/// A checkpoint with an account of its tensors.
pub(super) fn checkpoint(path: &Path) -> Result<Report> {
    let mut report = Report::new(path, "checkpoint of an AST");
    let (checkpoint, told) = match Checkpoint::load(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            report.problem(error.to_string());
            return Ok(report);
        }
    };
    shape(&mut report, &checkpoint.config);
    report.fact("values", checkpoint.parameter_count());
    report.fact("bytes", folder_size(path));
    if let Some(preprocessor) = checkpoint.preprocessor() {
        report.fact("front end", serde_json::to_value(preprocessor)?);
    }
    if let Some(head) = checkpoint.classifier() {
        report.fact("classes of its own head", head.labels.len());
    }
    report.fact("configuration", serde_json::to_value(told.config)?);
    if !told.unused.is_empty() {
        report.fact("tensors not used", json!(told.unused));
    }
    report.fact("fingerprint", checkpoint.fingerprint());
    for (name, tensor) in checkpoint.tensors() {
        if tensor.isfinite().all().int64_value(&[]) == 0 {
            report.problem(format!(
                "tensor {name} holds values that are not finite; fetch or convert it again"
            ));
        }
    }
    Ok(report)
}

fn shape(report: &mut Report, config: &AstConfig) {
    let grid = config.grid();
    report.fact("width", config.hidden_size);
    report.fact("blocks", config.num_hidden_layers);
    report.fact("heads", config.num_attention_heads);
    report.fact("frames", config.max_length);
    report.fact("mel bins", config.num_mel_bins);
    let strides = [config.frequency_stride, config.time_stride];
    report.fact("strides", json!(strides));
    report.fact("patches", json!([grid.frequency, grid.time]));
    report.fact("tokens", config.tokens());
}

/// Bytes of a file, or of the files directly in a folder.
pub(super) fn folder_size(path: &Path) -> u64 {
    let size = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => size(path),
    }
}
