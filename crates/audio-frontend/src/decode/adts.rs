//! Frame headers of AAC in an ADTS stream.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;

use super::frames::Header;
use super::probe::front_channels;

/// Sample rates in the order of their 4-bit index.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Bits, from the first: sync 12, version 1, layer 2, no checksum 1, profile 2,
/// rate 4, private 1, channels 3, flags 4, length 13, fullness 11, blocks 2.
pub(super) fn parse_header(bytes: &[u8]) -> Result<Header, &'static str> {
    let &[0xff, second, b2, b3, b4, b5, b6, ..] = bytes else {
        return Err("there is no AAC frame");
    };
    let rate = usize::from(b2 >> 2 & 15);
    let sample_rate = *RATES.get(rate).ok_or("an AAC frame has no sample rate")?;
    let channels = (b2 & 1) << 2 | b3 >> 6;
    let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
    let skipped = if second & 1 == 1 { 7 } else { 9 };
    if length <= skipped {
        return Err("an AAC frame is shorter than its header");
    }
    if b2 >> 6 != 1 {
        return Err("an AAC frame is not of the profile Low Complexity");
    }
    if b6 & 3 != 0 {
        return Err("several AAC frames share one ADTS header");
    }
    if !(1..=2).contains(&channels) {
        return Err("an AAC frame is neither mono nor stereo");
    }
    Ok(Header {
        bytes: length,
        skipped,
        sample_rate,
        channels,
        samples: 1024,
    })
}

pub(super) fn codec_params(header: &Header) -> AudioCodecParameters {
    let mut params = AudioCodecParameters::new();
    params
        .for_codec(CODEC_ID_AAC)
        .with_sample_rate(header.sample_rate)
        .with_channels(front_channels(header.channels));
    params
}
