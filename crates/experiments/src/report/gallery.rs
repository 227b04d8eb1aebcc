//! Plots of single rows, of which the page shows one at a time.

use std::collections::BTreeSet;

use super::clip_maps;
use super::confusion::{Confusion, confusion};
use super::draw::Drawing;
use super::escape::slug;
use super::expert_maps;
use super::experts::ExpertSummary;
use super::format;
use super::plots::Plot;
use super::summary::{Row, TaskSummary};
use super::task_title;

/// A plot of a single row.
#[derive(Debug)]
pub struct RowPlot {
    /// Its label within the task.
    pub label: String,
    /// Label of its runs.
    pub method: String,
    /// The plot.
    pub plot: Plot,
}

/// Plots of one kind, one for each row that has what they show.
#[derive(Debug)]
pub struct Gallery {
    /// Short name, for links.
    pub name: &'static str,
    /// Heading.
    pub title: &'static str,
    /// The plots.
    pub rows: Vec<RowPlot>,
}

/// The galleries of a task; `name` begins the file names.
pub fn galleries(task: &TaskSummary, name: &str) -> Vec<Gallery> {
    let title = task_title(task);
    let mut kinds = [
        ("confusion", "Confusion matrices", Vec::new()),
        ("experts", "Expert use by layer", Vec::new()),
        ("classes", "Expert use by class", Vec::new()),
        ("clips", "Expert use over frequency and time", Vec::new()),
    ];
    let mut taken = BTreeSet::new();
    for row in &task.rows {
        let slug = distinct(&slug(&row.label), &mut taken);
        for (kind, drawn) in kinds.iter_mut().zip(row_plots(row, title)) {
            kind.2.extend(drawn.map(|(caption, drawing)| RowPlot {
                label: row.label.clone(),
                method: row.method.to_owned(),
                plot: Plot {
                    file: format!("{name}-{}-{slug}", kind.0),
                    caption,
                    wide: kind.0 != "confusion",
                    drawing,
                },
            }));
        }
    }
    let gallery = |(name, title, rows)| Gallery { name, title, rows };
    let galleries = kinds.into_iter().map(gallery);
    galleries
        .filter(|gallery| !gallery.rows.is_empty())
        .collect()
}

/// Captions and drawings of a row: confusion, experts by layer, by class, over
/// clips.
fn row_plots(row: &Row, title: &str) -> [Option<(String, Drawing)>; 4] {
    let matrix = Confusion::of(row).map(|matrix| {
        let runs = format::counted(matrix.runs, "run");
        let caption = format!(
            "Test clips of {runs}, in percent of their true class. {}",
            matrix.in_words()
        );
        (caption, confusion(&matrix, title, &row.label))
    });
    let Some(used) = ExpertSummary::of(row) else {
        return [matrix, None, None, None];
    };
    let one = format!("fold {}, seed {}", used.run.fold, used.run.seed);
    let layers = (
        format!(
            "Shares of the experts over the test part of one run ({one}; experts of different \
             runs have nothing in common); entropy and imbalance are means over the runs with \
             their 95 % interval."
        ),
        expert_maps::layers(&used, title, &row.label),
    );
    let classes = expert_maps::classes(&used, title, &row.label).map(|drawing| {
        let caption = format!("Shares of the experts among the test clips of each class ({one}).");
        (caption, drawing)
    });
    let clips = clip_maps::clips(&used, title, &row.label).map(|drawing| {
        let caption = format!(
            "Share of each expert in the output of every patch of a few test clips ({one}): time \
             from left to right, frequency upwards. Colours span the range that stands at the \
             right; of many layers a few are shown."
        );
        (caption, drawing)
    });
    [matrix, Some(layers), classes, clips]
}

/// `slug`, with a number where it is taken already.
fn distinct(slug: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|i| format!("{slug}-{i}"));
    let mut names = std::iter::once(slug.to_owned()).chain(numbered);
    let name = names.find(|name| !taken.contains(name));
    let name = name.unwrap_or_else(|| slug.to_owned());
    taken.insert(name.clone());
    name
}
