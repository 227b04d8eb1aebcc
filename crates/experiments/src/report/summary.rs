//! From runs to rows: one row per task, method and setting, with means over
//! folds and seeds and the paired comparison against the single adapter.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::TaskNote;
use super::compare::compare_with_adapter;
use super::config::Configuration;
use super::order;
use crate::record::{MultiplyAdds, RunRecord};
use crate::statistics::{self, Estimate, PairedTest};

/// Everything a report says about one task.
#[derive(Debug, Serialize)]
pub struct TaskSummary<'a> {
    /// Name of the task.
    pub task: String,
    /// What is known about it beside the runs.
    #[serde(skip)]
    pub note: Option<&'a TaskNote>,
    /// Number of classes C.
    pub classes: usize,
    /// Accuracy of drawing a class blindly, 1 / C.
    pub chance: f64,
    /// Mean over the folds of the largest class's share in the test part.
    pub majority_share: f64,
    /// Where the sounds came from; more than one entry is worth a warning.
    pub data_sources: Vec<String>,
    /// Names of the further test parts.
    pub extra_tests: Vec<String>,
    /// The rows in display order.
    pub rows: Vec<Row<'a>>,
}

/// One row of the tables.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// Task.
    pub task: &'a str,
    /// Method.
    pub method: &'a str,
    /// The method, with whatever else tells this row from others of its task.
    pub label: String,
    /// `paper` or `fixed`.
    pub compat: &'a str,
    /// Precision of the frozen weights.
    pub precision: &'a str,
    /// The frozen backbone.
    pub backbone: &'a str,
    /// Where the sounds came from.
    pub data_source: &'a str,
    /// Number of runs.
    pub runs: usize,
    /// Number of distinct folds.
    pub folds: usize,
    /// Number of distinct seeds.
    pub seeds: usize,
    /// Test accuracy over the runs.
    pub accuracy: Estimate,
    /// Mean F1 over the classes of the test part.
    pub macro_f1: Estimate,
    /// Expected calibration error on the test part.
    pub calibration_error: Estimate,
    /// Accuracy on the further test parts.
    pub extra_tests: Vec<ExtraEstimate>,
    /// Everything that trains; the largest of the runs, as folds may differ in
    /// the classes they hold.
    pub trainable_parameters: u64,
    /// The same by the authors' convention.
    pub trainable_parameters_paper: u64,
    /// Median training clips per second.
    pub clips_per_second: f64,
    /// Median seconds per epoch.
    pub seconds_per_epoch: f64,
    /// Median seconds of a training step.
    pub seconds_per_step: f64,
    /// Median seconds of training, validation left out.
    pub training_seconds: f64,
    /// Multiply-adds of the forward pass of one clip; the largest of the runs.
    pub multiply_adds: MultiplyAdds,
    /// Largest resident memory, 0 when the system did not tell.
    pub peak_memory_bytes: u64,
    /// Size of the largest adapter folder.
    pub adapter_bytes: u64,
    /// Paired comparison with the single adapter in the same setting; `None`
    /// for the adapter itself and where it has no run with the same fold and
    /// seed.
    pub against_adapter: Option<PairedTest>,
    /// The p-value of that comparison, corrected by Holm's method for the
    /// number of comparisons in the same setting of the task.
    pub p_holm: Option<f64>,
    /// What the runs were configured with.
    pub configuration: Configuration,
    /// The runs by fold and seed.
    #[serde(skip)]
    pub members: Vec<&'a RunRecord>,
}

/// Accuracy on a further test part.
#[derive(Debug, Serialize)]
pub struct ExtraEstimate {
    /// Name of the part.
    pub name: String,
    /// Accuracy over the runs that had it.
    pub accuracy: Estimate,
}

