//! The frequency warp moves tones to where a higher or lower voice has them.

use audio_frontend::{Error, Fbank, FbankConfig, FrequencyWarp};
use ndarray::Array2;
use proptest::prelude::*;

fn tone(frequency: f64) -> Array2<f32> {
    let samples: Vec<f32> = (0..4000)
        .map(|n| (std::f64::consts::TAU * frequency * f64::from(n) / 16000.0).sin() as f32)
        .collect();
    Fbank::new(FbankConfig::default())
        .unwrap()
        .compute(&samples)
        .unwrap()
}

fn loudest_bin(features: &Array2<f32>) -> usize {
    let row: Vec<f32> = features.row(5).to_vec();
    (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))
        .unwrap()
}

proptest! {
    #[test]
    fn a_tone_moves_to_its_frequency_divided_by_the_factor(
        frequency in 800.0..2500.0f64, seed: u64, epoch in 0u64..50, sample in 0u64..5000,
    ) {
        let warp = FrequencyWarp { max_factor: 2.0 };
        let factor = warp.factor(seed, epoch, sample);
        prop_assert!((0.5..=2.0).contains(&factor));
        let mut warped = tone(frequency);
        warp.apply(seed, epoch, sample, &FbankConfig::default(), warped.view_mut()).unwrap();
        let expected = loudest_bin(&tone(frequency / factor));
        prop_assert!(loudest_bin(&warped).abs_diff(expected) <= 2);
    }

    #[test]
    fn values_stay_between_the_smallest_and_largest_of_their_frame(
        seed: u64, values in prop::collection::vec(-20.0f32..5.0, 128),
    ) {
        let before = Array2::from_shape_vec((1, 128), values).unwrap();
        let mut after = before.clone();
        let warp = FrequencyWarp { max_factor: 4.0 };
        warp.apply(seed, 0, 0, &FbankConfig::default(), after.view_mut()).unwrap();
        let (low, high) = before.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
        prop_assert!(after.iter().all(|&v| (low - 1e-4..=high + 1e-4).contains(&v)));
    }
}

#[test]
fn it_is_off_by_default_and_the_same_for_the_same_sample() {
    let (clean, fbank) = (tone(1000.0), FbankConfig::default());
    let mut features = clean.clone();
    FrequencyWarp::default()
        .apply(1, 2, 3, &fbank, features.view_mut())
        .unwrap();
    assert_eq!(features, clean);
    let warp = FrequencyWarp { max_factor: 1.5 };
    assert_eq!(warp.factor(1, 2, 3), warp.factor(1, 2, 3));
    assert_ne!(warp.factor(1, 2, 3), warp.factor(1, 2, 4));
    assert_ne!(warp.factor(1, 2, 3), warp.factor(1, 3, 3));
}

#[test]
fn settings_and_features_that_do_not_fit_are_errors() {
    let (mut features, fbank) = (tone(1000.0), FbankConfig::default());
    for max_factor in [0.5, 9.0, f64::NAN] {
        let warp = FrequencyWarp { max_factor };
        assert!(warp.apply(1, 2, 3, &fbank, features.view_mut()).is_err());
    }
    let other = FbankConfig {
        num_mel_bins: 64,
        ..FbankConfig::default()
    };
    let warp = FrequencyWarp { max_factor: 2.0 };
    let error = warp.apply(1, 2, 3, &other, features.view_mut());
    let frames = features.nrows();
    match error.unwrap_err() {
        Error::Shape {
            actual, expected, ..
        } => assert_eq!((actual, expected), (vec![frames, 128], vec![frames, 64])),
        other => panic!("{other}"),
    }
}
