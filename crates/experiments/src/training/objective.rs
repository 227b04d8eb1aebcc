//! From class scores and labels to a loss.

use tch::{Device, Kind, Reduction, TchError, Tensor};

use super::Objective;
use crate::clips::{Labels, transfer};
use crate::evaluation::cross_entropy;

impl Objective {
    /// The mean loss of a batch, with targets smoothed by `smoothing`.
    ///
    /// # Shapes
    /// `logits` [B, C]
    ///
    /// # Errors
    /// A label that is not below C, or several labels of other sizes.
    pub fn loss(
        self,
        logits: &Tensor,
        labels: &Labels,
        smoothing: f64,
    ) -> Result<Tensor, TchError> {
        let device = logits.device();
        match (self, &labels.targets) {
            (Objective::BinaryCrossEntropy, Some((values, _))) => {
                let smoothed =
                    |&y: &f32| (f64::from(y) * (1.0 - smoothing) + 0.5 * smoothing) as f32;
                let targets: Vec<f32> = values.iter().map(smoothed).collect();
                logits
                    .f_to_kind(Kind::Float)?
                    .f_binary_cross_entropy_with_logits::<Tensor>(
                        &matrix(&targets, labels.len(), device)?,
                        None,
                        None,
                        Reduction::Mean,
                    )
            }
            (Objective::BinaryCrossEntropy, None) => {
                Err(TchError::Shape("clips without several labels".to_owned()))
            }
            (Objective::CrossEntropy, _) if labels.blends.is_empty() && smoothing == 0.0 => {
                let classes = transfer::send(&labels.classes, device);
                cross_entropy(logits, &classes)
            }
            (Objective::CrossEntropy, _) => {
                let classes = logits.size().last().copied().unwrap_or(0).max(0) as usize;
                let targets = soft_targets(labels, classes, smoothing)?;
                let targets = matrix(&targets, labels.len(), device)?;
                let products = logits.f_log_softmax(-1, Kind::Float)?.f_mul(&targets)?;
                products
                    .f_sum(Kind::Float)?
                    .f_mul_scalar(-1.0 / labels.len().max(1) as f64)
            }
        }
    }
}

/// [B, C]: (1 - ε) of the blended labels and ε / C for every class.
fn soft_targets(labels: &Labels, classes: usize, smoothing: f64) -> Result<Vec<f32>, TchError> {
    let mut targets = vec![smoothing / classes as f64; labels.len() * classes];
    for (clip, &own) in labels.classes.iter().enumerate() {
        let (other, share) = labels.blends.get(clip).copied().unwrap_or((own, 1.0));
        // The shares of one class are added, so that equal labels weigh 1.
        for (label, share) in [(own, share), (other, 1.0 - share)] {
            let label = usize::try_from(label).ok().filter(|&label| label < classes);
            let Some(label) = label else {
                let reason = format!("a label that is not below the {classes} classes");
                return Err(TchError::Shape(reason));
            };
            targets[clip * classes + label] += (1.0 - smoothing) * share;
        }
    }
    Ok(targets.into_iter().map(|value| value as f32).collect())
}

fn matrix(values: &[f32], rows: usize, device: Device) -> Result<Tensor, TchError> {
    transfer::send(values, device).f_reshape([rows as i64, -1])
}
