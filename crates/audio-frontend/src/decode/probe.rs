//! Recognising a file by its contents, and reading its packets.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::LazyLock;

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_ISOMP4};
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::default::formats::{AiffReader, FlacReader, IsoMp4Reader, OggReader, WavReader};

use super::config::Limits;
use super::frames::{Frames, Next};
use super::mix::check_limits;
use super::mp3::Info;
use super::ogg::CheckedPages;
use super::source::{self, Source};
use super::{aiff, mp4};
use crate::error::{Error, Result};

/// MP3 and ADTS are not among them: see `frames`.
static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::default();
    probe.register_format::<WavReader<'_>>();
    probe.register_format::<FlacReader<'_>>();
    probe.register_format::<OggReader<'_>>();
    probe.register_format::<IsoMp4Reader<'_>>();
    probe.register_format::<AiffReader<'_>>();
    probe
});

/// Which of the decoded frames (samples per channel) belong to the signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Frames to drop at the start: the encoder's delay.
    pub(super) skip: u64,
    /// Frames the file says it holds, after dropping.
    pub(super) declared: Option<u64>,
    /// Whether what lies behind `declared` is the encoder's padding.
    pub(super) padded: bool,
    /// Whether complete files of this format may leave `declared` open.
    pub(super) may_be_open: bool,
}

/// The packets of one audio track.
pub(super) struct Stream {
    packets: Packets,
    track_id: u32,
    /// As the file states them; the decoder may know better.
    params: AudioCodecParameters,
    pub(super) decoder: Box<dyn AudioDecoder>,
    pub(super) extent: Extent,
}

enum Packets {
    Frames(Box<Frames>),
    Container(Box<dyn FormatReader>),
}

/// What [`Stream::next`] found.
pub(super) enum Step {
    Packet(Packet),
    End,
    /// The file ends within a packet.
    Cut,
}

impl Stream {
    /// Finds the format of a source at its start.
    pub(super) fn open(path: &Path, source: Source, limits: &Limits) -> Result<Self> {
        let read_error = |source| Error::Read {
            path: path.into(),
            source,
        };
        let (head, mut source) = source::peek(source, 12).map_err(read_error)?;
        let mut no_frames = None;
        if head.starts_with(b"ID3") || super::frames::kind_of(&head).is_some() {
            match Frames::open(source).map_err(read_error)? {
                Ok(frames) => return Self::of_frames(path, frames),
                Err((back, detail)) => (source, no_frames) = (back, Some(detail)),
            }
            if source.is_seekable() {
                source::rewind(&mut source).map_err(read_error)?;
            }
        }
        let mut timing = None;
        if mp4::begins_like_one(&head) && source.is_seekable() {
            let found = mp4::read_timing(path, &mut source)?;
            if let Some((at, size)) = found.open_size {
                source = source::overlaid(source, at, size);
            }
            if found.cut {
                source = source::forward_only(source);
            }
            timing = Some(found);
        }
        if head.starts_with(b"FORM") && source.is_seekable() {
            let whole = aiff::is_whole(&mut source).map_err(read_error)?;
            source::rewind(&mut source).map_err(read_error)?;
            if !whole {
                source = source::forward_only(source);
            }
        }
        if head.starts_with(b"OggS") {
            source = Box::new(CheckedPages::new(source));
        }
        let reader =
            probe(source).map_err(|error| match (probe_error(path, error), no_frames) {
                (Error::NotAudio { path, .. }, Some(detail)) => Error::NotAudio { path, detail },
                (error, _) => error,
            })?;
        Self::of_container(path, reader, timing, limits)
    }

    fn of_frames(path: &Path, frames: Frames) -> Result<Self> {
        let params = frames.codec_params();
        let mut extent = Extent {
            may_be_open: true,
            ..Extent::default()
        };
        if let Some(Info {
            frames: count,
            trim,
        }) = frames.info
        {
            let (delay, padding) = trim.unwrap_or((0, 0));
            let all = count.map(|count| u64::from(count) * u64::from(frames.header().samples));
            extent.skip = delay;
            extent.declared = all.map(|all| all.saturating_sub(delay + padding));
            extent.padded = trim.is_some();
        }
        Ok(Self {
            packets: Packets::Frames(Box::new(frames)),
            track_id: 0,
            decoder: make_decoder(path, &params)?,
            params,
            extent,
        })
    }

    fn of_container(
        path: &Path,
        reader: Box<dyn FormatReader>,
        timing: Option<mp4::Timing>,
        limits: &Limits,
    ) -> Result<Self> {
        let not_audio = |detail: &str| Error::NotAudio {
            path: path.into(),
            detail: detail.into(),
        };
        let format = reader.format_info().format;
        if format == FORMAT_ID_ISOMP4 && timing.is_none() {
            return Err(not_audio(
                "an MP4 file that comes through a pipe or does not begin with an MP4 box, \
                 so that its delay cannot be looked up; save it as a file of its own",
            ));
        }
        let track = reader.default_track(TrackType::Audio);
        let track = track.ok_or_else(|| not_audio("it has no audio track"))?;
        let params = track.codec_params.as_ref().and_then(|p| p.audio());
        let params = params.ok_or_else(|| not_audio("its audio track has no codec"))?;
        let (track_id, params) = (track.id, params.clone());
        // A decoder makes room for as many channels as the header states.
        let channels = params.channels.as_ref().map(|channels| channels.count());
        check_limits(path, limits, params.sample_rate, channels, 0)?;
        let decoder = make_decoder(path, &params)?;
        let extent = match timing {
            Some(timing) => {
                let rate = decoder.codec_params().sample_rate.unwrap_or(0);
                timing.extent(path, track, rate)?
            }
            None => stated_extent(track),
        };
        Ok(Self {
            packets: Packets::Container(reader),
            track_id,
            params,
            decoder,
            extent,
        })
    }

