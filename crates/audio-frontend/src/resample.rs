//! Sample-rate conversion, of whole clips and of streams.

use std::borrow::Cow;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::error::{Error, Result, check_finite, largest};

/// Least samples of one block at the lower of the two rates; see [`Resampler`].
const BLOCK: usize = 512;

/// Highest rate in Hz, that of the filter bank and of decoded files too.
const HIGHEST_RATE: u32 = 768_000;

/// Most samples of one block at the higher of the two rates, which bounds the
/// memory of a plan. Enough for 1 Hz to 16 kHz.
const LONGEST_BLOCK: usize = 1 << 23;

/// Larger samples are taken as this, with their sign. No FFT of a length that
/// fits into memory leaves the range of f32 then.
const LARGEST: f32 = 1e20;

/// Converts signals from one fixed rate to another, whole
/// ([`process`](Self::process)) or piece by piece ([`push`](Self::push),
/// [`finish`](Self::finish)), with the same bits.
///
/// # Filter
/// A linear-phase low-pass applied by FFT overlap-add: a sinc of one block
/// under a squared Blackman-Harris window, cut off at
/// 1 / (1 + 13.75/n + 121.7/n² + 5964/n³) of the lower Nyquist frequency, n
/// being the samples of a block at the lower rate. A block is the smallest
/// even multiple of the two rates' common period with n at least 512, so the
/// half-amplitude point lies at 97.3 % of Nyquist or above (7.79 kHz for a
/// 16 kHz output). Measured below 7 kHz (3.5 kHz for 8 kHz input) on a chirp
/// with noise, the difference from soxr HQ has an RMS below 1e-4 of the signal's; see the tests.
///
/// # Length and delay
/// The output has ceil(samples · to / from) samples and no delay: the filter's
/// half block is cut away, which is exact because blocks are even. The signal
/// is taken to be zero outside the clip. Samples beyond ±1e20 are cut to that.
///
/// # Streams
/// Blocks are counted from the start of the signal, whatever pieces it comes
/// in, so the pieces leave no trace in the output. A sample of the output can
/// be given once the block that reaches half a block past it is complete: see
/// [`latency_seconds`](Self::latency_seconds). Memory is a few blocks.
///
/// # Rates
/// From 1 to 768 000 Hz. Two rates without a common divisor have blocks of
/// twice the higher rate, which is the most for rates of 1 kHz and above: some
/// 1.5 million samples. A pair whose block would be longer than 2²³ samples at
/// the higher rate is refused.
pub struct Resampler {
    from: u32,
    to: u32,
    /// None where the rates are equal.
    filter: Option<Filter>,
    /// The samples of a block that is not yet complete.
    block: Vec<f32>,
    /// Samples of the current signal so far.
    taken: u64,
}

/// The overlap-add filter and how far it has come.
struct Filter {
    fft: Fft<f32>,
    /// Samples of the filter's delay that are still to be dropped.
    delay: usize,
    /// Samples given so far.
    given: u64,
}

