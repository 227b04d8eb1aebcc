//! Accuracy against what a row costs, with the Pareto front.

use super::compare::BASELINE;
use super::draw::axis::{Scale, accuracy_range};
use super::draw::labels::{Box2, place};
use super::draw::{Anchor, Drawing, Ink, fitted, text_width};
use super::format;
use super::plots::{Direction, Styles, WIDTH, interval, tick_percent, tooltip};
use super::summary::Row;
use crate::statistics::Estimate;

/// With more rows than this only the front and the adapter carry their names.
const NAMED: usize = 14;

/// What accuracy is set against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Trainable parameters.
    Parameters,
    /// Seconds of training.
    Seconds,
}

impl Cost {
    fn of(self, row: &Row) -> f64 {
        match self {
            Self::Parameters => row.trainable_parameters as f64,
            Self::Seconds => row.training_seconds,
        }
    }

    fn axis(self) -> &'static str {
        match self {
            Self::Parameters => "Trainable parameters",
            Self::Seconds => "Seconds of training",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Parameters => "trainable parameters",
            Self::Seconds => "seconds of training",
        }
    }

    fn tick(self, tick: f64) -> String {
        match self {
            Self::Parameters => format::round_count(tick),
            Self::Seconds => format::axis_value(tick),
        }
    }
}

/// Indices of the rows that no other row beats: those with at most the same
/// cost and a higher mean, or less cost and the same mean; by rising cost.
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (points[*a], points[*b]);
        a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|i| {
        let higher = points[*i].1 > best;
        best = best.max(points[*i].1);
        higher
    });
    order
}

/// Accuracy against `cost`; `None` when no row has both.
pub fn scatter(rows: &[&Row], cost: Cost, title: &str, styles: &Styles) -> Option<Drawing> {
    let shown = |row: &&&Row| cost.of(row) > 0.0 && row.accuracy.mean.is_finite();
    let rows: Vec<&Row> = rows.iter().filter(shown).copied().collect();
    let costs = || rows.iter().map(move |row| cost.of(row));
    let (least, most) = (costs().reduce(f64::min)?, costs().reduce(f64::max)?);
    let estimates: Vec<Estimate> = rows.iter().map(|row| row.accuracy).collect();
    let means: Vec<f64> = estimates.iter().map(|e| e.mean).collect();
    let (left, right, top, bottom) = (58.0, WIDTH - 18.0, 64.0, 408.0);
    let (x, kind) = horizontal(least, most, (left, right));
    let few = rows.len() <= NAMED;
    // Intervals that are not drawn need no room.
    let range = match few {
        true => accuracy_range(&estimates, &[]),
        false => accuracy_range(&[], &means),
    };
    let y = Scale::linear(range, (bottom, top));

    let description = format!("{title}: test accuracy against {}", cost.words());
    let mut drawing = Drawing::new(WIDTH, 456.0, &description);
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, WIDTH - 28.0));
    axes(&mut drawing, (x, y), (left, right, bottom), (cost, kind));

    let points: Vec<(f64, f64)> = rows
        .iter()
        .map(|row| (x.at(cost.of(row)), y.at(row.accuracy.mean)))
        .collect();
    let values: Vec<(f64, f64)> = rows
        .iter()
        .map(|row| (cost.of(row), row.accuracy.mean))
        .collect();
    let front = front(&values);
    let steps = steps(&points, &front, right);
    drawing.polyline(&steps, Ink::Soft, 1.6, 0.75);
    for (row, (px, _)) in rows.iter().zip(&points) {
        // With many rows the intervals would cover everything; the tables have
        // them.
        if few && row.accuracy.half_width.is_some() {
            let ends = row.accuracy.ends();
            interval(
                &mut drawing,
                Direction::Up(*px, y),
                ends,
                styles[row.method],
            );
        }
    }
    let mut obstacles: Vec<(Box2, f64)> = points
        .iter()
        .map(|point| (Box2::around(*point, 7.0, 7.0), 3.0))
        .collect();
    obstacles.extend(steps.windows(2).map(|ends| {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let line = Box2::new(x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1));
        (line.grown(1.5), 1.0)
    }));
    if few {
        let stems = rows.iter().zip(&points).map(|(row, (px, _))| {
            let (low, high) = row.accuracy.ends();
            let (low, high) = (y.clamped(low).0, y.clamped(high).0);
            // Text stays legible over the thin line of an interval.
            (Box2::new(px - 2.0, high, px + 2.0, low), 0.3)
        });
        obstacles.extend(stems);
    }
    let named: Vec<usize> = (0..rows.len())
        .filter(|i| few || front.contains(i) || rows[*i].method == BASELINE)
        .collect();
    let area = Box2::new(left, top - 8.0, right, bottom);
    let cloud = Cloud {
        rows: &rows,
        points: &points,
        radius: if few { 6.0 } else { 5.0 },
    };
    cloud.draw(&mut drawing, styles, &named, &obstacles, area);
    Some(drawing)
}

