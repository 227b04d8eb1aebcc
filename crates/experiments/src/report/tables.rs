//! The tables of a report as plain data, laid out once for Markdown, HTML and
//! the terminal.

use std::collections::BTreeSet;

use super::compare::Reading;
use super::format::{
    ABSENT, accuracy, axis_value, difference, memory, p_value, quantity, short_count, thousands,
};
use super::studies::{Point, StudyView};
use super::summary::{Row, TaskSummary};
use crate::statistics::Estimate;

/// A table.
#[derive(Debug)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// The cells, row by row.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its heading.
    pub name: String,
    /// Whether it holds numbers, which are aligned on the right.
    pub numeric: bool,
}

/// A cell.
#[derive(Debug, Default)]
pub struct Cell {
    /// What it shows.
    pub text: String,
    /// What it is sorted by, where that is a number.
    pub value: Option<f64>,
    /// The same rounded and with a unit, for figures long enough to need it.
    pub tooltip: String,
    /// The row of the report, for the cell that names it.
    pub row: Option<RowLink>,
    /// A difference to draw beside the text.
    pub difference: Option<Estimate>,
}

/// The row of the report that a line of a table is about.
#[derive(Debug, Clone)]
pub struct RowLink {
    /// Name of the task.
    pub task: String,
    /// Label of the runs.
    pub method: String,
    /// Where it stands.
    pub place: RowPlace,
}

/// Where a row stands: index of its task and index within the task.
pub type RowPlace = (usize, usize);

/// Columns by name, each with whether it is numeric.
pub fn columns(names: &[(&str, bool)]) -> Vec<Column> {
    names
        .iter()
        .map(|(name, numeric)| column(name, *numeric))
        .collect()
}

fn column(name: &str, numeric: bool) -> Column {
    Column {
        name: name.to_owned(),
        numeric,
    }
}

/// A cell of words.
pub fn text(text: &str) -> Cell {
    Cell {
        text: text.to_owned(),
        ..Cell::default()
    }
}

/// A cell of a number.
pub fn figure(text: String, value: f64) -> Cell {
    Cell {
        text,
        value: value.is_finite().then_some(value),
        ..Cell::default()
    }
}

/// A whole number with its rounded form.
pub fn count(n: u64) -> Cell {
    Cell {
        tooltip: short_count(n),
        ..figure(thousands(n), n as f64)
    }
}

/// Bytes with their rounded form.
pub fn size(bytes: u64) -> Cell {
    Cell {
        tooltip: super::format::bytes(bytes),
        ..figure(thousands(bytes), bytes as f64)
    }
}

/// The task of a row, sorted by its place.
pub fn task(row: &Row, place: RowPlace) -> Cell {
    Cell {
        value: Some(place.0 as f64),
        ..text(row.task)
    }
}

/// The name of a row.
pub fn method(row: &Row, text: &str, place: RowPlace) -> Cell {
    Cell {
        text: text.to_owned(),
        value: Some(place.1 as f64),
        row: Some(RowLink {
            task: row.task.to_owned(),
            method: row.method.to_owned(),
            place,
        }),
        ..Cell::default()
    }
}

/// A share with its interval, in percent.
pub fn score(estimate: &Estimate) -> Cell {
    figure(accuracy(estimate), estimate.mean)
}

/// Every row of every task with its cost.
pub fn overview(tasks: &[TaskSummary]) -> Table {
    let rows = || tasks.iter().flat_map(|task| &task.rows);
    let backbones: BTreeSet<&str> = rows().map(|row| row.backbone).collect();
    let sources: BTreeSet<&str> = rows().map(|row| row.data_source).collect();
    let mut columns = columns(&[
        ("task", false),
        ("method", false),
        ("trainable parameters", true),
        ("accuracy, %", true),
        ("training clips/s", true),
        ("s/epoch", true),
        ("peak memory", true),
        ("adapter bytes", true),
        ("authors' count", true),
        ("compat", false),
        ("precision", false),
        ("runs (folds × seeds)", true),
    ]);
    // What is the same everywhere is said once below the table.
    let shown = [
        ("backbone", backbones.len() > 1),
        ("sounds", sources.len() > 1),
    ];
    for (name, _) in shown.iter().filter(|(_, several)| *several) {
        columns.push(column(name, false));
    }
    let mut cells = Vec::new();
    for (t, task) in tasks.iter().enumerate() {
        for (r, row) in task.rows.iter().enumerate() {
            let mut line = overview_row(row, (t, r));
            if shown[0].1 {
                line.push(text(row.backbone));
            }
            if shown[1].1 {
                line.push(text(row.data_source));
            }
            cells.push(line);
        }
    }
    Table {
        columns,
        rows: cells,
    }
}

