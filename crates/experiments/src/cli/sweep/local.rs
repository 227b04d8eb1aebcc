//! `soft-moa sweep launch local`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use experiments::signals;
use experiments::sweep::pool::{self, PoolEvent, PoolOptions};
use experiments::sweep::{self, Status, Sweep, Watcher, launch};

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

/// How the runs of a sweep are shared out.
pub struct Pool {
    /// Processes at once; as many as cores and memory allow where it is open.
    pub jobs: Option<usize>,
    /// Threads of each; the cores shared out where it is open.
    pub threads: Option<usize>,
    /// Runs that a process makes one after the other.
    pub pack: usize,
    /// Folder with data and backbones.
    pub cache: PathBuf,
    /// Folder of the manifests.
    pub datasets: PathBuf,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
}

/// Makes all runs that are not done, and prints how the sweep is then.
pub fn run(arguments: &Local, output: &Output) -> Result<()> {
    signals::listen().context("cannot listen for Ctrl-C")?;
    ensure!(
        arguments.pack > 0 && arguments.jobs != Some(0) && arguments.threads != Some(0),
        "--jobs, --threads and --pack must be at least 1"
    );
    let sweep = Sweep::open(&arguments.plan.plan)?;
    let places = &arguments.places;
    let pool = Pool {
        jobs: arguments.jobs,
        threads: arguments.threads,
        pack: arguments.pack,
        cache: places.cache.folder()?,
        datasets: places.datasets.clone(),
        checkpoint_seconds: places.checkpoint_every,
    };
    let live = io::stdout().is_terminal() && !output.json();
    let mut screen = Screen::default();
    let Pooled { status, errors } = make(&sweep, &pool, live.then_some(&mut screen))?;
    match (output.json(), live) {
        (true, _) => output::print(&serde_json::to_string(&status)?)?,
        (_, true) => screen.draw(&sweep::table(&status))?,
        _ => output::print(&sweep::lines(&status))?,
    }
    if !errors.is_empty() {
        bail!(
            "not everything could be made:\n  - {}",
            errors.join("\n  - ")
        );
    }
    if status.failed > 0 {
        let reasons = status.runs.iter().filter_map(|run| run.reason.clone());
        bail!(exit::Diverged(reasons.collect::<Vec<_>>().join("\n  - ")));
    }
    Ok(())
}

/// What a pool has left behind.
pub struct Pooled {
    /// How the runs are.
    pub status: Status,
    /// Why processes ended before their runs.
    pub errors: Vec<String>,
}

/// Makes all runs that are not done; draws a table on the `screen` meanwhile, or
/// says what has ended.
pub fn make(sweep: &Sweep, pool: &Pool, mut screen: Option<&mut Screen>) -> Result<Pooled> {
    let mut watcher = Watcher::new(sweep)?;
    let chunks = launch::tasks(&watcher.look(), pool.pack);
    let options = options(pool, sweep, chunks.len())?;
    let share = options.share;
    let processes = match share.jobs {
        1 => "1 process".to_owned(),
        jobs => format!("{jobs} processes"),
    };
    let threads = output::count(share.threads, "thread");
    let logs = options.logs.display();
    eprintln!("{processes} at once, {threads} each; logs in {logs}");
    let mut drawn: Option<Instant> = None;
    let end = pool::run(&chunks, &options, &mut |event| match (event, &mut screen) {
        (PoolEvent::Tick, Some(screen)) if drawn.is_none_or(|time| time.elapsed() > EVERY) => {
            drawn = Some(Instant::now());
            // A table that cannot be drawn is no reason to stop a sweep.
            let _ = screen.draw(&sweep::table(&watcher.look()));
        }
        (PoolEvent::Ended(first), None) => say(sweep, *first, pool.pack, "ended"),
        (PoolEvent::Again(first), None) => say(sweep, *first, pool.pack, "again later"),
        _ => {}
    })?;
    Ok(Pooled {
        status: watcher.look(),
        errors: end.errors,
    })
}

fn options(pool: &Pool, sweep: &Sweep, chunks: usize) -> Result<PoolOptions> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let estimate = sweep.entries.iter().map(|entry| entry.memory_bytes).max();
    let share = pool::share(
        cores,
        sweep::available_memory(),
        estimate.unwrap_or(0),
        chunks,
        pool.jobs,
        pool.threads,
    );
    let mut words: Vec<OsString> = vec!["sweep".into(), "run".into()];
    for (name, value) in [
        ("--plan", sweep.folder.as_os_str()),
        ("--cache", pool.cache.as_os_str()),
        ("--datasets", pool.datasets.as_os_str()),
        (
            "--checkpoint-every",
            pool.checkpoint_seconds.to_string().as_ref(),
        ),
    ] {
        words.extend([OsString::from(name), value.to_owned()]);
    }
    Ok(PoolOptions {
        program: std::env::current_exe().context("cannot tell where this program is")?,
        arguments: words,
        share,
        pack: pool.pack,
        logs: sweep.folder.join("logs"),
    })
}

fn say(sweep: &Sweep, first: usize, pack: usize, what: &str) {
    for entry in sweep.entries.iter().skip(first).take(pack) {
        eprintln!("{}: {what}", entry.title());
    }
}
