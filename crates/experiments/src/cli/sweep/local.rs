//! `soft-moa sweep launch local`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use experiments::signals;
use experiments::sweep::pool::{self, PoolEvent, PoolOptions};
use experiments::sweep::{self, Sweep, Watcher, launch};

use super::status::{EVERY, Screen};
use super::{PlaceArguments, PlanArgument};
use crate::cli::exit;
use crate::cli::output::{self, Output};

#[derive(clap::Args)]
pub struct Local {
    #[command(flatten)]
    plan: PlanArgument,
    /// Processes at once [default: as many as cores and memory allow].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Threads of each [default: the cores shared out].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Runs that a process makes one after the other.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pack: usize,
    #[command(flatten)]
    places: PlaceArguments,
}

/// Makes all runs that are not done, and prints how the sweep is then.
pub fn run(arguments: &Local, output: &Output) -> Result<()> {
    signals::listen().context("cannot listen for Ctrl-C")?;
    ensure!(
        arguments.pack > 0 && arguments.jobs != Some(0) && arguments.threads != Some(0),
        "--jobs, --threads and --pack must be at least 1"
    );
    let sweep = Sweep::open(&arguments.plan.plan)?;
    let mut watcher = Watcher::new(&sweep)?;
    let chunks = launch::tasks(&watcher.look(), arguments.pack);
    let options = options(arguments, &sweep, chunks.len())?;
    let share = options.share;
    let processes = match share.jobs {
        1 => "1 process".to_owned(),
        jobs => format!("{jobs} processes"),
    };
    let threads = output::count(share.threads, "thread");
    let logs = options.logs.display();
    eprintln!("{processes} at once, {threads} each; logs in {logs}");
    let live = io::stdout().is_terminal() && !output.json();
    let mut screen = Screen::default();
    let mut drawn: Option<Instant> = None;
    let due = |drawn: Option<Instant>| drawn.is_none_or(|time| time.elapsed() > EVERY);
    let end = pool::run(&chunks, &options, &mut |event| match event {
        PoolEvent::Tick if live && due(drawn) => {
            drawn = Some(Instant::now());
            // A table that cannot be drawn is no reason to stop a sweep.
            let _ = screen.draw(&sweep::table(&watcher.look()));
        }
        PoolEvent::Ended(first) if !live => say(&sweep, *first, arguments.pack, "ended"),
        PoolEvent::Again(first) if !live => say(&sweep, *first, arguments.pack, "again later"),
        _ => {}
    })?;
    let status = watcher.look();
    match (output.json(), live) {
        (true, _) => output::print(&serde_json::to_string(&status)?)?,
        (_, true) => screen.draw(&sweep::table(&status))?,
        _ => output::print(&sweep::lines(&status))?,
    }
    if !end.errors.is_empty() {
        bail!(
            "not everything could be made:\n  - {}",
            end.errors.join("\n  - ")
        );
    }
    if status.failed > 0 {
        let reasons = status.runs.iter().filter_map(|run| run.reason.clone());
        bail!(exit::Diverged(reasons.collect::<Vec<_>>().join("\n  - ")));
    }
    Ok(())
}

fn options(arguments: &Local, sweep: &Sweep, chunks: usize) -> Result<PoolOptions> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let estimate = sweep.entries.iter().map(|entry| entry.memory_bytes).max();
    let share = pool::share(
        cores,
        sweep::available_memory(),
        estimate.unwrap_or(0),
        chunks,
        arguments.jobs,
        arguments.threads,
    );
    let places = &arguments.places;
    let mut words: Vec<OsString> = vec!["sweep".into(), "run".into()];
    for (name, value) in [
        ("--plan", sweep.folder.as_os_str()),
        ("--cache", places.cache.folder()?.as_os_str()),
        ("--datasets", places.datasets.as_os_str()),
        (
            "--checkpoint-every",
            places.checkpoint_every.to_string().as_ref(),
        ),
    ] {
        words.extend([OsString::from(name), value.to_owned()]);
    }
    Ok(PoolOptions {
        program: std::env::current_exe().context("cannot tell where this program is")?,
        arguments: words,
        share,
        pack: arguments.pack,
        logs: sweep.folder.join("logs"),
    })
}

fn say(sweep: &Sweep, first: usize, pack: usize, what: &str) {
    for entry in sweep.entries.iter().skip(first).take(pack) {
        eprintln!("{}: {what}", entry.title());
    }
}
