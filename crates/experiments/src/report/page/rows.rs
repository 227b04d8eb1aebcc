//! What a row was configured with, how it is made again, and its single runs.

use super::table::inner;
use super::{command, list};
use crate::record::RunRecord;
use crate::report::escape::escape_html as escape;
use crate::report::format::{accuracy_in_words, counted, percent, quantity, utc};
use crate::report::summary::{Row, TaskSummary};
use crate::report::tables::RowPlace;
use crate::report::{Report, draw, remarks};

/// A row to be opened, with the id that the tables link to.
pub fn configuration(report: &Report, row: &Row, place: RowPlace, task: &TaskSummary) -> String {
    let id = format!("row-{}-{}", place.0, place.1);
    let swatch = draw::marks::swatch(report.styles[row.method]);
    let common = serde_json::to_string_pretty(&row.configuration.common).unwrap_or_default();
    let varying: Vec<String> = row
        .configuration
        .varying
        .iter()
        .map(|(path, values)| {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            format!("{path}: {}", values.join(", "))
        })
        .collect();
    let varying = if varying.is_empty() {
        String::new()
    } else {
        format!(
            "<p class=\"label\">Differs between the runs</p>{}",
            list(&varying)
        )
    };
    format!(
        "<details class=\"config\" data-task=\"{}\" data-method=\"{}\"><summary>{swatch}{} \
         <span class=\"soft\">{}{}</span></summary>\n\
         <div id=\"{id}\"><p class=\"label\">This row again, in a folder of its own (a profile of \
         your own is named with --profile-file)</p>{}\
         <p class=\"label\">Runs</p>{}\
         <p class=\"label\">Same in all runs</p><pre><code>{}</code></pre>{varying}</div></details>\n",
        escape(row.task),
        escape(row.method),
        escape(&row.label),
        accuracy_in_words(&row.accuracy),
        match row.runs {
            // The figure says so already.
            1 => String::new(),
            runs => format!(", {}", counted(runs, "run")),
        },
        command(&remarks::again(row, &report.context.profile)),
        runs_table(row, task),
        escape(&common)
    )
}

fn runs_table(row: &Row, task: &TaskSummary) -> String {
    let mut head: Vec<String> = ["fold", "seed", "accuracy, %"].map(str::to_owned).to_vec();
    head.extend(task.extra_tests.iter().map(|name| format!("{name}, %")));
    let last = [
        "epoch tested",
        "clips/s",
        "seconds",
        "clips (train, validation, test)",
        "started (UTC)",
        "run",
    ];
    head.extend(last.map(str::to_owned));
    let head: Vec<(String, bool)> = head
        .into_iter()
        .map(|name| {
            (
                name.clone(),
                !matches!(name.as_str(), "started (UTC)" | "run"),
            )
        })
        .collect();
    let lines: Vec<Vec<String>> = row.members.iter().map(|run| line(run, task)).collect();
    inner(&head, &lines)
}

fn line(run: &RunRecord, task: &TaskSummary) -> Vec<String> {
    let mut cells = vec![
        run.fold.to_string(),
        run.seed.to_string(),
        percent(run.test_accuracy),
    ];
    for name in &task.extra_tests {
        let found = run.extra_tests.iter().find(|extra| extra.name == *name);
        cells.push(found.map_or_else(String::new, |extra| percent(extra.accuracy)));
    }
    let clips = run.clips;
    cells.extend([
        format!("{} of {}", run.selected_epoch + 1, run.epochs.len()),
        quantity(run.train_clips_per_second),
        quantity(run.seconds),
        format!("{}, {}, {}", clips.train, clips.validation, clips.test),
        utc(run.started_unix),
        run.id.clone(),
    ]);
    cells
}
