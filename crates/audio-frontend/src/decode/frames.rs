//! MP3 and ADTS files, which are nothing but frames, one after the other.
//!
//! symphonia decodes the frames; finding them is done here, because its own
//! readers take a cut last frame for the end, step over damage in silence and
//! give an estimate for the length of a file that states none.

use std::io::{BufReader, Read};

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::adts;
use super::mp3::{self, Info};
use super::source::Source;

/// The most bytes of zeros between tags and frames.
const MAX_PADDING: u64 = 1 << 20;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Mp3,
    Adts,
}

/// What one frame header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the whole frame, header included.
    pub(super) bytes: usize,
    /// Bytes that the decoder does not want to see.
    pub(super) skipped: usize,
    pub(super) sample_rate: u32,
    pub(super) channels: u8,
    /// Samples per channel.
    pub(super) samples: u32,
}

/// What comes next.
pub(super) enum Next {
    Packet(Packet),
    /// The end, behind a whole frame or a tag.
    End,
    /// The file ends inside a frame.
    Cut,
    /// What stands there is neither frame nor tag.
    Lost(String),
}

/// Reads frames; never backwards.
pub(super) struct Frames {
    kind: Kind,
    input: BufReader<Source>,
    /// Byte position of what is read next.
    position: u64,
    first: Header,
    /// The first frame, if it holds audio and was not handed out.
    pending: Option<Vec<u8>>,
    /// What an MP3's first frame says of the whole file.
    pub(super) info: Option<Info>,
    given: u64,
}

impl Kind {
    /// Bytes of a header.
    fn header_bytes(self) -> usize {
        match self {
            Kind::Mp3 => 4,
            Kind::Adts => 7,
        }
    }

    fn parse(self, bytes: &[u8]) -> Result<Header, &'static str> {
        match self {
            Kind::Mp3 => mp3::parse_header(bytes),
            Kind::Adts => adts::parse_header(bytes),
        }
    }
}

/// Which kind of frame could start with these bytes.
pub(super) fn kind_of(head: &[u8]) -> Option<Kind> {
    match head {
        [0xff, second, ..] if second & 0xf6 == 0xf0 => Some(Kind::Adts),
        [0xff, second, ..] if second & 0xe6 == 0xe2 => Some(Kind::Mp3),
        _ => None,
    }
}

impl Frames {
    /// Reads tags and the first frame of a source at its start. A source
    /// without frames is given back, with what is wrong.
    pub(super) fn open(source: Source) -> std::io::Result<Result<Self, (Source, String)>> {
        let mut input = BufReader::with_capacity(1 << 16, source);
        let mut position = 0;
        let start = match skip_tags(&mut input, &mut position, Vec::new())? {
            Ok(start) => start,
            Err(_) => return Ok(Err((input.into_inner(), "no frame behind its tags".into()))),
        };
        let Some(kind) = kind_of(&start) else {
            return Ok(Err((input.into_inner(), "no frame behind its tags".into())));
        };
        let mut bytes = start;
        fill(&mut input, &mut bytes, kind.header_bytes(), &mut position)?;
        let first = match kind.parse(&bytes) {
            Ok(first) => first,
            Err(detail) => return Ok(Err((input.into_inner(), detail.into()))),
        };
        fill(&mut input, &mut bytes, first.bytes, &mut position)?;
        let mut frames = Self {
            kind,
            input,
            position,
            first,
            pending: None,
            info: None,
            given: 0,
        };
        if kind == Kind::Mp3 && bytes.len() == first.bytes {
            frames.info = mp3::parse_info(&bytes, &first);
        }
        if frames.info.is_none() {
            frames.pending = Some(bytes);
        }
        Ok(Ok(frames))
    }

    pub(super) fn header(&self) -> &Header {
        &self.first
    }

    pub(super) fn codec_params(&self) -> AudioCodecParameters {
        match self.kind {
            Kind::Mp3 => mp3::codec_params(&self.first),
            Kind::Adts => adts::codec_params(&self.first),
        }
    }

