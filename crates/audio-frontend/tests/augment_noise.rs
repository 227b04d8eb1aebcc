//! Gain and noise on waveforms.

mod common;

use audio_frontend::{Fbank, FbankConfig, Gain, Noise};
use common::{bits, hash_noise, rms, tone};
use proptest::prelude::*;

/// Noise for every clip, at ratios in a range of dB.
fn always(min_snr_db: f64, max_snr_db: f64) -> Noise {
    Noise {
        rate: 1.0,
        min_snr_db,
        max_snr_db,
    }
}

/// The ratio of signal to what was added to it, in dB.
fn measured_snr(clean: &[f32], noisy: &[f32]) -> f64 {
    let added: Vec<f64> = clean
        .iter()
        .zip(noisy)
        .map(|(c, n)| f64::from(*n) - f64::from(*c))
        .collect();
    let power = added.iter().map(|x| x * x).sum::<f64>() / added.len() as f64;
    20.0 * (rms(clean) / power.sqrt()).log10()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_ratio_of_signal_to_noise_is_the_one_asked_for(
        seed: u64, epoch: u64, sample: u64,
        level in 1e-6f64..1.0, low in -30.0f64..40.0, length in 1usize..4000,
    ) {
        let noise = always(low, low + 10.0);
        let snr = noise.snr_db(seed, epoch, sample).unwrap();
        prop_assert!((low..=low + 10.0).contains(&snr));
        let clean: Vec<f32> = tone(440.3, level, 16_000, length + 1)[1..].to_vec();

        let mut noisy = clean.clone();
        noise.apply(seed, epoch, sample, &mut noisy).unwrap();
        // At 50 dB the f32 rounding of a single sample is the error that is left.
        prop_assert!((measured_snr(&clean, &noisy) - snr).abs() < 1e-3);

        let mut noisy = clean.clone();
        noise.apply_from(seed, epoch, sample, &hash_noise(777), &mut noisy).unwrap();
        prop_assert!((measured_snr(&clean, &noisy) - snr).abs() < 1e-3);
    }

    #[test]
    fn a_gain_multiplies_by_its_decibels(
        seed: u64, epoch: u64, sample: u64, min_db in -60.0f64..30.0, width in 0.0f64..30.0,
    ) {
        let gain = Gain { min_db, max_db: min_db + width };
        let decibels = gain.decibels(seed, epoch, sample);
        prop_assert!((min_db..=min_db + width).contains(&decibels));
        let mut samples = vec![0.25, -1.0, 0.0];
        gain.apply(seed, epoch, sample, &mut samples).unwrap();
        let factor = 10f64.powf(decibels / 20.0);
        for (after, before) in samples.iter().zip([0.25, -1.0, 0.0]) {
            prop_assert!((f64::from(*after) - before * factor).abs() <= 1e-7 * factor);
        }
    }

    #[test]
    fn a_gain_on_log_mel_is_the_gain_on_the_waveform(
        seed: u64, min_db in -30.0f64..20.0, samples in prop::collection::vec(-1.0f32..1.0, 400..2000),
    ) {
        let gain = Gain { min_db, max_db: min_db + 10.0 };
        let fbank = Fbank::new(FbankConfig::default()).unwrap();
        let before = fbank.compute(&samples).unwrap();
        let mut log_mel = before.clone();
        gain.apply_to_log_mel(seed, 0, 0, fbank.config(), log_mel.view_mut()).unwrap();
        let mut louder = samples;
        gain.apply(seed, 0, 0, &mut louder).unwrap();
        let expected = fbank.compute(&louder).unwrap();
        for ((a, b), before) in log_mel.iter().zip(&expected).zip(&before) {
            // Below -9 the filter bank itself is only rounding of samples near 1, as in
            // properties.rs; a gain moves that rounding along with the signal.
            prop_assert!((a - b).abs() < 1e-3 || *before < -9.0, "{} {}", a, b);
        }
    }

    #[test]
    fn any_waveform_is_survived(
        seed: u64, samples in prop::collection::vec(prop::num::f32::ANY, 0..40),
        recording in prop::collection::vec(prop::num::f32::ANY, 1..40),
    ) {
        let finite = samples.iter().chain(&recording).all(|x| x.is_finite());
        let mut noisy = samples.clone();
        always(0.0, 10.0).apply(seed, 0, 0, &mut noisy).unwrap();
        let mut from = samples.clone();
        always(0.0, 10.0).apply_from(seed, 0, 0, &recording, &mut from).unwrap();
        prop_assert_eq!((noisy.len(), from.len()), (samples.len(), samples.len()));
        // Halved, so that the sum of two largest numbers stays finite.
        if finite && samples.iter().all(|x| x.abs() < 1e18) {
            prop_assert!(noisy.iter().chain(&from).all(|x| x.is_finite()));
        }
    }
}

