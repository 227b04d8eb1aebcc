//! The sentences around the tables: what the numbers mean, what they do not
//! show, and what looks wrong about the runs.

use std::collections::BTreeSet;

use super::compare::{BASELINE, Reading, SIGNIFICANCE};
use super::format::{accuracy_in_words, counted, difference, p_value, percent, utc};
use super::studies::StudyView;
use super::summary::{Row, TaskSummary, distinct};
use crate::record::{Environment, RunRecord};

/// Chance and majority share of a task.
pub fn chance(task: &TaskSummary) -> String {
    format!(
        "{}: chance {} % ({} classes), always answering the largest class {} %.",
        task.task,
        percent(task.chance),
        task.classes,
        percent(task.majority_share)
    )
}

/// One sentence on the best row of a task, careful about the noise.
pub fn highest(task: &TaskSummary) -> Option<String> {
    let best = task
        .rows
        .iter()
        .filter(|row| row.accuracy.mean.is_finite())
        .reduce(|best, row| {
            // The first of equals, so that the sentence does not depend on more.
            if row.accuracy.mean > best.accuracy.mean {
                row
            } else {
                best
            }
        })?;
    let start = format!(
        "Highest mean: {} with {}",
        best.label,
        accuracy_in_words(&best.accuracy)
    );
    let end = match (best.reading(), best.against_adapter) {
        (Reading::Baseline, _) => ".".to_owned(),
        (_, None) => format!("; no run in common with {BASELINE} to compare it with."),
        (Reading::Untested, Some(test)) => format!(
            "; {} points against {BASELINE}, from too few runs to tell it from noise.",
            difference(&test.difference)
        ),
        (reading, Some(test)) => format!(
            "; {} points against {BASELINE} ({}, {} corrected), {}.",
            difference(&test.difference),
            p_in_words(test.p),
            p_value(best.p_holm),
            match reading {
                Reading::WithinNoise => "which is within the noise",
                _ => "more than the noise between these runs",
            }
        ),
    };
    Some(start + &end)
}

fn p_in_words(p: Option<f64>) -> String {
    let text = p_value(p);
    if text.starts_with('<') {
        format!("p {text}")
    } else {
        format!("p = {text}")
    }
}

/// What is the matter with the runs of a task, if anything is.
pub fn warnings(task: &TaskSummary) -> Vec<String> {
    let mut warnings = Vec::new();
    if task.data_sources.len() > 1 {
        warnings.push(format!(
            "The runs come from different sounds ({}); only rows of the same sounds can be compared.",
            task.data_sources.join(", ")
        ));
    }
    for row in &task.rows {
        let settings: Vec<&str> = row.configuration.unexpected().collect();
        if !settings.is_empty() {
            warnings.push(format!(
                "{}: the runs differ in more than fold and seed ({}); their mean mixes settings.",
                row.label,
                settings.join(", ")
            ));
        }
        if row.runs > row.folds * row.seeds || repeats(row) {
            warnings.push(format!(
                "{}: some fold and seed was run more than once; every run counts in the mean.",
                row.label
            ));
        }
    }
    warnings
}

fn repeats(row: &Row) -> bool {
    row.members
        .windows(2)
        .any(|pair| (pair[0].fold, pair[0].seed) == (pair[1].fold, pair[1].seed))
}

/// How to read the tables.
pub fn reading_notes(tasks: &[TaskSummary]) -> Vec<String> {
    let tests = tasks
        .iter()
        .flat_map(|task| &task.rows)
        .filter(|row| row.against_adapter.is_some_and(|test| test.p.is_some()))
        .count();
    let tested = match tests {
        0 => "Here no comparison has three pairs, so none was tested.".to_owned(),
        _ => format!(
            "{} tested, so the reading goes by the p-value corrected for their number within \
             the task (Holm): higher or lower where it is below {SIGNIFICANCE}, within the noise \
             otherwise.",
            match tests {
                1 => "1 comparison was".to_owned(),
                n => format!("{n} comparisons were"),
            }
        ),
    };
    vec![
        "Accuracy is the mean over folds and seeds ± the half width of its 95 % t-interval. \
         Runs of one fold share their test clips and runs of different folds may share training \
         clips, so the runs are not independent: intervals and p-values are too optimistic and \
         are a guide, not a proof."
            .to_owned(),
        format!(
            "Against adapter: mean difference in percentage points over the runs with the same \
             fold and seed, with its 95 % t-interval; p from a two-sided paired t-test where \
             there are at least three pairs. {tested} No row is highlighted for being on top."
        ),
        "Trainable parameters count everything that trains, head and final LayerNorm included; \
         the authors' count leaves these two out. Adapter bytes are the size of the saved \
         adapter folder."
            .to_owned(),
        "Training clips per second and seconds per epoch are medians over the runs, validation \
         left out. Peak memory is the median over the runs of the largest resident memory of the \
         whole process: libtorch, the backbone, the task's features and what the allocator kept \
         from earlier runs are in it; memory of an accelerator is not."
            .to_owned(),
        "Sparse-MoA runs all experts in one fused product and masks what was not chosen: its \
         speed is that of Dense-MoA, not of a sparse kernel."
            .to_owned(),
    ]
}

