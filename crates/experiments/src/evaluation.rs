//! Accuracy and loss of a model on a part of the clips.

use adapters::{AdaptedModel, AdapterError};
use ast_model::Step;
use tch::{Kind, Reduction, TchError, Tensor, no_grad};

use crate::clips::Clips;
use crate::metrics::{Metrics, Scores, argmax};
use crate::training::Objective;

/// Figures over a part. An empty part has accuracy and loss 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy over the clips.
    pub loss: f64,
    /// Share of clips whose largest logit is the label's.
    pub accuracy: f64,
    /// Number of clips.
    pub clips: usize,
}

/// Evaluates the clips `part` in batches, without gradients.
///
/// # Errors
/// When the forward pass fails.
pub fn evaluate(
    model: &AdaptedModel,
    clips: &Clips,
    part: &[usize],
    batch: usize,
) -> Result<Evaluation, AdapterError> {
    let objective = Objective::CrossEntropy;
    let mut forward = |indices: &[usize]| {
        let (features, _) = clips.batch(indices);
        model.forward(&features, &Step::evaluation())
    };
    let (loss, scores) = score(&mut forward, clips, part, batch, objective)?;
    let right = |(row, &label): (&[f32], &i64)| i64::try_from(argmax(row)) == Ok(label);
    let correct = scores
        .rows()
        .zip(&scores.labels)
        .filter(|&pair| right(pair));
    Ok(Evaluation {
        loss,
        accuracy: correct.count() as f64 / part.len().max(1) as f64,
        clips: part.len(),
    })
}

/// Class scores of the clips `part`, and all figures that follow from them.
///
/// # Errors
/// When the forward pass fails.
pub fn measure(
    model: &AdaptedModel,
    clips: &Clips,
    part: &[usize],
    batch: usize,
    objective: Objective,
) -> Result<(f64, Metrics), AdapterError> {
    let mut forward = |indices: &[usize]| {
        let (features, _) = clips.batch(indices);
        model.forward(&features, &Step::evaluation())
    };
    let (loss, scores) = score(&mut forward, clips, part, batch, objective)?;
    Ok((loss, Metrics::of(&scores)))
}