impl Resampler {
    /// Plans the conversion from rate `from` to rate `to`, both in Hz.
    ///
    /// # Errors
    /// [`Error::Resample`] when a rate is not 1 to 768 000 Hz, or when the two
    /// are so far apart that a block would be too long.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        check_rates(from, to)?;
        let filter = if from == to {
            None
        } else {
            Some(Filter::new(plan(from, to)?))
        };
        let block = filter.as_ref().map_or(0, |f| f.fft.input_frames_next());
        Ok(Self {
            from,
            to,
            filter,
            block: Vec::with_capacity(block),
            taken: 0,
        })
    }

    /// The rate of the input in Hz.
    #[must_use]
    pub fn from(&self) -> u32 {
        self.from
    }

    /// The rate of the output in Hz.
    #[must_use]
    pub fn to(&self) -> u32 {
        self.to
    }

    /// The samples that a signal of `samples` input samples becomes.
    #[must_use]
    pub fn output_len(&self, samples: usize) -> usize {
        usize::try_from(self.exact_len(samples as u64)).unwrap_or(usize::MAX)
    }

    /// The longest time in seconds that [`push`](Self::push) keeps a sample
    /// back: one and a half blocks, or 0 for equal rates. To 16 kHz that is
    /// 60 ms from 44.1 kHz and 48 ms from 48 kHz. Rates without a short common
    /// period have long blocks: 3 s from 44 101 Hz.
    #[must_use]
    pub fn latency_seconds(&self) -> f64 {
        let block = self.filter.as_ref().map_or(0, |f| f.fft.fft_size_in());
        1.5 * block as f64 / f64::from(self.from)
    }

    /// Converts one clip. Nothing is remembered from one clip to the next; a
    /// stream that was not finished is dropped.
    ///
    /// # Errors
    /// [`Error::NotFinite`], and [`Error::Resample`] when the underlying
    /// resampler fails.
    pub fn process(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        self.reset();
        let overhang = self.filter.as_ref().map_or(0, |f| f.fft.fft_size_out());
        let capacity = self.output_len(samples.len()).saturating_add(overhang);
        let mut output = Vec::with_capacity(capacity);
        self.push(samples, &mut output)?;
        self.finish(&mut output)?;
        Ok(output)
    }

    /// The first `most` samples that [`process`](Self::process) gives, to the
    /// bit, from the blocks that reach them.
    ///
    /// # Errors
    /// Those of [`process`](Self::process), about all of `samples`.
    pub(crate) fn process_first(&mut self, samples: &[f32], most: usize) -> Result<Vec<f32>> {
        let needed = self.input_for(most);
        if needed >= samples.len() {
            let mut output = self.process(samples)?;
            output.truncate(most);
            return Ok(output);
        }
        self.reset();
        let mut output = Vec::with_capacity(self.output_len(needed));
        self.push(&samples[..needed], &mut output)?;
        self.reset();
        check_finite(&samples[needed..]).map_err(|e| e.later_by(needed))?;
        output.truncate(most);
        Ok(output)
    }

    /// The samples, in whole blocks, that complete the first `most` of the
    /// output without an end of the signal.
    fn input_for(&self, most: usize) -> usize {
        let Some(filter) = &self.filter else {
            return most;
        };
        let delayed = most.saturating_add(filter.fft.output_delay());
        let blocks = delayed.div_ceil(filter.fft.fft_size_out());
        blocks.saturating_mul(filter.fft.fft_size_in())
    }

    /// Takes the next samples of a signal and appends to `output` what is
    /// complete by then. Allocates nothing but what `output` needs to grow.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the position counted from the start of the
    /// signal; none of `samples` is taken then. [`Error::Resample`] when the
    /// underlying resampler fails.
    pub fn push(&mut self, samples: &[f32], output: &mut Vec<f32>) -> Result<()> {
        let before = self.taken as usize;
        let Some(filter) = &mut self.filter else {
            check_finite(samples).map_err(|e| e.later_by(before))?;
            self.taken += samples.len() as u64;
            output.extend_from_slice(samples);
            return Ok(());
        };
        let failed = failure(self.from, self.to);
        let size = filter.fft.fft_size_in();
        let samples = within_range(samples).map_err(|e| e.later_by(before))?;
        self.taken += samples.len() as u64;
        let mut rest = &samples[..];
        if !self.block.is_empty() {
            let (first, after) = rest.split_at(rest.len().min(size - self.block.len()));
            self.block.extend_from_slice(first);
            rest = after;
            if self.block.len() < size {
                return Ok(());
            }
            filter.convert(&self.block, output).map_err(&failed)?;
            self.block.clear();
        }
        // Whole blocks need no copy.
        let blocks = rest.chunks_exact(size);
        self.block.extend_from_slice(blocks.remainder());
        for block in blocks {
            filter.convert(block, output).map_err(&failed)?;
        }
        Ok(())
    }

    /// Ends the signal: appends the samples still missing, so that all pushes
    /// together gave [`output_len`](Self::output_len) samples. The next push
    /// begins another signal.
    ///
    /// # Errors
    /// [`Error::Resample`] when the underlying resampler fails.
    pub fn finish(&mut self, output: &mut Vec<f32>) -> Result<()> {
        let wanted = self.exact_len(self.taken);
        if let Some(filter) = &mut self.filter {
            while u128::from(filter.given) < wanted {
                self.block.resize(filter.fft.fft_size_in(), 0.0);
                filter
                    .convert(&self.block, output)
                    .map_err(failure(self.from, self.to))?;
                self.block.clear();
            }
            // Less than a block, so it is a usize and was appended just now.
            let surplus = (u128::from(filter.given) - wanted) as usize;
            output.truncate(output.len() - surplus);
        }
        self.reset();
        Ok(())
    }

    /// Drops a signal that was begun; the next push begins another.
    pub fn reset(&mut self) {
        if let Some(filter) = &mut self.filter {
            filter.reset();
        }
        self.block.clear();
        self.taken = 0;
    }

    /// ceil(samples · to / from)
    fn exact_len(&self, samples: u64) -> u128 {
        (u128::from(samples) * u128::from(self.to)).div_ceil(u128::from(self.from))
    }
}

