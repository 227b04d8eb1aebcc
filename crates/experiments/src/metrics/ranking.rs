//! How well a score puts the clips of a class before the others.

/// Average precision of one class: Σ_n (R_n - R_{n-1}) P_n over all distinct
/// scores as thresholds, from the highest down, as
/// `sklearn.metrics.average_precision_score`. `None` without clips of the class.
///
/// # Shapes
/// `scores` [clips], `targets` [clips], above ½ for clips of the class.
pub fn average_precision(scores: &[f32], targets: &[f32]) -> Option<f64> {
    let positives = targets.iter().filter(|&&target| target > 0.5).count();
    if positives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len().min(targets.len())).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut found, mut before, mut area) = (0, 0, 0.0);
    for (rank, &clip) in order.iter().enumerate() {
        found += usize::from(targets[clip] > 0.5);
        // Clips of equal score come at one threshold.
        let next = order.get(rank + 1);
        if next.is_none_or(|&next| scores[next] != scores[clip]) {
            let precision = found as f64 / (rank + 1) as f64;
            area += (found - before) as f64 / positives as f64 * precision;
            before = found;
        }
    }
    Some(area)
}
