//! How many frames the clips of a data set need.

use audio_frontend::{AudioReader, DecodeConfig, Error};
use rayon::prelude::*;

use crate::data::{Clip, DataError, Segment, Stop};

/// Most clips that are looked at to find out about all.
const LOOKED_AT: usize = 1000;

/// Share of the clips that shall fit whole.
const WHOLE: f64 = 0.95;

/// Frames (one every 10 ms) that hold [`WHOLE`] of the clips of `part` without
/// a cut, at least `least` and at most `most`. Files that cannot be read are
/// passed over: all of them are named when features are made.
///
/// # Errors
/// [`DataError::Stopped`] when it is told to end.
pub(super) fn frames(
    clips: &[Clip],
    part: &[usize],
    [least, most]: [usize; 2],
    stop: Stop<'_>,
) -> Result<usize, DataError> {
    let step = part.len().div_ceil(LOOKED_AT).max(1);
    let mut chosen: Vec<&Clip> = part
        .iter()
        .step_by(step)
        .map(|&index| &clips[index])
        .collect();
    // A recording of which several clips are pieces is decoded once at most.
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    let recordings: Vec<&[&Clip]> = chosen.chunk_by(|a, b| a.path == b.path).collect();
    let lengths: Vec<Vec<f64>> = recordings
        .par_iter()
        .map(|pieces| match stop.asked() {
            true => Vec::new(),
            false => lengths(pieces),
        })
        .collect();
    stop.check()?;
    let mut seconds = lengths.concat();
    seconds.sort_by(f64::total_cmp);
    let place = ((seconds.len() as f64 * WHOLE).ceil() as usize).clamp(1, seconds.len().max(1));
    let enough = seconds.get(place - 1).copied().unwrap_or(0.0);
    // A frame is 25 ms long: n of them need (n - 1) · 10 ms + 25 ms.
    let frames = ((enough - 0.025) * 100.0).floor().max(0.0) as usize + 1;
    Ok(frames.clamp(least, most.max(least)))
}

/// Seconds of clips of one recording, which is decoded only where the end of a
/// clip is its own.
fn lengths(pieces: &[&Clip]) -> Vec<f64> {
    let mut whole = None;
    let length = |clip: &&Clip| {
        let (start, end) = match clip.segment {
            None => (0.0, None),
            Some(Segment { start, end }) => (start, end),
        };
        let end = match end {
            Some(end) => Some(end),
            None => *whole.get_or_insert_with(|| seconds(clip).ok()),
        };
        Some(end? - start)
    };
    pieces.iter().filter_map(length).collect()
}

/// Seconds of the file of a clip.
fn seconds(clip: &Clip) -> Result<f64, Error> {
    let mut reader = AudioReader::open(&clip.path, &DecodeConfig::default())?;
    let rate = f64::from(reader.sample_rate());
    let mut samples = 0;
    while let Some(block) = reader.next_block()? {
        samples += block.len();
    }
    Ok(samples as f64 / rate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn pieces_with_an_end_are_measured_without_their_recording() {
        // The file is not there: whoever opened it would learn nothing.
        let piece = |(start, end)| Clip {
            path: "nowhere.wav".into(),
            relative: "nowhere.wav".to_owned(),
            label: 0,
            groups: BTreeMap::new(),
            segment: Some(Segment { start, end }),
        };
        let clips: Vec<Clip> = [(0.0, Some(1.0)), (5.0, Some(5.5)), (7.0, None)]
            .map(piece)
            .to_vec();
        let measured = |part: &[usize]| {
            let found = frames(&clips, part, [1, 10_000], Stop::default());
            found.unwrap()
        };
        // n frames take (n - 1) · 10 ms + 25 ms.
        assert_eq!((measured(&[0, 1, 2]), measured(&[1])), (98, 48));
        assert_eq!(measured(&[2]), 1);
        let stopped = frames(&clips, &[0], [1, 9], Stop::new(&|| true));
        assert!(matches!(stopped, Err(DataError::Stopped)));
    }
}
