//! Whether a classifier is as sure as it is right.

use super::{Scores, argmax};

/// Bins of the expected calibration error.
pub const CALIBRATION_BINS: usize = 15;

/// Expected calibration error (Guo et al. 2017, On Calibration of Modern Neural
/// Networks): Σ_b n_b / n · |accuracy_b - confidence_b| over
/// [`CALIBRATION_BINS`] bins ((b - 1) / 15, b / 15] of the largest softmax
/// probability. 0 without clips.
pub fn calibration_error(scores: &Scores) -> f64 {
    // Sums of confidences and of right answers.
    let mut bins = [(0.0, 0.0); CALIBRATION_BINS];
    for (row, &label) in scores.rows().zip(&scores.labels) {
        let best = argmax(row);
        let confidence = confidence(row, best);
        let bin = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let (confidences, right) = &mut bins[bin.clamp(1, CALIBRATION_BINS) - 1];
        *confidences += confidence;
        *right += f64::from(u8::from(i64::try_from(best) == Ok(label)));
    }
    let gap: f64 = bins.iter().map(|(sure, right)| (right - sure).abs()).sum();
    gap / scores.labels.len().max(1) as f64
}

/// The softmax probability of class `best`, which has the largest score.
fn confidence(row: &[f32], best: usize) -> f64 {
    let Some(&largest) = row.get(best) else {
        return 0.0;
    };
    let sum: f64 = row.iter().map(|&z| f64::from(z - largest).exp()).sum();
    1.0 / sum
}
