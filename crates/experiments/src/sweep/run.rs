//! Making runs of a plan, one after the other, in this process.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use adapters::Compat;
use anyhow::{Context, Result, bail, ensure};

use super::differences::differences;
use super::entry::Entry;
use crate::bench::{self, Backbone, BackboneSpec, Bars, BenchOptions, Run, Store, Task, TaskSpec};
use crate::run_folder::RunFolderError;
use crate::training::TrainingError;
use crate::{device, signals};

/// Where things are on this machine, and how runs are made.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The user's cache, with `data/` and `backbones/`.
    pub cache: PathBuf,
    /// Folder of the manifests.
    pub datasets: PathBuf,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// How long to wait for another process that makes the same run. A moment is
    /// always waited: looking at a sweep holds the lock of a run for an instant.
    pub patience: Duration,
    /// Whether runs that diverged are tried once more.
    pub retry: bool,
}

/// Shortest time to wait for a lock.
const MOMENT: Duration = Duration::from_millis(500);

/// What became of some runs, each in words.
#[derive(Debug, Default)]
pub struct Made {
    /// Finished now.
    pub finished: Vec<String>,
    /// Finished before.
    pub there: Vec<String>,
    /// Can never succeed, with the reason.
    pub failed: Vec<String>,
    /// Another process makes them.
    pub locked: Vec<String>,
}

/// Makes runs in order, or goes on with them; `folder` is that of the sweep. What
/// is finished is left as it is, so that it may be asked for any number of times.
///
/// # Errors
/// Data, backbone or program that are not those of the plan; a wish to stop
/// ([`TrainingError::Stopped`], the state is saved); a fault of the machine.
pub fn run(folder: &Path, entries: &[Entry], options: &RunOptions) -> Result<Made> {
    let store = Store::beside_others(folder)?;
    let mut made = Made::default();
    let mut pending = Vec::new();
    for entry in entries {
        if store.has(&entry.id) {
            made.there.push(entry.title());
            tidy(&store, &entry.id)?;
            continue;
        }
        match store.failure(&entry.id) {
            Some(failure) if !options.retry => made.failed.push(failure.reason),
            _ => pending.push(entry),
        }
    }
    let runs: Vec<Run> = pending.iter().map(|entry| as_run(entry)).collect();
    let bars = Bars::new(&runs.iter().collect::<Vec<_>>(), runs.len());
    let mut here = None;
    for (entry, run) in pending.into_iter().zip(&runs) {
        if signals::requested().is_some() {
            return Err(TrainingError::Stopped.into());
        }
        let place = BenchOptions {
            out: folder.to_owned(),
            cache: options.cache.clone(),
            datasets: options.datasets.clone(),
            device: device::choose(&entry.config.device)?,
            device_name: entry.config.device.clone(),
            command: String::new(),
            checkpoint_seconds: options.checkpoint_seconds,
        };
        let ready = prepare(entry, &place, &mut here, &bars);
        let task = ready.with_context(|| format!("run {} ({})", entry.id, entry.title()))?;
        let profile = entry.run.profile();
        match patiently(options.patience, || {
            bench::make(run, &profile, task, &store, &place, &bars)
        })? {
            Some(bench::Made::Finished) => made.finished.push(entry.title()),
            Some(bench::Made::Diverged(why)) => {
                bars.say(&why);
                made.failed.push(why);
            }
            None => {
                bars.say(&format!("{}: another process makes it", entry.title()));
                made.locked.push(entry.title());
            }
        }
    }
    Ok(made)
}

fn as_run(entry: &Entry) -> Run {
    Run {
        id: entry.id.clone(),
        task: 0,
        config: entry.config.clone(),
        work: entry.clips,
    }
}

/// Removes what a kill has left of a finished run; another process may be at it.
fn tidy(store: &Store, id: &str) -> Result<()> {
    match store.tidy(id) {
        Err(error) if is_busy(&error) => Ok(()),
        other => other,
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RunFolderError::Busy { .. }))
}

/// Tries until the run's lock is free; `None` if it is not in time.
fn patiently<T>(patience: Duration, mut work: impl FnMut() -> Result<T>) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        match work() {
            Err(error) if is_busy(&error) => {}
            other => return other.map(Some),
        }
        if start.elapsed() >= patience.max(MOMENT) {
            return Ok(None);
        }
        if signals::requested().is_some() {
            return Err(TrainingError::Stopped.into());
        }
        sleep(Duration::from_millis(100));
    }
}

/// Backbone and task of the runs in progress: neighbours in a plan share them.
struct Here {
    backbone_spec: BackboneSpec,
    task_spec: TaskSpec,
    compat: Compat,
    device: String,
    backbone: Backbone,
    task: Task,
}

/// The task of a run with its features, once it is sure that they are those of the
/// plan.
fn prepare<'h>(
    entry: &Entry,
    place: &BenchOptions,
    here: &'h mut Option<Here>,
    bars: &Bars,
) -> Result<&'h Task> {
    let spec = &entry.run.task;
    let same = here.as_ref().is_some_and(|here| {
        here.backbone_spec == entry.run.backbone
            && here.compat == entry.run.compat
            && here.device == entry.config.device
            && here.task_spec == whole(spec)
    });
    if !same {
        *here = None; // its features are freed before others are loaded
        *here = Some(open(entry, spec, place)?);
    }
    let Some(here) = here else {
        bail!("the run was not opened"); // cannot be: see above
    };
    let own = &mut here.task.spec;
    own.folds.clone_from(&spec.folds);
    own.seeds.clone_from(&spec.seeds);
    own.methods.clone_from(&spec.methods);
    let tasks = std::slice::from_ref(&here.task);
    let (plan, _) = bench::resolve(&entry.run.profile(), &here.backbone, tasks, place)?;
    let [run] = plan.runs.as_slice() else {
        bail!(
            "the plan's line stands for {} runs; make the plan again",
            plan.runs.len()
        );
    };
    let lines = differences(&entry.config, &run.config)?;
    ensure!(
        lines.is_empty(),
        "it is not the run of the plan here:\n  {}\nuse the data, weights and program of the plan \
         (--cache, --datasets), or make a new plan with `soft-moa sweep plan`",
        lines.join("\n  ")
    );
    let device = place.device;
    here.task
        .prepare(&here.backbone, &place.cache, device, bars)?;
    Ok(&here.task)
}

fn open(entry: &Entry, spec: &TaskSpec, place: &BenchOptions) -> Result<Here> {
    let mut opened = bench::open(&entry.run.profile(), place);
    let (Some(backbone), Some(task)) = (opened.backbone.take(), opened.tasks.pop()) else {
        bail!("it cannot be made here: {}", opened.missing.join("; "));
    };
    let mut tasks = [task];
    bench::fit(&backbone, &mut tasks)?;
    let [task] = tasks;
    Ok(Here {
        backbone_spec: entry.run.backbone.clone(),
        task_spec: whole(spec),
        compat: entry.run.compat,
        device: entry.config.device.clone(),
        backbone,
        task,
    })
}

/// A task without the choice of runs: what two runs have to share.
fn whole(spec: &TaskSpec) -> TaskSpec {
    TaskSpec {
        folds: None,
        seeds: Vec::new(),
        methods: Vec::new(),
        ..spec.clone()
    }
}
