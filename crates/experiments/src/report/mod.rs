//! Tables and plots from run records, as Markdown, HTML, JSON, CSV, SVG and PNG.
//!
//! [`write()`] turns the records of a benchmark into a folder:
//!
//! | file | content |
//! | --- | --- |
//! | `report.md` | the tables, with links to the plots |
//! | `report.html` | one self-contained page: tables to sort and filter, plots, configurations |
//! | `results.json` | context, environments, rows and every run, without the maps of single clips |
//! | `results.csv` | one line per run |
//! | `plots/*.svg`, `plots/*.png` | the plots, each readable on its own |
//!
//! The same records in any order give the same bytes. Each file appears
//! complete or not at all. The module does not know how a run is made: a
//! [`RunRecord`] is all it sees.

mod ablation;
mod clip_maps;
mod compare;
mod config;
mod confusion;
mod costs;
mod curves;
mod data;
mod dots;
mod draw;
mod escape;
mod expert_maps;
mod experts;
mod files;
mod format;
mod gallery;
mod markdown;
mod order;
mod page;
mod plots;
mod remarks;
mod scatter;
mod studies;
mod study;
mod summary;
mod tables;
mod terminal;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::record::RunRecord;
pub use files::ReportError;
use files::{make_folder, write_atomically};
use plots::{Plot, Plots, Styles};
use studies::StudyView;
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
    let documents = documents(context, runs)?;
    let plot_folder = folder.join("plots");
    make_folder(&plot_folder)?;
    let mut files = write_plots(&plot_folder, &documents.plots)?;
    for (name, content) in &documents.files {
        files.push(write_atomically(folder, name, content)?);
    }
    Ok(Written {
        summary: documents.summary,
        files,
    })
}

/// A report before it is written.
struct Documents {
    /// For the terminal.
    summary: String,
    /// Names and contents, the page last.
    files: [(&'static str, Vec<u8>); 4],
    /// The files of `plots/`.
    plots: Plots,
}

fn documents(context: &ReportContext, runs: &[RunRecord]) -> Result<Documents, ReportError> {
    let runs = summary::in_order(runs, &context.tasks);
    let tasks = summary::summarise(&runs, &context.tasks);
    let methods = data::methods(&runs);
    let styles = order::styles(methods.iter().map(String::as_str));
    let names = file_names(&tasks);
    let views = studies::views(&context.studies, &tasks);
    let plots = Plots::draw(&tasks, &views, &names, &styles);
    let report = Report {
        context,
        tasks: &tasks,
        runs: &runs,
        views: &views,
        plots: &plots,
        styles: &styles,
    };
    let files = [
        (
            "results.json",
            data::json(context, &tasks, &runs)?.into_bytes(),
        ),
        ("results.csv", data::csv(&runs)?),
        ("report.md", markdown::markdown(&report).into_bytes()),
        ("report.html", page::html(&report).into_bytes()),
    ];
    Ok(Documents {
        summary: terminal::terminal(context, &tasks, &runs),
        files,
        plots,
    })
}

/// What the documents are made of.
struct Report<'a> {
    context: &'a ReportContext,
    tasks: &'a [TaskSummary<'a>],
    runs: &'a [&'a RunRecord],
    views: &'a [Vec<StudyView<'a>>],
    plots: &'a Plots,
    styles: &'a Styles,
}

/// Every plot as SVG and as PNG, on as many threads as there are.
fn write_plots(folder: &Path, plots: &Plots) -> Result<Vec<PathBuf>, ReportError> {
    let plots: Vec<&Plot> = plots.all().collect();
    let write = |plot: &&Plot| {
        let svg = draw::svg::svg(&plot.drawing);
        let png = draw::raster::png(&plot.drawing)?;
        let (svg_name, png_name) = (format!("{}.svg", plot.file), format!("{}.png", plot.file));
        Ok([
            write_atomically(folder, &svg_name, svg.as_bytes())?,
            write_atomically(folder, &png_name, &png)?,
        ])
    };
    let written: Vec<[PathBuf; 2]> = plots
        .par_iter()
        .map(write)
        .collect::<Result<_, ReportError>>()?;
    Ok(written.into_iter().flatten().collect())
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
mod browser_tests;
#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod study_tests;
#[cfg(test)]
mod tests;
