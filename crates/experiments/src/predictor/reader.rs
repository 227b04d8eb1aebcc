//! Where sounds come from, and their windows.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use audio_frontend::{
    AudioReader, DecodeConfig, Error, Extractor, FeatureWindow, SampleSource, WindowConfig,
};
use serde::{Deserialize, Serialize};

/// Samples read at a time from a raw source: a tenth of a second at 16 kHz, so
/// that a live source is followed closely.
const BLOCK: usize = 1600;

/// How raw samples are written, all little-endian and of one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawFormat {
    /// 16-bit integers, divided by 2^15.
    S16,
    /// 32-bit floats, taken as they are.
    F32,
}

/// One sound.
pub enum Sound {
    /// A file.
    File(PathBuf),
    /// A whole file in memory; the name stands in messages.
    Bytes(String, Vec<u8>),
    /// Samples at a rate in Hz, which may come as slowly as they are made.
    Raw {
        /// Stands in messages.
        name: String,
        /// Where they come from.
        source: Box<dyn Read + Send>,
        /// Samples per second.
        rate: u32,
        /// How they are written.
        format: RawFormat,
    },
}

impl Sound {
    /// What it is called in results.
    pub fn name(&self) -> String {
        match self {
            Sound::File(path) => path.display().to_string(),
            Sound::Bytes(name, _) | Sound::Raw { name, .. } => name.clone(),
        }
    }
}

/// Hands every window of a sound to `give`, or the error that ended it, until
/// that returns false. Whether the sound was read to its end.
pub(super) fn windows(
    sound: Sound,
    extractor: &Extractor,
    config: &WindowConfig,
    give: &mut dyn FnMut(Result<FeatureWindow, Error>) -> bool,
) -> bool {
    let decode = &extractor.config().decode;
    match sound {
        Sound::File(path) => each(extractor.windows_of_file(path, config), give),
        Sound::Bytes(name, bytes) => {
            let windows = open_bytes(&name, bytes, decode).and_then(|reader| {
                let rate = reader.sample_rate();
                extractor.windows(reader, rate, config)
            });
            each(windows, &mut |window| {
                give(window.map_err(|error| error.in_file(Path::new(&name))))
            })
        }
        Sound::Raw {
            name,
            source,
            rate,
            format,
        } => {
            let source = RawSource::new(name.clone(), source, format);
            each(extractor.windows(source, rate, config), &mut |window| {
                give(window.map_err(|error| error.in_file(Path::new(&name))))
            })
        }
    }
}

fn open_bytes(name: &str, bytes: Vec<u8>, config: &DecodeConfig) -> Result<AudioReader, Error> {
    AudioReader::from_bytes(name, bytes, config)
}

fn each(
    windows: Result<impl Iterator<Item = Result<FeatureWindow, Error>>, Error>,
    give: &mut dyn FnMut(Result<FeatureWindow, Error>) -> bool,
) -> bool {
    match windows {
        Ok(mut windows) => windows.all(give),
        Err(error) => give(Err(error)),
    }
}

/// Raw samples block by block, as they come.
struct RawSource {
    name: String,
    source: Box<dyn Read + Send>,
    format: RawFormat,
    /// Bytes that are no whole sample yet.
    rest: Vec<u8>,
}

impl RawSource {
    fn new(name: String, source: Box<dyn Read + Send>, format: RawFormat) -> Self {
        RawSource {
            name,
            source,
            format,
            rest: Vec::new(),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Read {
            path: PathBuf::from(&self.name),
            source,
        }
    }
}

impl SampleSource for RawSource {
    fn read_block(&mut self, block: &mut Vec<f32>) -> Result<bool, Error> {
        let width = match self.format {
            RawFormat::S16 => 2,
            RawFormat::F32 => 4,
        };
        let mut bytes = vec![0; BLOCK * width];
        loop {
            let count = match self.source.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error)),
            };
            if count == 0 && !self.rest.is_empty() {
                let cut = io::Error::other("it ends within a sample; check the format");
                return Err(self.failed(cut));
            }
            if count == 0 {
                return Ok(false);
            }
            self.rest.extend_from_slice(&bytes[..count]);
            let whole = self.rest.len() / width * width;
            if whole > 0 {
                block.extend(self.rest[..whole].chunks_exact(width).map(sample));
                self.rest.drain(..whole);
                return Ok(true);
            }
        }
    }
}

/// One little-endian sample of two or four bytes.
fn sample(bytes: &[u8]) -> f32 {
    match *bytes {
        [a, b] => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives three bytes at a time.
    struct Slow(io::Cursor<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(3);
            self.0.read(&mut into[..most])
        }
    }

    fn all(bytes: Vec<u8>, format: RawFormat) -> Result<Vec<f32>, Error> {
        let source = Box::new(Slow(io::Cursor::new(bytes)));
        let mut raw = RawSource::new("it".into(), source, format);
        let mut samples = Vec::new();
        while raw.read_block(&mut samples)? {}
        Ok(samples)
    }

    #[test]
    fn samples_come_out_whole_however_the_bytes_arrive() {
        let integers = [-32_768i16, 0, 16_384, 32_767];
        let bytes = integers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let scaled = integers.map(|x| f32::from(x) / 32_768.0);
        assert_eq!(all(bytes, RawFormat::S16).unwrap(), scaled);
        let floats = [0.25f32, -1.5, 3e-9];
        let bytes = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(all(bytes, RawFormat::F32).unwrap(), floats);
    }

    #[test]
    fn half_a_sample_at_the_end_is_an_error() {
        let error = all(vec![1, 2, 3], RawFormat::S16).unwrap_err();
        assert!(error.to_string().contains("check the format"), "{error}");
    }
}
