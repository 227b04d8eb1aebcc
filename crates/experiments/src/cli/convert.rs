//! `soft-moa merge`, `export-peft` and `convert-dinov2`.

use std::path::PathBuf;

use adapters::PeftBase;
use anyhow::Result;
use ast_model::import::{ConvertOptions, dinov2 as import};
use experiments::conversion;
use serde_json::json;

use super::output::Output;
use super::places::BackboneArgument;

#[derive(clap::Args)]
pub struct Convert {
    /// Folder of the adapter, or of the run that made it.
    adapter: PathBuf,
    #[command(flatten)]
    backbone: BackboneArgument,
    /// New folder.
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
pub struct ExportPeft {
    #[command(flatten)]
    convert: Convert,
    /// For ASTModel, without the head, instead of ASTForAudioClassification.
    #[arg(long)]
    encoder: bool,
}

#[derive(clap::Args)]
pub struct ConvertDinov2 {
    /// The ONNX file.
    #[arg(long)]
    onnx: PathBuf,
    /// Folder of the new checkpoint.
    #[arg(long)]
    out: PathBuf,
}

/// Folds an adapter into its backbone.
pub fn merge(paths: &Convert, output: &Output) -> Result<()> {
    let (adapter, _, fitting) = paths.backbone.adapter(&paths.adapter)?;
    let text = conversion::merge_into(&adapter, &fitting.folder, &paths.out)?;
    output.result(&json!({ "out": paths.out, "message": text }), || {
        text.clone()
    })
}

/// Writes an adapter for peft.
pub fn export_peft(arguments: &ExportPeft, output: &Output) -> Result<()> {
    let paths = &arguments.convert;
    let base = if arguments.encoder {
        PeftBase::Encoder
    } else {
        PeftBase::Classifier
    };
    let (adapter, _, fitting) = paths.backbone.adapter(&paths.adapter)?;
    let text = conversion::peft_into(&adapter, &fitting.folder, &paths.out, base)?;
    output.result(&json!({ "out": paths.out, "load": text }), || text.clone())
}

/// Imports a vision transformer.
pub fn dinov2(arguments: &ConvertDinov2, output: &Output) -> Result<()> {
    let out = &arguments.out;
    let report = import::convert(&arguments.onnx, out, &ConvertOptions::default())?;
    let value = json!({ "out": out, "values": report.values, "sha256": report.model_sha256 });
    output.result(&value, || {
        let (out, values, sha256) = (out.display(), report.values, &report.model_sha256);
        format!("{out}: {values} values, sha256 {sha256}")
    })
}
