//! The part of an MP4 or M4A file that says which of its frames are signal.
//!
//! symphonia 0.6 reads edit lists without applying them, and knows nothing of
//! `iTunSMPB`, so that the encoder's delay would stay at the start.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::formats::Track;

use super::probe::Extent;
use super::source::{Source, read_up_to, rewind};
use crate::error::{Error, Result};

/// The largest index that is read. An hour of AAC needs about 1 MB.
const MAX_INDEX: u64 = 64 << 20;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Timing {
    /// Ticks per second of the movie.
    movie_scale: u64,
    edits: Vec<TrackEdit>,
    /// Delay, padding and length in samples, as iTunes writes them.
    gapless: Option<[u64; 3]>,
    /// Whether the file ends inside a box behind the index. symphonia refuses
    /// such a file, unless it is told that it cannot look ahead.
    pub(super) cut: bool,
    /// Place and value of the index's size, if the file leaves it open ("up to
    /// the end"). symphonia does not take that.
    pub(super) open_size: Option<(u64, [u8; 4])>,
}

/// The edit list of one track.
#[derive(Debug, Default)]
struct TrackEdit {
    track_id: u32,
    /// Start in the track's ticks and duration in the movie's ticks, of every
    /// stretch that is not empty.
    stretches: Vec<(u64, u64)>,
}

/// Whether these are the first bytes of an MP4 file: `ftyp`, or a box that some
/// programs put in front of it.
pub(super) fn begins_like_one(head: &[u8]) -> bool {
    let names: [&[u8]; 5] = [b"ftyp", b"free", b"skip", b"wide", b"uuid"];
    head.get(4..8).is_some_and(|name| names.contains(&name))
}

/// Reads the index of a source at its start, and puts it back there.
pub(super) fn read_timing(path: &Path, source: &mut Source) -> Result<Timing> {
    let read_error = |source| Error::Read {
        path: path.into(),
        source,
    };
    let index = find_index(source).map_err(read_error)?;
    rewind(source).map_err(read_error)?;
    let damaged = |detail: &str| Error::Damaged {
        path: path.into(),
        detail: detail.into(),
    };
    match index {
        Index::Missing => Err(damaged("its index, the box `moov`, is missing or cut off")),
        Index::TooLarge => Err(damaged("its index, the box `moov`, is larger than 64 MiB")),
        Index::Found {
            moov,
            cut,
            open_size,
        } => Ok(Timing {
            cut,
            open_size,
            ..Timing::parse(&moov)
        }),
    }
}

enum Index {
    Found {
        moov: Vec<u8>,
        cut: bool,
        open_size: Option<(u64, [u8; 4])>,
    },
    Missing,
    TooLarge,
}

fn find_index(source: &mut Source) -> std::io::Result<Index> {
    let (mut position, mut data_first) = (0_u64, false);
    loop {
        source.seek(SeekFrom::Start(position))?;
        let header = read_up_to(&mut source.by_ref(), 16)?;
        let Some((name, head, size)) = box_header(&header) else {
            return Ok(Index::Missing);
        };
        // A size of zero means up to the end of the file.
        let end = source.byte_len().unwrap_or(u64::MAX);
        let to_end = end.saturating_sub(position).max(head);
        let is_open = size == 0;
        let size = if is_open { to_end } else { size };
        if &name == b"moov" {
            if size > MAX_INDEX {
                return Ok(Index::TooLarge);
            }
            source.seek(SeekFrom::Start(position + head))?;
            let moov = read_up_to(&mut source.by_ref(), (size - head) as usize)?;
            if (moov.len() as u64) < size - head {
                return Ok(Index::Missing);
            }
            // An index behind the data is only found by looking ahead.
            let cut = !data_first && is_cut(source, position + size)?;
            // The limit is far below what 32 bits hold.
            let open_size = is_open.then_some((position, (size as u32).to_be_bytes()));
            return Ok(Index::Found {
                moov,
                cut,
                open_size,
            });
        }
        data_first |= &name == b"mdat";
        // Offsets beyond i64 cannot be sought to.
        position = match position.checked_add(size) {
            Some(next) if i64::try_from(next).is_ok() => next,
            _ => return Ok(Index::Missing),
        };
    }
}

/// Whether one of the boxes from `position` on reaches past the end.
fn is_cut(source: &mut Source, mut position: u64) -> std::io::Result<bool> {
    let Some(length) = source.byte_len() else {
        return Ok(false);
    };
    while position < length {
        source.seek(SeekFrom::Start(position))?;
        let header = read_up_to(&mut source.by_ref(), 16)?;
        match box_header(&header) {
            Some((_, _, 0)) => return Ok(false),
            Some((_, _, size)) => position = position.saturating_add(size),
            None => return Ok(true),
        }
    }
    Ok(position > length)
}

/// Name, bytes of the header and bytes of the whole box.
fn box_header(bytes: &[u8]) -> Option<([u8; 4], u64, u64)> {
    let name = bytes.get(4..8)?.try_into().ok()?;
    let (head, size) = match number(bytes, 0, 4)? {
        1 => (16, number(bytes, 8, 8)?),
        size => (8, size),
    };
    (size == 0 || size >= head).then_some((name, head, size))
}

