//! `soft-moa sweep`.

mod launch;
pub mod local;
mod plan;
mod run;
pub mod status;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;
use experiments::sweep;

use super::output::{self, Output};
use super::places::CacheArgument;

#[derive(clap::Args)]
pub struct Sweep {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the plan of a sweep: one self-contained run a line.
    Plan(plan::Plan),
    /// Make runs of a plan, or go on with them; asked again it changes nothing.
    Run(run::Run),
    /// Say how far the runs are.
    Status(status::Status),
    /// Write the report of what is finished.
    Collect(Collect),
    /// Start the runs: on this machine, with Slurm or with HyperQueue.
    Launch(launch::Launch),
}

/// Which sweep.
#[derive(clap::Args)]
pub struct PlanArgument {
    /// The sweep's folder, or the plan in it.
    #[arg(long, value_name = "PATH")]
    plan: PathBuf,
}

/// Where the data are on the machines that make the runs.
#[derive(clap::Args)]
pub struct PlaceArguments {
    #[command(flatten)]
    cache: CacheArgument,
    /// Folder of the data set manifests.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Seconds between checkpoints, from which an interrupted run goes on; 0
    /// for one after every step.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    checkpoint_every: f64,
}

#[derive(clap::Args)]
pub struct Collect {
    #[command(flatten)]
    plan: PlanArgument,
}

pub fn run(arguments: &Sweep, output: &Output) -> Result<()> {
    match &arguments.command {
        Command::Plan(arguments) => plan::run(arguments, output),
        Command::Run(arguments) => run::run(arguments),
        Command::Status(arguments) => status::run(arguments, output),
        Command::Collect(arguments) => collect(arguments, output),
        Command::Launch(arguments) => launch::run(arguments, output),
    }
}

fn collect(arguments: &Collect, output: &Output) -> Result<()> {
    let sweep = sweep::Sweep::open(&arguments.plan.plan)?;
    let written = sweep::collect(&sweep)?;
    if output.json() {
        let results = sweep.folder.join("results.json");
        let text = std::fs::read_to_string(&results)
            .with_context(|| format!("cannot read {}", results.display()))?;
        output::print(&text)?;
    } else {
        output::print(&written.summary)?;
    }
    eprintln!("report: {}", sweep.folder.join("report.html").display());
    Ok(())
}
