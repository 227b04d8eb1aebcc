//! `soft-moa eval`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};
use experiments::clips::Clips;
use experiments::data::FeatureOptions;
use experiments::evaluation::measure;
use experiments::finetune::{self, RunConfig};
use experiments::metrics::Metrics;
use experiments::predictor;
use experiments::training::Objective;
use serde_json::json;

use super::output::{self, Output};
use super::places::{BackboneArgument, DeviceArguments};

#[derive(clap::Args)]
pub struct Eval {
    /// Folder of the adapter, or of the run that made it.
    adapter: PathBuf,
    /// A folder with a folder of sounds per class, or a table with the columns path and label.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Only the clips of one part, where the data name parts: train, validation or test.
    #[arg(long)]
    part: Option<String>,
    /// Windows that go through the model at once.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    #[command(flatten)]
    backbone: BackboneArgument,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Prints accuracy, macro F1, the figures of every class and who is taken for
/// whom. A clip is judged as in training: by what the model's length holds.
pub fn run(arguments: &Eval, output: &Output) -> Result<()> {
    let (folder, description, fitting) = arguments.backbone.adapter(&arguments.adapter)?;
    let labels = &description.labels;
    let opened = finetune::open(&RunConfig {
        data: Some(arguments.data.clone()),
        ..RunConfig::default()
    })?;
    let mut dataset = opened.dataset;
    let part = match arguments.part.as_deref() {
        None => None,
        Some("train") => Some(opened.split.train),
        Some("validation") => Some(opened.split.validation),
        Some("test") => Some(opened.split.test),
        Some(part) => bail!("--part {part}: name train, validation or test"),
    };
    if let Some(part) = part {
        dataset.keep(&part);
    }
    let known = |name: &&str| match labels.iter().position(|label| label == name) {
        Some(class) => Ok(class as i64),
        None => {
            let known = labels.join(", ");
            bail!("the adapter knows no class {name}; it knows {known}")
        }
    };
    let names = dataset.manifest.class_names();
    let classes = names.iter().map(known).collect::<Result<Vec<i64>>>()?;
    let options = arguments.device.adapt()?;
    let (model, _) = adapters::load(&folder, &fitting.checkpoint, &options)?;
    let mut front_end = predictor::front_end_of(&description)?;
    front_end.ast.max_length = model.config().max_length as usize;
    let extractor = audio_frontend::Extractor::new(front_end)?;
    let bar = output::bar(dataset.clips.len() as u64, "clip");
    let on_done = |done: usize, _: usize| bar.set_position(done as u64);
    let (features, _) = dataset.features(&extractor, FeatureOptions::default(), &on_done)?;
    bar.finish_and_clear();
    let wanted = dataset.clips.iter().map(|clip| classes[clip.label]);
    let clips = Clips::from_features(features, wanted.collect(), options.device)
        .context("the features do not belong to the clips")?;
    let all: Vec<usize> = (0..clips.len()).collect();
    let objective = Objective::CrossEntropy;
    let (loss, metrics) = measure(&model, &clips, &all, arguments.batch, objective)?;
    let value = json!({ "labels": labels, "loss": loss, "metrics": metrics });
    output.result(&value, || text(labels, &metrics))
}

fn text(labels: &[String], metrics: &Metrics) -> String {
    let mut text = format!(
        "{} clips: accuracy {:.1} %, macro F1 {:.3}, calibration error {:.3}\n",
        metrics.clips,
        100.0 * metrics.accuracy,
        metrics.macro_f1,
        metrics.calibration_error.unwrap_or(0.0)
    );
    text += &classes(labels, metrics);
    if let Some(confusion) = &metrics.confusion {
        text += "rows: label, columns: taken for\n";
        text += &matrix(labels, confusion);
    }
    text
}

/// A line a class with its figures.
pub fn classes(labels: &[String], metrics: &Metrics) -> String {
    let mut table = plain(["class", "recall", "precision", "F1"]);
    let percent = |value: Option<f64>| value.map_or("-".into(), |x| format!("{:.1} %", 100.0 * x));
    for (label, figures) in labels.iter().zip(&metrics.per_class) {
        let f1 = figures.f1.map_or("-".into(), |x| format!("{x:.3}"));
        let (recall, precision) = (percent(figures.recall), percent(figures.precision));
        table.add_row([label.clone(), recall, precision, f1]);
    }
    table.trim_fmt() + "\n"
}

fn matrix(labels: &[String], counts: &[Vec<u64>]) -> String {
    let head = std::iter::once("").chain(labels.iter().map(String::as_str));
    let mut table = plain(head);
    for (label, row) in labels.iter().zip(counts) {
        let cells = row.iter().map(u64::to_string);
        table.add_row(std::iter::once(label.clone()).chain(cells));
    }
    table.trim_fmt() + "\n"
}

/// A table without lines, numbers to the right.
fn plain<'a>(head: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    let style = TableStyle::new()
        .header_lines(ContentLineStyle::none())
        .header_separator(LineStyle::none())
        .content_lines(ContentLineStyle::none());
    table.load_style(style);
    table.set_header(head);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