impl Filter {
    fn new(fft: Fft<f32>) -> Self {
        Self {
            delay: fft.output_delay(),
            fft,
            given: 0,
        }
    }

    fn reset(&mut self) {
        self.fft.reset();
        self.delay = self.fft.output_delay();
        self.given = 0;
    }

    /// Appends what one block of input becomes; the first block of a signal
    /// loses the delay.
    fn convert(&mut self, block: &[f32], output: &mut Vec<f32>) -> std::result::Result<(), String> {
        let (start, size) = (output.len(), self.fft.fft_size_out());
        output.resize(start + size, 0.0);
        let source = SequentialSlice::new(block, 1, block.len()).map_err(|e| e.to_string())?;
        let mut sink =
            SequentialSlice::new_mut(&mut output[start..], 1, size).map_err(|e| e.to_string())?;
        self.fft
            .process_into_buffer(&source, &mut sink, None)
            .map_err(|e| e.to_string())?;
        output.drain(start..start + self.delay);
        self.given += (size - self.delay) as u64;
        self.delay = 0;
        Ok(())
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resampler")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

fn within_range(samples: &[f32]) -> Result<Cow<'_, [f32]>> {
    // One pass for both questions; NaN is no less than anything.
    if largest(samples) <= LARGEST {
        return Ok(Cow::Borrowed(samples));
    }
    check_finite(samples)?;
    let cut = |x: &f32| x.clamp(-LARGEST, LARGEST);
    Ok(Cow::Owned(samples.iter().map(cut).collect()))
}

fn failure(from: u32, to: u32) -> impl Fn(String) -> Error {
    move |detail| Error::Resample { from, to, detail }
}

fn check_rates(from: u32, to: u32) -> Result<()> {
    let allowed = 1..=HIGHEST_RATE;
    if allowed.contains(&from) && allowed.contains(&to) {
        return Ok(());
    }
    let detail = format!("rates from 1 to {HIGHEST_RATE} Hz are supported");
    Err(failure(from, to)(detail))
}

/// The filter of two rates that [`check_rates`] accepts.
fn plan(from: u32, to: u32) -> Result<Fft<f32>> {
    let failed = failure(from, to);
    let period = gcd(from, to);
    let shorter = (from.min(to) / period) as usize;
    let periods = BLOCK.div_ceil(shorter).next_multiple_of(2);
    let longer = periods * (from.max(to) / period) as usize;
    if longer > LONGEST_BLOCK {
        return Err(failed("the rates are too far apart".into()));
    }
    let block_in = periods * (from / period) as usize;
    Fft::new_custom(
        from as usize,
        to as usize,
        block_in,
        1,
        1,
        WindowFunction::BlackmanHarris2,
        FixedSync::Both,
    )
    .map_err(|e| failed(e.to_string()))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Converts one clip; a [`Resampler`] kept by the caller saves its planning.
///
/// # Errors
/// Those of [`Resampler::new`], and [`Error::NotFinite`].
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    Resampler::new(from, to)?.process(samples)
}
