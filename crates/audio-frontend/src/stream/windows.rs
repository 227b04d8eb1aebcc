//! The windows of a recording, as an iterator.

use std::iter::FusedIterator;
use std::path::PathBuf;

use super::window_stream::{FeatureWindow, WindowStream};
use crate::decode::AudioReader;
use crate::error::Result;

/// Where the samples of a long signal come from, block by block.
///
/// Any iterator over blocks of samples is a source: `samples.chunks(4096)`, or
/// a channel's receiver that another thread records into.
pub trait SampleSource {
    /// Appends the next samples to `block`, any number of them. False at the
    /// end of the signal, with nothing appended.
    ///
    /// # Errors
    /// Whatever keeps the source from giving the signal as it is.
    fn read_block(&mut self, block: &mut Vec<f32>) -> Result<bool>;
}

impl<I> SampleSource for I
where
    I: Iterator,
    I::Item: AsRef<[f32]>,
{
    fn read_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        let next = self.next();
        if let Some(samples) = &next {
            block.extend_from_slice(samples.as_ref());
        }
        Ok(next.is_some())
    }
}

impl SampleSource for AudioReader {
    fn read_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        let next = self.next_block()?;
        block.extend_from_slice(next.unwrap_or_default());
        Ok(next.is_some())
    }
}

/// Iterates over the windows of a signal, reading its source as it goes. Made
/// by [`Extractor::windows`](crate::Extractor::windows).
///
/// ```
/// use audio_frontend::{Extractor, PipelineConfig, WindowConfig};
///
/// let extractor = Extractor::new(PipelineConfig::default())?;
/// let config = WindowConfig { frames: Some(100), hop: Some(100), ..WindowConfig::default() };
/// let samples = vec![0.1; 3 * 44_100]; // 3 s: 298 frames of 10 ms
/// for window in extractor.windows(samples.chunks(4096), 44_100, &config)? {
///     let window = window?;
///     assert_eq!(window.features.dim(), (100, 128)); // [T, F]
///     let frames = if window.start_frame < 200 { 100 } else { 98 };
///     assert_eq!(window.frames, frames); // the rest of the last is padding
/// }
/// # Ok::<(), audio_frontend::Error>(())
/// ```
///
/// Windows, their bits, ends and memory are those of [`WindowStream`]. An error
/// is given once, in the place where it came up, and ends the iteration.
pub struct Windows<S> {
    source: S,
    stream: WindowStream,
    block: Vec<f32>,
    /// Named in errors about samples.
    path: Option<PathBuf>,
    failed: bool,
}

impl<S: SampleSource> Windows<S> {
    pub(super) fn new(source: S, stream: WindowStream, path: Option<PathBuf>) -> Self {
        Self {
            source,
            stream,
            block: Vec::new(),
            path,
            failed: false,
        }
    }

    /// Reads one more block into the stream, or ends it.
    fn advance(&mut self) -> Result<()> {
        self.block.clear();
        if self.source.read_block(&mut self.block)? {
            self.stream.push(&self.block)
        } else {
            self.stream.finish()
        }
    }
}

impl<S: SampleSource> Iterator for Windows<S> {
    type Item = Result<FeatureWindow>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            if let Some(window) = self.stream.next_window() {
                return Some(Ok(window));
            }
            if self.stream.is_finished() {
                return None;
            }
            if let Err(error) = self.advance() {
                self.failed = true;
                return Some(Err(match &self.path {
                    Some(path) => error.in_file(path),
                    None => error,
                }));
            }
        }
        None
    }
}

impl<S> std::fmt::Debug for Windows<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Windows")
            .field("stream", &self.stream)
            .field("path", &self.path)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl<S: SampleSource> FusedIterator for Windows<S> {}
