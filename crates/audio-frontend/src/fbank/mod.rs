//! The Kaldi log-mel filter bank.

mod config;
mod lanes;
mod mel;

use std::fmt;
use std::sync::Arc;

use ndarray::{Array2, ArrayViewMut2};
use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

pub use config::{FbankConfig, Window};
pub(crate) use lanes::LANES;
use mel::MelBank;
pub use mel::hz_to_mel;

use crate::error::{Error, Result, check_finite};

/// Log-mel energies of a mono signal, as Kaldi and
/// `torchaudio.compliance.kaldi.fbank` compute them.
///
/// For each whole frame of M samples: subtract its mean; pre-emphasise inside
/// the frame, the first sample standing in for its own predecessor; multiply
/// with the window; pad to a power of two; |FFT|²; triangular mel filters;
/// ln(max(energy, floor)). No dither, no energy column.
///
/// Samples are expected in [-1, 1]. Kaldi's own tools read 16-bit integers
/// unscaled, which adds 2 ln 2¹⁵ = 20.79 to every value above the floor.
/// Any finite sample is accepted; where energies leave the range of f32
/// (samples beyond about 1e16) the result is finite, with or without the
/// logarithm, but means nothing. Samples that are not finite are an error.
///
/// The tables are computed in f64 and stored in f32; the signal is f32
/// throughout. A frame's values depend on its own samples only, to the bit.
#[derive(Clone)]
pub struct Fbank {
    config: FbankConfig,
    window: Vec<f32>,
    mel: MelBank,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// Buffers of one thread, to be reused from clip to clip.
pub struct FbankScratch {
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    fft: Vec<Complex<f32>>,
    power: Vec<[f32; LANES]>,
    energies: Vec<[f32; LANES]>,
}

impl Fbank {
    /// Builds the tables and plans the FFT.
    ///
    /// # Errors
    /// [`Error::Config`] when `config` is not valid.
    pub fn new(config: FbankConfig) -> Result<Self> {
        config.validate()?;
        let window = config.window.weights(config.frame_length);
        Ok(Self {
            window: window.into_iter().map(|w| w as f32).collect(),
            mel: MelBank::new(&config),
            fft: RealFftPlanner::new().plan_fft_forward(config.fft_len()),
            config,
        })
    }

    /// The settings it was built from.
    #[must_use]
    pub fn config(&self) -> &FbankConfig {
        &self.config
    }

    /// The filters as a dense matrix, in f64.
    ///
    /// # Shapes
    /// `[F, fft_len / 2]`
    #[must_use]
    pub fn mel_matrix(&self) -> Array2<f64> {
        mel::filter_weights(&self.config)
    }

    /// Fresh buffers for [`compute_into`](Self::compute_into).
    #[must_use]
    pub fn scratch(&self) -> FbankScratch {
        FbankScratch {
            frame: self.fft.make_input_vec(),
            spectrum: self.fft.make_output_vec(),
            fft: self.fft.make_scratch_vec(),
            power: vec![[0.0; LANES]; self.config.fft_len() / 2],
            energies: vec![[0.0; LANES]; self.config.num_mel_bins],
        }
    }

    /// Log-mel energies of all whole frames of `samples`.
    ///
    /// # Shapes
    /// `[samples]` to `[T, F]`, T by [`FbankConfig::num_frames`]
    ///
    /// # Errors
    /// [`Error::TooShort`] when there is not one whole frame,
    /// [`Error::NotFinite`].
    pub fn compute(&self, samples: &[f32]) -> Result<Array2<f32>> {
        let frames = self.config.num_frames(samples.len());
        let mut output = Array2::zeros((frames, self.config.num_mel_bins));
        self.compute_into(samples, &mut self.scratch(), output.view_mut())?;
        Ok(output)
    }

