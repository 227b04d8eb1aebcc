//! Frame headers of MP3, and the first frame that describes the file.

use symphonia::core::checksum::Crc16AnsiLe;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_MP3;
use symphonia::core::io::Monitor;

use super::frames::Header;
use super::probe::front_channels;

/// kbit/s in the order of the 4-bit index, of MPEG 1 and of MPEG 2 and 2.5.
const KBITS_1: [usize; 15] = [
    0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const KBITS_2: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Samples by which every decoder of layer III is late.
const DECODER_DELAY: u64 = 529;

/// What a Xing, Info or VBRI frame says of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Info {
    /// Frames that follow.
    pub(super) frames: Option<u32>,
    /// Samples to drop at the start and at the end, if stated.
    pub(super) trim: Option<(u64, u64)>,
}

/// Bits, from the first: sync 11, version 2, layer 2, no checksum 1, bit rate 4,
/// sample rate 2, padding 1, private 1, channel mode 2, others 6.
pub(super) fn parse_header(bytes: &[u8]) -> Result<Header, &'static str> {
    let &[0xff, second, third, fourth, ..] = bytes else {
        return Err("there is no MP3 frame");
    };
    let version = second >> 3 & 3;
    if second & 0xe6 != 0xe2 || version == 1 {
        return Err("there is no MP3 frame");
    }
    let first_version = version == 3;
    let index = usize::from(third >> 4);
    let kbits = if first_version { KBITS_1 } else { KBITS_2 };
    let kbits = *kbits.get(index).ok_or("an MP3 frame has no bit rate")?;
    if kbits == 0 {
        return Err("an MP3 frame has a free bit rate, which is not supported");
    }
    let rates = match version {
        3 => [44_100, 48_000, 32_000],
        2 => [22_050, 24_000, 16_000],
        _ => [11_025, 12_000, 8_000],
    };
    let sample_rate = *rates
        .get(usize::from(third >> 2 & 3))
        .ok_or("an MP3 frame has no sample rate")?;
    let samples: u32 = if first_version { 1152 } else { 576 };
    let padding = usize::from(third >> 1 & 1);
    Ok(Header {
        bytes: samples as usize / 8 * kbits * 1000 / sample_rate as usize + padding,
        skipped: 0,
        sample_rate,
        channels: if fourth >> 6 == 3 { 1 } else { 2 },
        samples,
    })
}

pub(super) fn codec_params(header: &Header) -> AudioCodecParameters {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(CODEC_ID_MP3)
        .with_sample_rate(header.sample_rate)
        .with_channels(front_channels(header.channels));
    params
}

/// `None` if the frame holds audio.
pub(super) fn parse_info(frame: &[u8], header: &Header) -> Option<Info> {
    let side_info = match (header.samples, header.channels) {
        (1152, 2) => 32,
        (1152, _) | (_, 2) => 17,
        _ => 9,
    };
    let tag = frame.get(4 + side_info..)?;
    if tag.starts_with(b"Xing") || tag.starts_with(b"Info") {
        return Some(parse_xing(frame, tag, 4 + side_info));
    }
    let tag = frame.get(36..)?;
    tag.starts_with(b"VBRI").then(|| Info {
        frames: be_u32(tag, 14),
        trim: None,
    })
}

/// `tag` is what of `frame` begins at `offset`.
fn parse_xing(frame: &[u8], tag: &[u8], offset: usize) -> Info {
    let flags = be_u32(tag, 4).unwrap_or(0);
    // Frames, bytes, seek table and quality, each there if its flag is set.
    let sizes = [4, 4, 100, 4];
    let present = |bit: usize| flags >> bit & 1 == 1;
    let length: usize = (0..4)
        .filter(|&bit| present(bit))
        .map(|bit| sizes[bit])
        .sum();
    let frames = if present(0) { be_u32(tag, 8) } else { None };
    let trim = parse_lame(frame, offset + 8 + length);
    Info { frames, trim }
}

/// LAME's extension: 9 bytes of encoder, ..., two 12-bit counts 21 bytes from
/// its start, ..., a checksum over all of the frame before it.
fn parse_lame(frame: &[u8], start: usize) -> Option<(u64, u64)> {
    let tag = frame.get(start..start + 36)?;
    if tag[..4].iter().any(|c| !c.is_ascii_graphic()) {
        return None;
    }
    let stated = u16::from_be_bytes([tag[34], tag[35]]);
    if tag.starts_with(b"LAME") && stated != 0 {
        let mut crc = Crc16AnsiLe::new(0);
        crc.process_buf_bytes(&frame[..start + 34]);
        if crc.crc() != stated {
            return None;
        }
    }
    let delay = u64::from(tag[21]) << 4 | u64::from(tag[22] >> 4);
    let padding = u64::from(tag[22] & 15) << 8 | u64::from(tag[23]);
    if delay == 0 && padding == 0 {
        return None;
    }
    // The padding counts what the decoder's delay pushes out of the last frame.
    Some((delay + DECODER_DELAY, padding.saturating_sub(DECODER_DELAY)))
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}
