//! The soft-moa program: experiments from the command line.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 fine,
//! 1 numbers differ (`parity`), 2 something the user can mend (the message says
//! what), 75 stopped by SIGTERM with everything saved, 130 by Ctrl-C.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ast_model::import::{ConvertOptions, dinov2};
use audio_frontend::CountedFrames;
use clap::{Parser, Subcommand};
use experiments::bench::{self, BenchOptions, Profile};
use experiments::training::TrainingError;
use experiments::{device, normalisation, parity, signals};
use indicatif::ProgressBar;
use tch::Device;

/// Fine-tune Audio Spectrogram Transformers with mixtures of adapters.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a profile of the comparison and write tables and plots.
    Bench(Bench),
    /// Compute mean and standard deviation of recordings, to normalise with.
    Stats(Stats),
    /// Compare front end, backbone and methods with golden numbers.
    Parity {
        /// Folder with frontend/ and models/.
        #[arg(long, value_name = "DIR")]
        golden: PathBuf,
    },
    /// Turn the ONNX file of a DINOv2 ViT-S/14 into an AST-Small checkpoint.
    ConvertDinov2 {
        /// The ONNX file.
        #[arg(long)]
        onnx: PathBuf,
        /// Folder of the new checkpoint.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(clap::Args)]
struct Bench {
    /// Built-in profile: smoke, quick or paper.
    #[arg(long, default_value = "quick")]
    profile: String,
    /// A profile of your own in TOML, instead of a built-in one.
    #[arg(long)]
    profile_file: Option<PathBuf>,
    /// Folder of the results [default: target/bench/PROFILE].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Folder with data/ and backbones/ [default: soft-moa in the user's cache].
    #[arg(long)]
    cache: Option<PathBuf>,
    /// Folder of the data set manifests.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Seconds between checkpoints, from which an interrupted run goes on; 0
    /// for one after every step.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    checkpoint_every: f64,
}

#[derive(clap::Args)]
struct Stats {
    /// Sound files, and folders of them (WAV, AIFF, FLAC, Ogg Vorbis, MP3, AAC, M4A).
    #[arg(required = true)]
    sounds: Vec<PathBuf>,
    /// Frames of the model's input; what a clip has beyond them does not count.
    #[arg(long, default_value_t = 1024)]
    max_length: usize,
    /// Count the padding of shorter clips too.
    #[arg(long)]
    padded: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    device::keep_memory();
    let result = match arguments.command {
        Command::Bench(arguments) => run_bench(&arguments),
        Command::Stats(arguments) => run_stats(&arguments),
        Command::Parity { golden } => run_parity(&golden),
        Command::ConvertDinov2 { onnx, out } => convert(&onnx, &out),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Different>() => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Err(error) if was_stopped(&error) => {
            eprintln!("stopped; give the same command again to go on where it ended");
            let asked = signals::requested();
            ExitCode::from(asked.map_or(signals::INTERRUPTED, |asked| asked.exit_code()))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Other errors are shown even where the user asked to stop as well.
fn was_stopped(error: &anyhow::Error) -> bool {
    let stopped = |cause: &TrainingError| matches!(cause, TrainingError::Stopped);
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref())
        .any(stopped)
}

fn run_bench(arguments: &Bench) -> Result<()> {
    signals::listen().context("cannot listen for Ctrl-C")?;
    let profile = match &arguments.profile_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| {
                let path = path.display();
                format!("cannot read the profile {path}; name another with --profile-file")
            })?;
            Profile::parse(&text).with_context(|| path.display().to_string())?
        }
        None => Profile::built_in(&arguments.profile)?,
    };
    let device = device::choose(&arguments.device)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("target/bench").join(&profile.name));
    let options = BenchOptions {
        out: out.clone(),
        cache: cache(arguments)?,
        datasets: arguments.datasets.clone(),
        device,
        device_name: device_name(device),
        command: format!("cargo xtask bench-all --profile {}", profile.name),
        checkpoint_seconds: arguments.checkpoint_every,
    };
    let finished = bench::run(&profile, &options)?;
    std::io::stdout()
        .write_all(finished.table.as_bytes())
        .context("cannot print the table")?;
    eprintln!("report: {}", out.join("report.html").display());
    if !finished.broken.is_empty() {
        bail!(
            "tasks were left out:\n  - {}",
            finished.broken.join("\n  - ")
        );
    }
    Ok(())
}

fn run_stats(arguments: &Stats) -> Result<()> {
    let files = normalisation::sound_files(&arguments.sounds)?;
    let bar = ProgressBar::new(files.len() as u64);
    let counted = if arguments.padded {
        CountedFrames::Padded
    } else {
        CountedFrames::Real
    };
    let on_done = |progress: audio_frontend::Progress| {
        if let Some(error) = progress.error {
            bar.suspend(|| eprintln!("{error}"));
        }
        bar.inc(1);
    };
    let text = normalisation::measure(&files, arguments.max_length, counted, on_done)?;
    bar.finish_and_clear();
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot print the statistics")
}

/// What `parity` found to differ.
#[derive(Debug, thiserror::Error)]
#[error("{0} golden files differ or cannot be compared; the lines that begin with FAIL say how")]
struct Different(usize);

fn run_parity(golden: &std::path::Path) -> Result<()> {
    let found = parity::run(golden)?;
    std::io::stdout()
        .write_all(found.report().as_bytes())
        .context("cannot print the table")?;
    match found.failures() {
        0 => Ok(()),
        failures => Err(Different(failures).into()),
    }
}

fn cache(arguments: &Bench) -> Result<PathBuf> {
    if let Some(cache) = &arguments.cache {
        return Ok(cache.clone());
    }
    if let Some(cache) = std::env::var_os("SOFT_MOA_CACHE") {
        return Ok(cache.into());
    }
    let cache = dirs::cache_dir().context("the user has no cache folder; name one with --cache")?;
    Ok(cache.join("soft-moa"))
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

fn convert(onnx: &std::path::Path, out: &std::path::Path) -> Result<()> {
    let report = dinov2::convert(onnx, out, &ConvertOptions::default())?;
    println!(
        "{}: {} values, sha256 {}",
        out.display(),
        report.values,
        report.model_sha256
    );
    Ok(())
}
