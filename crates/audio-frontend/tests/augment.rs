//! Masks in both forms, shifts and feature noise.

mod common;

use audio_frontend::{
    AstConfig, AstFeatures, Edge, FeatureNoise, MaskForm, SpecAugment, TimeShift, WaveShift,
};
use common::bits;
use ndarray::Array2;
use proptest::prelude::*;

/// Values that say where they came from: frame + bin / 1000.
fn numbered(frames: usize, bins: usize) -> Array2<f32> {
    Array2::from_shape_fn((frames, bins), |(t, f)| t as f32 + f as f32 / 1000.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn masking_before_or_after_normalisation_gives_the_same_bits(
        seed: u64, epoch: u64, sample: u64,
        mean in -20.0f32..20.0, std in 0.01f32..20.0,
        form in prop::sample::select(vec![MaskForm::Authors, MaskForm::Ast]),
    ) {
        let ast = AstConfig { max_length: 100, mean, std };
        let features = AstFeatures::new(ast.clone()).unwrap();
        let augment = SpecAugment { max_bins: 24, max_frames: 60, form };
        let log_mel = numbered(100, 40);

        let mut before = log_mel.clone();
        augment.apply_before_normalisation(seed, epoch, sample, &ast, before.view_mut()).unwrap();
        features.normalise(before.view_mut());
        let mut after = log_mel;
        features.normalise(after.view_mut());
        augment.apply(seed, epoch, sample, &ast, after.view_mut()).unwrap();
        prop_assert_eq!(bits(&before), bits(&after));
    }

    #[test]
    fn a_time_shift_is_a_roll_within_its_range(
        seed: u64, epoch: u64, sample: u64, frames in 0usize..40, bins in 0usize..4,
        max_frames in 0u32..100,
    ) {
        let shift = TimeShift { max_frames };
        let frames_moved = shift.frames(seed, epoch, sample);
        prop_assert!(frames_moved.unsigned_abs() <= u64::from(max_frames));
        let before = numbered(frames, bins);
        let mut after = before.clone();
        shift.apply(seed, epoch, sample, after.view_mut()).unwrap();
        for ((t, f), value) in after.indexed_iter() {
            let from = (t as i64 - frames_moved).rem_euclid(frames as i64) as usize;
            prop_assert_eq!(*value, before[(from, f)]);
        }
    }

    #[test]
    fn a_shifted_waveform_keeps_its_length_and_fills_the_edge(
        seed: u64, epoch: u64, sample: u64, length in 0usize..60,
        milliseconds in 0u32..100, wrap: bool,
    ) {
        let edge = if wrap { Edge::Wrap } else { Edge::Zero };
        let shift = WaveShift { max_seconds: f64::from(milliseconds) / 1000.0, edge };
        let moved = shift.samples(seed, epoch, sample, 1000);
        // A product such as 0.029 * 1000 may fall just below the whole number.
        prop_assert!(moved.unsigned_abs() <= u64::from(milliseconds));
        let before: Vec<f32> = (1..=length).map(|x| x as f32).collect();
        let mut after = before.clone();
        shift.apply(seed, epoch, sample, 1000, &mut after).unwrap();
        for (index, value) in after.iter().enumerate() {
            let from = index as i64 - moved;
            let expected = match usize::try_from(from).ok().and_then(|from| before.get(from)) {
                Some(value) => *value,
                None if wrap => before[from.rem_euclid(length as i64) as usize],
                None => 0.0,
            };
            prop_assert_eq!(*value, expected);
        }
    }

    #[test]
    fn feature_noise_stays_below_its_amplitude(
        seed: u64, epoch: u64, sample: u64, frames in 0usize..50, bins in 0usize..50,
    ) {
        let noise = FeatureNoise { max_amplitude: 0.5 };
        let amplitude = noise.amplitude(seed, epoch, sample);
        let mut features = Array2::zeros((frames, bins));
        noise.apply(seed, epoch, sample, features.view_mut()).unwrap();
        prop_assert!(features.iter().all(|&x: &f32| x >= 0.0 && x <= amplitude as f32));
        prop_assert!(amplitude < 0.5);
        let mut again = Array2::zeros((frames, bins));
        noise.apply(seed, epoch, sample, again.view_mut()).unwrap();
        prop_assert_eq!(bits(&features), bits(&again));
    }
}

#[test]
fn masks_keep_the_places_they_had_when_there_was_one_form() {
    // Drawn with the version of this crate that had the authors' form only.
    let published = [
        (72..87, 160..236),
        (1..14, 113..161),
        (67..81, 282..327),
        (66..88, 217..260),
    ];
    for (sample, place) in published.iter().enumerate() {
        let masks = SpecAugment::authors().masks(10, 3, sample as u64, (512, 128));
        let masks = masks.unwrap();
        assert_eq!((masks.bins, masks.frames), *place);
    }
    let hash = (0..5000u64).fold(0u64, |hash, sample| {
        let masks = SpecAugment::authors().masks(sample * 7, sample % 13, sample, (512, 128));
        let masks = masks.unwrap();
        let ends = [
            masks.bins.start,
            masks.bins.end,
            masks.frames.start,
            masks.frames.end,
        ];
        let mix = |hash: u64, end: usize| {
            hash.wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(end as u64 + 1)
        };
        ends.into_iter().fold(hash, mix)
    });
    assert_eq!(hash, 14_510_456_597_737_746_558);
    // The form changes the value, not the place.
    let ast = SpecAugment {
        form: MaskForm::Ast,
        ..SpecAugment::authors()
    };
    let masks = ast.masks(10, 3, 0, (512, 128)).unwrap();
    assert_eq!((masks.bins, masks.frames), published[0]);
}

#[test]
fn masked_cells_have_the_value_of_each_form() {
    let audioset = AstConfig::default();
    assert_eq!(MaskForm::Authors.value_after_normalisation(&audioset), 0.0);
    let ast = MaskForm::Ast.value_after_normalisation(&audioset);
    assert!((ast - 0.467_032).abs() < 1e-6, "{ast}");
    let mut features = Array2::from_elem((128, 128), 9.0f32);
    SpecAugment::ast_speech_commands()
        .apply(1, 2, 3, &audioset, features.view_mut())
        .unwrap();
    assert!(features.iter().any(|&x| x == ast));
    assert!(features.iter().all(|&x| x == ast || x == 9.0));
}

#[test]
fn presets_are_those_of_the_recipes_and_survive_a_round_trip() {
    let cases = [
        (SpecAugment::authors(), "max_bins = 24\nmax_frames = 80\n"),
        (
            SpecAugment::authors_iemocap(),
            "max_bins = 24\nmax_frames = 140\n",
        ),
        (
            SpecAugment::ast_esc50(),
            "max_bins = 24\nmax_frames = 96\nform = \"ast\"\n",
        ),
        (
            SpecAugment::ast_speech_commands(),
            "max_bins = 48\nmax_frames = 48\nform = \"ast\"\n",
        ),
    ];
    for (preset, text) in cases {
        assert_eq!(toml::to_string(&preset).unwrap(), text);
        assert_eq!(toml::from_str::<SpecAugment>(text).unwrap(), preset);
    }
    assert!(toml::from_str::<SpecAugment>("form = \"other\"").is_err());
    for preset in [AstConfig::ast_esc50(), AstConfig::ast_speech_commands()] {
        preset.validate().unwrap();
    }
}

#[test]
fn shifts_are_uniform_over_the_whole_range() {
    let shift = TimeShift::ast_speech_commands();
    let mut counts = [0i32; 21];
    for sample in 0..21_000 {
        counts[(shift.frames(5, 1, sample) + 10) as usize] += 1;
    }
    // Five standard deviations of a count.
    assert!(counts.iter().all(|n| (n - 1000).abs() < 155), "{counts:?}");
}

#[test]
fn feature_noise_has_the_mean_of_the_product_of_two_uniforms() {
    let noise = FeatureNoise::ast_speech_commands();
    let mut sum = 0.0;
    for sample in 0..2000 {
        let mut features = Array2::zeros((4, 8));
        noise.apply(1, 1, sample, features.view_mut()).unwrap();
        sum += features.iter().map(|&x: &f32| f64::from(x)).sum::<f64>();
    }
    // E[0.1 s U] = 0.025; the scatter of s alone gives 0.1 / 2 · 0.29 / √2000.
    let mean = sum / (2000.0 * 32.0);
    assert!((mean - 0.025).abs() < 5.0 * 3.3e-4, "{mean}");
}

#[test]
fn what_is_off_changes_no_bit() {
    let before = Array2::from_shape_vec((2, 2), vec![-0.0, 1.5, f32::NAN, -3e-42]).unwrap();
    let mut after = before.clone();
    let ast = AstConfig::default();
    SpecAugment::default()
        .apply(1, 2, 3, &ast, after.view_mut())
        .unwrap();
    TimeShift::default()
        .apply(1, 2, 3, after.view_mut())
        .unwrap();
    FeatureNoise::default()
        .apply(1, 2, 3, after.view_mut())
        .unwrap();
    assert_eq!(bits(&before), bits(&after));
    let mut waveform = vec![-0.0, 1.0];
    WaveShift::default()
        .apply(1, 2, 3, 16_000, &mut waveform)
        .unwrap();
    assert_eq!(waveform[0].to_bits(), (-0.0f32).to_bits());
}

#[test]
fn each_augmentation_has_a_stream_of_its_own_for_seed_epoch_and_sample() {
    let shift = TimeShift {
        max_frames: 1_000_000_000,
    };
    let wave = WaveShift {
        max_seconds: 1000.0,
        ..WaveShift::default()
    };
    let noise = FeatureNoise { max_amplitude: 1.0 };
    let keys = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)];
    let mut drawn: Vec<i64> = Vec::new();
    for (seed, epoch, sample) in keys {
        let frames = shift.frames(seed, epoch, sample);
        assert_eq!(frames, shift.frames(seed, epoch, sample));
        drawn.push(frames);
        drawn.push(wave.samples(seed, epoch, sample, 1_000_000));
        drawn.push((noise.amplitude(seed, epoch, sample) * 2e9) as i64 - 1_000_000_000);
    }
    let count = drawn.len();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn.len(), count, "two draws are equal");
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let mut features = Array2::zeros((3, 2));
    let shift = TimeShift {
        max_frames: u32::MAX,
    };
    let error = shift.apply(1, 2, 3, features.view_mut()).unwrap_err();
    assert!(error.to_string().starts_with("max_frames"), "{error}");
    for max_seconds in [-0.1, f64::NAN, f64::INFINITY, 4000.0] {
        let shift = WaveShift {
            max_seconds,
            edge: Edge::Wrap,
        };
        let error = shift.apply(1, 2, 3, 16_000, &mut [0.0]).unwrap_err();
        assert!(error.to_string().starts_with("max_seconds"), "{error}");
    }
    for max_amplitude in [-0.1, f64::NAN, f64::INFINITY] {
        let noise = FeatureNoise { max_amplitude };
        let error = noise.apply(1, 2, 3, features.view_mut()).unwrap_err();
        assert!(error.to_string().starts_with("max_amplitude"), "{error}");
    }
}