/// The boxes directly inside `bytes`; stops at the first malformed one.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, head, size) = box_header(bytes)?;
        let size = if size == 0 {
            bytes.len()
        } else {
            usize::try_from(size).ok()?
        };
        let content = bytes.get(head as usize..size)?;
        bytes = &bytes[size..];
        Some((name, content))
    })
}

fn find<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    let mut all = boxes(bytes);
    all.find(|(name, _)| name == wanted)
        .map(|(_, content)| content)
}

/// The big-endian number of `width` bytes at `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let digits = bytes.get(at..at.checked_add(width)?)?;
    Some(digits.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)))
}

impl Timing {
    fn parse(moov: &[u8]) -> Self {
        let movie_scale = find(moov, b"mvhd").and_then(|mvhd| {
            // Two times of 4 or 8 bytes come first, depending on the version.
            number(mvhd, if mvhd.first() == Some(&1) { 20 } else { 12 }, 4)
        });
        let tracks = boxes(moov).filter(|(name, _)| name == b"trak");
        Self {
            movie_scale: movie_scale.unwrap_or(0),
            edits: tracks
                .filter_map(|(_, trak)| TrackEdit::parse(trak))
                .collect(),
            gapless: find_gapless(moov),
            ..Self::default()
        }
    }

    /// Which frames of `track`, decoded at `rate`, are signal.
    pub(super) fn extent(&self, path: &Path, track: &Track, rate: u32) -> Result<Extent> {
        let rate = u64::from(rate);
        let scale = track
            .time_base
            .map_or(0, |base| u64::from(base.denom.get()));
        let frames = |ticks: u64, scale: u64| scaled(ticks, rate, scale);
        let total = track.duration.map_or(0, |duration| duration.get());
        let total = Some(frames(total, scale)).filter(|&frames| frames > 0);
        let mut extent = Extent {
            declared: total,
            padded: scale == rate,
            ..Extent::default()
        };
        if let Some([delay, _, length]) = self.gapless
            && total.is_none_or(|total| delay.saturating_add(length) <= total)
        {
            extent.skip = delay;
            extent.declared = Some(length);
            extent.padded = true;
            return Ok(extent);
        }
        let edit = self.edits.iter().find(|edit| edit.track_id == track.id);
        let stretches = edit.map_or(&[][..], |edit| &edit.stretches);
        if stretches.len() > 1 {
            return Err(Error::NotAudio {
                path: path.into(),
                detail: "its edit list puts several cuts together".into(),
            });
        }
        if let Some(&(start, duration)) = stretches.first() {
            extent.skip = frames(start, scale);
            let rest = total.map(|total| total.saturating_sub(extent.skip));
            extent.declared = rest;
            // The duration is only as fine as the movie's ticks, so it counts
            // where it cuts off more than one of them.
            let stated = frames(duration, self.movie_scale);
            let tick = frames(1, self.movie_scale) + 1;
            if duration > 0 && rest.is_some_and(|rest| stated.saturating_add(tick) < rest) {
                extent.declared = Some(stated);
                extent.padded = true;
            }
        }
        Ok(extent)
    }
}

/// `ticks * rate / scale`, rounded down.
fn scaled(ticks: u64, rate: u64, scale: u64) -> u64 {
    let product = u128::from(ticks) * u128::from(rate);
    let frames = product.checked_div(u128::from(scale)).unwrap_or(0);
    u64::try_from(frames).unwrap_or(u64::MAX)
}

impl TrackEdit {
    fn parse(trak: &[u8]) -> Option<Self> {
        let tkhd = find(trak, b"tkhd")?;
        let track_id = number(tkhd, if tkhd.first() == Some(&1) { 20 } else { 12 }, 4)?;
        let elst = find(find(trak, b"edts")?, b"elst")?;
        let width = if elst.first() == Some(&1) { 8 } else { 4 };
        let entries = elst.get(8..)?.chunks_exact(2 * width + 4);
        let count = usize::try_from(number(elst, 4, 4)?).ok()?;
        let empty = if width == 8 {
            u64::MAX
        } else {
            u64::from(u32::MAX)
        };
        let stretches = entries.take(count).filter_map(|entry| {
            let (duration, start) = (number(entry, 0, width)?, number(entry, width, width)?);
            (start != empty).then_some((start, duration))
        });
        Some(Self {
            track_id: u32::try_from(track_id).ok()?,
            stretches: stretches.collect(),
        })
    }
}

/// `moov.udta.meta.ilst.----` with the name `iTunSMPB`: hexadecimal numbers, of
/// which the second to fourth are delay, padding and length.
fn find_gapless(moov: &[u8]) -> Option<[u64; 3]> {
    let meta = find(find(moov, b"udta")?, b"meta")?;
    let items = find(meta.get(4..)?, b"ilst")?;
    let is_it = |item: &&[u8]| find(item, b"name").is_some_and(|name| name.ends_with(b"iTunSMPB"));
    let free = boxes(items).filter(|(name, _)| name == b"----");
    let item = free.map(|(_, item)| item).find(is_it)?;
    let text = std::str::from_utf8(find(item, b"data")?.get(8..)?).ok()?;
    let mut numbers = text.split_whitespace().skip(1);
    let mut next = || u64::from_str_radix(numbers.next()?, 16).ok();
    Some([next()?, next()?, next()?])
}
