//! The filter bank and the model input against torchaudio 2.11
//! (`compliance.kaldi.fbank`) and the feature extractor of transformers 4.57.

mod common;

use audio_frontend::{AstConfig, AstFeatures, Extractor, Fbank, FbankConfig, PipelineConfig};
use common::compare::{NOISE, errors, worst};
use common::{Golden, exact_log_mel, hash_noise, tone};
use ndarray::Array2;

const TOLERANCE: f32 = 1e-3;

/// The same where the reference itself is unsure, see [`Parity`].
const TOLERANCE_EVERYWHERE: f64 = 1.1e-3;

fn fbank(samples: &[f32]) -> Array2<f32> {
    let fbank = Fbank::new(FbankConfig::default()).unwrap();
    fbank.compute(samples).unwrap()
}

/// What one golden signal shows: the largest differences above the noise.
#[derive(Debug, Default)]
struct Parity {
    cells: usize,
    ours_to_theirs: f64,
    /// The same with the cells where the reference is unsure.
    ours_to_theirs_everywhere: f64,
    ours_to_exact: f64,
    theirs_to_exact: f64,
    /// Cells where the reference is more than half the tolerance from exact:
    /// some 90 dB below the frame's loudest, where its own f32 FFT rounds.
    reference_unsure: usize,
}

fn parity(samples: &[f32], theirs: &Array2<f32>) -> Parity {
    let ours = fbank(samples);
    assert_eq!(ours.dim(), theirs.dim());
    let mut parity = Parity::default();
    for (at, exact) in exact_log_mel(samples).indexed_iter() {
        let (o, t) = (f64::from(ours[at]), f64::from(theirs[at]));
        if t <= f64::from(NOISE) {
            // What they put at the noise, we must not lift out of it.
            assert!(
                o < f64::from(NOISE) + 1.0,
                "{o} where the reference has {t}"
            );
            continue;
        }
        parity.cells += 1;
        parity.ours_to_exact = worst(parity.ours_to_exact, (o - exact).abs());
        parity.theirs_to_exact = worst(parity.theirs_to_exact, (t - exact).abs());
        parity.ours_to_theirs_everywhere = worst(parity.ours_to_theirs_everywhere, (o - t).abs());
        if (t - exact).abs() > f64::from(TOLERANCE) / 2.0 {
            parity.reference_unsure += 1;
        } else {
            parity.ours_to_theirs = worst(parity.ours_to_theirs, (o - t).abs());
        }
    }
    parity
}

#[test]
fn a_value_that_is_not_a_number_counts_as_the_largest_difference() {
    let good = Array2::from_elem((2, 2), 1.0f32);
    let mut bad = good.clone();
    bad[[0, 1]] = f32::NAN;
    for (ours, theirs) in [(&bad, &good), (&good, &bad), (&bad, &bad)] {
        assert!(errors(ours, theirs, NOISE).largest.is_nan());
    }
    let (good, bad) = (good.as_slice().unwrap(), bad.as_slice().unwrap());
    assert!(common::largest_difference(good, bad).is_nan());
    assert_eq!(common::largest_difference(good, &[1.0, 1.0, 3.0, 2.0]), 2.0);
}

#[test]
fn log_mel_energies_equal_torchaudio_on_every_golden_signal() {
    let golden = Golden::open("fbank.safetensors");
    let mut signals = 0;
    for name in golden.names() {
        let Some(signal) = name.strip_suffix(".waveform") else {
            continue;
        };
        let theirs = golden.matrix(&format!("{signal}.fbank"));
        let parity = parity(&golden.vector(&name), &theirs);
        println!("{signal}: {parity:?}");
        assert!(parity.ours_to_theirs < f64::from(TOLERANCE), "{signal}");
        let everywhere = parity.ours_to_theirs_everywhere;
        assert!(everywhere < TOLERANCE_EVERYWHERE, "{signal}: {everywhere}");
        assert!(parity.ours_to_exact < f64::from(TOLERANCE), "{signal}");
        assert!(parity.reference_unsure < 10, "{signal}");
        assert!(
            signal.starts_with("silence") || parity.cells > 100,
            "{signal}"
        );
        signals += 1;
    }
    assert_eq!(signals, 8);
}

#[test]
fn model_input_equals_the_transformers_extractor_at_every_length() {
    let golden = Golden::open("fbank.safetensors");
    let mut inputs = 0;
    for name in golden.names() {
        let Some((signal, length)) = name.split_once(".ast_input_") else {
            continue;
        };
        let ast = AstConfig {
            max_length: length.parse().unwrap(),
            ..AstConfig::default()
        };
        let noise = (NOISE - ast.mean) / (2.0 * ast.std);
        let samples = golden.vector(&format!("{signal}.waveform"));
        let theirs = golden.matrix(&name);

        let in_steps = AstFeatures::new(ast.clone()).unwrap();
        let in_steps = in_steps.apply(fbank(&samples).view());
        let config = PipelineConfig {
            ast,
            ..PipelineConfig::default()
        };
        let at_once = Extractor::new(config).unwrap();
        let at_once = at_once.extract(&samples, 16_000).unwrap();

        assert_eq!(in_steps, at_once, "{name}");
        let found = errors(&at_once, &theirs, noise);
        println!("{name}: {found:?}");
        let tolerance = f64::from(TOLERANCE / 9.0);
        assert!(found.largest < tolerance, "{name}: {found:?}");
        inputs += 1;
    }
    assert_eq!(inputs, 10);
}

