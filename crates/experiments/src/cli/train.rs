//! `soft-moa train`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use ast_model::PrecisionChoice;
use experiments::device;
use experiments::finetune::{self, Plan, RunConfig, RunResult, Watcher};
use experiments::signals;
use experiments::training::{Control, Event};
use indicatif::{ProgressBar, ProgressStyle};
use toml::Value;

use super::output::Output;
use super::places::{CacheArgument, Format};

#[derive(clap::Args)]
pub struct Train {
    /// A folder with a folder of sounds per class, or a table (.csv, .tsv, .jsonl) with the columns
    /// path and label.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Name of the method [default: soft-moa].
    #[arg(long)]
    method: Option<String>,
    /// A TOML file with settings; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
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
    /// Any other setting, as in the file: --set training.clip_norm=1.0
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
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
    let plan = Plan::resolve(&config, &cache, device)?;
    if arguments.dry_run {
        let text = toml::to_string(&plan.config)?;
        return output.result(&plan.config, || text);
    }
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => usual_out(&plan),
    };
    say_plan(&plan, &out);
    let shown = Shown::new(&plan);
    let result = finetune::run(&plan, &out, &cache, &shown);
    shown.clear();
    let result = result?;
    output.result(&result, || summary(&result))?;
    eprintln!(
        "predict with: soft-moa predict {} SOUNDS",
        result.adapter.display()
    );
    Ok(())
}

/// The file, and the flags on top.
fn config(arguments: &Train) -> Result<RunConfig> {
    let file = match &arguments.config {
        Some(path) => RunConfig::load(path)?,
        None => RunConfig::default(),
    };
    let set = settings(&arguments.set)?;
    let mut flags = RunConfig {
        data: arguments.data.clone(),
        method: arguments.method.clone().map(Value::String),
        backbone: arguments.backbone.clone(),
        blocks: arguments.blocks,
        max_length: arguments.max_length,
        seed: arguments.seed,
        group: arguments.group.clone(),
        precision: arguments.precision.map(|format| match format {
            Format::F32 => PrecisionChoice::F32,
            Format::Bf16 => PrecisionChoice::Bf16,
            Format::Auto => PrecisionChoice::Auto,
        }),
        ..RunConfig::default()
    };
    let training = &mut flags.training;
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            training.insert(key.to_owned(), value);
        }
    };
    put(
        "epochs",
        arguments.epochs.map(|value| (value as i64).into()),
    );
    put("batch", arguments.batch.map(|value| (value as i64).into()));
    put("learning_rate", arguments.learning_rate.map(Value::from));
    put("seed", arguments.seed.map(|value| (value as i64).into()));
    Ok(file.overlaid(set).overlaid(flags))
}

/// `a.b=1` is a line of TOML; what is no TOML value is a text.
fn settings(set: &[String]) -> Result<RunConfig> {
    let mut text = String::new();
    for setting in set {
        let Some((key, value)) = setting.split_once('=') else {
            bail!("--set {setting}: write KEY=VALUE");
        };
        let line = format!("{key} = {value}\n");
        if toml::from_str::<toml::Table>(&line).is_ok() {
            text += &line;
        } else {
            text += &format!("{key} = {}\n", Value::String(value.to_owned()));
        }
    }
    RunConfig::parse(&text).context("--set")
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
    eprintln!(
        "classes    {}: {}",
        plan.found.labels.len(),
        plan.found.labels.join(", ")
    );
    eprintln!("labels     {}", plan.layout.labels);
    eprintln!("parts      {}", plan.layout.split);
    if !plan.layout.caveat.is_empty() {
        eprintln!("           {}", plan.layout.caveat);
    }
    eprintln!("clips      {train} to train, {validation} to validate, {test} to test on");
    eprintln!("length     {frames} frames, {:.2} s", frames as f64 / 100.0);
    eprintln!("backbone   {}", plan.backbone);
    eprintln!(
        "method     {}, {} epochs of batches of {}, rate {}",
        plan.method.name(),
        training.epochs,
        training.batch,
        training.learning_rate
    );
    if let Some(rates) = &plan.rates {
        eprintln!("precision  auto: {}", rates.in_words());
    }
    eprintln!("run        {}", out.display());
}

fn summary(result: &RunResult) -> String {
    let test = &result.test;
    let mut text = format!(
        "test: {} clips, accuracy {:.1} % (largest class {:.1} %), macro F1 {:.3}; best epoch {} of {}\n",
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

/// Bars on a terminal, a line an epoch elsewhere.
struct Shown {
    terminal: bool,
    bar: Mutex<ProgressBar>,
    epochs: usize,
}

impl Shown {
    fn new(plan: &Plan) -> Self {
        Shown {
            terminal: io::stderr().is_terminal(),
            bar: Mutex::new(ProgressBar::hidden()),
            epochs: plan.training.epochs,
        }
    }

    /// The bar in use; another thread that panicked leaves it whole.
    fn bar(&self) -> ProgressBar {
        let bar = self.bar.lock();
        bar.unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// A bar of another length and kind, unless it is that already.
    fn need(&self, what: &str, total: usize) -> ProgressBar {
        let bar = self.bar();
        if !self.terminal || bar.prefix() == what {
            return bar;
        }
        bar.finish_and_clear();
        let template = "{prefix} {wide_bar} {msg} {per_sec} left {eta}";
        let style = ProgressStyle::with_template(template);
        let fresh = ProgressBar::new(total as u64).with_prefix(what.to_owned());
        fresh.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let slot = self.bar.lock();
        *slot.unwrap_or_else(std::sync::PoisonError::into_inner) = fresh.clone();
        fresh
    }

    fn clear(&self) {
        self.bar().finish_and_clear();
    }
}

impl Watcher for Shown {
    fn note(&self, text: &str) {
        self.bar().suspend(|| eprintln!("{text}"));
    }

    fn features(&self, done: usize, total: usize) {
        self.need("features", total).set_position(done as u64);
    }

    fn training(&self, event: &Event) -> Control {
        match event {
            Event::Step(now) => {
                let bar = self.need("training", now.total);
                bar.set_position(now.clips as u64);
                let epoch = now.epoch + 1;
                bar.set_message(format!(
                    "epoch {epoch}/{} loss {:.3}",
                    self.epochs, now.loss
                ));
            }
            Event::Epoch(epochs) => {
                if let Some(last) = epochs.last() {
                    self.note(&format!(
                        "epoch {}/{}  loss {:.4}  validation loss {:.4}  accuracy {:.1} %  {:.0} clips/s",
                        last.epoch + 1,
                        self.epochs,
                        last.train_loss,
                        last.validation_loss,
                        100.0 * last.validation_accuracy,
                        last.clips_per_second
                    ));
                }
            }
            Event::Resumed {
                epochs,
                steps,
                other_threads,
                skipped,
            } => {
                let (done, steps) = (epochs.len(), *steps);
                self.note(&format!("going on after {done} epochs and {steps} steps"));
                if *other_threads {
                    self.note(
                        "the number of threads differs from before: sums may round differently",
                    );
                }
                for skipped in skipped.iter() {
                    self.note(skipped);
                }
            }
            Event::Frozen { done, total } => {
                self.need("frozen part", *total).set_position(*done as u64);
            }
            _ => {}
        }
        if signals::requested().is_some() {
            return Control::Stop;
        }
        Control::Continue
    }
}