/// Logarithmic, said so, where the costs span more than a factor of six.
fn horizontal(least: f64, most: f64, sides: (f64, f64)) -> (Scale, &'static str) {
    if most / least > 6.0 {
        let room = (most / least).powf(0.1).max(1.15);
        let scale = Scale::logarithmic((least / room, most * room), sides);
        return (scale, " (logarithmic)");
    }
    let room = ((most - least) * 0.12).max(least * 0.05);
    (Scale::linear((least - room, most + room), sides), "")
}

fn axes(
    drawing: &mut Drawing,
    (x, y): (Scale, Scale),
    (left, right, bottom): (f64, f64, f64),
    (cost, kind): (Cost, &str),
) {
    let at = (14.0, 46.0);
    drawing.text(at, 12.0, Ink::Soft, Anchor::Start, "Test accuracy, %");
    let ticks = y.ticks(8);
    for &tick in &ticks {
        drawing.line((left, y.at(tick)), (right, y.at(tick)), Ink::Grid, 1.0);
        let at = (left - 8.0, y.at(tick) + 4.0);
        let text = tick_percent(&ticks, tick);
        drawing.text(at, 12.0, Ink::Soft, Anchor::End, &text);
    }
    drawing.line((left, bottom), (right, bottom), Ink::Axis, 1.0);
    for tick in x.ticks(8) {
        let at = x.at(tick);
        drawing.line((at, bottom), (at, bottom + 5.0), Ink::Axis, 1.0);
        let at = (at, bottom + 19.0);
        drawing.text(at, 12.0, Ink::Soft, Anchor::Middle, &cost.tick(tick));
    }
    let middle = ((left + right) / 2.0, 448.0);
    drawing.text(
        middle,
        12.0,
        Ink::Soft,
        Anchor::Middle,
        &format!("{}{kind}", cost.axis()),
    );
}

/// Steps through the rows of the front: the best mean that a cost buys.
fn steps(points: &[(f64, f64)], front: &[usize], right: f64) -> Vec<(f64, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for i in front {
        let (px, py) = points[*i];
        if let Some((_, last)) = steps.last().copied() {
            steps.push((px, last));
        }
        steps.push((px, py));
    }
    if let Some((_, last)) = steps.last().copied() {
        steps.push((right, last));
    }
    steps
}

/// Rows at their places.
struct Cloud<'a> {
    rows: &'a [&'a Row<'a>],
    points: &'a [(f64, f64)],
    radius: f64,
}

impl Cloud<'_> {
    /// Markers for all rows, names for those in `named`, away from `obstacles`.
    fn draw(
        &self,
        drawing: &mut Drawing,
        styles: &Styles,
        named: &[usize],
        obstacles: &[(Box2, f64)],
        area: Box2,
    ) {
        let label = |i: &usize| &self.rows[*i].label;
        let size = |i| (text_width(label(i), 12.5) + 4.0, 15.0);
        let sizes: Vec<(f64, f64)> = named.iter().map(size).collect();
        let places: Vec<(f64, f64)> = named.iter().map(|i| self.points[*i]).collect();
        let boxes = place(&places, &sizes, obstacles, area);
        for (point, label) in places.iter().zip(&boxes) {
            if let Some(edge) = label.leader(*point) {
                drawing.line(*point, edge, Ink::Axis, 0.8);
            }
        }
        for (row, point) in self.rows.iter().zip(self.points) {
            drawing.marker(*point, styles[row.method], self.radius, &tooltip(row));
        }
        for (i, place) in named.iter().zip(&boxes) {
            let at = (place.left + 2.0, place.bottom - 3.5);
            drawing.text_on_lines(at, 12.5, Anchor::Start, label(i));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_front_holds_what_no_cheaper_row_beats() {
        let points = [(10.0, 0.5), (1.0, 0.4), (5.0, 0.6), (5.0, 0.3), (20.0, 0.6)];
        assert_eq!(front(&points), [1, 2]);
        assert!(front(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn every_row_outside_the_front_is_beaten_by_one_of_it(
            points in prop::collection::vec((1u8..20, 0u8..20), 1..12)
        ) {
            let points: Vec<(f64, f64)> =
                points.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).collect();
            let front = front(&points);
            for (i, point) in points.iter().enumerate() {
                let beaten = front.iter().any(|j| {
                    let other = points[*j];
                    other.0 <= point.0 && other.1 >= point.1
                });
                prop_assert!(beaten);
                if front.contains(&i) {
                    let strictly = points.iter().any(|other| {
                        (other.0 <= point.0 && other.1 > point.1)
                            || (other.0 < point.0 && other.1 >= point.1)
                    });
                    prop_assert!(!strictly);
                }
            }
        }
    }
}
