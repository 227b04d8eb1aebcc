//! Decoding block by block.

use std::path::{Path, PathBuf};

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::packet::Packet;

use super::config::DecodeConfig;
use super::guard::guarded;
use super::mix::{check_limits, mix};
use super::probe::{Step, Stream, is_end_of_file, stream_error};
use super::source::{self, Source};
use crate::error::{Error, Result, check_finite};

/// Decodes an audio file block by block to one channel.
///
/// Its memory does not depend on the length of the file, but for the index of
/// an MP4 file (some bytes per packet). Everything [`decode`](crate::decode)
/// says of formats, scaling, completeness and limits holds here too; what can
/// only be known at the end of the file is reported there, after all blocks.
///
/// The limits are those of whole files: by default a file of more than one hour
/// is [`Error::Limit`]. For longer ones raise
/// [`max_seconds`](crate::Limits::max_seconds) and
/// [`max_samples`](crate::Limits::max_samples).
///
/// ```no_run
/// use audio_frontend::{AudioReader, DecodeConfig};
///
/// let mut reader = AudioReader::open("long.flac", &DecodeConfig::default())?;
/// let mut energy = 0.0;
/// while let Some(block) = reader.next_block()? {
///     energy += block.iter().map(|x| x * x).sum::<f32>();
/// }
/// # Ok::<(), audio_frontend::Error>(())
/// ```
pub struct AudioReader {
    path: PathBuf,
    config: DecodeConfig,
    stream: Stream,
    sample_rate: u32,
    /// Frames decoded so far, those that are dropped included.
    decoded: u64,
    /// Samples given so far, those of `mono` included.
    given: u64,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `mono` was decoded ahead and waits for the next call.
    Waiting,
    Running,
    /// The end was reached, or an error reported.
    Over,
}

impl AudioReader {
    /// Opens a file and decodes its first block.
    ///
    /// # Errors
    /// Those of [`decode`](crate::decode) that show by then.
    pub fn open(path: impl AsRef<Path>, config: &DecodeConfig) -> Result<Self> {
        let path = path.as_ref();
        config.validate()?;
        Self::start(path, source::open_file(path)?, config)
    }

    /// The same for bytes in memory; `name` stands in error messages where a
    /// path would.
    ///
    /// # Errors
    /// Those of [`decode`](crate::decode) that show by then.
    pub fn from_bytes(
        name: impl AsRef<Path>,
        bytes: Vec<u8>,
        config: &DecodeConfig,
    ) -> Result<Self> {
        let name = name.as_ref();
        config.validate()?;
        Self::start(name, source::open_bytes(name, bytes)?, config)
    }

    /// Samples per second.
    #[must_use]
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The next samples of the mono signal, at least one, all finite. `None`
    /// at the end, and after an error.
    ///
    /// # Errors
    /// Those of [`decode`](crate::decode).
    pub fn next_block(&mut self) -> Result<Option<&[f32]>> {
        match self.state {
            State::Over => return Ok(None),
            State::Waiting => self.state = State::Running,
            State::Running => self.advance()?,
        }
        Ok((!self.mono.is_empty()).then_some(&self.mono[..]))
    }

    /// Samples the file says it holds, if it does; files may lie.
    pub(super) fn declared(&self) -> Option<u64> {
        self.stream.extent.declared
    }

    fn start(path: &Path, source: Source, config: &DecodeConfig) -> Result<Self> {
        let mut reader = guarded(path, || {
            let stream = Stream::open(path, source, &config.limits)?;
            let (rate, channels) = stream.format();
            let frames = stream.extent.declared.unwrap_or(0);
            check_limits(path, &config.limits, rate, channels, frames)?;
            Ok(Self {
                path: path.into(),
                config: config.clone(),
                stream,
                sample_rate: 0,
                decoded: 0,
                given: 0,
                interleaved: Vec::new(),
                mono: Vec::new(),
                state: State::Running,
            })
        })?;
        reader.advance()?;
        if reader.state == State::Running {
            reader.state = State::Waiting;
        }
        Ok(reader)
    }

    /// Decodes until `mono` holds samples, or to the end.
    fn advance(&mut self) -> Result<()> {
        self.mono.clear();
        self.state = State::Over;
        // Owned, so that the closure may borrow the reader as a whole.
        let path = self.path.clone();
        let more = guarded(&path, || self.decode_block());
        match more {
            Ok(true) => self.state = State::Running,
            Ok(false) => self.mono.clear(),
            Err(error) => {
                self.mono.clear();
                return Err(error);
            }
        }
        Ok(())
    }

    /// False at the end of the file.
    fn decode_block(&mut self) -> Result<bool> {
        loop {
            let packet = match self.stream.next(&self.path)? {
                Step::Packet(packet) => packet,
                Step::End => return self.finish(false),
                Step::Cut => return self.finish(true),
            };
            self.check_place(&packet)?;
            if let Err(error) = self.stream.decoder.decode(&packet) {
                return match self.decode_error(error) {
                    Some(error) => Err(error),
                    None => self.finish(true),
                };
            }
            self.take_frames()?;
            if !self.mono.is_empty() {
                let before = (self.given - self.mono.len() as u64) as usize;
                return match check_finite(&self.mono) {
                    Ok(()) => Ok(true),
                    Err(error) => Err(error.later_by(before).in_file(&self.path)),
                };
            }
        }
    }

