//! Criterion benchmarks: `cargo bench -p benches --bench frontend` (decode,
//! resample, log-mel, whole files, streams) and `--bench routing` (every router, forward
//! and backward); `--example routing_memory` measures the memory of the latter. `peers/` holds the programs of `cargo xtask bench-peers`.
//! This library makes the signals they share.

#![forbid(unsafe_code)]

pub mod worker;

use std::io::{Result, Write};
use std::path::Path;

/// x\[n\] = ((7919 n) mod 1000) / 1000 - 0.5: noise that needs no generator,
/// `seconds` long at `sample_rate` Hz.
#[must_use]
pub fn noise(seconds: usize, sample_rate: usize) -> Vec<f32> {
    (0..seconds * sample_rate)
        .map(|n| ((7919 * n) % 1000) as f32 / 1000.0 - 0.5)
        .collect()
}

/// Writes mono `samples` in [-1, 1] as a 16-bit WAV file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_wav(path: &Path, samples: &[f32], sample_rate: u32) -> Result<()> {
    let data_bytes = 2 * samples.len() as u32;
    let mut bytes = Vec::with_capacity(44 + data_bytes as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes()); // PCM
    bytes.extend_from_slice(&1u16.to_le_bytes()); // channels
    bytes.extend_from_slice(&sample_rate.to_le_bytes());
    bytes.extend_from_slice(&(2 * sample_rate).to_le_bytes());
    bytes.extend_from_slice(&2u16.to_le_bytes());
    bytes.extend_from_slice(&16u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data_bytes.to_le_bytes());
    for sample in samples {
        bytes.extend_from_slice(&((sample * 32_767.0) as i16).to_le_bytes());
    }
    std::fs::File::create(path)?.write_all(&bytes)
}
