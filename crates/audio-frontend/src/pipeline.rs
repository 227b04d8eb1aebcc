//! File or samples to model input in one call.

use std::borrow::Cow;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, Axis, Slice};
use serde::{Deserialize, Serialize};

use crate::ast::{AstConfig, AstFeatures};
use crate::decode::{Audio, DecodeConfig, decode};
use crate::error::{Error, Result, check_finite};
use crate::fbank::{Fbank, FbankConfig, FbankScratch};
use crate::resample::Resampler;

/// Resamplers one thread keeps planned. A data set has one or two rates, and a
/// plan for rates without a common divisor takes much memory.
const KEPT_RESAMPLERS: usize = 2;

/// Every setting between a file and the model's input.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// File to mono samples.
    pub decode: DecodeConfig,
    /// Samples to log-mel energies; its `sample_rate` is what audio is
    /// resampled to.
    pub fbank: FbankConfig,
    /// Log-mel energies to model input.
    pub ast: AstConfig,
}

impl PipelineConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.decode.validate()?;
        self.fbank.validate()?;
        self.ast.validate()
    }
}

/// Turns files or samples into features. Build it once and share it between
/// threads: its methods take `&self`, and buffers and plans are reused.
pub struct Extractor {
    config: PipelineConfig,
    fbank: Fbank,
    ast: AstFeatures,
    idle: Mutex<Vec<Workspace>>,
}

/// What one call needs and the next can reuse.
struct Workspace {
    scratch: FbankScratch,
    resamplers: Vec<Resampler>,
}

