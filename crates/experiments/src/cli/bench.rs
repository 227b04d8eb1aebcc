//! `soft-moa bench`.

use std::path::{Path, PathBuf};

use std::io::{self, IsTerminal};

use anyhow::{Context, Result, bail};
use experiments::bench::{self, BenchOptions, Finished, Profile};
use experiments::{device, signals, sweep};
use tch::Device;

use super::output::{self, Output};
use super::places::CacheArgument;
use super::sweep::local::{self, Pool};
use super::sweep::status::Screen;

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
    /// Processes at once, each with its share of the threads; 0 for as many as cores and memory
    /// allow, one on a GPU.
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
}

/// Runs that a process makes before another is started.
const PACK: usize = 4;

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
    let jobs = match (arguments.jobs, device) {
        (0, Device::Cuda(_)) => Some(1),
        (0, _) => None,
        (jobs, _) => Some(jobs),
    };
    let finished = match jobs {
        Some(1) => bench::run(&profile, &options)?,
        jobs => in_pool(&profile, &options, jobs, output)?,
    };
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

/// As [`bench::run`], with several processes at once. The folder is then one of a sweep too.
fn in_pool(
    profile: &Profile,
    options: &BenchOptions,
    jobs: Option<usize>,
    output: &Output,
) -> Result<Finished> {
    let Ok(planned) = sweep::plan(profile, options) else {
        // Says what is missing, in a report too.
        return bench::run(profile, options);
    };
    let sweep = &planned.sweep;
    sweep.write(true)?;
    let pool = Pool {
        jobs,
        threads: None,
        pack: PACK,
        cache: options.cache.clone(),
        datasets: options.datasets.clone(),
        checkpoint_seconds: options.checkpoint_seconds,
    };
    let live = io::stdout().is_terminal() && !output.json();
    let mut screen = Screen::default();
    let made = local::make(sweep, &pool, live.then_some(&mut screen));
    let written = sweep::collect(sweep);
    // Why the runs ended says more than a report that fails for the same reason.
    let made = made?;
    let failed = made.status.runs.iter().filter_map(|run| run.reason.clone());
    Ok(Finished {
        table: written?.summary,
        broken: planned
            .broken
            .iter()
            .cloned()
            .chain(made.errors)
            .chain(failed)
            .collect(),
    })
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
