//! `soft-moa eval`.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};
use experiments::finetune::{self, RunConfig};
use experiments::metrics::{Metrics, Scores};
use experiments::predictor::{self, Encoder, Event, Sound, Vectors};
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
/// whom. A clip is judged by its first window, as in training.
pub fn run(arguments: &Eval, output: &Output) -> Result<()> {
    let (folder, description, fitting) = arguments.backbone.adapter(&arguments.adapter)?;
    let labels = &description.labels;
    let (clips, data_labels) = clips(arguments)?;
    let classes = data_labels
        .iter()
        .map(|name| match labels.iter().position(|label| label == name) {
            Some(class) => Ok(class as i64),
            None => bail!(
                "the adapter knows no class {name}; it knows {}",
                labels.join(", ")
            ),
        })
        .collect::<Result<Vec<i64>>>()?;
    let options = arguments.device.adapt()?;
    let gives = Vectors::Logits;
    let encoder = Encoder::adapted(&folder, &fitting.checkpoint, &options, gives)?;
    let extractor = encoder.front_end(Some(&description))?;
    // One window a clip: what lies behind it is skipped.
    let windows = audio_frontend::WindowConfig {
        hop: Some(1_000_000),
        ..audio_frontend::WindowConfig::default()
    };
    let sounds: Vec<Sound> = clips
        .iter()
        .map(|(path, _)| Sound::File(path.clone()))
        .collect();
    let mut scores = Scores {
        classes: labels.len(),
        logits: Vec::new(),
        labels: Vec::new(),
        targets: None,
    };
    let mut failed = 0;
    let bar = output::bar(sounds.len() as u64, "clips");
    predictor::run(
        &encoder,
        &extractor,
        &windows,
        sounds,
        arguments.batch,
        &mut |event| {
            match event {
                Event::Window {
                    sound,
                    start,
                    values,
                    ..
                } if start == 0.0 => {
                    scores.logits.extend(values);
                    scores.labels.push(classes[clips[sound].1]);
                }
                Event::Window { .. } => {}
                Event::Finished { .. } => bar.inc(1),
                Event::Failed { error, .. } => {
                    failed += 1;
                    bar.suspend(|| eprintln!("error: {error}"));
                }
            }
            Ok(())
        },
    )?;
    bar.finish_and_clear();
    let metrics = Metrics::of(&scores);
    let value = json!({ "labels": labels, "metrics": metrics, "failed": failed });
    output.result(&value, || text(labels, &metrics))?;
    ensure!(
        failed == 0,
        "{failed} clips could not be read; the lines above say why"
    );
    Ok(())
}

/// Files and the index of their class, and the names of the classes.
fn clips(arguments: &Eval) -> Result<(Vec<(PathBuf, usize)>, Vec<String>)> {
    let config = RunConfig {
        data: Some(arguments.data.clone()),
        ..RunConfig::default()
    };
    let finetune::Opened { dataset, split, .. } = finetune::open(&config)?;
    let names = dataset
        .manifest
        .class_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let all = 0..dataset.clips.len();
    let chosen: Vec<usize> = match arguments.part.as_deref() {
        None => all.collect(),
        Some(part) => match part {
            "train" => split.train,
            "validation" => split.validation,
            "test" => split.test,
            _ => bail!("--part {part}: name train, validation or test"),
        },
    };
    let clip = |index: usize| {
        let clip = &dataset.clips[index];
        (clip.path.clone(), clip.label)
    };
    Ok((chosen.into_iter().map(clip).collect(), names))
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
