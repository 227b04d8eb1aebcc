//! Statistics of a data set in one pass.

mod common;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use audio_frontend::{CountedFrames, Error, Extractor, FeatureStats, PipelineConfig};
use common::write_wav;
use ndarray::{Array2, Axis, Slice};
use proptest::prelude::*;

/// Mean and population standard deviation in two passes.
fn two_pass(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let square = |&x: &f32| (f64::from(x) - mean).powi(2);
    (mean, (values.iter().map(square).sum::<f64>() / n).sqrt())
}

fn stats_of(values: &[f32]) -> FeatureStats {
    let mut stats = FeatureStats::default();
    let array = Array2::from_shape_vec((1, values.len()), values.to_vec()).unwrap();
    stats.push(array.view());
    stats
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1e-6)
}

fn extractor(max_length: usize) -> Extractor {
    let mut config = PipelineConfig::default();
    config.ast.max_length = max_length;
    Extractor::new(config).unwrap()
}

/// Noisy files of many lengths, some shorter and some longer than 40 frames.
fn files(folder: &tempfile::TempDir, count: usize) -> Vec<PathBuf> {
    let write = |file: usize| {
        let path = folder.path().join(format!("{file}.wav"));
        let value = |n: usize| ((7919 * (n + 31 * file)) % 2000) as i16 - 1000;
        let samples: Vec<i16> = (0..1000 + 900 * (file % 17)).map(value).collect();
        write_wav(&path, &samples, 1, 16_000);
        path
    };
    (0..count).map(write).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_pass_equals_two(
        values in prop::collection::vec(-50.0f32..50.0, 1..3000), frames in 1usize..40,
    ) {
        let mut stats = FeatureStats::default();
        for part in values.chunks(values.len().div_ceil(frames)) {
            let bins = if part.len() % 2 == 0 { 2 } else { 1 };
            let shape = (part.len() / bins, bins);
            stats.push(Array2::from_shape_vec(shape, part.to_vec()).unwrap().view());
        }
        let (mean, std) = two_pass(&values);
        prop_assert_eq!(stats.count(), values.len() as u64);
        prop_assert!((stats.mean() - mean).abs() <= 1e-9 * mean.abs().max(std));
        prop_assert!(close(stats.std(), std), "{} {}", stats.std(), std);
    }

    #[test]
    fn merging_is_associative_and_commutative_to_rounding(
        a in prop::collection::vec(-5.0f32..5.0, 0..90),
        b in prop::collection::vec(900.0f32..1000.0, 0..90),
        c in prop::collection::vec(-1.0f32..1.0, 1..90),
    ) {
        let [a, b, c] = [a, b, c].map(|values| stats_of(&values));
        let merged = |x: FeatureStats, y: FeatureStats| {
            let mut all = x;
            all.merge(&y);
            all
        };
        let left = merged(merged(a, b), c);
        for other in [merged(a, merged(b, c)), merged(merged(c, b), a)] {
            prop_assert_eq!(left.count(), other.count());
            prop_assert!((left.mean() - other.mean()).abs() < 1e-9);
            prop_assert!(close(left.std(), other.std()));
        }
        prop_assert_eq!(merged(left, FeatureStats::default()), left);
        prop_assert_eq!(merged(FeatureStats::default(), left), left);
    }
}

#[test]
fn a_huge_offset_costs_no_digits() {
    // 1e6 ± 1: f32 holds both values exactly, and the mean of squares would
    // lose twelve of sixteen digits.
    let mut stats = FeatureStats::default();
    for part in 0..100 {
        let sign = |i: usize| [1.0, -1.0][(i + part) % 2];
        let values: Vec<f32> = (0..1000).map(|i| 1e6 + sign(i)).collect();
        stats.merge(&stats_of(&values));
    }
    assert!((stats.mean() - 1e6).abs() < 1e-9, "{}", stats.mean());
    assert!((stats.std() - 1.0).abs() < 1e-12, "{}", stats.std());
}

#[test]
fn nothing_has_no_normalisation_and_a_constant_has_none_either() {
    let mut stats = FeatureStats::default();
    stats.push(Array2::zeros((0, 128)).view());
    assert_eq!((stats.count(), stats.mean(), stats.std()), (0, 0.0, 0.0));
    assert!(matches!(stats.normalisation(10), Err(Error::NoValues)));
    let error = stats_of(&[2.5; 7]).normalisation(10).unwrap_err();
    assert!(error.to_string().starts_with("std"), "{error}");
    let poisoned = stats_of(&[1.0, f32::NAN]);
    assert!(poisoned.mean().is_nan() && poisoned.std().is_nan());
    assert!(poisoned.normalisation(10).is_err());
    let constant = stats_of(&[0.1; 1001]);
    assert!((constant.mean() - f64::from(0.1f32)).abs() < 1e-16 && constant.std() < 1e-16);
    let config = stats_of(&[-1.0, 1.0]).normalisation(10).unwrap();
    assert_eq!((config.max_length, config.mean, config.std), (10, 0.0, 1.0));
}