/// As [`measure`]; `go_on` is told after each batch how many clips are done, and
/// where it says no there is nothing.
///
/// # Errors
/// When the forward pass fails.
pub fn measure_while(
    model: &AdaptedModel,
    clips: &Clips,
    part: &[usize],
    batch: usize,
    objective: Objective,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<(f64, Metrics)>, AdapterError> {
    let mut forward = |indices: &[usize]| {
        let (features, _) = clips.batch(indices);
        model.forward(&features, &Step::evaluation())
    };
    let found = score_while(&mut forward, clips, part, batch, objective, go_on)?;
    Ok(found.map(|(loss, scores)| (loss, Metrics::of(&scores))))
}

/// Mean loss and class scores of the clips `part`; `forward` gives the scores
/// [B, C] of the clips of these indices in evaluation mode.
///
/// # Errors
/// When `forward` fails.
pub(crate) fn score(
    forward: &mut dyn FnMut(&[usize]) -> Result<Tensor, AdapterError>,
    clips: &Clips,
    part: &[usize],
    batch: usize,
    objective: Objective,
) -> Result<(f64, Scores), AdapterError> {
    let found = score_while(forward, clips, part, batch, objective, &mut |_| true)?;
    Ok(found.unwrap_or_default()) // it is there: nobody said no
}

/// As [`score`]; `go_on` is told after each batch how many clips are done, and
/// where it says no there is nothing.
///
/// # Errors
/// When `forward` fails.
pub(crate) fn score_while(
    forward: &mut dyn FnMut(&[usize]) -> Result<Tensor, AdapterError>,
    clips: &Clips,
    part: &[usize],
    batch: usize,
    objective: Objective,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<(f64, Scores)>, AdapterError> {
    let several = objective == Objective::BinaryCrossEntropy;
    let mut scores = Scores {
        classes: 0,
        logits: Vec::new(),
        labels: Vec::with_capacity(part.len()),
        targets: several.then(Vec::new),
    };
    let (mut sum, mut done) = (0.0, 0);
    for indices in part.chunks(batch.max(1)) {
        let labels = clips.labels_of(indices);
        let logits = no_grad(|| forward(indices))?;
        let loss = objective.loss(&logits, &labels, 0.0)?;
        sum += loss.f_double_value(&[])? * indices.len() as f64;
        scores.classes = logits.size().last().map_or(0, |&classes| classes as usize);
        let row: Vec<f32> = Vec::try_from(logits.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
        scores.logits.extend(row);
        scores.labels.extend(&labels.classes);
        if let (Some(targets), Some((values, _))) = (&mut scores.targets, &labels.targets) {
            targets.extend(values);
        }
        done += indices.len();
        if !go_on(done) {
            return Ok(None);
        }
    }
    Ok(Some((sum / part.len().max(1) as f64, scores)))
}

/// Mean cross-entropy of logits [B, C] against labels [B].
///
/// # Errors
/// When a label is not below C.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    // libtorch's default: a label of this value would be left out of the mean.
    const IGNORED: i64 = -100;
    let log_probabilities = logits.f_log_softmax(-1, Kind::Float)?;
    log_probabilities.f_nll_loss(labels, None::<&Tensor>, Reduction::Mean, IGNORED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy;

    /// A model whose logits are (ln 3, 0) for any clip: p = (3/4, 1/4).
    fn constant() -> AdaptedModel {
        let model = toy::model("linear", 2);
        let set = |name: &str, value: &Tensor| {
            let found = model.trained().iter().find(|(known, _)| known == name);
            let (_, tensor) = found.expect(name);
            no_grad(|| tensor.shallow_clone().copy_(value));
        };
        set("classification_head.weight", &Tensor::from(0.0));
        set(
            "classification_head.bias",
            &Tensor::from_slice(&[3f32.ln(), 0.0]),
        );
        model
    }

    #[test]
    fn accuracy_and_loss_are_those_computed_by_hand() {
        let clips = toy::separable(&[0, 1, 0, 1, 1]);
        let (right, wrong) = (-0.75f64.ln(), -0.25f64.ln());
        for (part, loss, accuracy) in [
            (vec![0, 1, 2], (2.0 * right + wrong) / 3.0, 2.0 / 3.0),
            (vec![4, 3, 1, 0], (right + 3.0 * wrong) / 4.0, 0.25),
            (vec![2], right, 1.0),
        ] {
            // Every clip counts the same, whatever the size of its batch.
            for batch in [1, 2, 3, 16] {
                let found = evaluate(&constant(), &clips, &part, batch).unwrap();
                assert!(
                    (found.loss - loss).abs() < 1e-6,
                    "{found:?} instead of {loss}"
                );
                assert_eq!((found.accuracy, found.clips), (accuracy, part.len()));
            }
        }
    }

    #[test]
    fn measuring_in_steps_gives_the_same_and_can_be_ended() {
        let clips = toy::separable(&[0, 1, 0, 1, 1]);
        let (model, part, objective) = (constant(), [4, 3, 1, 0, 2], Objective::CrossEntropy);
        let (loss, metrics) = measure(&model, &clips, &part, 2, objective).unwrap();
        let mut told = Vec::new();
        let mut go_on = |done: usize| {
            told.push(done);
            true
        };
        let found = measure_while(&model, &clips, &part, 2, objective, &mut go_on);
        let (same_loss, same) = found.unwrap().unwrap();
        assert!((loss - same_loss).abs() < 1e-12);
        assert_eq!((same, told), (metrics, vec![2, 4, 5]));
        let ended = measure_while(&model, &clips, &part, 2, objective, &mut |_| false);
        assert!(ended.unwrap().is_none());
    }

    #[test]
    fn an_empty_part_has_no_clips_and_no_loss() {
        let clips = toy::separable(&[0, 1]);
        let found = evaluate(&constant(), &clips, &[], 4).unwrap();
        assert_eq!(
            found,
            Evaluation {
                loss: 0.0,
                accuracy: 0.0,
                clips: 0
            }
        );
    }

    #[test]
    fn features_of_another_shape_are_an_error() {
        let clips = Clips::new(vec![0.0; 16 * 128], vec![0], [16, 128], tch::Device::Cpu).unwrap();
        let error = evaluate(&constant(), &clips, &[0], 1).unwrap_err();
        assert!(error.to_string().contains("max_length = 32"), "{error}");
    }
}
