//! Which class was taken for which, over the runs of a row.

use super::draw::ink::{LEVELS, level};
use super::draw::{Anchor, Drawing, Ink, fitted, text_width};
use super::format::percent;
use super::plots::WIDTH;
use super::summary::Row;

/// Side of the matrix in pixels, where its cells are not at their largest.
const SIDE: f64 = 380.0;
/// With more classes than this the cells hold no numbers.
const NUMBERED: usize = 12;

/// Test clips by `[true class][predicted class]`, summed over runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Confusion<'a> {
    /// Names of the classes.
    pub classes: &'a [String],
    /// The counts.
    pub counts: Vec<Vec<u64>>,
    /// Number of runs added up.
    pub runs: usize,
}

impl<'a> Confusion<'a> {
    /// Adds up the runs of a row that have the classes of the first one;
    /// `None` where no run has a whole matrix.
    pub fn of(row: &Row<'a>) -> Option<Self> {
        let whole = |classes: usize, matrix: &[Vec<u64>]| {
            classes > 0
                && matrix.len() == classes
                && matrix.iter().all(|line| line.len() == classes)
        };
        let mut members = row.members.iter();
        let first = members.find(|run| whole(run.class_names.len(), &run.confusion))?;
        let classes = first.class_names.len();
        let mut counts = vec![vec![0; classes]; classes];
        let mut runs = 0;
        let same = row.members.iter();
        let same = same.filter(|run| run.class_names == first.class_names);
        for run in same.filter(|run| whole(classes, &run.confusion)) {
            runs += 1;
            for (sum, line) in counts.iter_mut().zip(&run.confusion) {
                for (sum, count) in sum.iter_mut().zip(line) {
                    *sum += count;
                }
            }
        }
        Some(Self {
            classes: &first.class_names,
            counts,
            runs,
        })
    }

    /// Share of the clips of class `truth` that were taken for `predicted`.
    pub fn share(&self, truth: usize, predicted: usize) -> f64 {
        let line = &self.counts[truth];
        line[predicted] as f64 / line.iter().sum::<u64>().max(1) as f64
    }

    /// The most frequent mistakes: true class, predicted class, share; at most
    /// `most`, the largest share first.
    pub fn mistakes(&self, most: usize) -> Vec<(usize, usize, f64)> {
        let classes = 0..self.classes.len();
        let mut mistakes: Vec<(usize, usize, f64)> = classes
            .clone()
            .flat_map(|t| classes.clone().map(move |p| (t, p)))
            .filter(|(t, p)| t != p && self.counts[*t][*p] > 0)
            .map(|(t, p)| (t, p, self.share(t, p)))
            .collect();
        mistakes.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
        mistakes.truncate(most);
        mistakes
    }

    /// The mistakes in words.
    pub fn in_words(&self) -> String {
        let mistakes: Vec<String> = self
            .mistakes(4)
            .iter()
            .map(|(t, p, share)| {
                let (truth, predicted) = (&self.classes[*t], &self.classes[*p]);
                format!("{truth} taken for {predicted} ({} %)", percent(*share))
            })
            .collect();
        match mistakes.is_empty() {
            true => "No clip was taken for another class.".to_owned(),
            false => format!("Most frequent: {}.", mistakes.join(", ")),
        }
    }
}

