//! Small valid files of every container, written byte by byte: no encoder
//! needed. MP3 and AAC hold silence, the others a ramp.
#![allow(dead_code)]

/// One small valid file of each kind, with a name.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let edited = M4a {
        last: 100,
        edits: vec![(1024, 8000)],
        gapless: Some(" 00000000 00000400 00000039 00000000000023C0".into()),
        ..M4a::default()
    };
    let mut tagged = id3v2(100);
    tagged.extend(mp3_info(6, 576, 1000));
    tagged.extend(mp3(6));
    tagged.extend(id3v1());
    vec![
        ("pcm.wav", wav(500, 2, 16_000)),
        ("pcm.aiff", aiff(500, 2, 16_000)),
        ("plain.mp3", mp3(5)),
        ("tagged.mp3", tagged),
        ("adts.aac", adts(8)),
        ("plain.m4a", M4a::default().bytes()),
        ("edited.m4a", edited.bytes()),
        ("blocks.flac", flac(8)),
        ("blocks.oga", ogg_flac(8)),
    ]
}

/// Mono, stereo or more 16-bit PCM: frame n of channel c is `100 n + c`.
fn ramp(frames: usize, channels: usize) -> impl Iterator<Item = i16> {
    (0..frames).flat_map(move |n| (0..channels).map(move |c| (100 * (n % 300) + c) as i16))
}

/// 16-bit PCM.
pub fn wav(frames: usize, channels: u16, rate: u32) -> Vec<u8> {
    let align = channels * 2;
    let size = (frames * usize::from(align)) as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + size).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(align)).to_le_bytes());
    bytes.extend(align.to_le_bytes());
    bytes.extend(16_u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(size.to_le_bytes());
    bytes.extend(ramp(frames, channels.into()).flat_map(i16::to_le_bytes));
    bytes
}

/// 16-bit PCM at a rate below 65 536 Hz.
pub fn aiff(frames: usize, channels: u16, rate: u16) -> Vec<u8> {
    let size = frames as u32 * u32::from(channels) * 2;
    let mut bytes = b"FORM".to_vec();
    bytes.extend((4 + 8 + 18 + 8 + 8 + size).to_be_bytes());
    bytes.extend(b"AIFFCOMM\0\0\0\x12");
    bytes.extend(channels.to_be_bytes());
    bytes.extend((frames as u32).to_be_bytes());
    bytes.extend(16_u16.to_be_bytes());
    // An 80-bit float: exponent and then 64 bits that begin with a one.
    let zeros = rate.leading_zeros() as u16;
    bytes.extend((16_383 + 15 - zeros).to_be_bytes());
    bytes.extend((u64::from(rate) << (48 + zeros)).to_be_bytes());
    bytes.extend(b"SSND");
    bytes.extend((8 + size).to_be_bytes());
    bytes.extend([0; 8]);
    bytes.extend(ramp(frames, channels.into()).flat_map(i16::to_be_bytes));
    bytes
}

/// Samples of every block of [`flac`] and [`ogg_flac`].
pub const FLAC_BLOCK: usize = 256;

/// Bit by bit, for the checksums of FLAC and Ogg.
fn crc(bytes: &[u8], width: u32, polynomial: u32) -> u32 {
    let top = 1 << (width - 1);
    let step = |crc: u32| {
        if crc & top != 0 {
            crc << 1 ^ polynomial
        } else {
            crc << 1
        }
    };
    let crc = bytes.iter().fold(0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << (width - 8), |crc, _| step(crc))
    });
    crc & (top | (top - 1))
}

/// Block `number`, below 128, of a mono FLAC; its samples are not compressed.
pub fn flac_block(number: u8) -> Vec<u8> {
    let mut block = vec![0xff, 0xf8, 0x80, 0x08, number];
    block.push(crc(&block, 8, 0x07) as u8);
    block.push(0x02);
    let first = usize::from(number) * FLAC_BLOCK;
    let samples = (first..first + FLAC_BLOCK).map(|n| (7919 * n % 20_000) as i16 - 10_000);
    block.extend(samples.flat_map(i16::to_be_bytes));
    block.extend((crc(&block, 16, 0x8005) as u16).to_be_bytes());
    block
}

/// The block STREAMINFO without its header: mono, 16 bits, 16 kHz.
fn flac_info(blocks: u8) -> Vec<u8> {
    let size = (FLAC_BLOCK as u16).to_be_bytes();
    let mut info = [size, size].concat();
    info.extend([0; 6]);
    let samples = u64::from(blocks) * FLAC_BLOCK as u64;
    info.extend((16_000_u64 << 44 | 15 << 36 | samples).to_be_bytes());
    // No checksum of all samples.
    info.extend([0; 16]);
    info
}

