//! Windows of features of a signal that arrives piece by piece.

use ndarray::{Array2, Axis};

use super::config::{Tail, WindowConfig};
use super::log_mel::LogMelStream;
use super::rows::Rows;
use crate::ast::{AstConfig, AstFeatures};
use crate::error::Result;
use crate::fbank::{FbankConfig, LANES};

/// Model input of one stretch of a longer signal.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureWindow {
    /// Number of its first frame, counted from the start of the signal.
    pub start_frame: u64,
    /// Where that frame begins, in seconds from the start of the signal.
    pub start_seconds: f64,
    /// Frames of the signal in it; the rows after them are padding.
    pub frames: usize,
    /// `[frames, F]` by [`WindowStream::frames`], normalised.
    pub features: Array2<f32>,
}

/// Windows of features of a signal that arrives piece by piece, as from a
/// microphone. Made by [`Extractor::window_stream`](crate::Extractor::window_stream)
/// or [`new`](Self::new).
///
/// [`push`](Self::push) what has arrived and take windows with
/// [`next_window`](Self::next_window) until there is none; at the end of the
/// signal [`finish`](Self::finish) and take the rest.
///
/// ```
/// use audio_frontend::{Extractor, PipelineConfig, WindowConfig};
///
/// let extractor = Extractor::new(PipelineConfig::default())?;
/// let config = WindowConfig { frames: Some(100), ..WindowConfig::default() };
/// let mut stream = extractor.window_stream(16_000, &config)?;
/// let mut starts = Vec::new();
/// for _ in 0..20 {
///     stream.push(&[0.1; 1600])?; // 0.1 s
///     while let Some(window) = stream.next_window() {
///         starts.push(window.start_seconds);
///     }
/// }
/// assert_eq!(starts, [0.0, 0.5]);
/// # Ok::<(), audio_frontend::Error>(())
/// ```
///
/// # Equal to the whole
/// Window k is rows k·hop to k·hop + frames - 1 of
/// [`Extractor::log_mel`](crate::Extractor::log_mel) of the whole signal,
/// normalised, to the bit, whatever the pieces.
///
/// # Ends
/// A signal shorter than one analysis frame is an error when it ends, as for
/// the whole form. Frames that fill no window go by [`Tail`]; where the last
/// window ends with the last frame there is no padded one after it.
///
/// # Latency
/// A window can be taken as soon as its last sample is there, plus, at a rate
/// other than the filter bank's,
/// [`latency_seconds`](Self::latency_seconds) of the resampler.
///
/// # Memory
/// Two windows and the largest piece. The only allocation per window is the
/// array that is handed out.
pub struct WindowStream {
    log_mel: LogMelStream,
    ast: AstFeatures,
    config: WindowConfig,
    /// Frames of a window.
    frames: usize,
    /// Frames from one window to the next.
    hop: usize,
    /// Normalised frames from `start` on.
    rows: Rows,
    /// First frame of the next window.
    start: u64,
    /// End of the last window, in frames.
    given: u64,
}

impl WindowStream {
    /// A stream of samples at `sample_rate` Hz.
    /// [`Extractor::window_stream`](crate::Extractor::window_stream) shares the
    /// filter bank's tables instead of computing them.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when one of the settings is not
    /// valid, and those of [`Resampler::new`](crate::Resampler::new) about the
    /// rate.
    pub fn new(
        fbank: FbankConfig,
        ast: AstConfig,
        sample_rate: u32,
        config: WindowConfig,
    ) -> Result<Self> {
        let log_mel = LogMelStream::new(fbank, sample_rate)?;
        Self::with_log_mel(log_mel, AstFeatures::new(ast)?, config)
    }

    pub(super) fn with_log_mel(
        log_mel: LogMelStream,
        ast: AstFeatures,
        config: WindowConfig,
    ) -> Result<Self> {
        config.validate()?;
        let max_length = ast.config().max_length;
        let frames = config.frames_or(max_length);
        // Whole groups of lanes may reach past the window's end.
        let most = frames + LANES - 1;
        Ok(Self {
            frames,
            hop: config.hop_or_half(max_length),
            rows: Rows::new(most, log_mel.config().num_mel_bins),
            log_mel,
            ast,
            config,
            start: 0,
            given: 0,
        })
    }