impl Extractor {
    /// Builds the tables of every step.
    ///
    /// # Errors
    /// [`Error::Config`] when `config` is not valid.
    pub fn new(config: PipelineConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            fbank: Fbank::new(config.fbank.clone())?,
            ast: AstFeatures::new(config.ast.clone())?,
            idle: Mutex::new(Vec::new()),
            config,
        })
    }

    /// The settings it was built from.
    #[must_use]
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    pub(crate) fn fbank(&self) -> &Fbank {
        &self.fbank
    }

    pub(crate) fn ast(&self) -> &AstFeatures {
        &self.ast
    }

    /// Model input of mono `samples` at `sample_rate` Hz.
    ///
    /// # Shapes
    /// `[samples]` to `[max_length, F]`
    ///
    /// # Errors
    /// [`Error::NotFinite`], [`Error::TooShort`] or [`Error::Resample`].
    pub fn extract(&self, samples: &[f32], sample_rate: u32) -> Result<Array2<f32>> {
        let (max_length, bins) = (self.config.ast.max_length, self.config.fbank.num_mel_bins);
        let mut features = Array2::zeros((max_length, bins));
        let reached = self.samples_of(max_length);
        self.with_signal(samples, sample_rate, reached, |signal, scratch| {
            let frames = self.config.fbank.num_frames(signal.len()).min(max_length);
            let rows = features.slice_axis_mut(Axis(0), Slice::from(..frames));
            self.fbank.compute_finite(signal, scratch, rows)
        })?;
        self.ast.normalise(features.view_mut());
        Ok(features)
    }

    /// Model input of an audio file.
    ///
    /// # Shapes
    /// to `[max_length, F]`
    ///
    /// # Errors
    /// Those of [`decode`] and [`extract`](Self::extract), naming the file.
    pub fn extract_file(&self, path: impl AsRef<Path>) -> Result<Array2<f32>> {
        let path = path.as_ref();
        let audio = decode(path, &self.config.decode)?;
        self.extract(&audio.samples, audio.sample_rate)
            .map_err(|e| e.in_file(path))
    }

    /// Log-mel energies of mono `samples`, neither padded nor normalised.
    ///
    /// # Shapes
    /// `[samples]` to `[T, F]`
    ///
    /// # Errors
    /// Those of [`extract`](Self::extract).
    pub fn log_mel(&self, samples: &[f32], sample_rate: u32) -> Result<Array2<f32>> {
        self.first_log_mel(samples, sample_rate, usize::MAX)
    }

    /// The first `most` frames of [`log_mel`](Self::log_mel), or all if there
    /// are fewer. What no frame reaches is checked, but not resampled.
    pub(crate) fn first_log_mel(
        &self,
        samples: &[f32],
        sample_rate: u32,
        most: usize,
    ) -> Result<Array2<f32>> {
        let bins = self.config.fbank.num_mel_bins;
        let reached = self.samples_of(most);
        self.with_signal(samples, sample_rate, reached, |signal, scratch| {
            let frames = self.config.fbank.num_frames(signal.len()).min(most);
            let mut log_mel = Array2::zeros((frames, bins));
            self.fbank
                .compute_finite(signal, scratch, log_mel.view_mut())?;
            Ok(log_mel)
        })
    }

    /// Log-mel energies of an audio file, neither padded nor normalised.
    ///
    /// # Shapes
    /// to `[T, F]`
    ///
    /// # Errors
    /// Those of [`extract_file`](Self::extract_file).
    pub fn log_mel_file(&self, path: impl AsRef<Path>) -> Result<Array2<f32>> {
        let path = path.as_ref();
        let audio = decode(path, &self.config.decode)?;
        self.log_mel(&audio.samples, audio.sample_rate)
            .map_err(|e| e.in_file(path))
    }

    /// The mono samples of an audio file at the filter bank's rate.
    ///
    /// # Errors
    /// Those of [`decode`], and [`Error::Resample`].
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Audio> {
        let path = path.as_ref();
        let audio = decode(path, &self.config.decode)?;
        self.at_own_rate(audio).map_err(|e| e.in_file(path))
    }

    fn at_own_rate(&self, audio: Audio) -> Result<Audio> {
        let sample_rate = self.config.fbank.sample_rate;
        if audio.sample_rate == sample_rate {
            check_finite(&audio.samples)?;
            return Ok(audio);
        }
        let mut workspace = self.take_workspace();
        let resampler = workspace.resampler(audio.sample_rate, sample_rate)?;
        let samples = resampler.process(&audio.samples)?;
        self.lock_idle().push(workspace);
        Ok(Audio {
            samples,
            sample_rate,
        })
    }

    /// The samples that the first `frames` frames reach.
    fn samples_of(&self, frames: usize) -> usize {
        let fbank = &self.config.fbank;
        let shifts = frames.saturating_sub(1).saturating_mul(fbank.frame_shift);
        shifts.saturating_add(fbank.frame_length)
    }

    /// Checks `samples` and resamples what gives the first `most` of the
    /// signal, then hands those to `use_signal` with a set of buffers.
    fn with_signal<T>(
        &self,
        samples: &[f32],
        sample_rate: u32,
        most: usize,
        use_signal: impl FnOnce(&[f32], &mut FbankScratch) -> Result<T>,
    ) -> Result<T> {
        let target = self.config.fbank.sample_rate;
        if sample_rate == target {
            check_finite(samples)?; // the resampler checks for itself
        }
        let mut workspace = self.take_workspace();
        let signal = if sample_rate == target {
            Cow::Borrowed(&samples[..samples.len().min(most)])
        } else {
            let resampler = workspace.resampler(sample_rate, target)?;
            Cow::Owned(resampler.process_first(samples, most)?)
        };
        let result = use_signal(&signal, &mut workspace.scratch);
        self.lock_idle().push(workspace);
        result
    }

    fn take_workspace(&self) -> Workspace {
        let idle = self.lock_idle().pop();
        idle.unwrap_or_else(|| Workspace {
            scratch: self.fbank.scratch(),
            resamplers: Vec::new(),
        })
    }

    /// A thread that panicked leaves the list whole: it only ever pushes and
    /// pops, so the poison flag says nothing about it.
    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Workspace>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workspace {
    fn resampler(&mut self, from: u32, to: u32) -> Result<&mut Resampler> {
        let position = match self.resamplers.iter().position(|r| r.from() == from) {
            Some(position) => position,
            None => {
                if self.resamplers.len() == KEPT_RESAMPLERS {
                    self.resamplers.remove(0);
                }
                self.resamplers.push(Resampler::new(from, to)?);
                self.resamplers.len() - 1
            }
        };
        Ok(&mut self.resamplers[position])
    }
}

impl std::fmt::Debug for Extractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extractor")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

// Says at compile time what the documentation promises.
const _: fn() = || {
    fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<Extractor>();
    shared_between_threads::<Error>();
};
