//! Independent implementations: `kaldi-native-fbank` for the whole filter
//! bank, `mel_spec` for the two parts of it that are Kaldi's.

mod common;

use audio_frontend::{Fbank, FbankConfig, Window, hz_to_mel};
use common::{hash_noise, tone};
use kaldi_native_fbank::window::{Window as KaldiWindow, extract_window};
use kaldi_native_fbank::{FbankComputer, FbankOptions};
use ndarray::Array2;

fn kaldi(samples: &[f32], window: &str, bins: usize, pre_emphasis: f32) -> Array2<f32> {
    let mut options = FbankOptions {
        use_energy: false,
        ..FbankOptions::default()
    };
    options.frame_opts.dither = 0.0;
    options.frame_opts.window_type = window.into();
    options.frame_opts.preemph_coeff = pre_emphasis;
    options.mel_opts.num_bins = bins;
    options.mel_opts.low_freq = 20.0;
    options.mel_opts.high_freq = 8000.0;
    let frame_options = options.frame_opts.clone();
    let weights = KaldiWindow::new(&frame_options).unwrap();
    let mut computer = FbankComputer::new(options).unwrap();
    let frames = 1 + (samples.len() - 400) / 160;
    let mut output = Array2::zeros((frames, bins));
    for (index, mut row) in output.rows_mut().into_iter().enumerate() {
        let mut frame = vec![0.0; 512];
        extract_window(
            0,
            samples,
            index,
            &frame_options,
            Some(&weights),
            &mut frame,
        )
        .unwrap();
        let row = row.as_slice_mut().unwrap();
        computer.compute(0.0, 1.0, &mut frame, row);
    }
    output
}

#[test]
fn log_mel_energies_equal_kaldi_native_fbank_for_every_window() {
    let mut samples = hash_noise(16_000);
    for (x, t) in samples.iter_mut().zip(tone(1234.0, 0.3, 16_000, 16_000)) {
        *x = 0.2 * *x + t;
    }
    let windows = [
        (Window::Hann, "hanning"),
        (Window::Povey, "povey"),
        (Window::Hamming, "hamming"),
    ];
    for (window, name) in windows {
        for (bins, pre_emphasis) in [(128, 0.97), (80, 0.97), (40, 0.0)] {
            let config = FbankConfig {
                window,
                num_mel_bins: bins,
                pre_emphasis,
                ..FbankConfig::default()
            };
            let ours = Fbank::new(config).unwrap().compute(&samples).unwrap();
            let theirs = kaldi(&samples, name, bins, pre_emphasis);
            assert_eq!(ours.dim(), theirs.dim());
            let loud = ours.iter().zip(&theirs).filter(|(_, t)| **t > -12.0);
            let errors: Vec<f32> = loud.map(|(o, t)| (o - t).abs()).collect();
            let worst = errors.iter().fold(0.0f32, |m, e| m.max(*e));
            let mean = errors.iter().sum::<f32>() / errors.len() as f32;
            println!(
                "{name} {bins} bins: largest {worst:.1e}, mean {mean:.1e}, {} cells",
                errors.len()
            );
            assert!(errors.len() > ours.len() / 2);
            // That crate keeps its mel scale in f32, which moves narrow filters a little.
            assert!(worst < 5e-3 && mean < 5e-5, "{name} {bins}: {worst} {mean}");
        }
    }
}

#[test]
fn mel_specs_htk_scale_gives_the_same_filters() {
    // Its scale is 2595 log10(1 + f/700), ours 1127 ln(1 + f/700): a constant
    // factor apart, and a factor cancels in (mel - left) / Δ.
    let factor = mel_spec::mel::hz_to_mel(1000.0, true) / hz_to_mel(1000.0);
    for hz in [20.0, 31.25, 440.0, 3999.0, 8000.0] {
        let ratio = mel_spec::mel::hz_to_mel(hz, true) / hz_to_mel(hz);
        assert!((ratio - factor).abs() < 1e-12, "{hz} Hz: {ratio}");
    }
    let mel = |hz: f64| mel_spec::mel::hz_to_mel(hz, true);
    let step = (mel(8000.0) - mel(20.0)) / 129.0;
    let ours = Fbank::new(FbankConfig::default()).unwrap().mel_matrix();
    for ((filter, bin), weight) in ours.indexed_iter() {
        let place = mel(31.25 * bin as f64) - mel(20.0) - filter as f64 * step;
        let theirs = (place / step).min(2.0 - place / step).max(0.0);
        assert!((weight - theirs).abs() < 1e-10, "[{filter}, {bin}]");
    }
}

#[test]
fn mel_specs_own_triangles_are_not_kaldis() {
    // Why its filters cannot be used: they are linear in Hz.
    let theirs = mel_spec::mel::mel(16_000.0, 512, 128, Some(20.0), Some(8000.0), true, false);
    let ours = Fbank::new(FbankConfig::default()).unwrap().mel_matrix();
    let apart = ours.indexed_iter().map(|(at, w)| (w - theirs[at]).abs());
    let apart = apart.fold(0.0, common::compare::worst);
    assert!(apart > 1e-3, "{apart}");
}

#[test]
fn mel_specs_sparse_projection_gives_the_same_energies() {
    let config = FbankConfig {
        log: false,
        window: Window::Hamming,
        ..FbankConfig::default()
    };
    let fbank = Fbank::new(config).unwrap();
    let samples = hash_noise(400);
    let ours = fbank.compute(&samples).unwrap();
    let power = power_spectrum(&samples);
    let bank = mel_spec::mel::SparseMelFilterbank::from_dense(&fbank.mel_matrix());
    let mut theirs = vec![0.0; 128];
    bank.project_power_f64(&power[..256], &mut theirs);
    for (bin, (o, t)) in ours.iter().zip(theirs).enumerate() {
        let error = (f64::from(*o) - t).abs();
        assert!(error < 1e-4 * t + 1e-6, "bin {bin}: {o} against {t}");
    }
}

/// |DFT|² of one frame, term by term in f64.
fn power_spectrum(samples: &[f32]) -> Vec<f64> {
    let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / 400.0;
    let x: Vec<f64> = samples.iter().map(|&x| f64::from(x) - mean).collect();
    let step = std::f64::consts::TAU / 399.0;
    let frame: Vec<f64> = (0..400)
        .map(|i| (x[i] - 0.97 * x[i.max(1) - 1]) * (0.54 - 0.46 * (step * i as f64).cos()))
        .collect();
    let bin = |k: usize| {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, value) in frame.iter().enumerate() {
            let angle = std::f64::consts::TAU * ((k * i) % 512) as f64 / 512.0;
            re += value * angle.cos();
            im -= value * angle.sin();
        }
        re * re + im * im
    };
    (0..257).map(bin).collect()
}
