//! Who is taken for whom, and what follows from it.

use serde::{Deserialize, Serialize};

/// The confusion matrix of clips with one label each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// `counts[i][j]`: clips of class i that were taken for class j.
    pub counts: Vec<Vec<u64>>,
}

/// Figures of one class; a figure is missing where it would be 0 / 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassFigures {
    /// Clips of the class.
    pub clips: u64,
    /// Share of the clips of the class that were found.
    pub recall: Option<f64>,
    /// Share of the clips taken for the class that belong to it.
    pub precision: Option<f64>,
    /// 2 · found / (clips of the class + clips taken for it).
    pub f1: Option<f64>,
}

impl ClassFigures {
    /// From the clips of the class that were found, those that belong to it and
    /// those taken for it.
    pub fn new(found: u64, belonging: u64, taken: u64) -> Self {
        let ratio = |over: u64, under: u64| (under > 0).then(|| over as f64 / under as f64);
        ClassFigures {
            clips: belonging,
            recall: ratio(found, belonging),
            precision: ratio(found, taken),
            f1: ratio(2 * found, belonging + taken),
        }
    }
}

impl Confusion {
    /// Counts labels against predictions, both below `classes`; others are left
    /// out.
    pub fn new(classes: usize, labels: &[i64], predictions: &[usize]) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            let row = usize::try_from(label).ok();
            let row = row.and_then(|label| counts.get_mut(label));
            if let Some(count) = row.and_then(|row| row.get_mut(prediction)) {
                *count += 1;
            }
        }
        Confusion { counts }
    }

    /// Share of clips on the diagonal; 0 without clips.
    pub fn accuracy(&self) -> f64 {
        let all: u64 = self.counts.iter().flatten().sum();
        let right: u64 = (0..self.counts.len()).map(|k| self.counts[k][k]).sum();
        right as f64 / all.max(1) as f64
    }

    /// Figures of every class.
    pub fn per_class(&self) -> Vec<ClassFigures> {
        let class = |k: usize| {
            let belonging = self.counts[k].iter().sum();
            let taken = self.counts.iter().map(|row| row[k]).sum();
            ClassFigures::new(self.counts[k][k], belonging, taken)
        };
        (0..self.counts.len()).map(class).collect()
    }

    /// Mean F1 over the classes that occur as label or prediction, as
    /// `sklearn.metrics.f1_score(average="macro")`.
    pub fn macro_f1(&self) -> f64 {
        macro_f1(&self.per_class())
    }
}

pub(super) fn macro_f1(classes: &[ClassFigures]) -> f64 {
    let occurring: Vec<f64> = classes.iter().filter_map(|class| class.f1).collect();
    super::mean(&occurring)
}
