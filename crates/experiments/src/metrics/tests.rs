//! Figures computed by hand from the definitions, in fractions.

use super::*;

fn scores(classes: usize, rows: &[&[f32]], labels: &[i64]) -> Scores {
    Scores {
        classes,
        logits: rows.concat(),
        labels: labels.to_vec(),
        targets: None,
    }
}

/// Eight clips of three classes that are taken for 0 0 1 | 1 1 2 | 2 0.
fn eight() -> Scores {
    let [a, b, c]: [&[f32]; 3] = [&[2.0, 1.0, 0.0], &[0.0, 3.0, 1.0], &[-1.0, 0.0, 0.5]];
    scores(3, &[a, a, b, b, b, c, c, a], &[0, 0, 0, 1, 1, 1, 2, 2])
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
}

#[test]
fn a_confusion_matrix_and_what_follows_from_it() {
    let metrics = Metrics::of(&eight());
    let counts = vec![vec![2, 1, 0], vec![0, 2, 1], vec![1, 0, 1]];
    assert_eq!(metrics.confusion, Some(counts));
    assert_eq!(metrics.clips, 8);
    close(metrics.accuracy, 5.0 / 8.0);
    let recalls = [2.0 / 3.0, 2.0 / 3.0, 1.0 / 2.0];
    let precisions = [2.0 / 3.0, 2.0 / 3.0, 1.0 / 2.0];
    for (k, class) in metrics.per_class.iter().enumerate() {
        close(class.recall.unwrap(), recalls[k]);
        close(class.precision.unwrap(), precisions[k]);
    }
    // F1: 4/6, 4/6, 2/4.
    close(metrics.macro_f1, (4.0 / 6.0 + 4.0 / 6.0 + 2.0 / 4.0) / 3.0);
}

#[test]
fn a_class_that_never_occurs_does_not_count_in_macro_f1() {
    // Class 2 is neither label nor prediction; class 1 is only predicted.
    let rows: [&[f32]; 4] = [
        &[1.0, 0.0, 0.0],
        &[1.0, 0.0, 0.0],
        &[0.0, 1.0, 0.0],
        &[1.0, 0.0, 0.0],
    ];
    let metrics = Metrics::of(&scores(3, &rows, &[0, 0, 0, 0]));
    assert_eq!(metrics.per_class[2].f1, None);
    assert_eq!(metrics.per_class[1].recall, None);
    // F1 of class 0: 2·3 / (4 + 3), of class 1: 0.
    close(metrics.macro_f1, (6.0 / 7.0) / 2.0);
}

#[test]
fn calibration_error_is_the_mean_gap_between_sure_and_right() {
    // Two classes, scores (ln p/(1-p), 0): confidence p exactly.
    let clip = |p: f64| [(p / (1.0 - p)).ln() as f32, 0.0];
    let rows = [clip(0.9), clip(0.9), clip(0.9), clip(0.6), clip(0.6)];
    let rows: Vec<&[f32]> = rows.iter().map(|row| row.as_slice()).collect();
    // 0.9: two of three right; 0.6: none of two.
    let metrics = Metrics::of(&scores(2, &rows, &[0, 0, 1, 1, 1]));
    let expected = (3.0 * (0.9f64 - 2.0 / 3.0).abs() + 2.0 * 0.6) / 5.0;
    let found = metrics.calibration_error.unwrap();
    assert!((found - expected).abs() < 1e-7, "{found}, not {expected}");
    // Gaps in one bin cancel: 0.93 wrong and 0.93 right are 0.93 - ½ apart.
    let rows = [clip(0.95), clip(0.95)];
    let rows: Vec<&[f32]> = rows.iter().map(|row| row.as_slice()).collect();
    let found = calibration_error(&scores(2, &rows, &[0, 1]));
    assert!((found - 0.45).abs() < 1e-7, "{found}");
}

#[test]
fn average_precision_is_scikit_learn_s() {
    // The example of scikit-learn's documentation of average_precision_score.
    let found = average_precision(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]);
    close(found.unwrap(), 0.833_333_333_333_333_3);
    // Ties come together: all at one threshold is the share of positives.
    close(
        average_precision(&[1.0; 4], &[1.0, 0.0, 0.0, 0.0]).unwrap(),
        0.25,
    );
    // By hand: ranks 1 and 4 of 5 are positive.
    let found = average_precision(&[5.0, 4.0, 3.0, 2.0, 1.0], &[1.0, 0.0, 0.0, 1.0, 0.0]);
    close(found.unwrap(), 0.5 * 1.0 + 0.5 * 2.0 / 4.0);
    assert_eq!(average_precision(&[1.0], &[0.0]), None);
}

#[test]
fn several_labels_have_their_own_figures() {
    let several = Scores {
        classes: 3,
        logits: vec![
            1.0, -1.0, -1.0, // says 0
            2.0, 0.5, -2.0, // says 0 and 1
            -1.0, -3.0, -0.5, // says nothing
        ],
        labels: vec![0; 3],
        targets: Some(vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0]),
    };
    let metrics = Metrics::of(&several);
    close(metrics.accuracy, 2.0 / 3.0);
    // F1: class 0 2·2/(3+2), class 1 2·1/(2+1); class 2 does not occur.
    close(metrics.macro_f1, (4.0 / 5.0 + 2.0 / 3.0) / 2.0);
    // Class 0: all positive, 1. Class 1: positives at ranks 1 and 3.
    close(
        metrics.mean_average_precision.unwrap(),
        (1.0 + (0.5 + 0.5 * 2.0 / 3.0)) / 2.0,
    );
    assert_eq!((metrics.confusion, metrics.calibration_error), (None, None));
}

#[test]
fn an_empty_part_has_nothing() {
    let metrics = Metrics::of(&scores(0, &[], &[]));
    assert_eq!(
        (metrics.clips, metrics.accuracy, metrics.macro_f1),
        (0, 0.0, 0.0)
    );
}
