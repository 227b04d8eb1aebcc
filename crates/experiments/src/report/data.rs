//! The results as data: one JSON document, and a flat CSV with a line per run.

use std::collections::BTreeSet;

use serde::Serialize;

use super::ReportContext;
use super::files::ReportError;
use super::remarks::environments;
use super::summary::{TaskSummary, distinct};
use crate::record::{LayerUse, RunRecord};
use crate::statistics;

/// `{context, environments, tasks: [{…, rows}], runs}`, a line for each part,
/// task and run.
///
/// The maps of single clips are left out: they are many times the rest, and in
/// the run's own record.
pub fn json(
    context: &ReportContext,
    tasks: &[TaskSummary],
    runs: &[&RunRecord],
) -> Result<String, ReportError> {
    let environments = line(&environments(runs))?;
    let tasks: Vec<String> = tasks.iter().map(line).collect::<Result<_, _>>()?;
    let runs: Vec<String> = runs
        .iter()
        .map(|run| {
            let mut run = (*run).clone();
            if let Some(used) = &mut run.expert_use {
                used.clips.clear();
            }
            line(&run)
        })
        .collect::<Result<_, _>>()?;
    Ok(format!(
        "{{\n\"context\": {},\n\"environments\": {environments},\n\"tasks\": [\n{}\n],\n\
         \"runs\": [\n{}\n]\n}}\n",
        line(context)?,
        tasks.join(",\n"),
        runs.join(",\n")
    ))
}

fn line<T: Serialize>(value: &T) -> Result<String, ReportError> {
    serde_json::to_string(value).map_err(layout("results.json"))
}

/// One line per run; a column `accuracy on NAME` per further test part.
pub fn csv(runs: &[&RunRecord]) -> Result<Vec<u8>, ReportError> {
    let extras: BTreeSet<&str> = runs
        .iter()
        .flat_map(|run| &run.extra_tests)
        .map(|extra| extra.name.as_str())
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
    let extra_names = extras.iter().map(|name| format!("accuracy on {name}"));
    writer
        .write_record(names.chain(extra_names))
        .map_err(layout("results.csv"))?;
    for run in runs {
        let cells = COLUMNS.iter().map(|(_, cell)| cell(run));
        let extra_cells = extras.iter().map(|name| {
            let found = run.extra_tests.iter().find(|extra| extra.name == *name);
            found.map_or_else(String::new, |extra| extra.accuracy.to_string())
        });
        writer
            .write_record(cells.chain(extra_cells))
            .map_err(layout("results.csv"))?;
    }
    writer.into_inner().map_err(layout("results.csv"))
}

/// The methods of the runs, for the styles.
pub fn methods(runs: &[&RunRecord]) -> Vec<String> {
    distinct(runs, |run| &run.method)
}

type Cell = fn(&RunRecord) -> String;

const COLUMNS: [(&str, Cell); 44] = [
    ("id", |r| r.id.clone()),
    ("profile", |r| r.profile.clone()),
    ("task", |r| r.task.clone()),
    ("method", |r| r.method.clone()),
    ("fold", |r| r.fold.to_string()),
    ("seed", |r| r.seed.to_string()),
    ("compat", |r| r.compat.clone()),
    ("precision", |r| r.precision.clone()),
    ("backbone", |r| r.backbone.clone()),
    ("data_source", |r| r.data_source.clone()),
    ("classes", |r| r.classes.to_string()),
    ("majority_share", |r| r.majority_share.to_string()),
    ("clips_train", |r| r.clips.train.to_string()),
    ("clips_validation", |r| r.clips.validation.to_string()),
    ("clips_test", |r| r.clips.test.to_string()),
    ("trainable_parameters", |r| {
        r.trainable_parameters.to_string()
    }),
    ("trainable_parameters_paper", |r| {
        r.trainable_parameters_paper.to_string()
    }),
    ("adapter_bytes", |r| r.adapter_bytes.to_string()),
    ("epochs", |r| r.epochs.len().to_string()),
    ("selected_epoch", |r| r.selected_epoch.to_string()),
    ("test_accuracy", |r| r.test_accuracy.to_string()),
    ("test_macro_f1", |r| r.test_macro_f1.to_string()),
    ("test_calibration_error", |r| {
        r.test_calibration_error.to_string()
    }),
    ("validation_accuracy_at_selected_epoch", |r| {
        let found = r.epochs.iter().find(|e| e.epoch == r.selected_epoch);
        found.map_or_else(String::new, |e| e.validation_accuracy.to_string())
    }),
    ("last_train_loss", |r| {
        let last = r.epochs.last();
        last.map_or_else(String::new, |e| e.train_loss.to_string())
    }),
    ("train_clips_per_second", |r| {
        r.train_clips_per_second.to_string()
    }),
    ("seconds_per_epoch", |r| r.seconds_per_epoch.to_string()),
    ("seconds_per_step", |r| r.seconds_per_step.to_string()),
    ("seconds", |r| r.seconds.to_string()),
    ("multiply_adds_backbone", |r| {
        r.multiply_adds.backbone.to_string()
    }),
    ("multiply_adds_method", |r| {
        r.multiply_adds.method.to_string()
    }),
    ("multiply_adds_method_stacked", |r| {
        let stacked = r.multiply_adds.method_stacked;
        stacked.map_or_else(String::new, |adds| adds.to_string())
    }),
    ("expert_entropy", |r| mean_over_mixtures(r, |l| l.entropy)),
    ("expert_max_over_mean", |r| {
        mean_over_mixtures(r, |l| l.max_over_mean)
    }),
    ("peak_memory_bytes", |r| r.peak_memory_bytes.to_string()),
    ("started_unix", |r| r.started_unix.to_string()),
    ("processor", |r| r.environment.processor.clone()),
    ("threads", |r| r.environment.threads.to_string()),
    ("device", |r| r.environment.device.clone()),
    ("system", |r| r.environment.system.clone()),
    ("program", |r| r.environment.program.clone()),
    ("libtorch", |r| r.environment.libtorch.clone()),
    ("record_version", |r| r.version.to_string()),
    ("config", |r| r.config.to_string()),
];

/// Mean of a figure over the mixtures of a run; empty without mixtures.
fn mean_over_mixtures(run: &RunRecord, figure: fn(&LayerUse) -> f64) -> String {
    let layers = run.expert_use.iter().flat_map(|used| &used.layers);
    let values: Vec<f64> = layers.map(figure).collect();
    statistics::mean(&values).map_or_else(String::new, |mean| mean.to_string())
}

fn layout<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> ReportError {
    move |error| ReportError::Layout {
        what,
        reason: error.to_string(),
    }
}
