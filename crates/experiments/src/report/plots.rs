//! The plots of a report, and what they share.

use std::collections::BTreeMap;

use super::ablation::ablation;
use super::curves::curves;
use super::dots::dots;
use super::draw::axis::Scale;
use super::draw::{Drawing, Ink};
use super::escape::slug;
use super::format::{self, percent};
use super::gallery::{Gallery, galleries};
use super::order::Style;
use super::scatter::{Cost, scatter};
use super::studies::{self, StudyView};
use super::summary::{Row, TaskSummary};
use super::task_title;

/// Styles of the methods of the whole report.
pub type Styles = BTreeMap<String, Style>;

/// Caption of the rows as dots.
const DOTS: &str = "Test accuracy by method: mean with its 95 % interval, and each run as a small \
                    dot. The dashed line is the share of the largest class.";

/// Caption of the training curves.
const TRAINING: &str = "Validation accuracy by epoch: the mean over the runs as a thick line, \
                        each run as a thin one with a dot at the epoch whose weights were \
                        tested; the other methods in grey.";

/// The same where only some rows are drawn.
const TRAINING_SOME: &str = "Validation accuracy by epoch, for the rows of the first table on \
                             this task: the mean over the runs as a thick line, each run as a \
                             thin one with a dot at the epoch whose weights were tested; the \
                             other methods in grey.";

/// A finished plot.
#[derive(Debug)]
pub struct Plot {
    /// File name without folder and ending.
    pub file: String,
    /// What it shows, as a caption.
    pub caption: String,
    /// Whether it needs the full width of the page.
    pub wide: bool,
    /// The drawing.
    pub drawing: Drawing,
}

/// Width of the plots that stand side by side.
pub const WIDTH: f64 = 560.0;

/// The plots of a task.
#[derive(Debug)]
pub struct TaskPlots {
    /// Over several rows.
    pub over_rows: Vec<Plot>,
    /// Of single rows.
    pub galleries: Vec<Gallery>,
}

/// All plots of a report.
#[derive(Debug)]
pub struct Plots {
    /// `tasks[i]` are those of task i.
    pub tasks: Vec<TaskPlots>,
    /// `studies[i][j]` is that of study i on the j-th of its tasks.
    pub studies: Vec<Vec<Option<Plot>>>,
}

impl Plots {
    /// Draws everything; `names[i]` begins the file names of task i.
    pub fn draw(
        tasks: &[TaskSummary],
        views: &[Vec<StudyView>],
        names: &[String],
        styles: &Styles,
    ) -> Self {
        let of_task = |(i, task): (usize, &TaskSummary)| {
            let (rows, in_study) = studies::main_rows(views, task, i);
            TaskPlots {
                over_rows: over_rows(task, (&rows, in_study), &names[i], styles),
                galleries: galleries(task, &names[i]),
            }
        };
        let of_view =
            |view: &StudyView| study_plot(view, &tasks[view.task], &names[view.task], styles);
        Self {
            tasks: tasks.iter().enumerate().map(of_task).collect(),
            studies: views
                .iter()
                .map(|views| views.iter().map(of_view).collect())
                .collect(),
        }
    }

    /// Every plot, in the order of the report.
    pub fn all(&self) -> impl Iterator<Item = &Plot> {
        let studies = self.studies.iter().flatten().flatten();
        let tasks = self.tasks.iter().flat_map(|task| {
            let rows = task.galleries.iter().flat_map(|gallery| &gallery.rows);
            task.over_rows.iter().chain(rows.map(|row| &row.plot))
        });
        studies.chain(tasks)
    }
}

