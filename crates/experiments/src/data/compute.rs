//! Computes the features of clips on all cores and hands them on in order,
//! without keeping them.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use audio_frontend::{Audio, DecodeConfig, Extractor, Resampler, decode};
use rayon::prelude::*;

use super::error::DataError;
use super::features::FeatureFormat;
use super::scan::{Clip, Segment};
use super::stop::Stop;

/// Energies of larger samples overflow f32 and would look like silence.
const LOUDEST: f32 = 1e15;

/// Recordings computed between two writes: enough to keep all cores busy, few
/// enough to be small in memory.
const CHUNK: usize = 128;

/// Told the number of finished clips and the number of all, from any thread.
pub type Progress<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Where the sound of a clip is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sound<'a> {
    /// In the file that the clip names.
    File,
    /// In memory: mono samples, and how many there are per second.
    Samples(&'a [f32], u32),
}

/// The features to compute.
pub(super) struct Job<'a> {
    /// The clips; those cut from one recording stand together.
    pub(super) clips: &'a [Clip],
    /// Tells where the sound of the clip with an index is.
    pub(super) sound: &'a (dyn Fn(usize) -> Sound<'a> + Sync),
    /// The front end.
    pub(super) extractor: &'a Extractor,
    /// Use files that end early.
    pub(super) allow_truncated: bool,
    /// How values are stored.
    pub(super) format: FeatureFormat,
    /// Told about every clip.
    pub(super) progress: &'a Progress<'a>,
    /// Asked before every recording.
    pub(super) stop: Stop<'a>,
}

/// The stored features of one clip.
pub(super) struct Encoded {
    /// Frames that are no padding.
    pub(super) frames: u32,
    /// Their values.
    pub(super) bytes: Vec<u8>,
}

/// Computes every clip and gives it to `store`, in the order of the clips.
///
/// # Errors
/// Clips that are no usable sound, all of them named, what `store` says, or
/// [`DataError::Stopped`].
pub(super) fn compute(
    job: &Job<'_>,
    store: &mut dyn FnMut(Encoded) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let done = AtomicUsize::new(0);
    let mut bad: Vec<(PathBuf, String)> = Vec::new();
    for recordings in recordings(job.clips).chunks(CHUNK) {
        let computed: Vec<Vec<Result<Encoded, String>>> = recordings
            .par_iter()
            .map(|range| {
                if job.stop.asked() {
                    return Vec::new();
                }
                let encoded = recording(job, range.clone());
                let now = done.fetch_add(range.len(), Ordering::Relaxed) + range.len();
                (job.progress)(now, job.clips.len());
                encoded
            })
            .collect();
        // Nothing of a chunk that may not be whole is kept.
        job.stop.check()?;
        let indices = recordings.iter().cloned().flatten();
        for (index, encoded) in indices.zip(computed.into_iter().flatten()) {
            match encoded {
                Ok(encoded) if bad.is_empty() => store(encoded)?,
                Ok(_) => {} // the others are computed to name all bad ones
                Err(fault) => bad.push((job.clips[index].path.clone(), fault)),
            }
        }
    }
    if bad.is_empty() {
        return Ok(());
    }
    let total = job.clips.len();
    Err(DataError::BadFiles { total, files: bad })
}

/// The runs of clips of one file, which is decoded once for all of them.
fn recordings(clips: &[Clip]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for run in clips.chunk_by(|a, b| a.path == b.path) {
        ranges.push(start..start + run.len());
        start += run.len();
    }
    ranges
}

fn recording(job: &Job<'_>, range: Range<usize>) -> Vec<Result<Encoded, String>> {
    let mut cutter = Cutter::new(job);
    range
        .map(|index| {
            let clip = &job.clips[index];
            let name = &clip.path;
            match ((job.sound)(index), &clip.segment) {
                (Sound::Samples(samples, rate), _) => encode(job, name, samples, rate),
                (Sound::File, None) if job.allow_truncated => {
                    let audio = cutter.cut(name, WHOLE)?;
                    encode(job, name, &audio.samples, audio.sample_rate)
                }
                (Sound::File, None) => {
                    let audio = job.extractor.load(name).map_err(|e| e.to_string())?;
                    encode(job, name, &audio.samples, audio.sample_rate)
                }
                (Sound::File, Some(segment)) => {
                    let audio = cutter.cut(name, *segment)?;
                    encode(job, name, &audio.samples, audio.sample_rate)
                }
            }
        })
        .collect()
}

/// The frames of `samples` that are no padding.
fn encode(job: &Job<'_>, name: &Path, samples: &[f32], rate: u32) -> Result<Encoded, String> {
    if let Some(loud) = samples.iter().find(|sample| sample.abs() > LOUDEST) {
        return Err(format!(
            "{} has a sample of {loud:e}; write the file again with samples in -1..1",
            name.display()
        ));
    }
    let features = job
        .extractor
        .extract(samples, rate)
        .map_err(|error| error.in_file(name).to_string())?;
    let config = job.extractor.config();
    let frames = config
        .fbank
        .num_frames(samples.len())
        .min(config.ast.max_length);
    let values: Vec<f32> = features
        .iter()
        .take(frames * features.ncols())
        .copied()
        .collect();
    let bytes = job
        .format
        .encode(&values)
        .map_err(|fault| format!("{} {fault}", name.display()))?;
    // `max_length` is at most a million.
    let frames = u32::try_from(frames).unwrap_or(u32::MAX);
    Ok(Encoded { frames, bytes })
}

/// All of a file.
const WHOLE: Segment = Segment {
    start: 0.0,
    end: None,
};

/// Cuts segments out of one recording: at the sample of the file's own rate,
/// before it is resampled.
struct Cutter<'a> {
    extractor: &'a Extractor,
    decode: DecodeConfig,
    whole: Option<Result<Audio, String>>,
    resampler: Option<Resampler>,
}

impl<'a> Cutter<'a> {
    fn new(job: &Job<'a>) -> Self {
        let mut decode = job.extractor.config().decode.clone();
        decode.allow_truncated |= job.allow_truncated;
        Self {
            extractor: job.extractor,
            decode,
            whole: None,
            resampler: None,
        }
    }

    /// The samples of `segment`, at the rate of the filter bank.
    fn cut(&mut self, path: &Path, segment: Segment) -> Result<Audio, String> {
        let config = self.extractor.config();
        let whole = self
            .whole
            .get_or_insert_with(|| decode(path, &self.decode).map_err(|e| e.to_string()));
        let whole = whole.as_ref().map_err(Clone::clone)?;
        let range = segment
            .samples(whole.sample_rate, whole.samples.len())
            .map_err(|fault| format!("{}: {fault}", path.display()))?;
        let samples = &whole.samples[range];
        let rate = config.fbank.sample_rate;
        if whole.sample_rate == rate {
            return Ok(Audio {
                samples: samples.to_vec(),
                sample_rate: rate,
            });
        }
        let named = |error: audio_frontend::Error| error.in_file(path).to_string();
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::new(whole.sample_rate, rate).map_err(named)?),
        };
        Ok(Audio {
            samples: resampler.process(samples).map_err(named)?,
            sample_rate: rate,
        })
    }
}
