//! `soft-moa eval`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table as Cells, TableStyle};
use experiments::backbones;
use experiments::clips::Clips;
use experiments::data::{Dataset, FeatureOptions};
use experiments::evaluation::measure;
use experiments::finetune::{self, Parts, RunConfig};
use experiments::metrics::Metrics;
use experiments::predictor::{self, Task};
use serde_json::json;
use toml::Table;

use super::output::{self, Output, say};
use super::places::{BackboneArgument, DeviceArguments};
use super::settings::{Flags, SettingArguments};

#[derive(clap::Args)]
pub struct Eval {
    /// Folder of the adapter, or of the run that made it.
    adapter: PathBuf,
    /// A folder with a folder of sounds per class, a table with the columns path and label, or the
    /// folder of a data set with a manifest [default: what the run was made with].
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Only the clips of one part of the run, or of one that the data name where there is no run:
    /// train, validation or test.
    #[arg(long)]
    part: Option<String>,
    /// A manifest file, or the name of one that comes with the program, or none.
    #[arg(long, value_name = "NAME")]
    manifest: Option<String>,
    #[command(flatten)]
    settings: SettingArguments,
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
    let mut dataset = finetune::measured(&config(arguments)?, &arguments.cache()?)?;
    let parts = Parts::beside(&folder)?;
    match (&arguments.part, &parts) {
        (Some(part), Some(parts)) => parts.keep(part, &mut dataset)?,
        (Some(part), None) => finetune::keep_named(part, &mut dataset)?,
        (None, Some(parts)) => say_heard(parts, &dataset)?,
        (None, None) => {}
    }
    let task = Task::of(&folder)?;
    let targets = Targets::of(&dataset, labels, task)?;
    let options = arguments.device.adapt()?;
    let (model, _) = adapters::load(&folder, &fitting.checkpoint, &options)?;
    let mut front_end = predictor::front_end_of(&description)?;
    front_end.ast.max_length = model.config().max_length as usize;
    let extractor = audio_frontend::Extractor::new(front_end)?;
    let bar = output::bar(dataset.clips.len() as u64, "clip");
    let on_done = |done: usize, _: usize| bar.set_position(done as u64);
    let (features, _) = dataset.features(&extractor, FeatureOptions::default(), &on_done)?;
    bar.finish_and_clear();
    let clips = Clips::from_features(features, targets.classes, options.device);
    let clips = match targets.several {
        None => clips,
        Some(values) => clips.and_then(|clips| clips.with_multi_hot(values, labels.len())),
    };
    let clips = clips.context("the features do not belong to the clips")?;
    let all: Vec<usize> = (0..clips.len()).collect();
    let (loss, metrics) = measure(&model, &clips, &all, arguments.batch, task.objective)?;
    let value = json!({ "labels": labels, "loss": loss, "metrics": metrics });
    output.result(&value, || text(labels, &metrics))
}

impl Eval {
    fn cache(&self) -> Result<PathBuf> {
        self.backbone.cache.folder()
    }
}

/// What says how the sounds are read: settings of the run, the file and the
/// flags.
fn config(arguments: &Eval) -> Result<RunConfig> {
    let folder = backbones::adapter_folder(&arguments.adapter);
    let run = finetune::configuration(&folder).unwrap_or_default();
    // Other sounds may be a folder where those of the run were a data set.
    let elsewhere = match (&arguments.data, &run.data) {
        (Some(data), Some(own)) => std::path::absolute(data)? != *own,
        _ => false,
    };
    let folder = arguments.data.as_deref().is_some_and(Path::is_dir);
    let mut below = RunConfig {
        data: run.data,
        manifest: run.manifest.filter(|_| !elsewhere),
        ..RunConfig::default()
    };
    if !folder {
        (below.columns, below.separator) = (run.columns, run.separator);
    }
    let mut flags = Flags::default();
    flags.path("data", arguments.data.as_deref())?;
    flags.put("manifest", arguments.manifest.clone());
    let config = arguments
        .settings
        .on_top(Some(Table::try_from(below)?), flags.table())?;
    ensure!(
        config.data.is_some() || config.manifest.is_some(),
        "no run says which sounds the adapter was trained on; name sounds to measure it on with \
         --data"
    );
    Ok(config)
}

/// A high accuracy on clips that were trained on says little.
fn say_heard(parts: &Parts, dataset: &Dataset) -> Result<()> {
    let [train, validation] = parts.heard(dataset)?;
    if train + validation > 0 {
        say(format_args!(
            "of these {} the run was trained on {train} and chose its epoch by {validation}; \
             --part test measures on the others of the run",
            output::count(dataset.clips.len(), "clip")
        ));
    }
    Ok(())
}

/// What the clips are, in the classes of the adapter.
struct Targets {
    /// The class of every clip, or the first of its classes.
    classes: Vec<i64>,
    /// Of clips with several labels: [clips, C], row by row.
    several: Option<Vec<f32>>,
}

impl Targets {
    fn of(dataset: &Dataset, labels: &[String], task: Task) -> Result<Self> {
        let own = dataset.multi_hot();
        ensure!(
            own.is_none() || task.several(),
            "the adapter tells one class of a clip, and separator says that clips have several; \
             leave that setting out"
        );
        let names = dataset.manifest.class_names();
        let place = |name: &str| labels.iter().position(|label| label == name);
        let known = |class: usize| match place(names[class]) {
            Some(place) => Ok(place),
            None => {
                let (name, known) = (names[class], labels.join(", "));
                bail!("the adapter knows no class {name}; it knows {known}")
            }
        };
        let clips = dataset.clips.iter();
        let classes = clips.map(|clip| known(clip.label).map(|class| class as i64));
        let classes = classes.collect::<Result<Vec<i64>>>()?;
        if !task.several() {
            return Ok(Targets {
                classes,
                several: None,
            });
        }
        // A folder of classes, or a table with one label a clip, will do too.
        let count = names.len();
        let own = own.unwrap_or_else(|| {
            let mut values = vec![0.0; dataset.clips.len() * count];
            for (row, clip) in values.chunks_exact_mut(count.max(1)).zip(&dataset.clips) {
                row[clip.label] = 1.0;
            }
            values
        });
        let mut several = vec![0.0; dataset.clips.len() * labels.len()];
        for (index, row) in several.chunks_exact_mut(labels.len().max(1)).enumerate() {
            for class in 0..count {
                if own[index * count + class] > 0.5 {
                    row[known(class)?] = 1.0;
                }
            }
        }
        Ok(Targets {
            classes,
            several: Some(several),
        })
    }
}

fn text(labels: &[String], metrics: &Metrics) -> String {
    let mut text = format!(
        "{} clips: accuracy {:.1} %, macro F1 {:.3}",
        metrics.clips,
        100.0 * metrics.accuracy,
        metrics.macro_f1,
    );
    if let Some(error) = metrics.calibration_error {
        text += &format!(", calibration error {error:.3}");
    }
    if let Some(mean) = metrics.mean_average_precision {
        text += &format!(", mAP {mean:.3}");
    }
    text.push('\n');
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
fn plain<'a>(head: impl IntoIterator<Item = &'a str>) -> Cells {
    let mut table = Cells::new();
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
