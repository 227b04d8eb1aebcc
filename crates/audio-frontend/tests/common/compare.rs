//! How far two results are apart.

use audio_frontend::Window;
use ndarray::Array2;
use realfft::RealFftPlanner;

/// Log energies below this are rounding noise of the FFT.
pub const NOISE: f32 = -12.0;

/// Differences of the cells that stand above the noise in the reference.
#[derive(Debug, Clone, Copy)]
pub struct Errors {
    pub largest: f64,
    pub mean: f64,
    pub cells: usize,
}

/// The larger of two, NaN if one is: `f64::max` drops NaN, and with it the
/// difference that matters most.
pub fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Compares the cells where `theirs` is above `noise`.
pub fn errors(ours: &Array2<f32>, theirs: &Array2<f32>, noise: f32) -> Errors {
    assert_eq!(ours.dim(), theirs.dim());
    let quiet = |t: f32| t <= noise; // NaN is not quiet
    let loud = ours.iter().zip(theirs).filter(|(_, t)| !quiet(**t));
    let differences = loud.map(|(o, t)| f64::from((o - t).abs()));
    let (largest, sum, cells) = differences.fold((0.0, 0.0, 0), |(largest, sum, n), e| {
        (worst(largest, e), sum + e, n + 1)
    });
    let mean = sum / f64::from(cells.max(1));
    Errors {
        largest,
        mean,
        cells: cells as usize,
    }
}

/// End of the pass band in Hz of a signal taken from `rate` to 16 kHz. At
/// 8 kHz the input itself ends at 4 kHz, so its pass band does too.
pub fn pass_band(rate: u32) -> f64 {
    if rate == 8000 { 3500.0 } else { 7000.0 }
}

/// RMS of the difference in the pass band, relative to that of `theirs`.
pub fn pass_band_error(ours: &[f32], theirs: &[f32], rate: u32) -> f64 {
    let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
    let limit = pass_band(rate);
    (energy_below(&difference, limit) / energy_below(theirs, limit)).sqrt()
}

/// Energy of `signal` (16 kHz) below `limit` Hz under a Hann window, which
/// keeps the transition band from leaking into the pass band.
fn energy_below(signal: &[f32], limit: f64) -> f64 {
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(signal.len());
    let window = Window::Hann.weights(signal.len());
    let mut input: Vec<f64> = signal
        .iter()
        .zip(window)
        .map(|(&x, w)| f64::from(x) * w)
        .collect();
    let mut spectrum = fft.make_output_vec();
    fft.process(&mut input, &mut spectrum).unwrap();
    let bins = (limit * signal.len() as f64 / 16_000.0) as usize;
    spectrum[..bins].iter().map(|c| c.norm_sqr()).sum()
}
