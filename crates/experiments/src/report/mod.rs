//! Tables and plots from run records, as Markdown, HTML, JSON, CSV and SVG.
//!
//! [`write()`] turns the records of a benchmark into a folder:
//!
//! | file | content |
//! | --- | --- |
//! | `report.md` | the tables, with links to the plots |
//! | `report.html` | one self-contained page: sortable tables, plots, configurations |
//! | `results.json` | context, environments, rows and every run |
//! | `results.csv` | one line per run |
//! | `plots/*.svg` | the plots, each readable on its own |
//!
//! The same records in any order give the same bytes. Each file appears
//! complete or not at all. The module does not know how a run is made: a
//! [`RunRecord`] is all it sees.

mod axis;
mod compare;
mod config;
mod curves;
mod data;
mod dots;
mod escape;
mod files;
mod format;
mod html;
mod html_table;
mod labels;
mod markdown;
mod marks;
mod order;
mod plots;
mod remarks;
mod scatter;
mod study;
mod summary;
mod svg;
mod tables;
mod terminal;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::record::RunRecord;
pub use files::ReportError;
use files::{make_folder, write_atomically};
pub use study::{Published, Study, StudyRow};
use summary::TaskSummary;

/// What a report says beside the runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportContext {
    /// Profile of the benchmark, for example `quick`.
    pub profile: String,
    /// The command that makes this report again.
    pub command: String,
    /// Heading of the report.
    pub title: String,
    /// Paragraphs below the heading.
    pub notes: Vec<String>,
    /// What is known about the tasks, in display order.
    pub tasks: Vec<TaskNote>,
    /// What could not run, why, and how to get it.
    pub missing: Vec<String>,
    /// The tables and curves to show, in order.
    #[serde(default)]
    pub studies: Vec<Study>,
    /// Figures that papers print, to be shown beside ours.
    #[serde(default)]
    pub published: Vec<Published>,
}

/// What a reader should know about a task; empty texts are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskNote {
    /// Name, as in [`RunRecord::task`].
    pub name: String,
    /// Heading.
    pub title: String,
    /// Licence of the recordings.
    pub licence: String,
    /// Where they come from.
    pub source: String,
    /// What the numbers do not show.
    pub caveat: String,
}

/// A report on disk.
#[derive(Debug)]
pub struct Written {
    /// The table for the terminal, with a line break at its end.
    pub summary: String,
    /// Every file written.
    pub files: Vec<PathBuf>,
}

/// Writes the report on `runs` into `folder`, which is made if needed.
///
/// Of several records with the same id only the one started last counts. No
/// runs at all give a report that says so.
///
/// # Errors
/// [`ReportError`] naming the folder or file that could not be written.
pub fn write(
    folder: &Path,
    context: &ReportContext,
    runs: &[RunRecord],
) -> Result<Written, ReportError> {
    let runs = summary::in_order(runs, &context.tasks);
    let tasks = summary::summarise(&runs, &context.tasks);
    let methods = data::methods(&runs);
    let styles = order::styles(methods.iter().map(String::as_str));
    let names = file_names(&tasks);
    let plots: Vec<Vec<plots::Plot>> = tasks
        .iter()
        .zip(&names)
        .map(|(task, name)| plots::plots(task, name, task_title(task), &styles))
        .collect();

    let plot_folder = folder.join("plots");
    make_folder(&plot_folder)?;
    let json = data::json(context, &tasks, &runs)?;
    let markdown = markdown::markdown(context, &tasks, &runs, &plots)?;
    let html = html::html(context, &tasks, &runs, &plots, &styles);
    let mut files = vec![
        write_atomically(folder, "results.json", json.as_bytes())?,
        write_atomically(folder, "results.csv", &data::csv(&runs)?)?,
    ];
    for plot in plots.iter().flatten() {
        let bytes = plot.svg.as_bytes();
        files.push(write_atomically(&plot_folder, &plot.file, bytes)?);
    }
    files.push(write_atomically(folder, "report.md", markdown.as_bytes())?);
    files.push(write_atomically(folder, "report.html", html.as_bytes())?);
    Ok(Written {
        summary: terminal::terminal(context, &tasks, &runs),
        files,
    })
}

/// Heading of a task: the title of its note, or its name.
fn task_title<'a>(task: &'a TaskSummary) -> &'a str {
    match task.note {
        Some(note) if !note.title.is_empty() => &note.title,
        _ => &task.task,
    }
}

/// A distinct file name for each task.
fn file_names(tasks: &[TaskSummary]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |task: &TaskSummary| {
        let slug = escape::slug(&task.task);
        let numbered = (2..).map(|i| format!("{slug}-{i}"));
        let mut names = std::iter::once(slug.clone()).chain(numbered);
        let name = names.find(|name| !taken.contains(name)).unwrap_or(slug);
        taken.insert(name.clone());
        name
    };
    tasks.iter().map(name).collect()
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