    /// Whether a packet continues where the last one ended, if it says where.
    fn check_place(&self, packet: &Packet) -> Result<()> {
        let Some(place) = self.stream.place_of(packet) else {
            return Ok(());
        };
        let expected = i64::try_from(self.decoded).unwrap_or(i64::MAX);
        if place == expected {
            return Ok(());
        }
        let detail = if place > expected {
            format!("samples {expected} to {place} are missing or do not match their checksum")
        } else {
            format!("a block of sample {place} follows where {expected} should")
        };
        let path = self.path.clone();
        Err(Error::Damaged { path, detail })
    }

    /// What a packet that cannot be decoded means; `None` if it was cut off.
    fn decode_error(&self, error: SymphoniaError) -> Option<Error> {
        let damaged = |detail: &str| Error::Damaged {
            path: self.path.clone(),
            detail: detail.into(),
        };
        match error {
            error if !is_end_of_file(&error) => Some(match error {
                // Nothing unknown can follow what was decoded until here.
                SymphoniaError::Unsupported(detail) if self.decoded > 0 => damaged(detail),
                error => stream_error(&self.path, error),
            }),
            _ if self.stream.has_whole_packets() => {
                Some(damaged("a frame is shorter than what it should hold"))
            }
            _ => None,
        }
    }

    /// Takes over what the decoder decoded last, if it is part of the signal.
    fn take_frames(&mut self) -> Result<()> {
        let buffer = self.stream.decoder.last_decoded();
        let frames = buffer.frames();
        if frames == 0 {
            return Ok(());
        }
        let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
        let extent = &self.stream.extent;
        let end = match extent.declared {
            Some(declared) if extent.padded => extent.skip.saturating_add(declared),
            _ => u64::MAX,
        };
        let (first, last) = (self.decoded, self.decoded + frames as u64);
        let within = |position: u64| (position.clamp(first, last) - first) as usize;
        let from = within(extent.skip);
        let until = within(end).max(from);
        self.decoded += frames as u64;
        self.given += (until - from) as u64;
        let limits = &self.config.limits;
        check_limits(&self.path, limits, Some(rate), Some(channels), self.given)?;
        self.check_rate(rate)?;
        let buffer = self.stream.decoder.last_decoded();
        self.interleaved.resize(buffer.samples_interleaved(), 0.0);
        buffer.copy_to_slice_interleaved(&mut self.interleaved);
        let signal = &self.interleaved[from * channels..until * channels];
        mix(signal, channels, self.config.channels, &mut self.mono);
        Ok(())
    }

    fn check_rate(&mut self, rate: u32) -> Result<()> {
        if self.sample_rate == 0 {
            if self.stream.is_half_of(rate) {
                return Err(Error::NotAudio {
                    path: self.path.clone(),
                    detail: "aac: spectral band replication is not supported".into(),
                });
            }
            self.sample_rate = rate;
        }
        if self.sample_rate != rate {
            let before = self.sample_rate;
            return Err(Error::Damaged {
                path: self.path.clone(),
                detail: format!("the sample rate changes from {before} to {rate} Hz"),
            });
        }
        Ok(())
    }

    /// Whether all was there; never more samples.
    fn finish(&mut self, cut: bool) -> Result<bool> {
        let intact = self.stream.decoder.finalize().verify_ok;
        if !self.config.allow_truncated {
            self.check_complete(cut, intact)?;
        }
        // Of a file that ends early the checksum cannot match.
        let is_all = self
            .stream
            .extent
            .declared
            .is_some_and(|all| self.given >= all);
        if intact == Some(false) && (is_all && !cut || !self.config.allow_truncated) {
            return Err(Error::Damaged {
                path: self.path.clone(),
                detail: "its samples do not match their checksum".into(),
            });
        }
        if self.given == 0 {
            return Err(Error::NoSamples {
                path: self.path.clone(),
            });
        }
        Ok(false)
    }

    fn check_complete(&self, cut: bool, intact: Option<bool>) -> Result<()> {
        let (path, decoded) = (self.path.clone(), self.given);
        let extent = &self.stream.extent;
        match extent.declared {
            Some(declared) if decoded < declared => {
                return Err(Error::Truncated {
                    path,
                    declared,
                    decoded,
                });
            }
            Some(_) => {}
            None if extent.may_be_open && cut => return Err(Error::CutOff { path, decoded }),
            None if extent.may_be_open || decoded == 0 => {}
            None if cut || intact != Some(true) => {
                return Err(Error::UnknownLength { path, decoded });
            }
            None => {}
        }
        Ok(())
    }
}

impl std::fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader")
            .field("path", &self.path)
            .field("sample_rate", &self.sample_rate)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

// Says at compile time that a reader can move to another thread.
const _: fn() = || {
    fn movable<T: Send>() {}
    movable::<AudioReader>();
};
