//! One log-mel energy in f64, with the discrete Fourier transform summed term
//! by term: slow, and exact for our purpose.
//!
//! Where a golden value and ours differ, this says which of the two rounded.
//! References work in f32, and in cells some 90 dB below the loudest of a frame
//! the rounding of their FFT shows.

use std::f64::consts::TAU;

/// Samples of a frame at 16 kHz, and from one frame to the next.
const FRAME: usize = 400;
const HOP: usize = 160;
const FFT: usize = 512;
const BINS: f64 = 128.0;

/// ln of the energy that mel bin `bin` of frame `frame` has with the settings
/// of AST: Hann window, pre-emphasis 0.97 inside the frame, 128 triangles
/// between 20 and 8000 Hz. `None` where the signal has no such frame.
pub fn log_mel(samples: &[f32], frame: usize, bin: usize) -> Option<f64> {
    let frame = samples.get(HOP * frame..HOP * frame + FRAME)?;
    let mean = frame.iter().map(|&x| f64::from(x)).sum::<f64>() / FRAME as f64;
    let centred = |i: usize| f64::from(frame[i]) - mean;
    let signal: Vec<f64> = (0..FRAME)
        .map(|i| {
            let window = 0.5 - 0.5 * (TAU * i as f64 / (FRAME - 1) as f64).cos();
            (centred(i) - 0.97 * centred(i.max(1) - 1)) * window
        })
        .collect();
    let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
    let step = (mel(8000.0) - mel(20.0)) / (BINS + 1.0);
    let mut energy = 0.0;
    for line in 0..FFT / 2 {
        let hz = line as f64 * 16_000.0 / FFT as f64;
        let rise = (mel(hz) - mel(20.0)) / step - bin as f64;
        let weight = rise.min(2.0 - rise).max(0.0);
        if weight > 0.0 {
            energy += weight * power(&signal, line);
        }
    }
    Some(energy.max(f64::from(f32::EPSILON)).ln())
}

/// |X|² of one line of the spectrum.
fn power(signal: &[f64], line: usize) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (i, value) in signal.iter().enumerate() {
        let (sin, cos) = (TAU * (line * i % FFT) as f64 / FFT as f64).sin_cos();
        re += value * cos;
        im -= value * sin;
    }
    re * re + im * im
}

#[cfg(test)]
mod tests {
    use super::*;
    use audio_frontend::{Fbank, FbankConfig};

    #[test]
    fn the_front_end_computes_the_same_energies() {
        let samples: Vec<f32> = (0..16_000)
            .map(|n| ((7919 * n) % 1000) as f32 / 1000.0 - 0.5)
            .collect();
        let ours = Fbank::new(FbankConfig::default()).unwrap();
        let ours = ours.compute(&samples).unwrap();
        for at in [[0, 0], [0, 3], [50, 64], [97, 127]] {
            let exact = log_mel(&samples, at[0], at[1]).unwrap();
            assert!((f64::from(ours[at]) - exact).abs() < 2e-4, "{at:?}");
        }
        assert!(log_mel(&samples, 98, 0).is_none());
    }
}
