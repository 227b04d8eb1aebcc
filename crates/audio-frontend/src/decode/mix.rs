//! Several channels to one, and the limits.

use std::path::Path;

use super::config::{Channels, Limits};
use crate::error::{Error, Result};

/// Appends the mono signal of `interleaved` frames to `mono`.
pub(super) fn mix(interleaved: &[f32], channels: usize, how: Channels, mono: &mut Vec<f32>) {
    if channels == 0 {
        return;
    }
    let frames = interleaved.chunks_exact(channels);
    match how {
        _ if channels == 1 => mono.extend_from_slice(interleaved),
        Channels::First => mono.extend(frames.map(|frame| frame[0])),
        Channels::Mix => {
            let scale = 1.0 / channels as f32;
            let mean = |frame: &[f32]| frame.iter().sum::<f32>() * scale;
            mono.extend(frames.map(mean));
        }
    }
}

/// Checks what is known of a file so far; `frames` are samples per channel.
pub(super) fn check_limits(
    path: &Path,
    limits: &Limits,
    rate: Option<u32>,
    channels: Option<usize>,
    frames: u64,
) -> Result<()> {
    let exceeded = |what, value: f64, limit: f64| Error::Limit {
        path: path.into(),
        what,
        value,
        limit,
    };
    if let Some(rate) = rate {
        if rate > limits.max_sample_rate {
            let limit = f64::from(limits.max_sample_rate);
            return Err(exceeded("the sample rate in Hz", f64::from(rate), limit));
        }
        if rate < limits.min_sample_rate {
            let limit = f64::from(limits.min_sample_rate);
            return Err(exceeded("the sample rate in Hz", f64::from(rate), limit));
        }
        let seconds = frames as f64 / f64::from(rate);
        if seconds > limits.max_seconds {
            return Err(exceeded(
                "the duration in seconds",
                seconds,
                limits.max_seconds,
            ));
        }
    }
    if let Some(channels) = channels {
        if channels > limits.max_channels {
            let limit = limits.max_channels as f64;
            return Err(exceeded("the number of channels", channels as f64, limit));
        }
        let samples = frames.saturating_mul(channels as u64);
        if samples > limits.max_samples {
            let limit = limits.max_samples as f64;
            return Err(exceeded("the number of samples", samples as f64, limit));
        }
    }
    Ok(())
}
