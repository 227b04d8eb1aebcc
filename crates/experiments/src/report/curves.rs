//! Validation accuracy over the epochs: one small panel per method, all on the
//! same axes, with the other methods in grey behind it.

use super::draw::axis::{Scale, accuracy_range};
use super::draw::{Anchor, Drawing, Ink, fitted};
use super::plots::{Styles, tick_percent};
use super::summary::Row;
use crate::record::RunRecord;
use crate::statistics;

const WIDTH: f64 = 960.0;
const COLUMNS: usize = 4;
const PANEL_HEIGHT: f64 = 172.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 66.0;

/// The drawing; `None` when no run has an epoch.
pub fn curves(rows: &[&Row], title: &str, styles: &Styles) -> Option<Drawing> {
    let means: Vec<Vec<(f64, f64)>> = rows.iter().map(|row| mean_curve(row)).collect();
    let epochs = means.iter().flatten().map(|(x, _)| *x).fold(0.0, f64::max);
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|row| &row.members)
        .flat_map(|run| curve(run))
        .map(|(_, value)| value)
        .collect();
    if values.is_empty() {
        return None;
    }
    let range = accuracy_range(&[], &values);
    let columns = COLUMNS.min(rows.len());
    let lines = rows.len().div_ceil(columns);
    let width = (WIDTH - LEFT - 14.0) / COLUMNS as f64;
    let total_width = (LEFT + 14.0 + width * columns as f64).max(420.0);
    let height = TOP + PANEL_HEIGHT * lines as f64 + 4.0;
    let description = format!("{title}: validation accuracy by epoch, one panel per method");
    let mut drawing = Drawing::new(total_width, height, &description);
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, total_width - 28.0));
    let name = "Validation accuracy, %, by epoch";
    drawing.text((14.0, 46.0), 12.0, Ink::Soft, Anchor::Start, name);

    for (i, row) in rows.iter().enumerate() {
        let (column, line) = (i % columns, i / columns);
        let left = LEFT + width * column as f64;
        let top = TOP + PANEL_HEIGHT * line as f64;
        let panel = Panel {
            x: Scale::linear((1.0, epochs.max(2.0)), (left, left + width - 20.0)),
            y: Scale::linear(range, (top + PANEL_HEIGHT - 28.0, top + 26.0)),
            sides: (left, left + width - 20.0),
        };
        panel.axes(&mut drawing, column == 0);
        for (_, mean) in means.iter().enumerate().filter(|(j, _)| *j != i) {
            drawing.polyline(&panel.points(mean), Ink::Axis, 1.0, 0.35);
        }
        panel.draw(&mut drawing, row, &means[i], styles, top);
    }
    Some(drawing)
}

/// The axes of one panel.
struct Panel {
    x: Scale,
    y: Scale,
    sides: (f64, f64),
}

impl Panel {
    fn points(&self, curve: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let point = |(x, y): &(f64, f64)| (self.x.at(*x), self.y.at(*y));
        curve.iter().map(point).collect()
    }

    fn axes(&self, drawing: &mut Drawing, first: bool) {
        let (left, right) = self.sides;
        let ticks = self.y.ticks(4);
        for &tick in &ticks {
            let y = self.y.at(tick);
            drawing.line((left, y), (right, y), Ink::Grid, 1.0);
            if first {
                let text = tick_percent(&ticks, tick);
                drawing.text((left - 8.0, y + 4.0), 11.0, Ink::Soft, Anchor::End, &text);
            }
        }
        let (base, _) = self.y.clamped(f64::NEG_INFINITY);
        drawing.line((left, base), (right, base), Ink::Axis, 1.0);
        for tick in self.x.ticks(5) {
            // A panel of few epochs has ticks between whole ones.
            if tick.fract().abs() > 1e-6 || tick < 1.0 {
                continue;
            }
            let at = (self.x.at(tick), base + 15.0);
            drawing.text(at, 11.0, Ink::Soft, Anchor::Middle, &format!("{tick:.0}"));
        }
    }

    fn draw(
        &self,
        drawing: &mut Drawing,
        row: &Row,
        mean: &[(f64, f64)],
        styles: &Styles,
        top: f64,
    ) {
        let style = styles[row.method];
        let ink = Ink::Method(style);
        for run in &row.members {
            let curve = curve(run);
            drawing.polyline(&self.points(&curve), ink, 1.0, 0.45);
            let selected = (run.selected_epoch + 1) as f64;
            if let Some(point) = curve.iter().find(|(x, _)| *x == selected) {
                drawing.dot(self.points(&[*point])[0], 2.6, ink, 0.8);
            }
        }
        drawing.polyline(&self.points(mean), ink, 2.4, 1.0);
        let (left, right) = self.sides;
        drawing.marker((left + 6.0, top + 10.0), style, 5.0, "");
        let label = fitted(&row.label, 12.5, right - left - 18.0);
        drawing.text(
            (left + 18.0, top + 14.5),
            12.5,
            Ink::Text,
            Anchor::Start,
            &label,
        );
    }
}

/// Epochs from 1 and validation accuracy of one run, without gaps of diverged
/// epochs.
fn curve(run: &RunRecord) -> Vec<(f64, f64)> {
    run.epochs
        .iter()
        .filter(|epoch| epoch.validation_accuracy.is_finite())
        .map(|epoch| ((epoch.epoch + 1) as f64, epoch.validation_accuracy))
        .collect()
}

/// The mean over the runs at each epoch any of them has.
fn mean_curve(row: &Row) -> Vec<(f64, f64)> {
    let curves: Vec<Vec<(f64, f64)>> = row.members.iter().map(|run| curve(run)).collect();
    let mut epochs: Vec<f64> = curves.iter().flatten().map(|(x, _)| *x).collect();
    epochs.sort_by(f64::total_cmp);
    epochs.dedup();
    let at = |epoch: f64| {
        let points = curves.iter().flatten().filter(|(x, _)| *x == epoch);
        let values: Vec<f64> = points.map(|(_, y)| *y).collect();
        Some((epoch, statistics::mean(&values)?))
    };
    epochs.into_iter().filter_map(at).collect()
}
