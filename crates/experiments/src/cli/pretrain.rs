//! `soft-moa pretrain`.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Context, Result};
use ast_model::tensor_file::Stored;
use clap::ValueEnum;
use experiments::device;
use experiments::pretrain::{self, Places, PretrainConfig, Pretrained, Watcher};
use experiments::signals;
use experiments::training::{Control, Event};
use indicatif::ProgressBar;

use super::output::{self, Output, say};
use super::places::CacheArgument;

#[derive(clap::Args)]
pub struct Pretrain {
    /// A TOML file: start, data sets, losses, training.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder of the run; started again on it, a run goes on [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder of the manifests.
    #[arg(long, value_name = "DIR", default_value = "datasets")]
    datasets: PathBuf,
    /// Number format of the backbone's file.
    #[arg(long, value_enum, default_value_t = Values::F32)]
    values: Values,
    /// cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    cache: CacheArgument,
}

#[derive(Clone, Copy, ValueEnum)]
enum Values {
    F32,
    /// Half the size; rounded.
    F16,
}

/// Trains a backbone, and says where it is.
pub fn run(arguments: &Pretrain, output: &Output) -> Result<()> {
    signals::listen().context("cannot listen for Ctrl-C")?;
    let path = &arguments.config;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: PretrainConfig =
        toml::from_str(&text).with_context(|| path.display().to_string())?;
    let usual = || PathBuf::from("runs").join(&config.name);
    let places = Places {
        out: arguments.out.clone().unwrap_or_else(usual),
        datasets: arguments.datasets.clone(),
        cache: arguments.cache.folder()?,
        device: device::choose(&arguments.device)?,
        stored: match arguments.values {
            Values::F32 => Stored::F32,
            Values::F16 => Stored::F16,
        },
    };
    say(format_args!("run        {}", places.out.display()));
    let shown = Shown {
        epochs: config.training.epochs,
        bar: Mutex::new(None),
    };
    let made = pretrain::run(&config, &places, &shown);
    shown.clear();
    let made = made?;
    output.result(&made, || summary(&made))?;
    say(format_args!(
        "use it with: soft-moa train --backbone {} --data SOUNDS",
        made.backbone.display()
    ));
    Ok(())
}

fn summary(made: &Pretrained) -> String {
    let mut text = format!(
        "{}: {} values in {}, epoch {} of {}, validation loss {:.4}\n",
        made.backbone.display(),
        made.parameters,
        output::bytes(made.bytes),
        made.selected_epoch + 1,
        made.epochs,
        made.validation_loss
    );
    for (name, value) in &made.validation {
        text += &format!("{name:<40} {value:.4}\n");
    }
    text
}

/// A bar on a terminal, a line an epoch.
struct Shown {
    epochs: usize,
    /// What it counts, and the bar.
    bar: Mutex<Option<(String, ProgressBar)>>,
}

impl Shown {
    /// The bar for `what`, a new one unless it is in use.
    fn need(&self, what: &str, total: usize) -> ProgressBar {
        // Another thread that panicked leaves it whole.
        let slot = self.bar.lock();
        let mut slot = slot.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((name, bar)) = slot.as_ref() {
            if name == what {
                return bar.clone();
            }
            bar.finish_and_clear();
        }
        let bar = output::bar(total as u64, "clip");
        *slot = Some((what.to_owned(), bar.clone()));
        bar
    }

    fn clear(&self) {
        let slot = self.bar.lock();
        let slot = slot.unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bar)) = slot.as_ref() {
            bar.finish_and_clear();
        }
    }
}

impl Watcher for Shown {
    fn note(&self, text: &str) {
        say(text);
    }

    fn features(&self, data: &str, done: usize, total: usize) {
        self.need(data, total).set_position(done as u64);
    }

    fn training(&self, event: &Event) -> Control {
        match event {
            Event::Step(now) => {
                let bar = self.need("training", now.total);
                bar.set_position(now.clips as u64);
            }
            Event::Epoch(epochs) => {
                if let Some(last) = epochs.last() {
                    let bar = self.need("training", 0);
                    let parts = last.validation_parts.iter();
                    let parts: Vec<String> = parts
                        .map(|(name, value)| format!("{name} {value:.3}"))
                        .collect();
                    let line = format!(
                        "epoch {}/{}  loss {:.4}  validation {:.4} ({})  {:.0} clips/s",
                        last.epoch + 1,
                        self.epochs,
                        last.train_loss,
                        last.validation_loss,
                        parts.join(", "),
                        last.clips_per_second
                    );
                    bar.suspend(|| say(&line));
                }
            }
            Event::Resumed { epochs, steps, .. } => {
                let (done, steps) = (epochs.len(), *steps);
                say(format_args!(
                    "going on after {done} epochs and {steps} steps"
                ));
            }
            _ => {}
        }
        if signals::requested().is_some() {
            return Control::Stop;
        }
        Control::Continue
    }
}