#[test]
fn mel_matrix_has_the_published_figures() {
    let fbank = Fbank::new(FbankConfig::default()).unwrap();
    let mel = fbank.mel_matrix();
    assert_eq!(mel.dim(), (128, 256));
    // The published sum is that of an f32 table.
    assert!((mel.sum() - 252.610_507).abs() < 1e-4, "{}", mel.sum());
    let empty: Vec<usize> = (0..128).filter(|&j| mel.row(j).sum() == 0.0).collect();
    assert_eq!(empty, [3]);
    let filled: Vec<(usize, f64)> = mel.row(64).iter().copied().enumerate().collect();
    let filled: Vec<_> = filled.into_iter().filter(|(_, w)| *w > 0.0).collect();
    let expected = [(57, 0.0524), (58, 0.7003), (59, 0.6598), (60, 0.0277)];
    assert_eq!(filled.len(), expected.len());
    for ((bin, weight), (expected_bin, expected_weight)) in filled.iter().zip(expected) {
        assert_eq!(*bin, expected_bin);
        assert!((weight - expected_weight).abs() < 5e-5);
    }
    let first = [0, 1, 2, 4, 5, 10, 127].map(|j| mel.row(j).iter().position(|w| *w > 0.0).unwrap());
    assert_eq!(first, [1, 2, 2, 3, 3, 6, 246]);
}

#[test]
fn hashed_noise_has_the_published_figures() {
    let x = fbank(&hash_noise(16_000));
    assert_eq!(x.dim(), (98, 128));
    let sum: f64 = x.iter().map(|&v| f64::from(v)).sum();
    assert!((sum - -19189.776).abs() < 0.05, "{sum}");
    let mean = sum / x.len() as f64;
    let spread: f64 = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    let std = (spread / (x.len() - 1) as f64).sqrt();
    assert!((std - 4.507_959_3).abs() < 1e-5, "{std}");
    let rows: [(usize, usize, &[f32]); 3] = [
        (
            0,
            0,
            &[
                -7.52628, -11.12949, -7.68608, -15.94238, -9.40836, -12.38708, -9.43480, -12.02176,
                -9.55282, -11.0389, -9.46800, -10.19494,
            ],
        ),
        (
            50,
            60,
            &[
                -3.95169, 0.75783, 1.65618, 0.63568, -3.36900, -4.58501, -4.80386, -4.69172,
            ],
        ),
        (
            97,
            120,
            &[
                1.75827, 4.80511, 3.63335, 2.24359, 3.58542, 2.17584, 4.42506, 4.94912,
            ],
        ),
    ];
    for (row, first, expected) in rows {
        for (i, value) in expected.iter().enumerate() {
            let ours = x[[row, first + i]];
            assert!(
                (ours - value).abs() < 1e-3,
                "[{row}, {}]: {ours}",
                first + i
            );
        }
    }
    let ast = AstFeatures::new(AstConfig {
        max_length: 98,
        ..AstConfig::default()
    });
    let normalised = ast.unwrap().apply(x.view());
    let sum: f64 = normalised.iter().map(|&v| f64::from(v)).sum();
    assert!((sum - 3758.455).abs() < 0.01, "{sum}");
}

#[test]
fn a_tone_peaks_where_and_as_high_as_published() {
    let x = fbank(&tone(440.0, 0.5, 16_000, 16_000));
    let mut best = ((0, 0), f32::MIN);
    for (at, &value) in x.indexed_iter() {
        if value > best.1 {
            best = (at, value);
        }
    }
    assert!((best.1 - 3.908_807).abs() < 1e-4, "{best:?}");
    assert_eq!(best.0.1, 23);
    assert!((x[[4, 23]] - best.1).abs() < 1e-4);
}

#[test]
fn padding_and_floor_become_the_published_values() {
    let ast = AstFeatures::new(AstConfig::default()).unwrap();
    let silence = fbank(&[0.0; 1000]);
    let input = ast.apply(silence.view());
    assert_eq!(input.dim(), (1024, 128));
    assert!((silence[[0, 0]] - -15.942_385).abs() < 2e-6);
    assert!((input[[0, 0]] - -1.277_594).abs() < 1e-6);
    assert!((input[[1023, 127]] - 0.467_032).abs() < 1e-6);
}

#[test]
fn frame_counts_are_the_published_ones() {
    let config = FbankConfig::default();
    let counts = [399, 400, 16_000, 64_000, 80_000, 128_000].map(|n| config.num_frames(n));
    assert_eq!(counts, [0, 1, 98, 398, 498, 798]);
}
