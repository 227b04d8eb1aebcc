//! `soft-moa sweep run`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use experiments::signals;
use experiments::sweep::{self, Entry, RunOptions};

use super::{PlaceArguments, PlanArgument};
use crate::cli::exit;

#[derive(clap::Args)]
pub struct Run {
    #[command(flatten)]
    plan: PlanArgument,
    /// Number of the run in the plan, from 0.
    #[arg(long, value_name = "I", required_unless_present = "entry")]
    index: Option<usize>,
    /// Make so many runs from --index on, one after the other; beyond the plan's
    /// end there are none.
    #[arg(long, value_name = "K", default_value_t = 1)]
    count: usize,
    /// A line of the plan, or its number, as batch systems hand entries on.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["index", "count"])]
    entry: Option<String>,
    /// Threads to compute with [default: what libtorch takes].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Wait so long for a run that another process makes, before exit code 75.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    wait: f64,
    /// Try runs once more that have diverged.
    #[arg(long)]
    retry_failed: bool,
    #[command(flatten)]
    places: PlaceArguments,
}

/// Makes the runs; `cli::exit` says how it ends.
pub fn run(arguments: &Run) -> Result<()> {
    signals::listen().context("cannot listen for SIGTERM")?;
    if let Some(threads) = arguments.threads {
        ensure!(threads > 0, "--threads must be at least 1");
        tch::set_num_threads(i32::try_from(threads)?);
    }
    let wait = Duration::try_from_secs_f64(arguments.wait);
    let options = RunOptions {
        cache: arguments.places.cache.folder()?,
        datasets: arguments.places.datasets.clone(),
        checkpoint_seconds: arguments.places.checkpoint_every,
        patience: wait.context("--wait takes seconds, at least 0")?,
        retry: arguments.retry_failed,
    };
    let folder = sweep::folder(&arguments.plan.plan);
    let entries = entries(arguments)?;
    let made = sweep::run(&folder, &entries, &options)?;
    for title in &made.there {
        eprintln!("{title}: finished before");
    }
    if !made.failed.is_empty() {
        bail!(exit::Diverged(made.failed.join("\n  - ")));
    }
    if !made.locked.is_empty() {
        bail!(exit::Locked(made.locked.join("; ")));
    }
    Ok(())
}

fn entries(arguments: &Run) -> Result<Vec<Entry>> {
    let plan = &arguments.plan.plan;
    let index = match (&arguments.entry, arguments.index) {
        (Some(entry), _) => match entry.trim().parse() {
            Ok(index) => index,
            Err(_) => return Ok(vec![Entry::parse(entry).context("--entry")?]),
        },
        (None, Some(index)) => index,
        (None, None) => bail!("name a run with --index or --entry"),
    };
    sweep::entries(plan, index, arguments.count)
}
