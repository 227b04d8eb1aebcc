//! The tables of cost, of expert use, and of published figures.

use super::ReportContext;
use super::experts::ExpertSummary;
use super::format::{ABSENT, difference, memory, operations, percent, quantity, three_digits};
use super::study::Published;
use super::summary::{Row, TaskSummary};
use super::tables::{
    Cell, RowPlace, Table, columns, count, figure, method, score, size, task, text,
};
use crate::statistics::Estimate;

fn rows<'a>(
    tasks: &'a [TaskSummary<'a>],
) -> impl Iterator<Item = (RowPlace, &'a TaskSummary<'a>, &'a Row<'a>)> {
    tasks.iter().enumerate().flat_map(|(t, task)| {
        let rows = task.rows.iter().enumerate();
        rows.map(move |(r, row)| ((t, r), task, row))
    })
}

/// What every row costs to compute, to train and to keep.
pub fn cost(tasks: &[TaskSummary]) -> Table {
    let line = |(place, _, row): (RowPlace, &TaskSummary, &Row)| {
        let adds = row.multiply_adds;
        let share = adds.method as f64 / adds.backbone as f64;
        vec![
            task(row, place),
            method(row, &row.label, place),
            count(row.trainable_parameters),
            count(row.trainable_parameters_paper),
            adds_cell(Some(adds.backbone)),
            adds_cell(Some(adds.method)),
            figure(percent_fine(share), share),
            adds_cell(adds.method_stacked),
            figure(quantity(row.seconds_per_step), row.seconds_per_step),
            figure(quantity(row.training_seconds), row.training_seconds),
            figure(memory(row.peak_memory_bytes), row.peak_memory_bytes as f64),
            size(row.adapter_bytes),
        ]
    };
    Table {
        columns: columns(&[
            ("task", false),
            ("method", false),
            ("trainable parameters", true),
            ("authors' count", true),
            ("backbone, multiply-adds", true),
            ("method, multiply-adds", true),
            ("method, % of backbone", true),
            ("method if stacked", true),
            ("s/step", true),
            ("training, s", true),
            ("peak memory", true),
            ("adapter bytes", true),
        ]),
        rows: rows(tasks).map(line).collect(),
    }
}

fn adds_cell(adds: Option<u64>) -> Cell {
    match adds {
        None => text(ABSENT),
        Some(adds) => Cell {
            tooltip: super::format::thousands(adds),
            ..figure(operations(adds), adds as f64)
        },
    }
}

fn percent_fine(share: f64) -> String {
    match share.is_finite() {
        true => three_digits(share * 100.0),
        false => ABSENT.to_owned(),
    }
}

/// How evenly the experts of every mixture were used; `None` without mixtures.
pub fn expert_use(tasks: &[TaskSummary]) -> Option<Table> {
    let line = |(place, _, row): (RowPlace, &TaskSummary, &Row)| {
        let used = ExpertSummary::of(row)?;
        let entropy = used.mean(|layer| layer.entropy.mean);
        let max_over_mean = used.mean(|layer| layer.max_over_mean.mean);
        let variation = used.mean(|layer| layer.variation.mean);
        let dropped = used.mean(|layer| layer.dropped.map_or(f64::NAN, |d| d.mean));
        let lowest = used.most_uneven();
        Some(vec![
            task(row, place),
            method(row, &row.label, place),
            figure(used.experts().to_string(), used.experts() as f64),
            figure(used.layers.len().to_string(), used.layers.len() as f64),
            figure(fraction(entropy), entropy),
            figure(
                lowest.map_or_else(|| ABSENT.to_owned(), |l| fraction(l.entropy.mean)),
                lowest.map_or(f64::NAN, |l| l.entropy.mean),
            ),
            text(lowest.map_or(ABSENT, |layer| &layer.name)),
            figure(quantity(max_over_mean), max_over_mean),
            figure(fraction(variation), variation),
            figure(percent(dropped), dropped),
        ])
    };
    let lines: Vec<Vec<Cell>> = rows(tasks).filter_map(line).collect();
    (!lines.is_empty()).then(|| Table {
        columns: columns(&[
            ("task", false),
            ("method", false),
            ("experts", true),
            ("mixtures", true),
            ("entropy", true),
            ("lowest entropy", true),
            ("in", false),
            ("largest / mean", true),
            ("variation", true),
            ("left out, %", true),
        ]),
        rows: lines,
    })
}

fn fraction(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value:.3}"),
        false => ABSENT.to_owned(),
    }
}

/// Our rows beside the figures that papers print; `None` where there are none.
pub fn published(context: &ReportContext, tasks: &[TaskSummary]) -> Option<Table> {
    let lines: Vec<Vec<Cell>> = rows(tasks)
        .flat_map(|(place, _, row)| {
            let of_row = context.published.iter();
            let of_row = of_row.filter(move |p| p.task == row.task && p.label == row.method);
            of_row.map(move |figure| published_line(place, row, figure))
        })
        .collect();
    (!lines.is_empty()).then(|| Table {
        columns: columns(&[
            ("task", false),
            ("method", false),
            ("ours, %", true),
            ("published, %", true),
            ("ours − published, points", true),
            ("reading", false),
            ("source", false),
            ("what differs", false),
        ]),
        rows: lines,
    })
}

fn published_line(place: RowPlace, row: &Row, published: &Published) -> Vec<Cell> {
    let theirs = published.accuracy / 100.0;
    let ahead = Estimate {
        mean: row.accuracy.mean - theirs,
        ..row.accuracy
    };
    vec![
        task(row, place),
        method(row, &row.label, place),
        score(&row.accuracy),
        figure(accuracy_printed(published.accuracy), theirs),
        Cell {
            difference: Some(ahead).filter(|d| d.mean.is_finite()),
            ..figure(difference(&ahead), ahead.mean)
        },
        text(beside(&ahead)),
        text(&published.source),
        text(&published.setting),
    ]
}

/// As the paper prints it: two decimals at most.
fn accuracy_printed(percent: f64) -> String {
    match percent.is_finite() {
        true => format!("{percent:.2}"),
        false => ABSENT.to_owned(),
    }
}

fn beside(difference: &Estimate) -> &'static str {
    let (low, high) = difference.ends();
    match difference.half_width {
        None => "one run, no interval",
        Some(_) if low <= 0.0 && high >= 0.0 => "inside our interval",
        Some(_) if low > 0.0 => "ours is higher",
        Some(_) => "ours is lower",
    }
}

/// What is to be said about rows without a published figure.
pub fn unpublished(context: &ReportContext, tasks: &[TaskSummary]) -> Option<String> {
    let known = |row: &Row| {
        let mut figures = context.published.iter();
        figures.any(|p| p.task == row.task && p.label == row.method)
    };
    let all = rows(tasks).count();
    let without = rows(tasks).filter(|(_, _, row)| !known(row)).count();
    match (all, without) {
        (0, _) | (_, 0) => None,
        (all, without) if all == without => Some(
            "No published figure is set beside these rows: none is known for these tasks, this \
             backbone and these settings, and none is made up."
                .to_owned(),
        ),
        (all, without) => Some(format!(
            "For {without} of {all} rows no published figure is known; none is made up."
        )),
    }
}
