//! The shapes of the markers, and the small pictures inside table cells.

use super::Ink;
use super::axis::Scale;
use crate::report::order::{Marker, Style};
use crate::statistics::Estimate;

/// A coordinate with at most two decimals.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// A path through `points`.
pub fn points_path(points: &[(f64, f64)]) -> String {
    let steps: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{} {}", number(*x), number(*y)))
        .collect();
    format!("M{}", steps.join("L"))
}

/// What a marker consists of.
#[derive(Debug, Clone, PartialEq)]
pub enum Outline {
    /// A disc of the given radius.
    Circle,
    /// A filled polygon.
    Corners(Vec<(f64, f64)>),
    /// Two strokes.
    Strokes([Vec<(f64, f64)>; 2]),
}

/// The outline of a marker of radius about `r`.
pub fn outline((x, y): (f64, f64), marker: Marker, r: f64) -> Outline {
    // A polygon of `corners`, first one at `turn` (in parts of a full turn,
    // clockwise from the top), alternating between the radii.
    let polygon = |corners: usize, turn: f64, radii: [f64; 2]| {
        let corner = |i: usize| {
            let angle = (turn + i as f64 / corners as f64) * std::f64::consts::TAU;
            let radius = r * radii[i % 2];
            (x + radius * angle.sin(), y - radius * angle.cos())
        };
        Outline::Corners((0..corners).map(corner).collect())
    };
    match marker {
        Marker::Circle => Outline::Circle,
        Marker::Square => polygon(4, 0.125, [1.25, 1.25]),
        Marker::Diamond => polygon(4, 0.0, [1.3, 1.3]),
        Marker::Up => polygon(3, 0.0, [1.35, 1.35]),
        Marker::Down => polygon(3, 0.5, [1.35, 1.35]),
        Marker::Pentagon => polygon(5, 0.0, [1.2, 1.2]),
        Marker::Star => polygon(10, 0.0, [1.5, 0.68]),
        Marker::Plus => cross((x, y), r * 1.1, 0.0),
        Marker::Cross => cross((x, y), r * 1.1, std::f64::consts::FRAC_PI_4),
    }
}

fn cross((x, y): (f64, f64), r: f64, turn: f64) -> Outline {
    let (sin, cos) = (r * turn.sin(), r * turn.cos());
    let first = vec![(x - cos, y - sin), (x + cos, y + sin)];
    let second = vec![(x + sin, y - cos), (x - sin, y + cos)];
    Outline::Strokes([first, second])
}

/// The outline of a marker as an SVG path.
pub fn marker_path((x, y): (f64, f64), marker: Marker, r: f64) -> String {
    match outline((x, y), marker, r) {
        Outline::Circle => {
            let (left, d) = (number(x - r), number(2.0 * r));
            let r = number(r);
            let y = number(y);
            format!("M{left} {y}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z")
        }
        Outline::Corners(corners) => format!("{}Z", points_path(&corners)),
        Outline::Strokes([first, second]) => points_path(&first) + &points_path(&second),
    }
}

/// A method's marker as a small picture beside its name.
pub fn swatch(style: Style) -> String {
    let ink = Ink::Method(style);
    let paint = match style.marker {
        Marker::Plus | Marker::Cross => ink.stroke(2.4),
        _ => ink.fill(),
    };
    let path = marker_path((8.0, 8.0), style.marker, 5.0);
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 16 16\" width=\"16\" height=\"16\" \
         aria-hidden=\"true\"><path d=\"{path}\" {paint}/></svg>"
    )
}

/// A difference with its interval around a line at zero; the ends are at
/// ± `reach`. A difference beyond them becomes an arrow.
pub fn difference(estimate: &Estimate, reach: f64) -> String {
    let scale = Scale::linear((-reach, reach), (5.0, 115.0));
    let (low, high) = estimate.ends();
    let (mean, beyond) = scale.clamped(estimate.mean);
    let mark = match (beyond, estimate.mean < 0.0) {
        (false, _) => marker_path((mean, 8.0), Marker::Circle, 3.5),
        (true, true) => "M8 3.5L1 8L8 12.5Z".to_owned(),
        (true, false) => "M112 3.5L119 8L112 12.5Z".to_owned(),
    };
    format!(
        "<svg class=\"difference\" viewBox=\"0 0 120 16\" width=\"120\" height=\"16\" \
         aria-hidden=\"true\"><path d=\"M{} 0V16\" {}/><path d=\"M{} 8H{}\" {}/>\
         <path d=\"{mark}\" {}/></svg>",
        number(scale.at(0.0)),
        Ink::Axis.stroke(1.0),
        number(scale.clamped(low).0),
        number(scale.clamped(high).0),
        Ink::Soft.stroke(2.0),
        Ink::Text.fill()
    )
}