    /// Log-mel energies of the first T frames, T being the rows of `output`.
    ///
    /// # Shapes
    /// `[samples]` into `[T, F]`, T at most [`FbankConfig::num_frames`]
    ///
    /// # Errors
    /// [`Error::TooShort`] when there is not one whole frame,
    /// [`Error::Shape`] when `output` has other columns or too many rows,
    /// [`Error::NotFinite`] for any of `samples`.
    pub fn compute_into(
        &self,
        samples: &[f32],
        scratch: &mut FbankScratch,
        output: ArrayViewMut2<f32>,
    ) -> Result<()> {
        check_finite(samples)?;
        self.compute_finite(samples, scratch, output)
    }

    /// [`compute_into`](Self::compute_into) where the caller knows that
    /// `samples` are finite.
    pub(crate) fn compute_finite(
        &self,
        samples: &[f32],
        scratch: &mut FbankScratch,
        output: ArrayViewMut2<f32>,
    ) -> Result<()> {
        let frames = self.config.num_frames(samples.len());
        if frames == 0 {
            return Err(Error::TooShort {
                samples: samples.len(),
                sample_rate: self.config.sample_rate,
                needed: self.config.frame_length,
            });
        }
        if output.nrows() > frames || output.ncols() != self.config.num_mel_bins {
            return Err(Error::Shape {
                what: "the output of the filter bank",
                actual: output.shape().to_vec(),
                expected: vec![frames, self.config.num_mel_bins],
            });
        }
        self.fill(samples, scratch, output);
        Ok(())
    }

    /// [`compute_finite`](Self::compute_finite) where the caller knows that
    /// `samples` hold as many frames as `output` has rows, of F columns.
    pub(crate) fn fill(
        &self,
        samples: &[f32],
        scratch: &mut FbankScratch,
        mut output: ArrayViewMut2<f32>,
    ) {
        for first in (0..output.nrows()).step_by(LANES) {
            let lanes = LANES.min(output.nrows() - first);
            for lane in 0..lanes {
                let start = (first + lane) * self.config.frame_shift;
                let frame = &samples[start..start + self.config.frame_length];
                self.power_spectrum(frame, lane, scratch);
            }
            self.mel.project(&scratch.power, &mut scratch.energies);
            if self.config.log {
                lanes::ln_floored(&mut scratch.energies, self.config.log_floor);
            } else {
                lanes::limit(&mut scratch.energies);
            }
            for lane in 0..lanes {
                let row = output.row_mut(first + lane);
                for (value, energy) in row.into_iter().zip(&scratch.energies) {
                    *value = energy[lane];
                }
            }
        }
    }

    /// |FFT|² of one frame, into its lane.
    fn power_spectrum(&self, samples: &[f32], lane: usize, scratch: &mut FbankScratch) {
        let mean = if self.config.remove_mean {
            sum(samples) / samples.len() as f32
        } else {
            0.0
        };
        let (frame, padding) = scratch.frame.split_at_mut(samples.len());
        padding.fill(0.0);
        let c = self.config.pre_emphasis;
        let first = samples[0] - mean;
        frame[0] = (first - c * first) * self.window[0];
        let pairs = samples.iter().zip(&samples[1..]);
        let tail = frame[1..].iter_mut().zip(&self.window[1..]);
        for ((value, weight), (previous, current)) in tail.zip(pairs) {
            *value = ((current - mean) - c * (previous - mean)) * weight;
        }
        let done = self.fft.process_with_scratch(
            &mut scratch.frame,
            &mut scratch.spectrum,
            &mut scratch.fft,
        );
        // The planner fails only on buffers of the wrong length, and these are its own.
        debug_assert!(done.is_ok());
        for (power, bin) in scratch.power.iter_mut().zip(&scratch.spectrum) {
            power[lane] = bin.re * bin.re + bin.im * bin.im;
        }
    }
}

impl fmt::Debug for Fbank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fbank")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for FbankScratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FbankScratch")
            .field("fft_len", &self.frame.len())
            .field("num_mel_bins", &self.energies.len())
            .finish_non_exhaustive()
    }
}

/// The sum of `values` in eight running sums, which rounds less than one and
/// keeps the vector units busy.
fn sum(values: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    sums.iter().sum::<f32>() + rest
}