/// FLAC of fewer than 128 blocks. The first begins at byte 42.
pub fn flac(blocks: u8) -> Vec<u8> {
    let mut bytes = b"fLaC\x80\0\0\x22".to_vec();
    bytes.extend(flac_info(blocks));
    bytes.extend((0..blocks).flat_map(flac_block));
    bytes
}

/// The pages of an Ogg file with the same blocks, two to a page of audio; the
/// first two pages are headers.
pub fn ogg_flac_pages(blocks: u8) -> Vec<Vec<u8>> {
    let mut head = b"\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22".to_vec();
    head.extend(flac_info(blocks));
    let comment = b"\x84\0\0\x08\0\0\0\0\0\0\0\0".to_vec();
    let mut pages = vec![ogg_page(2, 0, 0, &[head]), ogg_page(0, 0, 1, &[comment])];
    for first in (0..blocks).step_by(2) {
        let end = (first + 2).min(blocks);
        let flags = if end == blocks { 4 } else { 0 };
        let packets: Vec<Vec<u8>> = (first..end).map(flac_block).collect();
        let position = u64::from(end) * FLAC_BLOCK as u64;
        pages.push(ogg_page(
            flags,
            position,
            u32::from(first / 2) + 2,
            &packets,
        ));
    }
    pages
}

pub fn ogg_flac(blocks: u8) -> Vec<u8> {
    ogg_flac_pages(blocks).concat()
}

fn ogg_page(flags: u8, position: u64, sequence: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(position.to_le_bytes());
    page.extend(77_u32.to_le_bytes());
    page.extend(sequence.to_le_bytes());
    page.extend([0; 4]);
    let mut table = Vec::new();
    for packet in packets {
        table.extend(vec![255; packet.len() / 255]);
        table.push((packet.len() % 255) as u8);
    }
    page.push(table.len() as u8);
    page.extend(table);
    page.extend(packets.concat());
    let crc = crc(&page, 32, 0x04c1_1db7);
    page[22..26].copy_from_slice(&crc.to_le_bytes());
    page
}

/// One frame of 1152 samples, stereo at 44.1 kHz and 128 kbit/s.
pub fn mp3_frame() -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x04];
    frame.resize(417, 0);
    frame
}

/// A first frame that counts `frames`, and says what to drop.
pub fn mp3_info(frames: u32, delay: u16, padding: u16) -> Vec<u8> {
    let mut frame = mp3_frame();
    frame[36..40].copy_from_slice(b"Info");
    frame[43] = 1;
    frame[44..48].copy_from_slice(&frames.to_be_bytes());
    frame[48..57].copy_from_slice(b"HandMade1");
    let trim = u32::from(delay) << 12 | u32::from(padding);
    frame[69..72].copy_from_slice(&trim.to_be_bytes()[1..]);
    frame
}

/// Silence without any header.
pub fn mp3(frames: usize) -> Vec<u8> {
    mp3_frame().repeat(frames)
}

/// An ID3v2 tag with `size` bytes of content.
pub fn id3v2(size: u8) -> Vec<u8> {
    let mut tag = vec![b'I', b'D', b'3', 4, 0, 0, 0, 0, 0, size & 0x7f];
    tag.resize(10 + usize::from(size & 0x7f), 0);
    tag
}

/// An ID3v1 tag.
pub fn id3v1() -> Vec<u8> {
    let mut tag = b"TAG".to_vec();
    tag.resize(128, b' ');
    tag
}

/// One silent mono AAC frame without its ADTS header.
const AAC_FRAME: [u8; 4] = [0, 0, 0, 7];

/// Silence, mono at 44.1 kHz.
pub fn adts(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xf1, 0x50, 0x40, 0x01, 0x7f, 0xfc];
    frame.extend(AAC_FRAME);
    frame.repeat(frames)
}

/// What an M4A file is to say of itself.
#[derive(Debug, Clone)]
pub struct M4a {
    /// AAC frames of 1024 samples.
    pub frames: u32,
    /// Samples of the last frame that count.
    pub last: u32,
    /// Start and duration of every entry of the edit list, in samples.
    pub edits: Vec<(u32, u32)>,
    /// Content of the item `iTunSMPB`.
    pub gapless: Option<String>,
    /// Sample rate the container states; the AAC is at 44.1 kHz.
    pub rate: u32,
}

impl Default for M4a {
    fn default() -> Self {
        Self {
            frames: 10,
            last: 1024,
            edits: Vec::new(),
            gapless: None,
            rate: 44_100,
        }
    }
}

fn mp4_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = (content.len() as u32 + 8).to_be_bytes().to_vec();
    bytes.extend(name);
    bytes.extend(content);
    bytes
}

