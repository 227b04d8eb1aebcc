//! Audio file to mono samples.

mod adts;
mod aiff;
mod config;
mod frames;
mod guard;
mod mix;
mod mp3;
mod mp4;
mod ogg;
mod probe;
mod reader;
mod source;

use std::path::Path;

pub use config::{Channels, DecodeConfig, Limits};
pub use reader::AudioReader;

use crate::error::Result;

/// Room made for what a file says of its length; more is made as it comes.
const MAX_PROMISED: u64 = 1 << 23;

/// The usual endings of the names of files this crate can decode: lower case,
/// without the dot, in alphabetical order.
///
/// For finding such files in a folder; compare without regard to case.
/// [`decode`] itself looks at the contents and not at the name. A file with one
/// of these endings can still hold a codec that is not supported.
///
/// ```
/// use audio_frontend::FILE_ENDINGS;
///
/// let ending = |name: &str| name.rsplit('.').next().unwrap_or("").to_lowercase();
/// assert!(FILE_ENDINGS.contains(&ending("BIRD.WAV").as_str()));
/// assert!(!FILE_ENDINGS.contains(&ending("notes.txt").as_str()));
/// ```
pub const FILE_ENDINGS: [&str; 13] = [
    "aac", "aif", "aifc", "aiff", "flac", "m4a", "m4b", "mp3", "mp4", "oga", "ogg", "wav", "wave",
];

/// A mono signal.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// The samples; integer formats are scaled to [-1, 1).
    pub samples: Vec<f32>,
    /// Samples per second.
    pub sample_rate: u32,
}

impl Audio {
    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
}

/// Decodes a file to one channel, at the file's own rate. The format is
/// recognised from the contents, not from the name.
///
/// Integers of n bits are divided by 2^(n-1); floats are taken as they are.
///
/// # Formats
/// | Container | Codecs |
/// |-|-|
/// | WAV, up to 4 GB | PCM of 8, 16, 24 and 32 bits, float of 32 and 64, A-law, mu-law, IMA and Microsoft ADPCM |
/// | AIFF, AIFF-C | PCM of 8, 16, 24 and 32 bits, float of 32 and 64, A-law, mu-law |
/// | FLAC, also in Ogg | FLAC |
/// | Ogg | Vorbis |
/// | MP3 | MPEG 1, 2 and 2.5 layer III, with ID3, APE and Lyrics3 tags; no free bit rates |
/// | M4A, MP4 | AAC of the profile Low Complexity in mono and stereo, ALAC |
/// | ADTS (`.aac`) | AAC as above, one frame to a header |
///
/// HE-AAC, whose upper band is coded apart, is refused in M4A. In ADTS it
/// cannot be told from plain AAC: it gives the lower band at half the rate.
///
/// What holds more than 4 GB of WAV, RF64, BW64 and Wave64 (`.w64`), is not
/// recognised: convert it to FLAC, which is smaller too.
///
/// # Complete or not
/// A file that ends early is an error, unless `allow_truncated` is set. How
/// much of that can be known depends on the format:
///
/// | Format | States its length | Cut off inside a packet | Cut off between packets | Damage inside |
/// |-|-|-|-|-|
/// | WAV, AIFF | yes, bytes of data | error | error | not noticed |
/// | FLAC | mostly, and has checksums | error | error, if either is there | error |
/// | Ogg | on its last page, and has checksums | error | error | error |
/// | MP3 with Xing, Info or VBRI header | yes | error | error | of frame headers: error; else not noticed |
/// | MP3 without | no | error | **not noticed** | as above |
/// | ADTS | no | error | **not noticed** | as above |
/// | M4A, MP4 | yes, in its index | error | error | of packets: mostly an error |
/// | WAV of a stream, fragmented MP4 without an index of segments | no, but could | error | error | |
///
/// With `allow_truncated` "cut off" is no error, and the samples are those of
/// the whole file up to the cut. Damage inside stays an error, which
/// [`AudioReader`] gives before any sample from behind the damage: no signal is
/// closed up over a hole. Only a FLAC whose blocks are whole and whose checksum
/// of all samples is wrong shows that at its end.
///
/// The last row is [`Error::UnknownLength`](crate::Error::UnknownLength): a
/// complete file of that format states its length. MP3 and ADTS files without
/// a header are common and accepted as long as every frame is whole. What
/// stands between frames and is neither frame nor tag is damage: no decoder
/// can know how many frames it was. Junk behind as many frames as the header
/// counts is ignored.
///
/// # Delay and padding
/// Lossy encoders put some samples in front and fill the last packet.
///
/// | Format | Stated in | Here |
/// |-|-|-|
/// | Ogg Vorbis | positions of pages | removed |
/// | MP3 | LAME's part of the Xing or Info header | removed, with the 529 samples of the decoder |
/// | MP3 without it | nowhere | stays: 1105 samples in front for LAME |
/// | M4A | `iTunSMPB`, or else edit list and sample table | removed |
/// | ADTS | nowhere | stays: 1024 to 2112 samples in front, by encoder |
/// | ADPCM in WAV | the chunk `fact`, which is not read | the last block's filling stays |
///
/// An edit list of several stretches is refused, and so is an MP4 file in which
/// that cannot be looked up: one that comes through a pipe, or that has
/// something other than MP4 boxes in front.
///
/// # Errors
/// Everything that would make the samples differ from what the file was meant
/// to hold: it is missing, empty, not audio, damaged, ends before its header
/// says (see [`DecodeConfig::allow_truncated`]), holds no samples or NaN, or
/// exceeds a limit.
pub fn decode(path: impl AsRef<Path>, config: &DecodeConfig) -> Result<Audio> {
    read_all(AudioReader::open(path, config)?)
}

/// [`decode`] for bytes in memory; `name` stands in error messages where a
/// path would.
///
/// # Errors
/// Those of [`decode`].
pub fn decode_bytes(
    name: impl AsRef<Path>,
    bytes: Vec<u8>,
    config: &DecodeConfig,
) -> Result<Audio> {
    read_all(AudioReader::from_bytes(name, bytes, config)?)
}

fn read_all(mut reader: AudioReader) -> Result<Audio> {
    let promised = reader.declared().unwrap_or(0).min(MAX_PROMISED);
    let mut samples = Vec::with_capacity(promised as usize);
    while let Some(block) = reader.next_block()? {
        samples.extend_from_slice(block);
    }
    Ok(Audio {
        samples,
        sample_rate: reader.sample_rate(),
    })
}
