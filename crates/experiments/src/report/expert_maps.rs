//! Expert use over layers and over classes.

use super::draw::axis::Scale;
use super::draw::ink::{LEVELS, level};
use super::draw::{Anchor, Drawing, Ink, fitted, text_width};
use super::experts::{ExpertSummary, LayerSummary, short_name};
use super::format::quantity;
use crate::record::LayerUse;
use crate::statistics::Estimate;

/// Width of these drawings.
pub const WIDTH: f64 = 960.0;
const LINE: f64 = 26.0;
const TOP: f64 = 96.0;

/// Shares of the experts of every layer, and beside them how even they are.
pub fn layers(used: &ExpertSummary, title: &str, label: &str) -> Drawing {
    let lines = used.shown.layers.len();
    let bottom = TOP + LINE * lines as f64;
    let description = format!("{title}, {label}: share of each expert in each layer");
    let mut drawing = Drawing::new(WIDTH, bottom + 34.0, &description);
    headings(&mut drawing, title, label);

    let experts = used.experts().max(1);
    let cell = (430.0 / experts as f64).min(58.0);
    let left = 128.0;
    let heading = "Share of each expert, %";
    drawing.text((left, 70.0), 12.0, Ink::Soft, Anchor::Start, heading);
    for expert in 0..experts {
        let at = (left + cell * (expert as f64 + 0.5), TOP - 7.0);
        let name = (expert + 1).to_string();
        drawing.text(at, 11.5, Ink::Soft, Anchor::Middle, &name);
    }
    let most = scale_of(used.shown.layers.iter().map(|layer| &layer.usage));
    let mut levels: Vec<Vec<(f64, f64)>> = vec![Vec::new(); usize::from(LEVELS)];
    let mut numbers = Vec::new();
    for (i, layer) in used.shown.layers.iter().enumerate() {
        let top = TOP + LINE * i as f64;
        let name = fitted(&short_name(layer), 12.5, left - 22.0);
        let at = (left - 10.0, top + 17.0);
        drawing.text(at, 12.5, Ink::Text, Anchor::End, &name);
        for (expert, share) in layer.usage.iter().enumerate() {
            let level = level(share / most);
            let x = left + cell * expert as f64;
            levels[usize::from(level)].push((x, top));
            numbers.push(((x + cell / 2.0, top + 17.0), level, *share));
        }
    }
    for (level, corners) in levels.into_iter().enumerate() {
        let size = (cell - 1.0, LINE - 1.0);
        drawing.tiles(corners, size, Ink::Level(level as u8));
    }
    for (at, level, share) in numbers {
        let text = format!("{:.0}", share * 100.0);
        drawing.text(at, 12.0, Ink::OnLevel(level), Anchor::Middle, &text);
    }
    let right = left + cell * experts as f64;
    let room = (WIDTH - 40.0 - right) / 2.0;
    let first = (right + 28.0, right + room - 16.0);
    let second = (right + room + 28.0, WIDTH - 24.0);
    panel(
        &mut drawing,
        used,
        "Entropy / ln N",
        first,
        (0.0, 1.0),
        |l| &l.entropy,
    );
    let highest = used.layers.iter().map(|layer| layer.max_over_mean.ends().1);
    let highest = highest.filter(|v| v.is_finite()).fold(2.0, f64::max);
    let range = (1.0, highest.min(experts.max(2) as f64));
    panel(&mut drawing, used, "Largest / mean", second, range, |l| {
        &l.max_over_mean
    });
    drawing
}

fn headings(drawing: &mut Drawing, title: &str, label: &str) {
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, WIDTH - 28.0));
    let label = fitted(label, 13.0, WIDTH - 28.0);
    drawing.text((14.0, 46.0), 13.0, Ink::Text, Anchor::Start, &label);
}

/// The share that has the strongest colour: the largest, or twice the even one
/// where all are close to it, so that even use looks even.
fn scale_of<'a>(shares: impl Iterator<Item = &'a Vec<f64>>) -> f64 {
    let mut most: f64 = 1e-9;
    for line in shares {
        let largest = line.iter().copied().filter(|v| v.is_finite());
        most = most.max(largest.fold(0.0, f64::max));
        most = most.max((2.0 / line.len().max(1) as f64).min(1.0));
    }
    most
}