#[test]
fn files_give_the_statistics_of_the_frames_the_model_sees() {
    let folder = tempfile::tempdir().unwrap();
    let paths = files(&folder, 20);
    let extractor = extractor(40);
    let (mut real, mut padded) = (Vec::new(), Vec::new());
    for path in &paths {
        let log_mel = extractor.log_mel_file(path).unwrap();
        let kept = log_mel.nrows().min(40);
        let seen = log_mel.slice_axis(Axis(0), Slice::from(..kept));
        real.extend(seen.iter().copied());
        padded.extend(seen.iter().copied());
        padded.resize(padded.len() + (40 - kept) * 128, 0.0);
    }
    assert!(padded.len() > real.len());
    for (counted, values) in [(CountedFrames::Real, real), (CountedFrames::Padded, padded)] {
        let done = AtomicUsize::new(0);
        let stats = extractor.stats(&paths, counted, |progress| {
            assert_eq!((progress.total, progress.error.is_none()), (20, true));
            done.fetch_add(1, Ordering::Relaxed);
        });
        let (stats, (mean, std)) = (stats.unwrap(), two_pass(&values));
        assert_eq!(done.into_inner(), 20);
        assert_eq!(stats.count(), values.len() as u64);
        assert!(close(stats.mean(), mean) && close(stats.std(), std));
    }
}

#[test]
fn normalising_with_its_own_statistics_gives_mean_0_and_deviation_one_half() {
    let folder = tempfile::tempdir().unwrap();
    let paths = files(&folder, 5);
    let stats = extractor(40).stats(&paths, CountedFrames::Padded, |_| ());
    let config = PipelineConfig {
        ast: stats.unwrap().normalisation(40).unwrap(),
        ..PipelineConfig::default()
    };
    let extractor = Extractor::new(config).unwrap();
    let values: Vec<f32> = paths
        .iter()
        .flat_map(|path| extractor.extract_file(path).unwrap())
        .collect();
    let (mean, std) = two_pass(&values);
    assert!(
        mean.abs() < 1e-6 && (std - 0.5).abs() < 1e-6,
        "{mean} {std}"
    );
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let folder = tempfile::tempdir().unwrap();
    // More than one block of files, few of them distinct.
    let few = files(&folder, 12);
    let paths: Vec<_> = few.iter().cycle().take(1100).collect();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let run = || extractor(20).stats(&paths, CountedFrames::Real, |_| ());
        let stats = pool.unwrap().install(run).unwrap();
        (stats.count(), stats.mean().to_bits(), stats.std().to_bits())
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn a_bad_file_is_the_error_and_every_file_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = files(&folder, 6);
    for name in ["second.wav", "first.wav"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "this is no sound").unwrap();
        paths.insert(2, path);
    }
    let (tried, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result = extractor(20).stats(&paths, CountedFrames::Real, |progress| {
        tried.fetch_add(1, Ordering::Relaxed);
        failed.fetch_add(usize::from(progress.error.is_some()), Ordering::Relaxed);
    });
    assert!(result.unwrap_err().to_string().contains("first.wav"));
    assert_eq!((tried.into_inner(), failed.into_inner()), (8, 2));
}

#[test]
fn bad_files_can_be_left_out_to_the_bit_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = files(&folder, 6);
    let (mut paths, absent) = (good.clone(), folder.path().join("absent.wav"));
    paths.insert(2, absent.clone());
    paths.push(absent.clone());
    let extractor = extractor(20);
    let found = extractor.stats_of_good_files(&paths, CountedFrames::Real, |_| ());
    let wanted = extractor.stats(&good, CountedFrames::Real, |_| ()).unwrap();
    assert_eq!(found.stats, wanted);
    let places: Vec<usize> = found.failed.iter().map(|(index, _)| *index).collect();
    assert_eq!(places, [2, 7]);
    assert!(found.failed[0].1.to_string().contains("absent.wav"));

    let found = extractor.stats_of_good_files(&[absent], CountedFrames::Real, |_| ());
    assert_eq!((found.stats.count(), found.failed.len()), (0, 1));
    assert!(found.whole().unwrap_err().to_string().contains("absent"));
}

#[test]
fn stopping_starts_no_file_once_a_failure_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let good = files(&folder, 1).remove(0);
    // In the second block of files, with good ones on both sides.
    let mut paths = vec![good; 1100];
    paths[1050] = folder.path().join("absent.wav");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let tried = AtomicUsize::new(0);
    let count = |_: audio_frontend::Progress<'_>| {
        tried.fetch_add(1, Ordering::Relaxed);
    };
    let run = || extractor(20).try_stats(&paths, CountedFrames::Real, count);
    let error = pool.unwrap().install(run).unwrap_err();
    assert!(error.to_string().contains("absent.wav"), "{error}");
    assert_eq!(tried.into_inner(), 1051);

    let all = extractor(20).stats(&paths[..9], CountedFrames::Padded, |_| ());
    let stopping = extractor(20).try_stats(&paths[..9], CountedFrames::Padded, |_| ());
    assert_eq!(all.unwrap(), stopping.unwrap());
}

#[test]
fn no_files_are_an_error_that_says_what_to_do() {
    let none: [PathBuf; 0] = [];
    let error = extractor(20).stats(&none, CountedFrames::Real, |_| ());
    assert!(error.unwrap_err().to_string().contains("name at least one"));
}
