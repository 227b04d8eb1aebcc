//! Properties that hold for any signal.

mod common;

use audio_frontend::{
    AstConfig, AstFeatures, Error, Extractor, Fbank, FbankConfig, PipelineConfig, Resampler,
    SpecAugment, Window, resample,
};
use common::{bits, pieces, rms, tone};
use ndarray::{Array2, Axis, Slice};
use proptest::prelude::*;

fn fbank() -> Fbank {
    Fbank::new(FbankConfig::default()).unwrap()
}

fn signal(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-1.0f32..1.0, length)
}

fn any_finite() -> impl Strategy<Value = f32> {
    use prop::num::f32::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shifting_by_hops_moves_the_frames_to_the_bit(x in signal(2000..6000), hops in 1usize..9) {
        let whole = fbank().compute(&x).unwrap();
        let shifted = fbank().compute(&x[160 * hops..]).unwrap();
        let rest = whole.slice_axis(Axis(0), Slice::from(hops..));
        prop_assert_eq!(shifted.view(), rest);
    }

    #[test]
    fn scaling_by_c_adds_two_ln_c_above_the_floor(x in signal(400..3000), c in 0.05f32..20.0) {
        let scaled: Vec<f32> = x.iter().map(|v| v * c).collect();
        let plain = fbank().compute(&x).unwrap();
        let louder = fbank().compute(&scaled).unwrap();
        for (a, b) in plain.iter().zip(&louder) {
            if *a > -9.0 && *b > -9.0 {
                prop_assert!((b - a - 2.0 * c.ln()).abs() < 1e-3, "{} {}", a, b);
            }
        }
    }

    #[test]
    fn silence_is_the_floor(length in 400usize..5000, constant in -1.0f32..1.0) {
        let silent = fbank().compute(&vec![0.0; length]).unwrap();
        let floor = f32::EPSILON.ln();
        prop_assert!(silent.iter().all(|v| (v - floor).abs() < 2e-6));
        // A constant is silence too once the mean is gone; a little rounding stays.
        let flat = fbank().compute(&vec![constant; length]).unwrap();
        prop_assert!(flat.iter().all(|v| *v < -12.0));
    }

    #[test]
    fn any_finite_samples_give_finite_features(x in prop::collection::vec(any_finite(), 0..1500)) {
        match fbank().compute(&x) {
            Ok(features) => {
                prop_assert_eq!(features.dim(), (1 + (x.len() - 400) / 160, 128));
                prop_assert!(features.iter().all(|v| v.is_finite()));
            }
            Err(Error::TooShort { samples, needed: 400, .. }) => {
                prop_assert!(samples == x.len() && samples < 400);
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    #[test]
    fn any_valid_configuration_works(
        frame_length in 2usize..1200,
        frame_shift in 1usize..500,
        num_mel_bins in 1usize..200,
        low_freq in 0.0f64..3000.0,
        width in 1.0f64..5000.0,
        window in prop::sample::select(vec![Window::Hann, Window::Povey, Window::Hamming]),
        (log, remove_mean, pre_emphasis) in (any::<bool>(), any::<bool>(), 0.0f32..=1.0),
        x in prop_oneof![signal(1200..2500), prop::collection::vec(any_finite(), 1200..2500)],
    ) {
        let config = FbankConfig {
            frame_length, frame_shift, num_mel_bins, low_freq, window,
            log, remove_mean, pre_emphasis,
            high_freq: low_freq + width,
            ..FbankConfig::default()
        };
        let features = Fbank::new(config.clone()).unwrap().compute(&x).unwrap();
        prop_assert_eq!(features.dim(), (config.num_frames(x.len()), num_mel_bins));
        prop_assert!(features.iter().all(|v| v.is_finite()));
        prop_assert!(log || features.iter().all(|v| *v >= 0.0));
    }

    #[test]
    fn a_sample_that_is_not_finite_is_an_error_of_the_filter_bank(
        x in signal(400..3000), index: usize,
        value in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        let mut x = x;
        let bad = index % x.len();
        x[bad] = value;
        match fbank().compute(&x) {
            Err(Error::NotFinite { index, .. }) => prop_assert_eq!(index, bad),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    #[test]
    fn the_extractor_never_panics(
        x in prop::collection::vec(prop::num::f32::ANY, 0..1200),
        rate in prop_oneof![6 => 1u32..100_000, 1 => 700_000u32..900_000, 1 => 0u32..],
        max_length in 1usize..50,
    ) {
        let mut config = PipelineConfig::default();
        config.ast.max_length = max_length;
        let finite = x.iter().all(|v| v.is_finite());
        match Extractor::new(config).unwrap().extract(&x, rate) {
            Ok(features) => {
                prop_assert!(finite);
                prop_assert_eq!(features.dim(), (max_length, 128));
                prop_assert!(features.iter().all(|v| v.is_finite()));
            }
            Err(Error::NotFinite { index, .. }) => prop_assert!(!x[index].is_finite()),
            Err(Error::TooShort { samples, .. }) => prop_assert!(samples < 400),
            Err(Error::Resample { .. }) => prop_assert!(rate == 0 || rate > 768_000),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    #[test]
    fn resampled_length_is_the_exact_ceiling(
        samples in 0usize..3000,
        from in 1000u32..100_000,
        to in 1000u32..100_000,
    ) {
        let output = resample(&vec![0.1; samples], from, to).unwrap();
        let exact = (samples as u64 * u64::from(to)).div_ceil(u64::from(from));
        prop_assert_eq!(output.len() as u64, exact);
        prop_assert!(output.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn resampling_keeps_a_tones_frequency_phase_and_level(
        rate in prop::sample::select(vec![8000u32, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000, 44_101]),
        position in 0.02f64..0.85,
        amplitude in 0.1f64..1.0,
    ) {
        let frequency = position * f64::from(rate.min(16_000)) / 2.0;
        let input = tone(frequency, amplitude, rate, rate as usize);
        let output = resample(&input, rate, 16_000).unwrap();
        // The same tone sampled at 16 kHz: equal frequency, phase and level.
        let expected = tone(frequency, amplitude, 16_000, output.len());
        // Away from the ends, where the filter reaches outside the clip.
        let inner = 4000..12_000;
        let error: Vec<f32> = inner.clone().map(|i| output[i] - expected[i]).collect();
        prop_assert!(rms(&error) < 1e-3 * rms(&expected[inner]), "{} Hz", frequency);
    }

    #[test]
    fn resampling_removes_what_would_alias(
        rate in prop::sample::select(vec![22_050u32, 44_100, 48_000]),
        frequency in 8300.0f64..10_900.0,
    ) {
        let input = tone(frequency, 1.0, rate, rate as usize);
        let output = resample(&input, rate, 16_000).unwrap();
        prop_assert!(rms(&output[4000..12_000]) < 1e-4);
    }

    #[test]
    fn a_used_resampler_gives_the_bits_of_a_fresh_one(a in signal(0..4000), b in signal(1..4000)) {
        let mut used = Resampler::new(44_100, 16_000).unwrap();
        used.process(&a).unwrap();
        prop_assert_eq!(used.process(&b).unwrap(), resample(&b, 44_100, 16_000).unwrap());
    }

    #[test]
    fn resampling_any_finite_samples_gives_finite_ones(
        x in prop::collection::vec(prop_oneof![any_finite(), Just(f32::MAX), Just(f32::MIN)], 1..4000),
        rate in prop::sample::select(vec![8000u32, 44_100, 48_000, 44_101]),
        bad in prop::option::of(0usize..4000),
    ) {
        let mut x = x;
        let bad = bad.map(|index| index % x.len());
        if let Some(index) = bad {
            x[index] = f32::NAN;
        }
        match (resample(&x, rate, 16_000), bad) {
            (Ok(output), None) => prop_assert!(output.iter().all(|v| v.is_finite())),
            (Err(Error::NotFinite { index, .. }), Some(bad)) => prop_assert_eq!(index, bad),
            (result, _) => return Err(TestCaseError::fail(format!("{bad:?} {result:?}"))),
        }
    }

    #[test]
    fn resampling_in_pieces_gives_the_bits_of_the_whole(
        x in signal(0..6000),
        from in prop::sample::select(vec![8000u32, 11_025, 16_000, 22_050, 44_100, 48_000, 1009]),
        to in prop::sample::select(vec![8000u32, 16_000, 44_100]),
        sizes in prop::collection::vec(1usize..2500, 1..5),
    ) {
        let mut resampler = Resampler::new(from, to).unwrap();
        let whole = resample(&x, from, to).unwrap();
        // Twice, as the end of a signal leaves nothing behind.
        for _ in 0..2 {
            let mut output = vec![0.5];
            for piece in pieces(&x, &sizes) {
                resampler.push(piece, &mut output).unwrap();
            }
            resampler.finish(&mut output).unwrap();
            prop_assert_eq!(output[0], 0.5);
            prop_assert_eq!(bits(&output[1..]), bits(&whole));
        }
        resampler.push(&x, &mut Vec::new()).unwrap();
        prop_assert_eq!(bits(&resampler.process(&x).unwrap()), bits(&whole));
    }

    #[test]
    fn only_the_samples_that_reach_the_model_count_to_the_bit(
        x in signal(0..20_000),
        rate in prop::sample::select(vec![8000u32, 16_000, 22_050, 44_100, 48_000, 1009]),
        max_length in 1usize..60,
        bad in prop::option::of(0usize..20_000),
    ) {
        let mut x = x;
        if let Some(value) = bad.and_then(|index| x.get_mut(index)) {
            *value = f32::NAN;
        }
        let mut config = PipelineConfig::default();
        config.ast.max_length = max_length;
        let extractor = Extractor::new(config.clone()).unwrap();
        // The same from the whole signal, in steps.
        let whole = extractor.log_mel(&x, rate);
        match (extractor.extract(&x, rate), whole) {
            (Ok(input), Ok(whole)) => {
                let wanted = AstFeatures::new(config.ast).unwrap().apply(whole.view());
                prop_assert_eq!(bits(&input), bits(&wanted));
            }
            (Err(a), Err(b)) => prop_assert_eq!(a.to_string(), b.to_string()),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    #[test]
    fn masks_have_the_asked_width_and_stay_inside(
        seed: u64, epoch: u64, sample: u64,
        max_bins in 0usize..=64, max_frames in 0usize..=100,
        more_bins in 0usize..100, more_frames in 0usize..500,
    ) {
        let augment = SpecAugment { max_bins, max_frames, ..SpecAugment::default() };
        let shape = ((max_frames + more_frames).max(1), (max_bins + more_bins).max(1));
        let masks = augment.masks(seed, epoch, sample, shape).unwrap();
        prop_assert!(masks.bins.len() <= max_bins.saturating_sub(1) && masks.bins.end <= shape.1);
        prop_assert!(masks.frames.len() <= max_frames.saturating_sub(1) && masks.frames.end <= shape.0);
        let again = augment.masks(seed, epoch, sample, shape).unwrap();
        prop_assert_eq!(&masks, &again);

        let mut features = Array2::from_elem(shape, 1.0f32);
        augment.apply(seed, epoch, sample, &AstConfig::default(), features.view_mut()).unwrap();
        for ((frame, bin), value) in features.indexed_iter() {
            let masked = masks.bins.contains(&bin) || masks.frames.contains(&frame);
            prop_assert_eq!(*value, if masked { 0.0 } else { 1.0 });
        }
    }
}

#[test]
fn masks_follow_the_authors_distribution() {
    // width = U·24, so floor(width) is uniform on 0..24 with mean 11.5.
    let draws = 20_000;
    let mut widths = [0usize; 24];
    let mut first_bin = 0usize;
    for sample in 0..draws {
        let masks = SpecAugment::authors()
            .masks(10, 3, sample, (500, 128))
            .unwrap();
        widths[masks.bins.len()] += 1;
        first_bin += masks.bins.start;
        assert!(masks.frames.len() < 80);
    }
    let expected = draws as f64 / 24.0;
    assert!(
        widths
            .iter()
            .all(|&n| (n as f64 - expected).abs() < 0.2 * expected),
        "{widths:?}"
    );
    // start = floor(U (128 - width)): mean (128 - 12) / 2 - 1/2.
    let mean = first_bin as f64 / draws as f64;
    assert!((mean - 57.5).abs() < 1.0, "{mean}");
}

#[test]
fn masks_change_with_each_of_seed_epoch_and_sample() {
    let augment = SpecAugment::authors();
    let masks = |seed, epoch, sample| augment.masks(seed, epoch, sample, (500, 128)).unwrap();
    let base = masks(1, 2, 3);
    assert_ne!(base, masks(2, 2, 3));
    assert_ne!(base, masks(1, 3, 3));
    assert_ne!(base, masks(1, 2, 4));
}

#[test]
fn augmentation_is_off_by_default() {
    let mut features = Array2::from_elem((7, 5), 1.0f32);
    SpecAugment::default()
        .apply(1, 2, 3, &AstConfig::default(), features.view_mut())
        .unwrap();
    assert!(features.iter().all(|v| *v == 1.0));
}

#[test]
fn masks_wider_than_the_features_are_an_error() {
    let error = SpecAugment::authors()
        .masks(1, 2, 3, (79, 128))
        .unwrap_err();
    assert!(error.to_string().contains("max_frames"), "{error}");
    let error = SpecAugment::authors().masks(1, 2, 3, (80, 23)).unwrap_err();
    assert!(error.to_string().contains("max_bins"), "{error}");

    SpecAugment::authors().validate().unwrap();
    for (max_bins, max_frames, field) in [(4097, 0, "max_bins"), (0, 1_000_001, "max_frames")] {
        let wide = SpecAugment {
            max_bins,
            max_frames,
            ..SpecAugment::default()
        };
        let error = wide.validate().unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
}

#[test]
fn energies_without_a_logarithm_are_finite_however_loud_the_clip() {
    let mut config = PipelineConfig::default();
    config.fbank.log = false;
    config.ast.max_length = 10;
    let extractor = Extractor::new(config).unwrap();
    for loudest in [1e20, 1e30, f32::MAX] {
        let x: Vec<f32> = tone(440.0, 1.0, 16_000, 2000);
        let x: Vec<f32> = x.iter().map(|v| v * loudest).collect();
        let features = extractor.extract(&x, 16_000).unwrap();
        assert!(features.iter().all(|v| v.is_finite()), "{loudest}");
        // At the very end of the range the FFT itself has no values left.
        let loud = features.iter().any(|v| *v > 1e30);
        assert!(loud || loudest == f32::MAX, "{loudest}");
    }
}

#[test]
fn clips_are_cut_to_their_first_frames() {
    let x = common::hash_noise(16_000);
    let input = |max_length| {
        let mut config = PipelineConfig::default();
        config.ast.max_length = max_length;
        Extractor::new(config).unwrap().extract(&x, 16_000).unwrap()
    };
    let (whole, cut) = (input(98), input(40));
    assert_eq!(whole.slice_axis(Axis(0), Slice::from(..40)), cut);
}
