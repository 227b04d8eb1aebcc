//! Long recordings and live sources, in memory that does not grow with them.

mod config;
mod log_mel;
mod rows;
mod window_stream;
mod windows;

pub use config::{Tail, WindowConfig};
pub use log_mel::LogMelStream;
pub use window_stream::{FeatureWindow, WindowStream};
pub use windows::{SampleSource, Windows};

use std::path::Path;

use crate::decode::AudioReader;
use crate::error::Result;
use crate::pipeline::Extractor;

impl Extractor {
    /// Log-mel energies of a signal that arrives piece by piece at
    /// `sample_rate` Hz, neither cut into windows nor normalised.
    ///
    /// # Errors
    /// Those of [`Resampler::new`](crate::Resampler::new) about the rate.
    pub fn log_mel_stream(&self, sample_rate: u32) -> Result<LogMelStream> {
        LogMelStream::with_fbank(self.fbank().clone(), sample_rate)
    }

    /// Windows of features of a signal that arrives piece by piece at
    /// `sample_rate` Hz. Unless `config` says otherwise they have the length
    /// the model takes.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when `config` is not valid, and
    /// those of [`Resampler::new`](crate::Resampler::new) about the rate.
    pub fn window_stream(&self, sample_rate: u32, config: &WindowConfig) -> Result<WindowStream> {
        let log_mel = self.log_mel_stream(sample_rate)?;
        WindowStream::with_log_mel(log_mel, self.ast().clone(), config.clone())
    }

    /// An iterator over the windows of a signal that `source` gives block by
    /// block at `sample_rate` Hz.
    ///
    /// # Errors
    /// Those of [`window_stream`](Self::window_stream).
    pub fn windows<S: SampleSource>(
        &self,
        source: S,
        sample_rate: u32,
        config: &WindowConfig,
    ) -> Result<Windows<S>> {
        let stream = self.window_stream(sample_rate, config)?;
        Ok(Windows::new(source, stream, None))
    }

    /// An iterator over the windows of an audio file, which is decoded as it
    /// goes.
    ///
    /// The [`Limits`](crate::Limits) of the extractor's settings hold, though
    /// memory does not grow with the file: by default a file of more than an
    /// hour, or of more than 400 million samples over all channels, is
    /// [`Error::Limit`](crate::Error::Limit). Raise both for longer ones.
    ///
    /// ```no_run
    /// use audio_frontend::{Extractor, PipelineConfig, WindowConfig};
    ///
    /// let mut config = PipelineConfig::default();
    /// // A day in stereo at 48 kHz; the defaults end at an hour.
    /// config.decode.limits.max_seconds = 24.0 * 3600.0;
    /// config.decode.limits.max_samples = 24 * 3600 * 48_000 * 2;
    /// let extractor = Extractor::new(config)?;
    /// for window in extractor.windows_of_file("day.flac", &WindowConfig::default())? {
    ///     let window = window?;
    ///     println!("{:.2} s: {:?}", window.start_seconds, window.features.dim());
    /// }
    /// # Ok::<(), audio_frontend::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`AudioReader::open`] and [`window_stream`](Self::window_stream).
    /// The iterator gives those of [`AudioReader::next_block`], and
    /// [`Error::TooShort`](crate::Error::TooShort) for a file shorter than one
    /// analysis frame. All but those about `config` name the file.
    pub fn windows_of_file(
        &self,
        path: impl AsRef<Path>,
        config: &WindowConfig,
    ) -> Result<Windows<AudioReader>> {
        let path = path.as_ref();
        config.validate()?;
        let reader = AudioReader::open(path, &self.config().decode)?;
        let stream = self
            .window_stream(reader.sample_rate(), config)
            .map_err(|e| e.in_file(path))?;
        Ok(Windows::new(reader, stream, Some(path.to_path_buf())))
    }
}
