//! `soft-moa predict`.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use experiments::predictor::{self, Encoder, Event, Sound, Vectors};
use serde::Serialize;
use serde_json::json;

use super::output::{self, Output, print};
use super::places::{BackboneArgument, DeviceArguments};
use super::sounds::SoundArguments;

#[derive(clap::Args)]
pub struct Predict {
    /// Folder of the adapter, or of the run that made it.
    adapter: PathBuf,
    #[command(flatten)]
    sounds: SoundArguments,
    /// Classes named for every window, the most probable first.
    #[arg(long, default_value_t = 3)]
    top: usize,
    /// One line a sound: the mean over its windows, weighted by their length.
    #[arg(long)]
    per_file: bool,
    #[command(flatten)]
    backbone: BackboneArgument,
    #[command(flatten)]
    device: DeviceArguments,
}

/// A class and its probability.
#[derive(Serialize)]
struct Class<'a> {
    label: &'a str,
    probability: f32,
}

/// A line of the result.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    /// Seconds.
    start: f64,
    end: f64,
    top: Vec<Class<'a>>,
}

/// Prints a line a window or sound; fails at the end if a sound could not be
/// read, each of which was named on the way.
pub fn run(arguments: &Predict, output: &Output) -> Result<()> {
    ensure!(arguments.top > 0, "--top is 0; name at least one class");
    let (folder, description, fitting) = arguments.backbone.adapter(&arguments.adapter)?;
    let options = arguments.device.adapt()?;
    let gives = Vectors::Probabilities;
    let encoder = Encoder::adapted(&folder, &fitting.checkpoint, &options, gives)?;
    let extractor = encoder.front_end(Some(&description))?;
    let windows = arguments.sounds.windows()?;
    let sounds = arguments.sounds.sounds()?;
    let mut printer = Printer::new(arguments, output, &description.labels, &sounds);
    let batch = arguments.sounds.batch();
    predictor::run(
        &encoder,
        &extractor,
        &windows,
        sounds,
        batch,
        &mut |event| printer.take(event),
    )?;
    printer.end()
}

struct Printer<'a> {
    output: &'a Output,
    labels: &'a [String],
    names: Vec<String>,
    /// Width of the longest name.
    width: usize,
    top: usize,
    per_file: bool,
    sum: Mean,
    failed: usize,
}

/// The mean over the windows of one sound.
#[derive(Default)]
struct Mean {
    values: Vec<f64>,
    weight: f64,
    end: f64,
}

impl Mean {
    fn add(&mut self, start: f64, end: f64, values: &[f32]) {
        let weight = end - start;
        self.values.resize(values.len(), 0.0);
        for (sum, &value) in self.values.iter_mut().zip(values) {
            *sum += weight * f64::from(value);
        }
        self.weight += weight;
        self.end = self.end.max(end);
    }

    fn values(&self) -> Vec<f32> {
        let mean = |sum: &f64| (sum / self.weight) as f32;
        self.values.iter().map(mean).collect()
    }
}

impl<'a> Printer<'a> {
    fn new(
        arguments: &Predict,
        output: &'a Output,
        labels: &'a [String],
        sounds: &[Sound],
    ) -> Self {
        let names: Vec<String> = sounds.iter().map(Sound::name).collect();
        Printer {
            output,
            labels,
            width: names
                .iter()
                .map(|name| name.chars().count())
                .max()
                .unwrap_or(0),
            names,
            top: arguments.top,
            per_file: arguments.per_file,
            sum: Mean::default(),
            failed: 0,
        }
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Window {
                start, end, values, ..
            } if self.per_file => {
                self.sum.add(start, end, &values);
                Ok(())
            }
            Event::Window {
                sound,
                start,
                end,
                values,
            } => self.line(sound, start, end, &values),
            Event::Finished { sound } => {
                let sum = std::mem::take(&mut self.sum);
                if sum.weight > 0.0 {
                    self.line(sound, 0.0, sum.end, &sum.values())?;
                }
                Ok(())
            }
            Event::Failed { sound, error } => {
                // Half a sound is no result.
                self.sum = Mean::default();
                self.failed += 1;
                if self.output.json() {
                    let (file, error) = (&self.names[sound], error.to_string());
                    print(&json!({ "file": file, "error": error }).to_string())
                } else {
                    output::say(format_args!("error: {error}"));
                    Ok(())
                }
            }
        }
    }

    fn line(&self, sound: usize, start: f64, end: f64, values: &[f32]) -> Result<()> {
        let line = Line {
            file: &self.names[sound],
            start: rounded(start),
            end: rounded(end),
            top: self.best(values),
        };
        self.output.result(&line, || {
            let (file, width) = (line.file, self.width);
            let mut text = format!("{file:width$}  {start:>8.2}  {end:>8.2}");
            for Class { label, probability } in &line.top {
                text += &format!("  {label} {:.1} %", 100.0 * probability);
            }
            text
        })
    }

    fn best(&self, values: &[f32]) -> Vec<Class<'a>> {
        let mut order: Vec<usize> = (0..values.len().min(self.labels.len())).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        let class = |index: usize| Class {
            label: &self.labels[index],
            probability: values[index],
        };
        order.into_iter().take(self.top).map(class).collect()
    }

    fn end(&self) -> Result<()> {
        match self.failed {
            0 => Ok(()),
            failed => bail!(
                "{failed} of {} could not be read; the lines above say why",
                output::count(self.names.len(), "sound")
            ),
        }
    }
}

/// To a hundredth of a second, which is a frame.
fn rounded(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}