    pub(super) fn next(&mut self) -> std::io::Result<Next> {
        let mut bytes = match self.pending.take() {
            Some(bytes) => bytes,
            None => match skip_tags(&mut self.input, &mut self.position, Vec::new())? {
                Ok(start) => start,
                Err(End::Clean) => return Ok(Next::End),
                Err(End::Cut) => return Ok(Next::Cut),
            },
        };
        let header_bytes = self.kind.header_bytes();
        fill(
            &mut self.input,
            &mut bytes,
            header_bytes,
            &mut self.position,
        )?;
        let start = self.position - bytes.len() as u64;
        if kind_of(&bytes) != Some(self.kind) {
            return Ok(self.lost(start, "there is no frame"));
        }
        if bytes.len() < header_bytes {
            return Ok(Next::Cut);
        }
        let header = match self.kind.parse(&bytes) {
            Ok(header) => header,
            Err(detail) => return Ok(self.lost(start, detail)),
        };
        if header.sample_rate != self.first.sample_rate {
            return Ok(self.lost(start, "the sample rate changes"));
        }
        fill(
            &mut self.input,
            &mut bytes,
            header.bytes,
            &mut self.position,
        )?;
        if bytes.len() < header.bytes {
            return Ok(Next::Cut);
        }
        self.given += 1;
        Ok(Next::Packet(Packet::new(
            0,
            Timestamp::ZERO,
            Duration::from(u64::from(header.samples)),
            bytes.split_off(header.skipped),
        )))
    }

    /// Whether all frames that the first one counts were handed out.
    fn has_all(&self) -> bool {
        let counted = self.info.as_ref().and_then(|info| info.frames);
        counted.is_some_and(|frames| self.given >= u64::from(frames))
    }

    /// Junk behind the last frame that was promised does no harm.
    fn lost(&self, start: u64, detail: &str) -> Next {
        if self.has_all() {
            return Next::End;
        }
        Next::Lost(format!("{detail} at byte {start}"))
    }
}

/// How a file can end.
enum End {
    Clean,
    Cut,
}

/// Skips ID3, APE and Lyrics3 tags and zeros; gives the first bytes of what
/// follows, two at least.
fn skip_tags(
    input: &mut BufReader<Source>,
    position: &mut u64,
    mut head: Vec<u8>,
) -> std::io::Result<Result<Vec<u8>, End>> {
    let mut zeros = 0;
    loop {
        fill(input, &mut head, 2, position)?;
        match head[..] {
            [] => return Ok(Err(End::Clean)),
            [0] => return Ok(Err(End::Clean)),
            [_] => return Ok(Err(End::Cut)),
            [0, _, ..] if zeros < MAX_PADDING => {
                zeros += 1;
                head.remove(0);
                continue;
            }
            [b'I', b'D', ..] => fill(input, &mut head, 10, position)?,
            [b'T', b'A', ..] => fill(input, &mut head, 3, position)?,
            [b'A', b'P', ..] => fill(input, &mut head, 32, position)?,
            [b'L', b'Y', ..] => fill(input, &mut head, 11, position)?,
            _ => return Ok(Ok(head)),
        }
        let Some(length) = tag_bytes(&head) else {
            return Ok(Ok(head));
        };
        if length == u64::MAX {
            return Ok(Err(End::Clean));
        }
        // No tag is shorter than what was read to recognise it.
        let rest = length - head.len() as u64;
        head.clear();
        let skipped = std::io::copy(&mut input.by_ref().take(rest), &mut std::io::sink())?;
        *position += skipped;
        if skipped < rest {
            return Ok(Err(End::Cut));
        }
    }
}

/// Length of the tag that starts here; the largest number for one that
/// reaches to the end of the file.
fn tag_bytes(head: &[u8]) -> Option<u64> {
    if head.starts_with(b"ID3") && head.len() >= 10 {
        let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
        let size = head[6..10]
            .iter()
            .fold(0, |size, &byte| size << 7 | u64::from(byte & 0x7f));
        return Some(10 + size + footer);
    }
    if head.starts_with(b"TAG") {
        return Some(128);
    }
    if head.starts_with(b"APETAGEX") && head.len() == 32 {
        let size = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        // The size counts the items and the footer. A lone footer has no more.
        let is_header = head[23] & 0x20 != 0;
        return Some(if is_header { 32 + u64::from(size) } else { 32 });
    }
    // Its length stands at its end, with at most one more tag behind it.
    head.starts_with(b"LYRICSBEGIN").then_some(u64::MAX)
}

/// Reads until `bytes` holds `count` bytes or the source ends.
fn fill(
    input: &mut BufReader<Source>,
    bytes: &mut Vec<u8>,
    count: usize,
    position: &mut u64,
) -> std::io::Result<()> {
    let missing = count.saturating_sub(bytes.len()) as u64;
    *position += input.by_ref().take(missing).read_to_end(bytes)? as u64;
    Ok(())
}