    /// Rate and number of channels that will be decoded, as far as known.
    pub(super) fn format(&self) -> (Option<u32>, Option<usize>) {
        let params = self.decoder.codec_params();
        let channels = params.channels.as_ref().map(|channels| channels.count());
        (params.sample_rate, channels)
    }

    pub(super) fn next(&mut self, path: &Path) -> Result<Step> {
        let reader = match &mut self.packets {
            Packets::Frames(frames) => return next_frame(path, frames),
            Packets::Container(reader) => reader,
        };
        loop {
            match reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track_id => {
                    return Ok(Step::Packet(packet));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Step::End),
                Err(error) if is_end_of_file(&error) => return Ok(Step::Cut),
                Err(error) => return Err(stream_error(path, error)),
            }
        }
    }

    /// The number of a packet's first sample, if the format numbers them. In FLAC
    /// symphonia drops a block whose checksum is wrong, and goes on behind it.
    pub(super) fn place_of(&self, packet: &Packet) -> Option<i64> {
        match &self.packets {
            Packets::Container(reader) if reader.format_info().format == FORMAT_ID_FLAC => {
                Some(packet.pts.get())
            }
            _ => None,
        }
    }

    /// Whether a packet says itself where it ends, so that one which decodes
    /// past its end is damaged, not cut.
    pub(super) fn has_whole_packets(&self) -> bool {
        matches!(self.packets, Packets::Frames(_))
    }

    /// Whether the file announces twice the rate that was decoded: the upper
    /// half of the band is coded in a way the decoder does not know (HE-AAC).
    pub(super) fn is_half_of(&self, decoded_rate: u32) -> bool {
        let announced = self.params.sample_rate.unwrap_or(0);
        self.params.codec == CODEC_ID_AAC && announced == decoded_rate.saturating_mul(2)
    }
}

fn make_decoder(path: &Path, params: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>> {
    // FLAC carries a checksum of its samples; the others ignore `verify`.
    let options = AudioDecoderOptions::default().verify(true);
    symphonia::default::get_codecs()
        .make_audio_decoder(params, &options)
        .map_err(|error| stream_error(path, error))
}

fn next_frame(path: &Path, frames: &mut Frames) -> Result<Step> {
    match frames.next() {
        Ok(Next::Packet(packet)) => Ok(Step::Packet(packet)),
        Ok(Next::End) => Ok(Step::End),
        Ok(Next::Cut) => Ok(Step::Cut),
        Ok(Next::Lost(detail)) => Err(Error::Damaged {
            path: path.into(),
            detail,
        }),
        Err(source) => Err(Error::Read {
            path: path.into(),
            source,
        }),
    }
}

fn stated_extent(track: &Track) -> Extent {
    // Ogg states the end time; a stream cut out of a longer one starts late.
    let late = u64::try_from(track.start_ts.get()).unwrap_or(0);
    let stated = track.num_frames.filter(|&frames| frames > 0);
    Extent {
        declared: stated.map(|end| end.saturating_sub(late)),
        ..Extent::default()
    }
}

fn probe(source: Source) -> std::result::Result<Box<dyn FormatReader>, SymphoniaError> {
    let stream = MediaSourceStream::new(source, Default::default());
    PROBE.probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )
}

/// A probe that runs off the end of the file has seen no audio in it.
fn probe_error(path: &Path, error: SymphoniaError) -> Error {
    if is_end_of_file(&error) {
        return Error::NotAudio {
            path: path.into(),
            detail: "no audio header found before the end of the file".into(),
        };
    }
    stream_error(path, error)
}

pub(super) fn is_end_of_file(error: &SymphoniaError) -> bool {
    matches!(error, SymphoniaError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof)
}

pub(super) fn stream_error(path: &Path, error: SymphoniaError) -> Error {
    let path = path.to_path_buf();
    match error {
        SymphoniaError::IoError(source) if source.kind() == ErrorKind::InvalidData => {
            Error::Damaged {
                path,
                detail: source.to_string(),
            }
        }
        SymphoniaError::IoError(source) => Error::Read { path, source },
        SymphoniaError::Unsupported(detail) => Error::NotAudio {
            path,
            detail: detail.into(),
        },
        SymphoniaError::ResetRequired => Error::NotAudio {
            path,
            detail: "several streams are chained in one file".into(),
        },
        other => Error::Damaged {
            path,
            detail: other.to_string(),
        },
    }
}

/// One channel or left and right.
pub(super) fn front_channels(count: u8) -> Channels {
    Channels::Positioned(match count {
        1 => Position::FRONT_LEFT,
        _ => Position::FRONT_LEFT | Position::FRONT_RIGHT,
    })
}
