//! The studies of a report on its tasks: which rows they show, with p-values
//! corrected for the comparisons of that one table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::BASELINE;
use super::config::Configuration;
use super::study::Study;
use super::summary::{Row, TaskSummary};
use super::tables::RowPlace;
use crate::statistics;

/// A row as it stands in a table.
#[derive(Debug, Clone, Copy)]
pub struct Point<'a> {
    /// Where it stands in the report.
    pub place: RowPlace,
    /// The row.
    pub row: &'a Row<'a>,
    /// Place on the axis of the study.
    pub x: Option<f64>,
    /// Curve of the study.
    pub series: Option<&'a str>,
    /// The p-value against the adapter, corrected for the number of comparisons
    /// of the table.
    pub p_holm: Option<f64>,
}

/// A study on one task.
#[derive(Debug)]
pub struct StudyView<'a> {
    /// The study.
    pub study: &'a Study,
    /// Index of the task.
    pub task: usize,
    /// Its rows, in the study's order.
    pub points: Vec<Point<'a>>,
    /// Labels of its rows that have no run on the task.
    pub without_runs: Vec<&'a str>,
}

/// All rows of a task as a table of its own.
pub fn of_task<'a>(task: &'a TaskSummary<'a>, index: usize) -> Vec<Point<'a>> {
    let point = |(r, row): (usize, &'a Row<'a>)| Point {
        place: (index, r),
        row,
        x: None,
        series: None,
        p_holm: row.p_holm,
    };
    task.rows.iter().enumerate().map(point).collect()
}

/// Each study on each of its tasks that has runs, `views[i]` for `studies[i]`.
pub fn views<'a>(studies: &'a [Study], tasks: &'a [TaskSummary<'a>]) -> Vec<Vec<StudyView<'a>>> {
    let of_study = |study: &'a Study| {
        let tasks = tasks.iter().enumerate();
        let covered =
            tasks.filter(|(_, t)| study.tasks.is_empty() || study.tasks.contains(&t.task));
        let views = covered.map(|(index, task)| view(study, task, index));
        views.filter(|view| !view.points.is_empty()).collect()
    };
    studies.iter().map(of_study).collect()
}

fn view<'a>(study: &'a Study, task: &'a TaskSummary<'a>, index: usize) -> StudyView<'a> {
    let mut points = Vec::new();
    let mut without_runs = Vec::new();
    for wanted in &study.rows {
        let found: Vec<Point> = of_task(task, index)
            .into_iter()
            .filter(|point| point.row.method == wanted.label)
            .map(|point| Point {
                x: wanted.x.filter(|x| x.is_finite()),
                series: wanted.series.as_deref(),
                p_holm: None,
                ..point
            })
            .collect();
        if found.is_empty() {
            without_runs.push(wanted.label.as_str());
        }
        points.extend(found);
    }
    correct(&mut points);
    StudyView {
        study,
        task: index,
        points,
        without_runs,
    }
}

/// Holm's correction among the comparisons of these rows, each row once.
fn correct(points: &mut [Point]) {
    let p = |point: &Point| point.row.against_adapter.and_then(|test| test.p);
    let mut places = BTreeSet::new();
    let mut tested: Vec<(RowPlace, f64)> = Vec::new();
    for point in points.iter() {
        if let Some(p) = p(point)
            && places.insert(point.place)
        {
            tested.push((point.place, p));
        }
    }
    let raw: Vec<f64> = tested.iter().map(|(_, p)| *p).collect();
    for ((place, _), corrected) in tested.iter().zip(statistics::holm(&raw)) {
        for point in points.iter_mut().filter(|point| point.place == *place) {
            point.p_holm = Some(corrected);
        }
    }
}

impl StudyView<'_> {
    /// Dotted paths of the settings in which the rows of a curve (of the table,
    /// where there are none) differ. The reference is left out where there are
    /// others, as are label, fold and seeds; where the method differs, what it
    /// consists of goes without saying.
    pub fn varied(&self) -> Vec<String> {
        let mut curves: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        let others = |p: &&Point| p.row.method != BASELINE || p.x.is_some();
        for point in self.points.iter().filter(others) {
            let curve = curves.entry(point.series.unwrap_or("")).or_default();
            curve.push(&point.row.configuration.common);
        }
        let mut varied = BTreeSet::new();
        for configs in curves.values() {
            let configuration = Configuration::of(configs);
            let paths: Vec<&str> = configuration.unexpected().collect();
            let methods = paths.contains(&METHOD);
            for path in paths.iter().filter(|path| **path != "label") {
                let path = match methods && path.starts_with("method.") {
                    true => "method",
                    false => path,
                };
                varied.insert(path.to_owned());
            }
        }
        varied.into_iter().collect()
    }
}

/// Where a configuration names its method.
const METHOD: &str = "method.method";

/// The rows of a task that its own plots show: those of the first study without
/// an axis, or all; and whether it was a study.
pub fn main_rows<'a>(
    views: &[Vec<StudyView<'a>>],
    task: &'a TaskSummary<'a>,
    index: usize,
) -> (Vec<&'a Row<'a>>, bool) {
    let tables = views.iter().flatten();
    let mut tables = tables.filter(|view| view.study.axis.is_none() && view.task == index);
    match tables.next() {
        None => (task.rows.iter().collect(), false),
        Some(view) => {
            let chosen: BTreeSet<RowPlace> = view.points.iter().map(|p| p.place).collect();
            let rows = task.rows.iter().enumerate();
            let rows = rows.filter(|(r, _)| chosen.contains(&(index, *r)));
            (rows.map(|(_, row)| row).collect(), true)
        }
    }
}