impl Row<'_> {
    /// Accuracy on the part `name`, where the row has it.
    pub fn extra(&self, name: &str) -> Option<&Estimate> {
        let found = self.extra_tests.iter().find(|extra| extra.name == name);
        found.map(|extra| &extra.accuracy)
    }

    /// Number of runs and the grid they fill: `6 (2 × 3)`, `5 (of 2 × 3)`.
    pub fn runs_text(&self) -> String {
        let (runs, folds, seeds) = (self.runs, self.folds, self.seeds);
        let filling = if runs < folds * seeds { "of " } else { "" };
        format!("{runs} ({filling}{folds} × {seeds})")
    }
}

/// `runs` in display order, each id once (the run that was started last).
pub fn in_order<'a>(runs: &'a [RunRecord], notes: &[TaskNote]) -> Vec<&'a RunRecord> {
    let place = |task: &str| notes.iter().position(|note| note.name == task);
    let mut sorted: Vec<&RunRecord> = runs.iter().collect();
    sorted.sort_by(|a, b| {
        let known = |run: &RunRecord| place(&run.task).unwrap_or(usize::MAX);
        known(a)
            .cmp(&known(b))
            .then_with(|| a.task.cmp(&b.task))
            .then_with(|| order::compare(&a.method, &b.method))
            .then_with(|| setting(a).cmp(&setting(b)))
            .then_with(|| (a.fold, a.seed, &a.id).cmp(&(b.fold, b.seed, &b.id)))
            .then_with(|| b.started_unix.cmp(&a.started_unix))
            .then_with(|| b.test_accuracy.total_cmp(&a.test_accuracy))
    });
    let mut seen = BTreeSet::new();
    sorted.retain(|run| seen.insert(run.id.as_str()));
    sorted
}

/// One summary per task, from runs as [`in_order`] gives them.
pub fn summarise<'a>(runs: &[&'a RunRecord], notes: &'a [TaskNote]) -> Vec<TaskSummary<'a>> {
    runs.chunk_by(|a, b| a.task == b.task)
        .map(|runs| summarise_task(runs, notes))
        .collect()
}

fn summarise_task<'a>(runs: &[&'a RunRecord], notes: &'a [TaskNote]) -> TaskSummary<'a> {
    let task = runs[0].task.clone();
    let mut rows: Vec<Row> = runs
        .chunk_by(|a, b| a.method == b.method && setting(a) == setting(b))
        .map(|members| row(members))
        .collect();
    compare_with_adapter(&mut rows);
    label(&mut rows);
    let classes = runs.iter().map(|run| run.classes).max().unwrap_or(0);
    TaskSummary {
        note: notes.iter().find(|note| note.name == task),
        classes,
        chance: 1.0 / classes.max(1) as f64,
        majority_share: majority_share(runs),
        data_sources: distinct(runs, |run| &run.data_source),
        extra_tests: extra_names(runs),
        rows,
        task,
    }
}

/// What two runs must share to be averaged, beside task and method.
pub fn setting(run: &RunRecord) -> (&str, &str, &str, &str) {
    (&run.compat, &run.precision, &run.backbone, &run.data_source)
}