/// Version and flags of zero, and then these numbers.
fn numbers(values: &[u32]) -> Vec<u8> {
    let values = std::iter::once(&0).chain(values);
    values.flat_map(|value| value.to_be_bytes()).collect()
}

impl M4a {
    pub fn bytes(&self) -> Vec<u8> {
        let ftyp = mp4_box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom");
        let size = self.moov(0).len() + ftyp.len() + 8;
        let mut bytes = ftyp;
        bytes.extend(self.moov(size as u32));
        bytes.extend(mp4_box(b"mdat", &AAC_FRAME.repeat(self.frames as usize)));
        bytes
    }

    fn moov(&self, data_position: u32) -> Vec<u8> {
        let total = 1024 * (self.frames - 1) + self.last;
        let mut mvhd = numbers(&[0, 0, 44_100, total, 0x1_0000, 0x0100_0000, 0, 0]);
        mvhd.extend(MATRIX.iter().flat_map(|value| value.to_be_bytes()));
        mvhd.extend([0; 24]);
        mvhd.extend(2_u32.to_be_bytes());
        let mut content = mp4_box(b"mvhd", &mvhd);
        content.extend(mp4_box(b"trak", &self.trak(total, data_position)));
        if let Some(text) = &self.gapless {
            content.extend(udta(text));
        }
        mp4_box(b"moov", &content)
    }

    fn trak(&self, total: u32, data_position: u32) -> Vec<u8> {
        let mut tkhd = numbers(&[0, 0, 1, 0, total, 0, 0, 0, 0x0100_0000]);
        tkhd.extend(MATRIX.iter().flat_map(|value| value.to_be_bytes()));
        tkhd.extend([0; 8]);
        let mut content = mp4_box(b"tkhd", &tkhd);
        if !self.edits.is_empty() {
            let mut elst = numbers(&[self.edits.len() as u32]);
            for &(start, duration) in &self.edits {
                elst.extend([duration, start, 0x1_0000].map(u32::to_be_bytes).concat());
            }
            content.extend(mp4_box(b"edts", &mp4_box(b"elst", &elst)));
        }
        let mut mdia = mp4_box(b"mdhd", &numbers(&[0, 0, 44_100, total, 0x55c4_0000]));
        let mut hdlr = numbers(&[0]);
        hdlr.extend(b"soun");
        hdlr.extend([0; 13]);
        mdia.extend(mp4_box(b"hdlr", &hdlr));
        let mut minf = mp4_box(b"smhd", &numbers(&[0]));
        minf.extend(mp4_box(b"stbl", &self.stbl(data_position)));
        mdia.extend(mp4_box(b"minf", &minf));
        content.extend(mp4_box(b"mdia", &mdia));
        content
    }

    fn stbl(&self, data_position: u32) -> Vec<u8> {
        // Object type 2 (low complexity), rate 4 (44.1 kHz), 1 channel.
        let mut esds = numbers(&[]);
        esds.extend([0x03, 25, 0, 1, 0, 0x04, 17, 0x40, 0x15, 0, 0, 0]);
        esds.extend([0; 8]);
        esds.extend([0x05, 2, 0x12, 0x08, 0x06, 1, 2]);
        let mut entry = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 16];
        entry.extend([0; 4]);
        entry.extend((self.rate << 16).to_be_bytes());
        entry.extend(mp4_box(b"esds", &esds));
        let mut stsd = numbers(&[1]);
        stsd.extend(mp4_box(b"mp4a", &entry));
        let stts = numbers(&[2, self.frames - 1, 1024, 1, self.last]);
        let mut content = mp4_box(b"stsd", &stsd);
        content.extend(mp4_box(b"stts", &stts));
        content.extend(mp4_box(b"stsc", &numbers(&[1, 1, self.frames, 1])));
        content.extend(mp4_box(b"stsz", &numbers(&[4, self.frames])));
        content.extend(mp4_box(b"stco", &numbers(&[1, data_position])));
        content
    }
}

/// The unit matrix, as files write it.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

fn udta(text: &str) -> Vec<u8> {
    let full = |text: &[u8]| [&[0; 4], text].concat();
    let mut item = mp4_box(b"mean", &full(b"com.apple.iTunes"));
    item.extend(mp4_box(b"name", &full(b"iTunSMPB")));
    let data = [&[0, 0, 0, 1, 0, 0, 0, 0], text.as_bytes()].concat();
    item.extend(mp4_box(b"data", &data));
    let mut meta = numbers(&[]);
    let mut hdlr = numbers(&[0]);
    hdlr.extend(b"mdirappl");
    hdlr.extend([0; 9]);
    meta.extend(mp4_box(b"hdlr", &hdlr));
    meta.extend(mp4_box(b"ilst", &mp4_box(b"----", &item)));
    mp4_box(b"udta", &mp4_box(b"meta", &meta))
}
