//! Accuracy along the axis of a study, one curve a series, with t-intervals.

use std::collections::BTreeMap;

use super::draw::axis::{Scale, accuracy_range};
use super::draw::{Anchor, Drawing, Ink, fitted, text_width};
use super::format::{axis_value, round_count};
use super::order::{self, Style};
use super::plots::{Direction, WIDTH, interval, tick_percent, tooltip};
use super::studies::{Point, StudyView};
use super::summary::Row;
use crate::statistics::Estimate;

const LEFT: f64 = 58.0;
const HEIGHT: f64 = 320.0;
/// Room for the names of rows without a place on the axis.
const NAMES: f64 = 120.0;

/// The drawing; `None` where fewer than two points have a place on the axis.
pub fn ablation(view: &StudyView, title: &str, subtitle: &str) -> Option<Drawing> {
    let finite = |point: &&Point| point.row.accuracy.mean.is_finite();
    let points: Vec<&Point> = view.points.iter().filter(finite).collect();
    let (placed, flat): (Vec<&Point>, Vec<&Point>) =
        points.iter().copied().partition(|p| p.x.is_some());
    let mut xs: Vec<f64> = placed.iter().filter_map(|point| point.x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    if xs.len() < 2 {
        return None;
    }
    let mut series: BTreeMap<&str, Vec<(f64, &Row)>> = BTreeMap::new();
    for point in &placed {
        let name = point.series.unwrap_or("");
        let x = point.x.unwrap_or(f64::NAN);
        series.entry(name).or_default().push((x, point.row));
    }
    for curve in series.values_mut() {
        curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let styles = series_styles(&series);

    let names = flat.iter().map(|point| text_width(&point.row.label, 12.0));
    let names = names.fold(0.0, f64::max).min(NAMES);
    let right = WIDTH - 24.0 - names;
    let legend = Legend::new(&series, &flat, WIDTH - 36.0);
    let top = 84.0 + legend.height();
    let bottom = top + HEIGHT;
    let estimates: Vec<Estimate> = points.iter().map(|point| point.row.accuracy).collect();
    let axis = view.study.axis.as_deref().unwrap_or_default();
    let description = format!("{title}: test accuracy by {axis}");
    let mut drawing = Drawing::new(WIDTH, bottom + 50.0, &description);
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, WIDTH - 28.0));
    let subtitle = fitted(subtitle, 13.0, WIDTH - 28.0);
    drawing.text((14.0, 44.0), 13.0, Ink::Soft, Anchor::Start, &subtitle);
    legend.draw(&mut drawing, &styles);

    let x = horizontal(&xs, (LEFT + 16.0, right - 12.0));
    let y = Scale::linear(accuracy_range(&estimates, &[]), (bottom, top));
    frame(&mut drawing, y, (right, top, bottom));
    ticks(&mut drawing, x, &xs, bottom);
    let at = ((LEFT + right) / 2.0, bottom + 41.0);
    drawing.text(at, 12.0, Ink::Soft, Anchor::Middle, axis);

    for point in &flat {
        level(&mut drawing, point, y, right, flat.len() == 1);
    }
    level_names(&mut drawing, &flat, y, right);
    let count = series.len() as f64;
    for (i, (name, curve)) in series.iter().enumerate() {
        // Intervals at the same place stand beside each other.
        let shift = (i as f64 - (count - 1.0) / 2.0) * 7.0_f64.min(24.0 / count);
        draw_curve(&mut drawing, curve, styles[*name], (x, y), shift);
    }
    Some(drawing)
}

fn series_styles<'a>(series: &BTreeMap<&'a str, Vec<(f64, &Row)>>) -> BTreeMap<&'a str, Style> {
    // A curve without a name takes the colour of its rows.
    let key = |name: &'a str, curve: &[(f64, &Row)]| match name {
        "" => curve.first().map_or("", |(_, row)| row.method).to_owned(),
        name => name.to_owned(),
    };
    let keys: Vec<(&str, String)> = series.iter().map(|(n, c)| (*n, key(n, c))).collect();
    let styles = order::styles(keys.iter().map(|(_, key)| key.as_str()));
    keys.iter()
        .map(|(name, key)| (*name, styles[key]))
        .collect()
}

/// Logarithmic where the places span more than a decade, so that doublings are
/// steps.
fn horizontal(xs: &[f64], sides: (f64, f64)) -> Scale {
    let (low, high) = (xs[0], xs[xs.len() - 1]);
    if low > 0.0 && high / low > 7.9 {
        Scale::logarithmic((low, high), sides)
    } else {
        Scale::linear((low, high), sides)
    }
}

