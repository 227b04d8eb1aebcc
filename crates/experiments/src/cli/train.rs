//! `soft-moa train`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use ast_model::PrecisionChoice;
use experiments::data::Stop;
use experiments::finetune::{self, Plan, RunConfig, RunResult};
use experiments::{device, signals};
use toml::Value;

use super::live::Live;
use super::output::{Output, say};
use super::places::{CacheArgument, Format};
use super::settings::{Flags, SettingArguments};

#[derive(clap::Args)]
pub struct Train {
    /// A folder with a folder of sounds per class, a table (.csv, .tsv, .jsonl) with the columns
    /// path and label, or the folder of a data set with a manifest, such as ESC-50.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// A manifest file, or the name of one that comes with the program: esc-50, urbansound8k,
    /// speech-commands-v2, fluent-speech-commands, iemocap [default: told by the folder; none takes
    /// it as it is].
    #[arg(long, value_name = "NAME")]
    manifest: Option<String>,
    /// Name of the method [default: soft-moa].
    #[arg(long)]
    method: Option<String>,
    /// Folder of the run; started again on it, a run goes on [default: runs/DATA-METHOD].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A folder, a name below backbones/ of the cache, or the id of a fetched model.
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Only the backbone's first so many blocks.
    #[arg(long)]
    blocks: Option<usize>,
    /// Frames of a clip, 100 a second [default: enough for 95 of 100 clips].
    #[arg(long)]
    max_length: Option<usize>,
    /// Passes over the training clips.
    #[arg(long)]
    epochs: Option<usize>,
    /// Clips per step.
    #[arg(long)]
    batch: Option<usize>,
    /// Initial learning rate.
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Seed of everything that is drawn.
    #[arg(long)]
    seed: Option<u64>,
    /// Column of a table no value of which may be in two parts.
    #[arg(long)]
    group: Option<String>,
    /// A group that may stand in two parts: speaker, group, fold, file, source.
    #[arg(long, value_name = "GROUP")]
    allow_leak: Vec<String>,
    /// Which fold is tested, from 0, where the data have folds.
    #[arg(long)]
    fold: Option<usize>,
    /// Write every epoch as a TensorBoard event too.
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    settings: SettingArguments,
    /// Number format of the frozen weights.
    #[arg(long, value_enum)]
    precision: Option<Format>,
    /// cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    cache: CacheArgument,
    /// Say what would be done, as a file for --config, and end.
    #[arg(long)]
    dry_run: bool,
}

/// Trains, and says how to predict.
pub fn run(arguments: &Train, output: &Output) -> Result<()> {
    signals::listen().context("cannot listen for Ctrl-C")?;
    let cache = arguments.cache.folder()?;
    let config = config(arguments)?;
    let device = device::choose(&arguments.device)?;
    let asked = || signals::requested().is_some();
    let plan = Plan::resolve(&config, &cache, device, Stop::new(&asked))?;
    if arguments.dry_run {
        let text = toml::to_string(&plan.config)?;
        return output.result(&plan.config, || text);
    }
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => usual_out(&plan),
    };
    say_plan(&plan, &out);
    let shown = Live::new(plan.training.epochs, plan.split.train.len());
    let result = finetune::run(&plan, &out, &cache, &shown);
    shown.clear();
    let result = result?;
    output.result(&result, || summary(&result))?;
    say(format_args!(
        "predict with: soft-moa predict {} SOUNDS",
        result.adapter.display()
    ));
    Ok(())
}

/// The file, and the flags on top.
fn config(arguments: &Train) -> Result<RunConfig> {
    let mut training = Flags::default();
    let count = |value: Option<usize>| value.map(|value| value as u64);
    training.count("epochs", count(arguments.epochs))?;
    training.count("batch", count(arguments.batch))?;
    training.put("learning_rate", arguments.learning_rate);
    let mut flags = Flags::default();
    flags.below("training", training);
    flags.path("data", arguments.data.as_deref())?;
    flags.put("manifest", arguments.manifest.clone());
    flags.put("method", arguments.method.clone());
    flags.put("backbone", arguments.backbone.clone());
    flags.put("group", arguments.group.clone());
    flags.count("blocks", count(arguments.blocks))?;
    flags.count("max_length", count(arguments.max_length))?;
    flags.count("fold", count(arguments.fold))?;
    // It is that of training too.
    flags.count("seed", arguments.seed)?;
    flags.put("tensorboard", arguments.tensorboard.then_some(true));
    if !arguments.allow_leak.is_empty() {
        let groups = arguments.allow_leak.iter().cloned().map(Value::String);
        flags.put("allow_leaks", Some(Value::Array(groups.collect())));
    }
    let precision = arguments.precision.map(|format| match format {
        Format::F32 => PrecisionChoice::F32,
        Format::Bf16 => PrecisionChoice::Bf16,
        Format::Auto => PrecisionChoice::Auto,
    });
    flags.put("precision", precision.map(Value::try_from).transpose()?);
    arguments.settings.on_top(None, flags.table())
}

fn usual_out(plan: &Plan) -> PathBuf {
    let data = plan.config.data.as_deref();
    let name = data.and_then(|data| data.file_stem());
    let name = name.map_or("sounds".into(), |name| name.to_string_lossy());
    PathBuf::from("runs").join(format!("{name}-{}", plan.method.name()))
}

fn say_plan(plan: &Plan, out: &std::path::Path) {
    let [train, validation, test] = plan.found.clips;
    let (training, frames) = (&plan.training, plan.checkpoint.config.max_length);
    say(format_args!(
        "classes    {}: {}",
        plan.found.labels.len(),
        plan.found.labels.join(", ")
    ));
    say(format_args!("labels     {}", plan.layout.labels));
    say(format_args!("parts      {}", plan.layout.split));
    if !plan.layout.caveat.is_empty() {
        say(format_args!("           {}", plan.layout.caveat));
    }
    say(format_args!(
        "clips      {train} to train, {validation} to validate, {test} to test on"
    ));
    say(format_args!(
        "length     {frames} frames, {:.2} s",
        frames as f64 / 100.0
    ));
    say(format_args!("backbone   {}", plan.backbone));
    say(format_args!(
        "method     {}, {} epochs of batches of {}, rate {}",
        plan.method.name(),
        training.epochs,
        training.batch,
        training.learning_rate
    ));
    if let Some(rates) = &plan.rates {
        say(format_args!("precision  auto: {}", rates.in_words()));
    }
    say(format_args!("run        {}", out.display()));
}

fn summary(result: &RunResult) -> String {
    let test = &result.test;
    let (guess, precision) = match test.mean_average_precision {
        None => ("largest class", String::new()),
        Some(mean) => ("most frequent labels", format!("mAP {mean:.3}, ")),
    };
    let mut text = format!(
        "test: {} clips, {precision}accuracy {:.1} % ({guess} {:.1} %), macro F1 {:.3}; best epoch {} of {}\n",
        test.clips,
        100.0 * test.accuracy,
        100.0 * result.majority_share,
        test.macro_f1,
        result.selected_epoch + 1,
        result.epochs
    );
    text += &super::eval::classes(&result.labels, test);
    text += &format!("trained values: {}", result.trained_values);
    if let Some(paper) = result.trained_values_paper {
        text += &format!(" ({paper} without head and final LayerNorm, as the papers count)");
    }
    text += &format!("\nadapter: {}", result.adapter.display());
    text
}
