//! Helpers of several test files; each uses some of them.
#![allow(dead_code)]

pub mod compare;

use std::path::{Path, PathBuf};

use audio_frontend::{Audio, DecodeConfig, Error, decode};
use ndarray::Array2;
use safetensors::SafeTensors;

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// The tensors of one golden file.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(name: &str) -> Self {
        Self::read(&fixture(name))
    }

    pub fn read(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap())
    }

    pub fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let mut names: Vec<String> = file.names().iter().map(|name| name.to_string()).collect();
        names.sort();
        names
    }

    pub fn vector(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let bytes = file.tensor(name).unwrap().data().to_vec();
        let values = bytes.chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    pub fn matrix(&self, name: &str) -> Array2<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let shape = file.tensor(name).unwrap().shape().to_vec();
        Array2::from_shape_vec((shape[0], shape[1]), self.vector(name)).unwrap()
    }
}

/// x[n] = ((7919 n) mod 1000) / 1000 - 0.5: noise that needs no generator.
pub fn hash_noise(samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|n| ((7919 * n) % 1000) as f32 / 1000.0 - 0.5)
        .collect()
}

pub fn tone(frequency: f64, amplitude: f64, sample_rate: u32, samples: usize) -> Vec<f32> {
    let step = std::f64::consts::TAU * frequency / f64::from(sample_rate);
    (0..samples)
        .map(|n| (amplitude * (step * n as f64).sin()) as f32)
        .collect()
}

/// Cuts `samples` into pieces of the given sizes, taken in turn.
pub fn pieces<'a>(samples: &'a [f32], sizes: &'a [usize]) -> impl Iterator<Item = &'a [f32]> {
    let (mut rest, mut sizes) = (samples, sizes.iter().cycle());
    std::iter::from_fn(move || {
        let size = *sizes.next()?;
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The values as bits, so that equal means equal to the bit.
pub fn bits<'a>(values: impl IntoIterator<Item = &'a f32>) -> Vec<u32> {
    values.into_iter().map(|value| value.to_bits()).collect()
}

pub fn rms(values: &[f32]) -> f64 {
    let power: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
    (power / values.len() as f64).sqrt()
}

/// Writes a 16-bit WAV of interleaved `samples`.
pub fn write_wav(path: &Path, samples: &[i16], channels: u16, sample_rate: u32) {
    let spec = hound::WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for &sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
}

/// Log-mel energies with the default settings in f64, the discrete Fourier
/// transform summed term by term: slow, and exact for our purpose.
pub fn exact_log_mel(samples: &[f32]) -> Array2<f64> {
    let tau = std::f64::consts::TAU;
    let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
    let step = (mel(8000.0) - mel(20.0)) / 129.0;
    let turn: Vec<(f64, f64)> = (0..512)
        .map(|k| (tau * f64::from(k) / 512.0).sin_cos())
        .collect();
    let frames = 1 + (samples.len() - 400) / 160;
    let mut output = Array2::zeros((frames, 128));
    for (t, mut row) in output.rows_mut().into_iter().enumerate() {
        let frame = &samples[160 * t..160 * t + 400];
        let mean = frame.iter().map(|&x| f64::from(x)).sum::<f64>() / 400.0;
        let x: Vec<f64> = frame.iter().map(|&x| f64::from(x) - mean).collect();
        let window = |i: usize| 0.5 - 0.5 * (tau * i as f64 / 399.0).cos();
        let y: Vec<f64> = (0..400)
            .map(|i| (x[i] - 0.97 * x[i.max(1) - 1]) * window(i))
            .collect();
        for bin in 0..256 {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, value) in y.iter().enumerate() {
                let (sin, cos) = turn[bin * i % 512];
                re += value * cos;
                im -= value * sin;
            }
            let place = (mel(31.25 * bin as f64) - mel(20.0)) / step;
            for (j, energy) in row.iter_mut().enumerate() {
                let rise = place - j as f64;
                *energy += rise.min(2.0 - rise).max(0.0) * (re * re + im * im);
            }
        }
    }
    output.mapv(|energy: f64| energy.max(f64::from(f32::EPSILON)).ln())
}

/// Decodes with the default settings.
pub fn plain(path: &Path) -> Result<Audio, Error> {
    decode(path, &DecodeConfig::default())
}

/// Writes a mono float WAV at 8 kHz.
pub fn write_float_wav(path: &Path, samples: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for &sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
}

pub fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()));
    differences.fold(0.0, compare::worst)
}
