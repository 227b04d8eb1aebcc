//! One linear head per label set, side by side in one matrix.

use std::collections::BTreeMap;
use std::ops::Range;

use ast_model::init;
use tch::{Device, Kind, Reduction, TchError, Tensor};

use crate::metrics::{Confusion, argmax};

/// libtorch's default: a label of this value would be left out.
const IGNORED: i64 = -100;

/// The classes of one data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSet {
    /// Name of the data set.
    pub name: String,
    /// Names of its classes.
    pub classes: Vec<String>,
    /// The first of its classes among those of all sets.
    pub start: usize,
}

impl LabelSet {
    fn range(&self) -> Range<i64> {
        self.start as i64..(self.start + self.classes.len()) as i64
    }
}

/// Linear maps [D → C] of all label sets, C the sum of their classes.
pub(super) struct Heads {
    sets: Vec<LabelSet>,
    trained: Vec<(String, Tensor)>,
}

/// Which clips of a batch belong to a set, and their classes within it.
struct Rows {
    rows: Tensor,
    labels: Tensor,
}

impl Heads {
    /// Fresh heads that start at U(±1/√D), as a linear probe does.
    pub fn new(
        sets: Vec<LabelSet>,
        width: i64,
        seed: u64,
        device: Device,
    ) -> Result<Self, TchError> {
        let classes: usize = sets.iter().map(|set| set.classes.len()).sum();
        let bound = 1.0 / (width as f64).sqrt();
        let leaf = |name: &str, shape: &[i64]| -> Result<(String, Tensor), TchError> {
            let value = init::uniform(seed, name, shape, bound).to_device(device);
            Ok((name.to_owned(), value.f_set_requires_grad(true)?))
        };
        let trained = vec![
            leaf("heads.weight", &[classes as i64, width])?,
            leaf("heads.bias", &[classes as i64])?,
        ];
        Ok(Heads { sets, trained })
    }

    pub fn sets(&self) -> &[LabelSet] {
        &self.sets
    }

    pub fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
    }

    /// [B, D] → [B, C]
    pub fn scores(&self, pooled: &Tensor) -> Result<Tensor, TchError> {
        pooled.f_linear(&self.trained[0].1, Some(&self.trained[1].1))
    }

    /// Mean over the clips of the cross-entropy within the label set of each.
    ///
    /// # Shapes
    /// `scores` [B, C], `classes` [B] counted over all sets
    pub fn loss(
        &self,
        scores: &Tensor,
        classes: &[i64],
        smoothing: f64,
    ) -> Result<Tensor, TchError> {
        let options = (Kind::Float, scores.device());
        let mut sum = Tensor::f_zeros([], options)?;
        for set in &self.sets {
            let Some(Rows { rows, labels }) = self.rows(set, classes, scores.device())? else {
                continue;
            };
            let range = set.range();
            let own = scores.f_index_select(0, &rows)?.f_narrow(
                1,
                range.start,
                range.end - range.start,
            )?;
            let none = None::<&Tensor>;
            let loss =
                own.f_cross_entropy_loss(&labels, none, Reduction::Sum, IGNORED, smoothing)?;
            sum = sum.f_add(&loss)?;
        }
        sum.f_div_scalar(classes.len().max(1) as f64)
    }

    fn rows(
        &self,
        set: &LabelSet,
        classes: &[i64],
        device: Device,
    ) -> Result<Option<Rows>, TchError> {
        let range = set.range();
        let own = classes.iter().enumerate();
        let own = own.filter(|(_, class)| range.contains(class));
        let (rows, labels): (Vec<i64>, Vec<i64>) = own
            .map(|(row, class)| (row as i64, class - range.start))
            .unzip();
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(Rows {
            rows: Tensor::f_from_slice(&rows)?.to_device(device),
            labels: Tensor::f_from_slice(&labels)?.to_device(device),
        }))
    }
}

/// Accuracy and macro F1 of every label set, from scores [clips, C] row by row.
pub(super) fn figures(
    sets: &[LabelSet],
    scores: &[Vec<f32>],
    classes: &[i64],
) -> BTreeMap<String, [f64; 2]> {
    let mut figures = BTreeMap::new();
    for set in sets {
        let range = set.range();
        let own = classes.iter().zip(scores);
        let own: Vec<(&i64, &Vec<f32>)> = own.filter(|(class, _)| range.contains(class)).collect();
        if own.is_empty() {
            continue;
        }
        let columns = set.start..set.start + set.classes.len();
        let labels: Vec<i64> = own.iter().map(|(class, _)| **class - range.start).collect();
        let guesses = own.iter().map(|(_, row)| argmax(&row[columns.clone()]));
        let guesses: Vec<usize> = guesses.collect();
        let confusion = Confusion::new(set.classes.len(), &labels, &guesses);
        figures.insert(
            set.name.clone(),
            [confusion.accuracy(), confusion.macro_f1()],
        );
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Vec<LabelSet> {
        let set = |name: &str, classes: &[&str], start| LabelSet {
            name: name.to_owned(),
            classes: classes.iter().map(|&class| class.to_owned()).collect(),
            start,
        };
        vec![set("a", &["x", "y"], 0), set("b", &["u", "v", "w"], 2)]
    }

    #[test]
    fn a_clip_is_compared_with_the_classes_of_its_own_set_alone() {
        let heads = Heads::new(sets(), 4, 1, Device::Cpu).unwrap();
        let ln3 = 3f32.ln();
        // The first clip: p = (1/4, 3/4) within set a, whatever set b says.
        let scores = Tensor::from_slice(&[0.0, ln3, 9.0, 9.0, 9.0, 7.0, 7.0, 0.0, 0.0, 0.0]);
        let scores = scores.reshape([2, 5]);
        let loss = heads.loss(&scores, &[1, 3], 0.0).unwrap();
        let expected = (-0.75f64.ln() + 3f64.ln()) / 2.0;
        assert!((loss.double_value(&[]) - expected).abs() < 1e-6);
        let alone = heads.loss(&scores.narrow(0, 0, 1), &[1], 0.0).unwrap();
        assert!((alone.double_value(&[]) + 0.75f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn every_set_has_figures_of_its_own() {
        let scores = vec![
            vec![0.0, 1.0, 5.0, 0.0, 0.0],
            vec![1.0, 0.0, 5.0, 0.0, 0.0],
            vec![9.0, 9.0, 0.0, 1.0, 0.0],
        ];
        let found = figures(&sets(), &scores, &[1, 1, 3]);
        assert_eq!(found["a"][0], 0.5);
        assert_eq!(found["b"], [1.0, 1.0]);
        assert_eq!(figures(&sets(), &scores[..2], &[1, 1]).len(), 1);
    }
}
