//! Learning rate over the steps of a run.

/// Learning rate of step `step` of `steps`: ½ (1 + cos(π step / steps)),
/// without warm-up, down to 0 after the last step.
pub fn cosine(initial: f64, step: usize, steps: usize) -> f64 {
    let progress = step as f64 / steps.max(1) as f64;
    initial * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// A linear rise over `warmup` steps, then [`cosine`] over those that are left.
///
/// Step t < W has the rate initial · (t + 1) / (W + 1): the first step is not
/// wasted at rate 0, and step W has the full rate. Without warm-up this is
/// [`cosine`] to the bit.
pub fn warmup_cosine(initial: f64, step: usize, steps: usize, warmup: usize) -> f64 {
    if step < warmup {
        return initial * (step + 1) as f64 / (warmup + 1) as f64;
    }
    cosine(initial, step - warmup, steps.saturating_sub(warmup))
}
