//! How many frames the clips of a data set need.

use audio_frontend::{AudioReader, DecodeConfig, Error};
use rayon::prelude::*;

use crate::data::{Clip, Segment};

/// Most clips that are decoded to find out about all.
const LOOKED_AT: usize = 1000;

/// Share of the clips that shall fit whole.
const WHOLE: f64 = 0.95;

/// Frames (one every 10 ms) that hold [`WHOLE`] of the clips of `part` without
/// a cut, at least `least` and at most `most`.
///
/// # Errors
/// A clip that cannot be read.
pub(super) fn frames(
    clips: &[Clip],
    part: &[usize],
    [least, most]: [usize; 2],
) -> Result<usize, Error> {
    let step = part.len().div_ceil(LOOKED_AT).max(1);
    let chosen: Vec<&Clip> = part
        .iter()
        .step_by(step)
        .map(|&index| &clips[index])
        .collect();
    let mut seconds = chosen
        .par_iter()
        .map(|clip| length(clip))
        .collect::<Result<Vec<f64>, Error>>()?;
    seconds.sort_by(f64::total_cmp);
    let place = ((seconds.len() as f64 * WHOLE).ceil() as usize).clamp(1, seconds.len().max(1));
    let enough = seconds.get(place - 1).copied().unwrap_or(0.0);
    // A frame is 25 ms long: n of them need (n - 1) · 10 ms + 25 ms.
    let frames = ((enough - 0.025) * 100.0).floor().max(0.0) as usize + 1;
    Ok(frames.clamp(least, most.max(least)))
}

/// Seconds of a clip.
fn length(clip: &Clip) -> Result<f64, Error> {
    let mut reader = AudioReader::open(&clip.path, &DecodeConfig::default())?;
    let rate = f64::from(reader.sample_rate());
    let mut samples = 0;
    while let Some(block) = reader.next_block()? {
        samples += block.len();
    }
    let whole = samples as f64 / rate;
    Ok(match clip.segment {
        None => whole,
        Some(Segment { start, end }) => end.unwrap_or(whole) - start,
    })
}
