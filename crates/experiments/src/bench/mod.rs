//! The benchmark: a profile becomes a plan of runs, the runs become records,
//! the records become a report.

mod backbone;
mod execute;
mod open;
mod plan;
mod profile;
mod progress;
mod published;
mod rows;
mod single;
mod store;
mod studies;
mod tasks;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use tch::Device;

use crate::report::{self, ReportContext, TaskNote};
use crate::signals;
use crate::training::TrainingError;
pub(crate) use backbone::Backbone;
pub(crate) use open::{Opened, fit, open, resolve};
pub use plan::RunConfig;
pub(crate) use plan::{Plan, Run, id};
pub use profile::{BackboneSpec, Profile, TaskSpec};
pub(crate) use progress::Bars;
pub use rows::MethodSpec;
pub use single::Single;
pub(crate) use store::Store;
pub(crate) use studies::place;
pub use studies::{Cell, StudySpec};
pub(crate) use tasks::{Task, root as data_folder};

/// Where things are and where results go.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Folder of the results, for example `target/bench/quick`.
    pub out: PathBuf,
    /// The user's cache, with `data/` and `backbones/`.
    pub cache: PathBuf,
    /// Folder of the manifests.
    pub datasets: PathBuf,
    /// Where to compute.
    pub device: Device,
    /// The device's name for the records.
    pub device_name: String,
    /// The command that was given, for the report.
    pub command: String,
    /// Seconds between checkpoints of the run in progress.
    pub checkpoint_seconds: f64,
}

/// What a benchmark gives beside its report.
#[derive(Debug)]
pub struct Finished {
    /// The table for the terminal.
    pub table: String,
    /// Tasks and runs left out because something is at fault with them, each
    /// with the remedy. Recordings that were never fetched are not among them.
    pub broken: Vec<String>,
}

/// Runs what is missing of a profile and writes the report. A run that was
/// interrupted goes on from its last checkpoint. It stops, with a checkpoint,
/// once [`signals`](crate::signals) asks for it.
///
/// # Errors
/// When nothing can run, a run fails, or a file cannot be written. What was
/// computed before stays and is not computed again.
pub fn run(profile: &Profile, options: &BenchOptions) -> Result<Finished> {
    let Opened {
        backbone,
        mut tasks,
        missing,
        mut broken,
    } = open(profile, options);
    let store = Store::open(&options.out)?;
    let mut context = report_context(profile, options, &tasks, missing);
    let Some(backbone) = backbone else {
        return give_up(&store, &context);
    };
    if tasks.is_empty() {
        return give_up(&store, &context);
    }
    context.notes.extend(backbone.note());
    context.notes.extend(profile.notes.iter().cloned());
    fit(&backbone, &mut tasks)?;
    let (plan, note) = resolve(profile, &backbone, &tasks, options)?;
    context.notes.extend(note);
    let outcome = execute_pending(&plan, profile, &backbone, &mut tasks, &store, options);
    let records = store.records(&plan);
    context.studies = profile.report_studies(&records);
    if records.len() < plan.runs.len() {
        context.missing.push(format!(
            "{} of {} runs are not finished; give the same command again to go on",
            plan.runs.len() - records.len(),
            plan.runs.len()
        ));
    }
    match outcome {
        Ok(failed) if records.is_empty() => {
            context.missing.extend(failed);
            give_up(&store, &context)
        }
        Ok(failed) => {
            context.missing.extend(failed.iter().cloned());
            broken.extend(failed);
            let table = report::write(&options.out, &context, &records)?.summary;
            Ok(Finished { table, broken })
        }
        Err(error) => {
            if !(records.is_empty() && has_report(&store)) {
                // Why the runs ended says more than a report that fails for
                // the same reason, a full disk for example.
                let _ = report::write(&options.out, &context, &records);
            }
            Err(error)
        }
    }
}