/// How to read the table of costs.
pub fn cost_notes() -> Vec<String> {
    vec![
        "Multiply-adds are counted from the shapes of a forward pass of one clip: those of the \
         frozen backbone alone, and what the method adds to them. Head, norms, activations and \
         softmaxes are left out. Of a sparse mixture the chosen experts alone are counted, \
         whatever form computes them."
            .to_owned(),
        "Method if stacked: what a mixture would add if it computed the output of every expert \
         for every token and summed them up afterwards. The form that is used here makes no \
         such tensor, with the same result."
            .to_owned(),
        "Seconds per step and of training are medians over the runs, validation left out. They \
         depend on the machine and on what else it did."
            .to_owned(),
    ]
}

/// How to read the table of expert use.
pub fn expert_notes() -> Vec<String> {
    vec![
        "Entropy is that of an expert's shares divided by ln N: 1 where all are used alike, 0 \
         where one does everything. Largest / mean is 1 where all are used alike and N where one \
         does everything; variation is the standard deviation of the shares divided by their \
         mean. All are means over runs and mixtures."
            .to_owned(),
        "Left out: share of assignments beyond an expert's capacity, or of tokens that no expert \
         saw; soft and dense mixtures leave nothing out."
            .to_owned(),
    ]
}

/// What a difference to a published figure means.
pub const PUBLISHED: &str = "The interval is ours alone: papers rarely print theirs, and a \
                             published figure may come from a single run. Inside our interval \
                             says that the two agree as far as our runs can tell.";

/// What is to be said below the table of a study.
pub fn study(view: &StudyView) -> Vec<String> {
    let mut remarks = Vec::new();
    let tests = view.points.iter().filter(|p| p.p_holm.is_some()).count();
    if tests > 0 {
        remarks.push(format!(
            "p, Holm and reading are corrected for the {} of this table.",
            counted(tests, "comparison")
        ));
    }
    let runs: BTreeSet<usize> = view.points.iter().map(|p| p.row.runs).collect();
    if let (Some(least), Some(most)) = (runs.first(), runs.last())
        && least < most
    {
        remarks.push(format!(
            "Rows have {least} to {most} runs: their means are over different folds and seeds. \
             The differences to the adapter are over common ones."
        ));
    }
    let varied = view.varied();
    if !varied.is_empty() {
        remarks.push(format!(
            "Settings in which its rows differ: {}.",
            varied.join(", ")
        ));
    }
    if !view.without_runs.is_empty() {
        remarks.push(format!(
            "Without a finished run: {}.",
            view.without_runs.join(", ")
        ));
    }
    remarks
}

/// The commands that make the runs of a row again, in a folder of their own.
pub fn again(row: &Row, profile: &str) -> String {
    let folds: BTreeSet<usize> = row.members.iter().map(|run| run.fold).collect();
    let seeds: BTreeSet<u64> = row.members.iter().map(|run| run.seed).collect();
    let list = |values: Vec<String>| values.join(",");
    format!(
        "soft-moa sweep plan --profile {} --task {} --method {} --folds {} --seeds {} --out again\n\
         soft-moa sweep launch local --plan again\n\
         soft-moa sweep collect --plan again",
        shell_word(profile),
        shell_word(row.task),
        shell_word(row.method),
        list(folds.iter().map(ToString::to_string).collect()),
        list(seeds.iter().map(ToString::to_string).collect()),
    )
}

/// A word as a shell reads it back.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Where the runs were made, and when, as label and text.
pub fn provenance(runs: &[&RunRecord]) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |label: &str, text: String| lines.push((label.to_owned(), text));
    let backbones = distinct(runs, |run| &run.backbone);
    line("Backbone", backbones.join("; "));
    line("Sounds", distinct(runs, |run| &run.data_source).join("; "));
    for environment in environments(runs) {
        let e = environment;
        line("Machine", machine(&e));
        line("Program", format!("{}, libtorch {}", e.program, e.libtorch));
    }
    let started = runs.iter().map(|run| run.started_unix);
    if let (Some(first), Some(last)) = (started.clone().min(), started.max()) {
        let seconds: f64 = runs.iter().map(|run| run.seconds).sum();
        line(
            "Runs started",
            format!("{} to {} UTC", utc(first), utc(last)),
        );
        line(
            "Computing time",
            format!("{} in {}", duration(seconds), counted(runs.len(), "run")),
        );
    }
    lines
}

/// The distinct environments of the runs, in their order.
pub fn environments(runs: &[&RunRecord]) -> Vec<Environment> {
    let mut found: Vec<Environment> = Vec::new();
    for run in runs {
        if !found.contains(&run.environment) {
            found.push(run.environment.clone());
        }
    }
    found
}

fn machine(e: &Environment) -> String {
    let threads = counted(e.threads, "thread");
    format!("{}, {threads}, {}, {}", e.processor, e.device, e.system)
}

fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return super::format::ABSENT.to_owned();
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}