/// A figure of every layer with its interval over the runs.
fn panel(
    drawing: &mut Drawing,
    used: &ExpertSummary,
    name: &str,
    (left, right): (f64, f64),
    range: (f64, f64),
    figure: fn(&LayerSummary) -> &Estimate,
) {
    let bottom = TOP + LINE * used.layers.len() as f64;
    let x = Scale::linear(range, (left, right));
    drawing.text((left, 70.0), 12.0, Ink::Soft, Anchor::Start, name);
    for tick in x.ticks(4) {
        let at = x.at(tick);
        drawing.line((at, TOP - 2.0), (at, bottom), Ink::Grid, 1.0);
        let place = (at, bottom + 17.0);
        let text = super::format::axis_value((tick * 1e6).round() / 1e6);
        drawing.text(place, 11.5, Ink::Soft, Anchor::Middle, &text);
    }
    for (i, layer) in used.layers.iter().enumerate() {
        let estimate = figure(layer);
        if !estimate.mean.is_finite() {
            continue;
        }
        let y = TOP + LINE * (i as f64 + 0.5);
        let (low, high) = estimate.ends();
        let ends = ((x.clamped(low).0, y), (x.clamped(high).0, y));
        drawing.line(ends.0, ends.1, Ink::Axis, 2.0);
        drawing.dot((x.clamped(estimate.mean).0, y), 4.0, Ink::Text, 1.0);
    }
}

/// Shares of the experts among the clips of each class, a panel a layer;
/// `None` where they were not recorded.
pub fn classes(used: &ExpertSummary, title: &str, label: &str) -> Option<Drawing> {
    let layers: Vec<&LayerUse> = used
        .shown
        .layers
        .iter()
        .filter(|layer| !layer.by_class.is_empty())
        .collect();
    let rows = layers.iter().map(|layer| layer.by_class.len()).max()?;
    let names = &used.run.class_names;
    let line = (230.0 / rows as f64).clamp(5.0, 17.0);
    let size = 11.5_f64.min(line);
    let margin = match line >= 9.0 {
        true => {
            let widest = names.iter().map(|name| text_width(name, size));
            widest.fold(30.0, f64::max).min(120.0) + 16.0
        }
        false => 40.0,
    };
    let experts = used.experts().max(1);
    let cell = (150.0 / experts as f64).clamp(5.0, 20.0);
    let wide = cell * experts as f64 + 22.0;
    let across = (((WIDTH - margin - 14.0) / wide).floor() as usize).clamp(1, layers.len());
    let high = line * rows as f64 + 44.0;
    let down = layers.len().div_ceil(across);
    let height = 72.0 + high * down as f64 + 6.0;
    let description = format!("{title}, {label}: share of each expert by class");
    let mut drawing = Drawing::new(WIDTH, height, &description);
    headings(&mut drawing, title, label);
    let most = scale_of(layers.iter().flat_map(|layer| &layer.by_class));
    let mut levels: Vec<Vec<(f64, f64)>> = vec![Vec::new(); usize::from(LEVELS)];
    for (i, layer) in layers.iter().enumerate() {
        let left = margin + wide * (i % across) as f64;
        let top = 72.0 + high * (i / across) as f64 + 26.0;
        let at = (left, top - 7.0);
        let name = fitted(&short_name(layer), 12.0, wide - 8.0);
        drawing.text(at, 12.0, Ink::Text, Anchor::Start, &name);
        for (class, shares) in layer.by_class.iter().enumerate() {
            let y = top + line * class as f64;
            for (expert, share) in shares.iter().enumerate() {
                let corner = (left + cell * expert as f64, y);
                levels[usize::from(level(share / most))].push(corner);
            }
        }
        if i % across == 0 {
            class_names(&mut drawing, names, (left - 7.0, top), line, (size, margin));
        }
    }
    let gap = if line >= 9.0 { 1.0 } else { 0.0 };
    for (level, corners) in levels.into_iter().enumerate() {
        drawing.tiles(corners, (cell - gap, line - gap), Ink::Level(level as u8));
    }
    let scale = format!(
        "Lightest 0 %, darkest {} %; one column an expert, one line a class",
        quantity(most * 100.0)
    );
    drawing.text((margin, 64.0), 12.0, Ink::Soft, Anchor::Start, &scale);
    Some(drawing)
}

/// Names, or every tenth number where lines are too low for names.
fn class_names(
    drawing: &mut Drawing,
    names: &[String],
    (right, top): (f64, f64),
    line: f64,
    (size, margin): (f64, f64),
) {
    for (i, name) in names.iter().enumerate() {
        let y = top + line * (i as f64 + 0.5) + size.max(9.0) * 0.35;
        if line >= 9.0 {
            let name = fitted(name, size, margin - 14.0);
            drawing.text((right, y), size, Ink::Soft, Anchor::End, &name);
        } else if (i + 1) % 10 == 0 {
            let number = (i + 1).to_string();
            drawing.text((right, y), 10.0, Ink::Soft, Anchor::End, &number);
        }
    }
}
