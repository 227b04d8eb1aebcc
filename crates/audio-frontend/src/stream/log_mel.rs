//! Log-mel energies of a signal that arrives piece by piece.

use ndarray::{ArrayViewMut2, Axis, Slice};

use crate::error::{Error, Result};
use crate::fbank::{Fbank, FbankConfig, FbankScratch};
use crate::resample::Resampler;

/// Log-mel energies of a signal that arrives piece by piece: resampled, framed
/// and equal to [`Extractor::log_mel`](crate::Extractor::log_mel) of the whole
/// signal, to the bit, whatever the pieces.
///
/// [`push`](Self::push) what has arrived, [`read`](Self::read) the frames that
/// are [`ready`](Self::ready), and [`finish`](Self::finish) at the end of the
/// signal, after which the last frames are ready.
///
/// # Latency
/// A frame is ready as soon as its last sample is there. At a rate other than
/// the filter bank's, the resampler adds up to
/// [`latency_seconds`](Self::latency_seconds).
///
/// # Memory
/// The samples that no frame has been read from, and buffers of fixed size. A
/// caller that reads after each push keeps little more than one frame.
pub struct LogMelStream {
    fbank: Fbank,
    scratch: FbankScratch,
    resampler: Resampler,
    signal: SampleQueue,
    /// Samples so far, at the filter bank's rate.
    received: u64,
    /// Samples before the next frame that have not come yet.
    to_drop: u64,
    next_frame: u64,
    finished: bool,
}

impl LogMelStream {
    /// A stream of samples at `sample_rate` Hz.
    /// [`Extractor::log_mel_stream`](crate::Extractor::log_mel_stream) shares
    /// the filter bank's tables instead of computing them.
    ///
    /// # Errors
    /// [`Error::Config`] when `config` is not valid, and those of
    /// [`Resampler::new`] about the rate.
    pub fn new(config: FbankConfig, sample_rate: u32) -> Result<Self> {
        Self::with_fbank(Fbank::new(config)?, sample_rate)
    }

    pub(super) fn with_fbank(fbank: Fbank, sample_rate: u32) -> Result<Self> {
        Ok(Self {
            scratch: fbank.scratch(),
            resampler: Resampler::new(sample_rate, fbank.config().sample_rate)?,
            fbank,
            signal: SampleQueue::default(),
            received: 0,
            to_drop: 0,
            next_frame: 0,
            finished: false,
        })
    }

    /// The settings of its filter bank.
    #[must_use]
    pub fn config(&self) -> &FbankConfig {
        self.fbank.config()
    }

    /// The longest time in seconds the resampler keeps a sample back; 0 where
    /// the source has the filter bank's rate.
    #[must_use]
    pub fn latency_seconds(&self) -> f64 {
        self.resampler.latency_seconds()
    }

    /// Takes the next samples of the signal.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the position counted from the start of the
    /// stream; none of `samples` is taken then. [`Error::StreamEnded`] after
    /// [`finish`](Self::finish).
    pub fn push(&mut self, samples: &[f32]) -> Result<()> {
        if self.finished {
            return Err(Error::StreamEnded);
        }
        let before = self.signal.values.len();
        self.resampler.push(samples, &mut self.signal.values)?;
        self.received += (self.signal.values.len() - before) as u64;
        self.drop_passed();
        Ok(())
    }

    /// Ends the signal; the frames still missing become ready. A second call
    /// does nothing but give the same answer.
    ///
    /// # Errors
    /// [`Error::TooShort`] when the whole signal holds not one frame.
    pub fn finish(&mut self) -> Result<()> {
        if !self.finished {
            self.finished = true;
            let before = self.signal.values.len();
            self.resampler.finish(&mut self.signal.values)?;
            self.received += (self.signal.values.len() - before) as u64;
            self.drop_passed();
        }
        let needed = self.config().frame_length;
        if self.received < needed as u64 {
            return Err(Error::TooShort {
                samples: self.received as usize,
                sample_rate: self.config().sample_rate,
                needed,
            });
        }
        Ok(())
    }

    /// Whether [`finish`](Self::finish) was called.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Drops what is left and begins another signal in the same buffers.
    pub fn reset(&mut self) {
        self.resampler.reset();
        self.signal.clear();
        self.received = 0;
        self.to_drop = 0;
        self.next_frame = 0;
        self.finished = false;
    }

    /// The frames that can be read now.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.config().num_frames(self.signal.waiting().len())
    }

    /// The number of the frame that is read next, from 0.
    #[must_use]
    pub fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// Reads the next frames into the first rows of `output`, as many as are
    /// ready and fit, and says how many. Eight frames are worked on together,
    /// so reading one by one takes several times as long.
    ///
    /// # Shapes
    /// into `[rows, F]`
    ///
    /// # Errors
    /// [`Error::Shape`] when `output` has other columns.
    pub fn read(&mut self, output: ArrayViewMut2<f32>) -> Result<usize> {
        if output.ncols() != self.config().num_mel_bins {
            return Err(Error::Shape {
                what: "the output of the filter bank",
                actual: output.shape().to_vec(),
                expected: vec![output.nrows(), self.config().num_mel_bins],
            });
        }
        Ok(self.fill(output))
    }

    /// [`read`](Self::read) where the columns are known to be F.
    pub(super) fn fill(&mut self, mut output: ArrayViewMut2<f32>) -> usize {
        let frames = output.nrows().min(self.ready());
        let rows = output.slice_axis_mut(Axis(0), Slice::from(..frames));
        self.fbank
            .fill(self.signal.waiting(), &mut self.scratch, rows);
        self.skip(frames as u64);
        frames
    }

    /// Passes over the next frames, whether they are ready or still to come,
    /// without computing them.
    pub fn skip(&mut self, frames: u64) {
        let samples = frames.saturating_mul(self.config().frame_shift as u64);
        self.next_frame = self.next_frame.saturating_add(frames);
        self.to_drop = self.to_drop.saturating_add(samples);
        self.drop_passed();
    }

    /// Drops the samples before the next frame, as far as they are there. None
    /// is left waiting while some are still to be dropped.
    fn drop_passed(&mut self) {
        let waiting = self.signal.waiting().len() as u64;
        let now = self.to_drop.min(waiting);
        self.signal.drop_front(now as usize);
        self.to_drop -= now;
    }
}

impl std::fmt::Debug for LogMelStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogMelStream")
            .field("fbank", &self.fbank)
            .field("resampler", &self.resampler)
            .field("next_frame", &self.next_frame)
            .field("finished", &self.finished)
            .finish_non_exhaustive()
    }
}

/// Samples in the order they came, taken from the front.
#[derive(Default)]
struct SampleQueue {
    values: Vec<f32>,
    /// Values at the front that are no longer needed.
    passed: usize,
}

impl SampleQueue {
    fn waiting(&self) -> &[f32] {
        &self.values[self.passed..]
    }

    /// Moves the rest to the front once it is the smaller part, so that each
    /// sample is moved once on average.
    fn drop_front(&mut self, count: usize) {
        self.passed += count;
        if self.passed >= self.values.len() - self.passed {
            self.values.drain(..self.passed);
            self.passed = 0;
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.passed = 0;
    }
}
