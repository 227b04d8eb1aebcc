//! Resampling to 16 kHz against soxr HQ on a chirp with noise.

mod common;

use audio_frontend::resample;
use common::Golden;
use common::compare::{pass_band_error, worst};

#[test]
fn pass_band_agrees_with_soxr_at_every_golden_rate() {
    let golden = Golden::open("resample.safetensors");
    for rate in [8000, 22_050, 44_100, 48_000] {
        let input = golden.vector(&format!("{rate}.input"));
        let theirs = golden.vector(&format!("{rate}.to_16000_soxr_hq"));
        let ours = resample(&input, rate, 16_000).unwrap();
        assert_eq!(ours.len(), theirs.len());
        let inner = ours.iter().zip(&theirs).take(15_600).skip(400);
        let worst_inside = inner.fold(0.0, |m, (a, b)| worst(m, f64::from((a - b).abs())));
        let error = pass_band_error(&ours, &theirs, rate);
        println!(
            "{rate} Hz: {error:.2e} of the pass band's RMS, full band inside {worst_inside:.2e}"
        );
        assert!(error < 1e-4, "{rate} Hz: {error}");
    }
}