/// The matrix, each line in percent of its true class.
pub fn confusion(confusion: &Confusion, title: &str, label: &str) -> Drawing {
    let n = confusion.classes.len();
    let side = (SIDE / n as f64).clamp(5.0, 52.0);
    let size = if side >= 11.0 {
        12.0_f64.min(side)
    } else {
        10.0
    };
    let longest = confusion.classes.iter().map(|name| text_width(name, size));
    let margin = longest.fold(20.0, f64::max).min(130.0);
    let turned = margin > side - 4.0;
    let (left, top) = (margin + 36.0, 74.0);
    let (right, bottom) = (left + side * n as f64, top + side * n as f64);
    let below = if turned { margin + 12.0 } else { 20.0 };
    let width = (right + 30.0).max(WIDTH);
    let description = format!("{title}, {label}: confusion matrix");
    let mut drawing = Drawing::new(width, bottom + below + 28.0, &description);
    drawing.heading((14.0, 24.0), 15.0, &fitted(title, 15.0, width - 28.0));
    let subtitle = fitted(label, 13.0, width - 28.0);
    drawing.text((14.0, 46.0), 13.0, Ink::Text, Anchor::Start, &subtitle);
    let note = "Share of each true class, %";
    drawing.text((left, top - 9.0), 12.0, Ink::Soft, Anchor::Start, note);

    let mut levels: Vec<Vec<(f64, f64)>> = vec![Vec::new(); usize::from(LEVELS)];
    let gap = if side >= 11.0 { 1.0 } else { 0.0 };
    for t in 0..n {
        for p in 0..n {
            let corner = (left + side * p as f64, top + side * t as f64);
            levels[usize::from(level(confusion.share(t, p)))].push(corner);
        }
    }
    for (level, corners) in levels.into_iter().enumerate() {
        drawing.tiles(corners, (side - gap, side - gap), Ink::Level(level as u8));
    }
    if n <= NUMBERED {
        numbers(&mut drawing, confusion, (left, top), side);
    }
    names(
        &mut drawing,
        confusion,
        (left, top, bottom),
        side,
        (size, margin, turned),
    );
    let at = ((left + right) / 2.0, bottom + below + 18.0);
    drawing.text(at, 12.0, Ink::Soft, Anchor::Middle, "Predicted class");
    drawing.turned(
        (16.0, (top + bottom) / 2.0),
        12.0,
        Anchor::Middle,
        -90.0,
        "True class",
    );
    drawing
}

fn numbers(drawing: &mut Drawing, confusion: &Confusion, (left, top): (f64, f64), side: f64) {
    for t in 0..confusion.classes.len() {
        for p in 0..confusion.classes.len() {
            let share = confusion.share(t, p);
            if confusion.counts[t][p] == 0 {
                continue;
            }
            let x = left + side * (p as f64 + 0.5) - 0.5;
            let y = top + side * (t as f64 + 0.5) + 4.0;
            let text = format!("{:.0}", share * 100.0);
            let ink = Ink::OnLevel(level(share));
            drawing.text((x, y), 12.0, ink, Anchor::Middle, &text);
        }
    }
}

/// Names of the classes at both sides, every so many where they are too close.
fn names(
    drawing: &mut Drawing,
    confusion: &Confusion,
    (left, top, bottom): (f64, f64, f64),
    side: f64,
    (size, margin, turned): (f64, f64, bool),
) {
    let every = ((size + 1.0) / side).ceil().max(1.0) as usize;
    for (i, name) in confusion.classes.iter().enumerate().step_by(every) {
        let name = fitted(name, size, margin);
        let middle = side * (i as f64 + 0.5);
        let at = (left - 6.0, top + middle + size * 0.35);
        drawing.text(at, size, Ink::Soft, Anchor::End, &name);
        if turned {
            let at = (left + middle + size * 0.35, bottom + 8.0);
            drawing.turned(at, size, Anchor::End, -90.0, &name);
        } else {
            let at = (left + middle, bottom + 16.0);
            drawing.text(at, size, Ink::Soft, Anchor::Middle, &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixtures::run;
    use crate::report::summary;

    #[test]
    fn matrices_are_added_up_and_shares_are_of_the_true_class() {
        let mut runs: Vec<_> = (0..3)
            .map(|seed| run("t", "linear", 0, seed, 0.5))
            .collect();
        // A run with other classes has no place in the sum.
        runs[2].class_names[0] = "other".to_owned();
        let ordered = summary::in_order(&runs, &[]);
        let tasks = summary::summarise(&ordered, &[]);
        let confusion = Confusion::of(&tasks[0].rows[0]).unwrap();
        assert_eq!(confusion.runs, 2);
        assert_eq!(confusion.counts[3], [0, 0, 4, 4]);
        assert_eq!(confusion.share(3, 2), 0.5);
        let mistakes = confusion.mistakes(2);
        assert_eq!(mistakes, [(3, 2, 0.5), (0, 1, 0.25)]);
        assert!(
            confusion
                .in_words()
                .contains("four taken for three (50.0 %)")
        );
    }

    #[test]
    fn a_record_without_a_whole_matrix_has_none() {
        let mut runs = [run("t", "linear", 0, 0, 0.5)];
        runs[0].confusion.pop();
        let ordered = summary::in_order(&runs, &[]);
        let tasks = summary::summarise(&ordered, &[]);
        assert_eq!(Confusion::of(&tasks[0].rows[0]), None);
    }
}