/// The plots over the rows of a task. Accuracy against cost shows all rows, the
/// others `rows`.
fn over_rows(
    task: &TaskSummary,
    (rows, in_study): (&[&Row], bool),
    name: &str,
    styles: &Styles,
) -> Vec<Plot> {
    let title = task_title(task);
    let all: Vec<&Row> = task.rows.iter().collect();
    let plot = |ending: &str, caption: &str, wide: bool, drawing: Option<Drawing>| {
        Some(Plot {
            file: format!("{name}-{ending}"),
            caption: caption.to_owned(),
            wide,
            drawing: drawing?,
        })
    };
    // A table among the studies has this plot in its own section.
    [
        plot(
            "accuracy",
            DOTS,
            false,
            (!in_study)
                .then(|| dots(task, rows, (title, ""), styles))
                .flatten(),
        ),
        plot(
            "accuracy-parameters",
            "Test accuracy against trainable parameters, head and final LayerNorm included. The \
             stepped line is the Pareto front: the best mean that so many parameters bought here. \
             Its steps may lie within the noise; an arrow marks an interval that goes on beyond \
             the plot.",
            false,
            scatter(&all, Cost::Parameters, title, styles),
        ),
        plot(
            "accuracy-seconds",
            "Test accuracy against the seconds a run trained (median over the runs, validation \
             left out), with its Pareto front.",
            false,
            scatter(&all, Cost::Seconds, title, styles),
        ),
        plot(
            "training",
            if in_study { TRAINING_SOME } else { TRAINING },
            true,
            curves(rows, title, styles),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The curve of a study, or its rows as dots where it has no axis.
fn study_plot(view: &StudyView, task: &TaskSummary, name: &str, styles: &Styles) -> Option<Plot> {
    let title = &view.study.title;
    let (caption, drawing) = match &view.study.axis {
        Some(_) => (
            "Mean test accuracy with its 95 % interval. A dashed line is a row without a place \
             on the axis.",
            ablation(view, title, task_title(task))?,
        ),
        None => {
            let rows: Vec<&Row> = view.points.iter().map(|point| point.row).collect();
            (DOTS, dots(task, &rows, (title, task_title(task)), styles)?)
        }
    };
    Some(Plot {
        file: format!("{name}-study-{}", slug(&view.study.name)),
        caption: caption.to_owned(),
        wide: false,
        drawing,
    })
}

/// A row in words, for the pointer.
pub fn tooltip(row: &Row) -> String {
    format!(
        "{}: {}, {} trainable parameters",
        row.label,
        format::accuracy_in_words(&row.accuracy),
        format::thousands(row.trainable_parameters)
    )
}

/// Which way an interval is drawn: upwards at a place on the x axis, or along
/// it at a height.
#[derive(Debug, Clone, Copy)]
pub enum Direction {
    /// At this x, along this scale of y.
    Up(f64, Scale),
    /// At this y, along this scale of x.
    Along(f64, Scale),
}

/// An interval with end caps; an end outside the plot gets an arrow instead.
pub fn interval(
    drawing: &mut Drawing,
    direction: Direction,
    (low, high): (f64, f64),
    style: Style,
) {
    let (Direction::Up(_, scale) | Direction::Along(_, scale)) = direction;
    let at = |along: f64, side: f64| match direction {
        Direction::Up(x, _) => (x + side, along),
        Direction::Along(y, _) => (along, y + side),
    };
    let ink = Ink::Method(style);
    let (from, from_cut) = scale.clamped(low);
    let (to, to_cut) = scale.clamped(high);
    drawing.line(at(from, 0.0), at(to, 0.0), ink, 2.0);
    let inwards = (to - from).signum();
    for (end, cut, back) in [(from, from_cut, inwards), (to, to_cut, -inwards)] {
        let reach = if cut { 6.0 * back } else { 0.0 };
        let points = [at(end + reach, -4.0), at(end, 0.0), at(end + reach, 4.0)];
        drawing.polyline(&points, ink, 2.0, 1.0);
    }
}

/// One of the `ticks` of an axis of shares as percent, with a decimal where they
/// are close.
pub fn tick_percent(ticks: &[f64], tick: f64) -> String {
    let fine = ticks.len() > 1 && ticks[1] - ticks[0] < 0.0099;
    if fine {
        percent(tick)
    } else {
        format!("{:.0}", tick * 100.0)
    }
}
