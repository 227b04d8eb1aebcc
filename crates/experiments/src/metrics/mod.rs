//! Figures of a classifier, from its class scores and the labels: plain
//! arithmetic in f64, no tensors.
//!
//! Where scikit-learn has the same figure the definition is its default one.

use serde::{Deserialize, Serialize};

mod calibration;
mod confusion;
mod events;
mod ranking;

pub use calibration::{CALIBRATION_BINS, calibration_error};
pub use confusion::{ClassFigures, Confusion};
pub use events::{EventError, EventFile};
pub use ranking::average_precision;

/// Class scores of clips and what they should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// C.
    pub classes: usize,
    /// Scores before softmax or sigmoid, [clips, C] row by row.
    pub logits: Vec<f32>,
    /// The class of each clip, [clips].
    pub labels: Vec<i64>,
    /// Which classes each clip belongs to, [clips, C], 1 or 0, where clips have
    /// several labels; `labels` does not count then.
    pub targets: Option<Vec<f32>>,
}

/// All figures of a part of the clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Number of clips.
    pub clips: usize,
    /// Share of clips whose largest score is the label's; with several labels,
    /// share of clips of which every class is right (σ(z) above ½ or not).
    pub accuracy: f64,
    /// Mean F1 over the classes that occur as label or prediction.
    pub macro_f1: f64,
    /// Figures of every class, in the order of the scores.
    pub per_class: Vec<ClassFigures>,
    /// Clips of class i that were taken for class j, `confusion[i][j]`; not for
    /// several labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Vec<Vec<u64>>>,
    /// Expected calibration error over 15 bins; not for several labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_error: Option<f64>,
    /// Mean over the classes that occur of the average precision; for several
    /// labels only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_average_precision: Option<f64>,
}

impl Metrics {
    /// All figures. An empty part has 0 everywhere.
    pub fn of(scores: &Scores) -> Self {
        match &scores.targets {
            None => Self::single(scores),
            Some(targets) => Self::several(scores, targets),
        }
    }

    fn single(scores: &Scores) -> Self {
        let rows = scores.rows();
        let predictions: Vec<usize> = rows.map(argmax).collect();
        let confusion = Confusion::new(scores.classes, &scores.labels, &predictions);
        Metrics {
            clips: scores.labels.len(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            per_class: confusion.per_class(),
            calibration_error: Some(calibration_error(scores)),
            mean_average_precision: None,
            confusion: Some(confusion.counts),
        }
    }

    fn several(scores: &Scores, targets: &[f32]) -> Self {
        let classes = scores.classes.max(1);
        let clips = scores.logits.len() / classes;
        let wanted = |clip: usize, class: usize| targets[clip * classes + class] > 0.5;
        // σ(z) > ½ where z > 0.
        let said = |clip: usize, class: usize| scores.logits[clip * classes + class] > 0.0;
        let per_class: Vec<ClassFigures> = (0..classes)
            .map(|class| {
                let count = |test: &dyn Fn(usize) -> bool| (0..clips).filter(|&c| test(c)).count();
                ClassFigures::new(
                    count(&|clip| wanted(clip, class) && said(clip, class)) as u64,
                    count(&|clip| wanted(clip, class)) as u64,
                    count(&|clip| said(clip, class)) as u64,
                )
            })
            .collect();
        let right = |&clip: &usize| (0..classes).all(|k| wanted(clip, k) == said(clip, k));
        let precisions: Vec<f64> = (0..classes)
            .filter_map(|class| {
                let column = |values: &[f32]| -> Vec<f32> {
                    values
                        .iter()
                        .skip(class)
                        .step_by(classes)
                        .copied()
                        .collect()
                };
                average_precision(&column(&scores.logits), &column(targets))
            })
            .collect();
        Metrics {
            clips,
            accuracy: (0..clips).filter(right).count() as f64 / clips.max(1) as f64,
            macro_f1: confusion::macro_f1(&per_class),
            per_class,
            confusion: None,
            calibration_error: None,
            mean_average_precision: Some(mean(&precisions)),
        }
    }
}

impl Scores {
    /// The scores of one clip after the other, each C values.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.classes.max(1))
    }
}

/// The first index with the largest value.
pub(crate) fn argmax(row: &[f32]) -> usize {
    let larger = |best: usize, index: usize| if row[index] > row[best] { index } else { best };
    (0..row.len()).reduce(larger).unwrap_or(0)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests;