fn row<'a>(members: &[&'a RunRecord]) -> Row<'a> {
    let first = members[0];
    let column = |figure: fn(&RunRecord) -> f64| -> Vec<f64> {
        members.iter().map(|run| figure(run)).collect()
    };
    let most = |figure: fn(&RunRecord) -> u64| members.iter().map(|run| figure(run)).max();
    let median = |values: Vec<f64>| statistics::median(&values).unwrap_or(f64::NAN);
    let configs: Vec<_> = members.iter().map(|run| &run.config).collect();
    Row {
        task: &first.task,
        method: &first.method,
        label: first.method.clone(),
        compat: &first.compat,
        precision: &first.precision,
        backbone: &first.backbone,
        data_source: &first.data_source,
        runs: members.len(),
        folds: members
            .iter()
            .map(|r| r.fold)
            .collect::<BTreeSet<_>>()
            .len(),
        seeds: members
            .iter()
            .map(|r| r.seed)
            .collect::<BTreeSet<_>>()
            .len(),
        accuracy: estimate(&column(|run| run.test_accuracy)),
        macro_f1: estimate(&column(|run| run.test_macro_f1)),
        calibration_error: estimate(&column(|run| run.test_calibration_error)),
        extra_tests: extra_names(members)
            .into_iter()
            .map(|name| ExtraEstimate {
                accuracy: estimate(&extra_accuracies(members, &name)),
                name,
            })
            .collect(),
        trainable_parameters: most(|run| run.trainable_parameters).unwrap_or(0),
        trainable_parameters_paper: most(|run| run.trainable_parameters_paper).unwrap_or(0),
        clips_per_second: median(column(|run| run.train_clips_per_second)),
        seconds_per_epoch: median(column(|run| run.seconds_per_epoch)),
        seconds_per_step: median(column(|run| run.seconds_per_step)),
        training_seconds: median(column(training_seconds)),
        multiply_adds: MultiplyAdds {
            backbone: most(|run| run.multiply_adds.backbone).unwrap_or(0),
            method: most(|run| run.multiply_adds.method).unwrap_or(0),
            method_stacked: members
                .iter()
                .filter_map(|run| run.multiply_adds.method_stacked)
                .max(),
        },
        peak_memory_bytes: median(column(|run| run.peak_memory_bytes as f64)) as u64,
        adapter_bytes: most(|run| run.adapter_bytes).unwrap_or(0),
        against_adapter: None,
        p_holm: None,
        configuration: Configuration::of(&configs),
        members: members.to_vec(),
    }
}

/// Seconds of training of a run, validation left out.
fn training_seconds(run: &RunRecord) -> f64 {
    run.epochs.iter().map(|epoch| epoch.seconds).sum()
}

/// Mean and interval; without values a mean that is not a number.
pub fn estimate(values: &[f64]) -> Estimate {
    Estimate::of(values).unwrap_or(Estimate {
        n: 0,
        mean: f64::NAN,
        half_width: None,
    })
}

fn extra_accuracies(runs: &[&RunRecord], name: &str) -> Vec<f64> {
    runs.iter()
        .flat_map(|run| &run.extra_tests)
        .filter(|extra| extra.name == name)
        .map(|extra| extra.accuracy)
        .collect()
}

fn extra_names(runs: &[&RunRecord]) -> Vec<String> {
    let names = runs.iter().flat_map(|run| &run.extra_tests);
    let names: BTreeSet<String> = names.map(|extra| extra.name.clone()).collect();
    names.into_iter().collect()
}

/// The distinct values of a text of the runs, sorted.
pub fn distinct(runs: &[&RunRecord], text: fn(&RunRecord) -> &String) -> Vec<String> {
    let values: BTreeSet<&String> = runs.iter().map(|run| text(run)).collect();
    values.into_iter().cloned().collect()
}

/// The mean over folds, so that a fold with more runs does not weigh more.
fn majority_share(runs: &[&RunRecord]) -> f64 {
    let mut folds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for run in runs {
        folds.entry(run.fold).or_default().push(run.majority_share);
    }
    let means: Vec<f64> = folds.values().filter_map(|v| statistics::mean(v)).collect();
    statistics::mean(&means).unwrap_or(f64::NAN)
}

/// Adds to each label those parts of the setting that vary within the task.
fn label(rows: &mut [Row]) {
    let parts: [fn(&Row) -> String; 4] = [
        |row| row.compat.to_owned(),
        |row| row.precision.to_owned(),
        |row| row.backbone.to_owned(),
        |row| row.data_source.to_owned(),
    ];
    let varies = |part: &fn(&Row) -> String| {
        let values: BTreeSet<String> = rows.iter().map(part).collect();
        values.len() > 1
    };
    let varying: Vec<_> = parts.into_iter().filter(varies).collect();
    if varying.is_empty() {
        return;
    }
    for row in rows.iter_mut() {
        let values: Vec<String> = varying.iter().map(|part| part(row)).collect();
        row.label = format!("{} ({})", row.method, values.join(", "));
    }
}
