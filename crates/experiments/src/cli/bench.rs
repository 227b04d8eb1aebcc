//! `soft-moa bench`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use experiments::bench::{self, BenchOptions, Profile};
use experiments::{device, signals};
use tch::Device;

use super::output::{self, Output};
use super::places::CacheArgument;

#[derive(clap::Args)]
pub struct Bench {
    /// Built-in profile: smoke, quick or paper.
    #[arg(long, default_value = "quick")]
    profile: String,
    /// A profile of your own in TOML, instead of a built-in one.
    #[arg(long)]
    profile_file: Option<PathBuf>,
    /// Folder of the results [default: target/bench/PROFILE].
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgument,
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

/// Runs what is missing of a profile and prints the table, or `results.json`.
pub fn run(arguments: &Bench, output: &Output) -> Result<()> {
    signals::listen().context("cannot listen for Ctrl-C")?;
    let profile = profile(&arguments.profile, arguments.profile_file.as_deref())?;
    let device = device::choose(&arguments.device)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("target/bench").join(&profile.name));
    let options = BenchOptions {
        out: out.clone(),
        cache: arguments.cache.folder()?,
        datasets: arguments.datasets.clone(),
        device,
        device_name: device_name(device),
        command: format!("cargo xtask bench-all --profile {}", profile.name),
        checkpoint_seconds: arguments.checkpoint_every,
    };
    let finished = bench::run(&profile, &options)?;
    if output.json() {
        let results = out.join("results.json");
        let text = std::fs::read_to_string(&results)
            .with_context(|| format!("cannot read {}", results.display()))?;
        output::print(&text)?;
    } else {
        output::print(&finished.table)?;
    }
    eprintln!("report: {}", out.join("report.html").display());
    if !finished.broken.is_empty() {
        bail!(
            "tasks were left out:\n  - {}",
            finished.broken.join("\n  - ")
        );
    }
    Ok(())
}

/// A built-in profile, or one in a file.
pub fn profile(name: &str, file: Option<&Path>) -> Result<Profile> {
    let Some(path) = file else {
        return Profile::built_in(name);
    };
    let text = std::fs::read_to_string(path).with_context(|| {
        let path = path.display();
        format!("cannot read the profile {path}; name another with --profile-file")
    })?;
    Profile::parse(&text).with_context(|| path.display().to_string())
}

fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}
