//! Accuracy by method, one line each.

use super::draw::axis::{Scale, accuracy_range};
use super::draw::{Anchor, Drawing, Ink, fitted, text_width};
use super::format::{self, percent};
use super::plots::{Direction, Styles, WIDTH, interval, tick_percent, tooltip};
use super::summary::{Row, TaskSummary};
use crate::statistics::Estimate;

/// Accuracy by method, one line each; `None` when there is nothing to show.
pub fn dots(
    task: &TaskSummary,
    rows: &[&Row],
    (title, subtitle): (&str, &str),
    styles: &Styles,
) -> Option<Drawing> {
    let shown = rows.iter().filter(|row| row.accuracy.mean.is_finite());
    let rows: Vec<&Row> = shown.copied().collect();
    if rows.is_empty() {
        return None;
    }
    let estimates: Vec<Estimate> = rows.iter().map(|row| row.accuracy).collect();
    let widest = rows.iter().map(|row| text_width(&row.label, 13.0));
    let label_width = widest.fold(60.0, f64::max).min(210.0);
    let shift = if subtitle.is_empty() { 0.0 } else { 20.0 };
    let (left, right, top) = (label_width + 30.0, WIDTH - 106.0, 70.0 + shift);
    let bottom = top + 31.0 * rows.len() as f64;
    let majority = task.majority_share;
    let range = accuracy_range(&estimates, &[majority]);
    let x = Scale::linear(range, (left, right));

    let mut drawing = Drawing::new(
        WIDTH,
        bottom + 48.0,
        &format!("{title}: test accuracy by method"),
    );
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, WIDTH - 28.0));
    if !subtitle.is_empty() {
        let subtitle = fitted(subtitle, 13.0, WIDTH - 28.0);
        drawing.text((14.0, 44.0), 13.0, Ink::Soft, Anchor::Start, &subtitle);
    }
    let ticks = x.ticks(6);
    for &tick in &ticks {
        drawing.line((x.at(tick), top), (x.at(tick), bottom), Ink::Grid, 1.0);
        let at = (x.at(tick), bottom + 18.0);
        drawing.text(
            at,
            12.0,
            Ink::Soft,
            Anchor::Middle,
            &tick_percent(&ticks, tick),
        );
    }
    let at = ((left + right) / 2.0, bottom + 39.0);
    drawing.text(at, 12.0, Ink::Soft, Anchor::Middle, "Test accuracy, %");
    if majority.is_finite() {
        let at = x.at(majority);
        drawing.dashed((at, top - 8.0), (at, bottom), Ink::Soft, 1.3);
        let text = format!("largest class {} %", percent(majority));
        let half = text_width(&text, 12.0) / 2.0;
        let middle = at.clamp(14.0 + half, WIDTH - 14.0 - half);
        drawing.text((middle, top - 14.0), 12.0, Ink::Soft, Anchor::Middle, &text);
    }
    for (i, row) in rows.iter().enumerate() {
        let y = top + 31.0 * (i as f64 + 0.5);
        let style = styles[row.method];
        let label = fitted(&row.label, 13.0, label_width);
        drawing.text((left - 14.0, y + 4.5), 13.0, Ink::Text, Anchor::End, &label);
        if row.accuracy.half_width.is_some() {
            let ends = row.accuracy.ends();
            interval(&mut drawing, Direction::Along(y, x), ends, style);
        }
        if row.runs > 1 {
            for run in &row.members {
                let at = (x.clamped(run.test_accuracy).0, y + 8.5);
                drawing.dot(at, 2.2, Ink::Method(style), 0.55);
            }
        }
        drawing.marker((x.at(row.accuracy.mean), y), style, 6.0, &tooltip(row));
        let figure = format::accuracy(&row.accuracy);
        drawing.text(
            (WIDTH - 14.0, y + 4.5),
            12.5,
            Ink::Soft,
            Anchor::End,
            &figure,
        );
    }
    Some(drawing)
}