fn execute_pending(
    plan: &Plan,
    profile: &Profile,
    backbone: &Backbone,
    tasks: &mut [Task],
    store: &Store,
    options: &BenchOptions,
) -> Result<Vec<String>> {
    for run in plan.runs.iter().filter(|run| store.has(&run.id)) {
        store.tidy(&run.id)?;
    }
    let pending: Vec<_> = plan.runs.iter().filter(|run| !store.has(&run.id)).collect();
    let bars = Bars::new(&pending, plan.runs.len());
    let mut failed = Vec::new();
    let mut unusable = BTreeSet::new();
    for run in pending {
        if signals::requested().is_some() {
            return Err(TrainingError::Stopped.into());
        }
        if unusable.contains(&run.task) {
            continue;
        }
        release_others(tasks, run.task);
        let task = &mut tasks[run.task];
        if let Err(error) = task.prepare(backbone, &options.cache, options.device, &bars) {
            failed.push(format!("{}: {error:#}", run.config.task));
            unusable.insert(run.task);
            continue;
        }
        if let Made::Diverged(why) = make(run, profile, task, store, options, &bars)? {
            failed.push(why);
        }
    }
    for line in &failed {
        bars.say(line);
    }
    Ok(failed)
}

/// What became of a run.
pub(crate) enum Made {
    /// Its record is in the store.
    Finished,
    /// It can never succeed, for this reason; the store says so.
    Diverged(String),
}

/// Makes one run, from its start or its last checkpoint, and keeps what comes
/// of it in the store. The task has to be [prepared](Task::prepare).
///
/// # Errors
/// A run that another process makes, a wish to stop, or a fault of the machine;
/// the run can be made later.
pub(crate) fn make(
    run: &Run,
    profile: &Profile,
    task: &Task,
    store: &Store,
    options: &BenchOptions,
    bars: &Bars,
) -> Result<Made> {
    let Some(folder) = store.begin(&run.id)? else {
        return Ok(Made::Finished);
    };
    let title = run.config.title();
    match execute::execute(run, profile, task, &folder, options, bars) {
        Ok(record) => {
            store.save(&record)?;
            folder.remove_checkpoints()?;
            bars.finished(&record);
            Ok(Made::Finished)
        }
        Err(error) if diverged(&error) => {
            let why = format!("{title}: {error:#}");
            store.save_failure(&run.id, &why)?;
            folder.remove_checkpoints()?;
            Ok(Made::Diverged(why))
        }
        Err(error) => Err(error.context(format!("run {} ({title})", run.id))),
    }
}

/// Frees the features of all tasks but one: the plan goes task by task.
fn release_others(tasks: &mut [Task], kept: usize) {
    for (index, task) in tasks.iter_mut().enumerate() {
        if index != kept {
            task.ready = None;
        }
    }
}

/// A run that can never succeed; the others can.
fn diverged(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TrainingError::Diverged { .. }))
}

/// Whether an earlier report is there, which is worth more than an empty one.
fn has_report(store: &Store) -> bool {
    store.folder().join("results.json").is_file()
}

/// Writes a report that says what is missing, and says so.
fn give_up(store: &Store, context: &ReportContext) -> Result<Finished> {
    if !has_report(store) {
        report::write(store.folder(), context, &[])?;
    }
    bail!("nothing can run:\n  - {}", context.missing.join("\n  - "));
}

pub(crate) fn report_context(
    profile: &Profile,
    options: &BenchOptions,
    tasks: &[Task],
    missing: Vec<String>,
) -> ReportContext {
    ReportContext {
        profile: profile.name.clone(),
        command: options.command.clone(),
        title: format!(
            "Soft-MoA benchmark, profile {}: {}",
            profile.name, profile.title
        ),
        notes: Vec::new(),
        tasks: tasks
            .iter()
            .map(|task| TaskNote {
                name: task.spec.name.clone(),
                title: task.dataset.manifest.title.clone(),
                licence: task.dataset.manifest.licence.clone(),
                source: task.dataset.source().to_owned(),
                caveat: task.dataset.manifest.caveat.clone(),
            })
            .collect(),
        missing,
        studies: profile.report_studies(&[]),
        published: profile.published_figures(),
    }
}