fn frame(drawing: &mut Drawing, y: Scale, (right, top, bottom): (f64, f64, f64)) {
    let at = (14.0, top - 14.0);
    drawing.text(at, 12.0, Ink::Soft, Anchor::Start, "Test accuracy, %");
    let ticks = y.ticks(7);
    for &tick in &ticks {
        let height = y.at(tick);
        drawing.line((LEFT, height), (right, height), Ink::Grid, 1.0);
        let text = tick_percent(&ticks, tick);
        let at = (LEFT - 8.0, height + 4.0);
        drawing.text(at, 12.0, Ink::Soft, Anchor::End, &text);
    }
    drawing.line((LEFT, bottom), (right, bottom), Ink::Axis, 1.0);
}

/// The places of the rows themselves are the ticks, as far as they have room;
/// where they are long numbers, round ones.
fn ticks(drawing: &mut Drawing, x: Scale, xs: &[f64], bottom: f64) {
    let long = xs.iter().any(|value| value.abs() >= 10_000.0);
    let ticks = if long { x.ticks(7) } else { xs.to_vec() };
    let mut free = f64::NEG_INFINITY;
    for value in ticks {
        let at = x.at(value);
        drawing.line((at, bottom), (at, bottom + 5.0), Ink::Axis, 1.0);
        let text = if long {
            round_count(value)
        } else {
            axis_value(value)
        };
        let half = text_width(&text, 12.0) / 2.0;
        if at - half > free {
            let place = (at, bottom + 19.0);
            drawing.text(place, 12.0, Ink::Soft, Anchor::Middle, &text);
            free = at + half + 5.0;
        }
    }
}

/// A row without a place on the axis: a dashed line at its mean, with its
/// interval as a band where it is the only one.
fn level(drawing: &mut Drawing, point: &Point, y: Scale, right: f64, band: bool) {
    let row = point.row;
    let (low, high) = row.accuracy.ends();
    let height = y.at(row.accuracy.mean);
    if band && row.accuracy.half_width.is_some() {
        let (low, high) = (y.clamped(low).0, y.clamped(high).0);
        let corners = [(LEFT, low), (right, low), (right, high), (LEFT, high)];
        drawing.area(&corners, Ink::Soft, 0.08);
    }
    drawing.dashed((LEFT, height), (right, height), Ink::Soft, 1.3);
}

/// Names of these rows at the right, apart from each other.
fn level_names(drawing: &mut Drawing, flat: &[&Point], y: Scale, right: f64) {
    let height = |point: &&&Point| y.at(point.row.accuracy.mean);
    let mut sorted: Vec<&&Point> = flat.iter().collect();
    sorted.sort_by(|a, b| height(a).total_cmp(&height(b)));
    let mut free = f64::NEG_INFINITY;
    for point in sorted {
        let at = height(&point).max(free);
        free = at + 15.0;
        let label = fitted(&point.row.label, 12.0, NAMES);
        let at = (right + 6.0, at + 4.0);
        drawing.text(at, 12.0, Ink::Soft, Anchor::Start, &label);
    }
}

fn draw_curve(
    drawing: &mut Drawing,
    curve: &[(f64, &Row)],
    style: Style,
    (x, y): (Scale, Scale),
    shift: f64,
) {
    let at = |(value, row): &(f64, &Row)| (x.at(*value) + shift, y.at(row.accuracy.mean));
    let line: Vec<(f64, f64)> = curve.iter().map(at).collect();
    drawing.polyline(&line, Ink::Method(style), 1.8, 0.8);
    for (point, (_, row)) in line.iter().zip(curve) {
        if row.accuracy.half_width.is_some() {
            let ends = row.accuracy.ends();
            interval(drawing, Direction::Up(point.0, y), ends, style);
        }
    }
    for (point, (_, row)) in line.iter().zip(curve) {
        drawing.marker(*point, style, 5.5, &tooltip(row));
    }
}

/// Names of the curves above the plot, line by line.
struct Legend<'a> {
    entries: Vec<(&'a str, (f64, f64))>,
    lines: usize,
}

impl<'a> Legend<'a> {
    fn new(series: &BTreeMap<&'a str, Vec<(f64, &Row)>>, flat: &[&Point], width: f64) -> Self {
        let mut entries = Vec::new();
        let (mut x, mut line) = (20.0, 0);
        // One curve without a name needs none where nothing else is drawn.
        let named = series.len() > 1 || !flat.is_empty();
        for name in series.keys().filter(|name| named && !name.is_empty()) {
            let needed = text_width(name, 12.5) + 34.0;
            if x + needed > width && x > 20.0 {
                x = 20.0;
                line += 1;
            }
            entries.push((*name, (x, 64.0 + 20.0 * line as f64)));
            x += needed;
        }
        let lines = if entries.is_empty() { 0 } else { line + 1 };
        Self { entries, lines }
    }

    fn height(&self) -> f64 {
        20.0 * self.lines as f64
    }

    fn draw(&self, drawing: &mut Drawing, styles: &BTreeMap<&str, Style>) {
        for (name, (x, y)) in &self.entries {
            drawing.marker((*x, *y), styles[name], 5.0, "");
            let at = (x + 11.0, y + 4.5);
            drawing.text(at, 12.5, Ink::Text, Anchor::Start, name);
        }
    }
}