#[test]
fn noise_is_white_and_has_no_offset() {
    let clean = tone(100.0, 0.5, 16_000, 100_000);
    let mut noisy = clean.clone();
    always(0.0, 0.0).apply(1, 2, 3, &mut noisy).unwrap();
    let level = rms(&clean);
    let noise: Vec<f64> = noisy
        .iter()
        .zip(&clean)
        .map(|(n, c)| f64::from(n - c) / level)
        .collect();
    // Mean and correlations of n values scatter by 1 / √n.
    let five = 5.0 / (noise.len() as f64).sqrt();
    let correlation = |lag: usize| {
        noise
            .iter()
            .zip(&noise[lag..])
            .map(|(a, b)| a * b)
            .sum::<f64>()
            / 1e5
    };
    assert!((noise.iter().sum::<f64>() / 1e5).abs() < five);
    for lag in [1, 2, 7, 160] {
        assert!(correlation(lag).abs() < five, "lag {lag}");
    }
    assert!((correlation(0) - 1.0).abs() < 1e-4);
}

#[test]
fn the_rate_is_the_share_of_clips_with_noise() {
    let noise = Noise {
        rate: 0.3,
        ..always(5.0, 15.0)
    };
    let drawn: Vec<f64> = (0..20_000)
        .filter_map(|sample| noise.snr_db(1, 2, sample))
        .collect();
    assert!((drawn.len() as f64 - 6000.0).abs() < 5.0 * 65.0);
    let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
    assert!((mean - 10.0).abs() < 5.0 * 0.038, "{mean}");
}

#[test]
fn noise_from_a_recording_is_that_recording_from_some_place_on() {
    let recording: Vec<f32> = (1..=5).map(|x| x as f32).collect();
    let mut places = [false; 5];
    for sample in 0..100 {
        let clean = vec![1.0f32; 12];
        let mut noisy = clean.clone();
        let noise = always(0.0, 0.0);
        noise
            .apply_from(1, 2, sample, &recording, &mut noisy)
            .unwrap();
        let added: Vec<f32> = noisy.iter().map(|x| x - 1.0).collect();
        // Values go 1 to 5 in turn; the least one in a turn tells the place.
        let unit = added.iter().copied().fold(f32::MAX, f32::min);
        let first = (added[0] / unit).round() as usize - 1;
        places[first] = true;
        for (index, value) in added.iter().enumerate() {
            let expected = recording[(first + index) % 5] * unit;
            assert!((value - expected).abs() < 1e-5);
        }
    }
    assert_eq!(places, [true; 5]);
}

#[test]
fn silence_stays_silence_and_silent_noise_changes_nothing() {
    let mut silent = vec![0.0; 100];
    always(0.0, 10.0).apply(1, 2, 3, &mut silent).unwrap();
    assert!(silent.iter().all(|&x| x == 0.0));
    let clean = hash_noise(100);
    let mut samples = clean.clone();
    let noise = always(0.0, 10.0);
    noise.apply_from(1, 2, 3, &[0.0; 9], &mut samples).unwrap();
    assert_eq!(samples, clean);
    noise.apply(1, 2, 3, &mut []).unwrap();
    noise.apply_from(1, 2, 3, &[1.0], &mut []).unwrap();
}

#[test]
fn what_is_off_changes_no_bit() {
    let before = [-0.0, 1.5, f32::NAN, -3e-42];
    let mut after = before;
    Gain::default().apply(1, 2, 3, &mut after).unwrap();
    Noise::default().apply(1, 2, 3, &mut after).unwrap();
    Noise::default()
        .apply_from(1, 2, 3, &[1.0], &mut after)
        .unwrap();
    assert_eq!(bits(&before), bits(&after));
}

#[test]
fn the_same_key_gives_the_same_bits_and_another_key_others() {
    let noisy = |seed, epoch, sample| {
        let mut samples = hash_noise(50);
        always(0.0, 0.0)
            .apply(seed, epoch, sample, &mut samples)
            .unwrap();
        bits(&samples)
    };
    let base = noisy(1, 2, 3);
    assert_eq!(base, noisy(1, 2, 3));
    for other in [noisy(2, 2, 3), noisy(1, 3, 3), noisy(1, 2, 4)] {
        assert_ne!(base, other);
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let noises = [
        (
            "rate",
            Noise {
                rate: 1.1,
                ..Noise::default()
            },
        ),
        (
            "rate",
            Noise {
                rate: f64::NAN,
                ..Noise::default()
            },
        ),
        ("min_snr_db", always(-200.0, 0.0)),
        ("max_snr_db", always(10.0, 5.0)),
        ("max_snr_db", always(10.0, f64::INFINITY)),
    ];
    for (field, noise) in noises {
        let error = noise.apply(1, 2, 3, &mut [1.0]).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let error = always(0.0, 1.0).apply_from(1, 2, 3, &[], &mut [1.0]);
    assert!(error.unwrap_err().to_string().starts_with("recording"));
    for (field, min_db, max_db) in [
        ("min_db", f64::NAN, 0.0),
        ("min_db", -300.0, 0.0),
        ("max_db", 3.0, 2.0),
        ("max_db", 3.0, 200.0),
    ] {
        let gain = Gain { min_db, max_db };
        let error = gain.apply(1, 2, 3, &mut [1.0]).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let linear = FbankConfig {
        log: false,
        ..FbankConfig::default()
    };
    let mut features = ndarray::Array2::zeros((1, 1));
    let error = Gain::default().apply_to_log_mel(1, 2, 3, &linear, features.view_mut());
    assert!(error.unwrap_err().to_string().starts_with("log"));
}