    /// The settings it was built from.
    #[must_use]
    pub fn config(&self) -> &WindowConfig {
        &self.config
    }

    /// Frames of a window.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Frames from the start of one window to the start of the next.
    #[must_use]
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// The longest time in seconds the resampler keeps a sample back; 0 where
    /// the source has the filter bank's rate.
    #[must_use]
    pub fn latency_seconds(&self) -> f64 {
        self.log_mel.latency_seconds()
    }

    /// Takes the next samples of the signal.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) with the position counted
    /// from the start of the stream; none of `samples` is taken then.
    /// [`Error::StreamEnded`](crate::Error::StreamEnded) after
    /// [`finish`](Self::finish).
    pub fn push(&mut self, samples: &[f32]) -> Result<()> {
        self.log_mel.push(samples)
    }

    /// Ends the signal; the windows still missing can be taken. A second call
    /// does nothing but give the same answer.
    ///
    /// # Errors
    /// [`Error::TooShort`](crate::Error::TooShort) when the whole signal is
    /// shorter than one analysis frame.
    pub fn finish(&mut self) -> Result<()> {
        self.log_mel.finish()
    }

    /// Whether [`finish`](Self::finish) was called.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.log_mel.is_finished()
    }

    /// Drops what is left and begins another signal in the same buffers.
    pub fn reset(&mut self) {
        self.log_mel.reset();
        self.rows.clear();
        self.start = 0;
        self.given = 0;
    }

    /// The next window, if its samples are there.
    ///
    /// # Shapes
    /// `[frames, F]`
    pub fn next_window(&mut self) -> Option<FeatureWindow> {
        self.compute_rows();
        let filled = self.rows.len();
        if filled >= self.frames {
            return Some(self.cut(self.frames));
        }
        let pad = self.config.tail == Tail::Pad && self.log_mel.is_finished();
        let is_new = filled > 0 && self.start + filled as u64 > self.given;
        (pad && is_new).then(|| self.cut(filled))
    }

    /// Computes frames of the next window: all it misses if they are ready,
    /// else whole groups of lanes only, as a lane left empty costs as much as
    /// a full one.
    fn compute_rows(&mut self) {
        let missing = self.frames.saturating_sub(self.rows.len());
        let ready = self.log_mel.ready();
        let run = if missing == 0 {
            0
        } else if ready >= missing {
            self.whole_groups(missing).min(ready)
        } else if self.log_mel.is_finished() {
            ready
        } else {
            ready - ready % LANES
        };
        let mut rows = self.rows.append(run);
        self.log_mel.fill(rows.view_mut());
        self.ast.normalise(rows);
    }

    /// `missing`, or up to a full group more where the next window begins
    /// before this one's end or at it.
    fn whole_groups(&self, missing: usize) -> usize {
        if self.hop > self.frames {
            return missing;
        }
        missing.next_multiple_of(LANES)
    }

    /// The next window from the first `frames` rows, and moves on by a hop.
    fn cut(&mut self, frames: usize) -> FeatureWindow {
        let shape = (self.frames, self.log_mel.config().num_mel_bins);
        let mut features = Array2::zeros(shape);
        let (mut signal, padding) = features.view_mut().split_at(Axis(0), frames);
        signal.assign(&self.rows.front(frames));
        self.ast.normalise(padding);
        let window = FeatureWindow {
            start_frame: self.start,
            start_seconds: self.seconds(self.start),
            frames,
            features,
        };
        self.given = self.start + self.frames as u64;
        self.start += self.hop as u64;
        let dropped = self.rows.drop_front(self.hop);
        self.log_mel.skip((self.hop - dropped) as u64);
        window
    }

    fn seconds(&self, frame: u64) -> f64 {
        let config = self.log_mel.config();
        frame as f64 * config.frame_shift as f64 / f64::from(config.sample_rate)
    }
}

impl std::fmt::Debug for WindowStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WindowStream")
            .field("log_mel", &self.log_mel)
            .field("ast", &self.ast)
            .field("frames", &self.frames)
            .field("hop", &self.hop)
            .field("tail", &self.config.tail)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