fn overview_row(row: &Row, place: RowPlace) -> Vec<Cell> {
    vec![
        task(row, place),
        method(row, row.method, place),
        count(row.trainable_parameters),
        score(&row.accuracy),
        figure(quantity(row.clips_per_second), row.clips_per_second),
        figure(quantity(row.seconds_per_epoch), row.seconds_per_epoch),
        figure(memory(row.peak_memory_bytes), row.peak_memory_bytes as f64),
        size(row.adapter_bytes),
        count(row.trainable_parameters_paper),
        text(row.compat),
        text(row.precision),
        figure(row.runs_text(), row.runs as f64),
    ]
}

/// The accuracies of one task on all its test parts, and each row against the
/// single adapter.
pub fn comparison(task: &TaskSummary, points: &[Point]) -> Table {
    let mut columns = columns(&[("method", false), ("accuracy, %", true)]);
    columns.extend(extra_columns(task));
    columns.extend(self::columns(&[
        ("macro F1, %", true),
        ("calibration error, %", true),
    ]));
    columns.extend(against_columns());
    let line = |point: &Point| {
        let row = point.row;
        let mut cells = vec![method(row, &row.label, point.place), score(&row.accuracy)];
        cells.extend(extras(task, row));
        cells.extend([score(&row.macro_f1), score(&row.calibration_error)]);
        cells.extend(against_adapter(point));
        cells
    };
    Table {
        columns,
        rows: points.iter().map(line).collect(),
    }
}

/// The rows of a study on one task, with their place on its axis and their
/// cost.
pub fn study(view: &StudyView, task: &TaskSummary) -> Table {
    let mut columns = Vec::new();
    if let Some(axis) = &view.study.axis {
        columns.push(column(axis, true));
    }
    columns.extend(self::columns(&[("method", false), ("accuracy, %", true)]));
    columns.extend(extra_columns(task));
    columns.extend(against_columns());
    columns.extend(self::columns(&[
        ("trainable parameters", true),
        ("s/step", true),
    ]));
    let line = |point: &Point| {
        let row = point.row;
        let mut cells = Vec::new();
        if view.study.axis.is_some() {
            let absent = || text(ABSENT);
            cells.push(point.x.map_or_else(absent, |x| figure(axis_value(x), x)));
        }
        cells.extend([method(row, &row.label, point.place), score(&row.accuracy)]);
        cells.extend(extras(task, row));
        cells.extend(against_adapter(point));
        cells.extend([
            count(row.trainable_parameters),
            figure(quantity(row.seconds_per_step), row.seconds_per_step),
        ]);
        cells
    };
    Table {
        columns,
        rows: view.points.iter().map(line).collect(),
    }
}

fn extra_columns(task: &TaskSummary) -> Vec<Column> {
    let names = task.extra_tests.iter();
    names
        .map(|name| column(&format!("{name}, %"), true))
        .collect()
}

fn extras(task: &TaskSummary, row: &Row) -> Vec<Cell> {
    let names = task.extra_tests.iter();
    names
        .map(|name| row.extra(name).map_or_else(|| text(ABSENT), score))
        .collect()
}

fn against_columns() -> Vec<Column> {
    columns(&[
        ("against adapter, points", true),
        ("p", true),
        ("p, Holm", true),
        ("pairs", true),
        ("reading", false),
    ])
}

fn against_adapter(point: &Point) -> Vec<Cell> {
    let reading = point.row.reading_with(point.p_holm);
    let order = match reading {
        Reading::Higher => 0.0,
        Reading::WithinNoise => 1.0,
        Reading::Lower => 2.0,
        _ => 3.0,
    };
    let reading = Cell {
        value: Some(order),
        ..text(reading.words())
    };
    let Some(test) = point.row.against_adapter else {
        let absent = std::iter::repeat_with(|| text(ABSENT)).take(4);
        return absent.chain([reading]).collect();
    };
    vec![
        Cell {
            difference: Some(test.difference).filter(|d| d.mean.is_finite()),
            ..figure(difference(&test.difference), test.difference.mean)
        },
        figure(p_value(test.p), test.p.unwrap_or(f64::NAN)),
        figure(p_value(point.p_holm), point.p_holm.unwrap_or(f64::NAN)),
        figure(test.difference.n.to_string(), test.difference.n as f64),
        reading,
    ]
}
