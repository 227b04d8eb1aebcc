//! Files of the feature cache, by their header.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Report;

/// Magic, key and three sizes, which every version begins with.
const COMMON: usize = 8 + 32 + 3 * 8;

/// The sizes of a cache file, and whether its length fits them. The values are
/// not read: a run checks them when it opens the file.
pub(super) fn report(path: &Path) -> Result<Report> {
    let unreadable = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let length = file.metadata().with_context(unreadable)?.len();
    let mut head = [0; COMMON];
    let read = file.read_exact(&mut head);
    if read.is_err() || !head.starts_with(b"ASTFEAT") {
        bail!(
            "{} is no feature cache of this program; remove it, features are computed again",
            path.display()
        );
    }
    let mut report = Report::new(path, "feature cache");
    let size = |index: usize| {
        let at = 40 + 8 * index;
        u64::from_le_bytes(std::array::from_fn(|byte| head[at + byte]))
    };
    let (clips, frames, bins) = (size(0), size(1), size(2));
    report.fact("version", (head[7] as char).to_string());
    report.fact("clips", clips);
    report.fact("frames of a clip at most", frames);
    report.fact("mel bins", bins);
    report.fact("bytes", length);
    let expected = match head[7] {
        b'1' => version_1(clips, frames, bins),
        b'2' => version_2(&mut file, clips, bins, &mut report)?,
        _ => {
            report.remark("another version of this program wrote it; runs of this one compute the features again");
            return Ok(report);
        }
    };
    if expected != Some(length) {
        report.problem(
            "its length does not fit its sizes: it is damaged; remove it, features are computed again",
        );
    }
    Ok(report)
}

/// 32 bytes of checksum, u32 frames a clip, all clips with their padding.
fn version_1(clips: u64, frames: u64, bins: u64) -> Option<u64> {
    let values = frames.checked_mul(bins)?.checked_add(1)?;
    let values = values.checked_mul(clips)?.checked_mul(4)?;
    values.checked_add(COMMON as u64 + 32)
}

/// f32 padding, u32 width of a value, 32 bytes of checksum, an index of u32
/// frames and 8 bytes of checksum a clip, all clips without padding.
fn version_2(file: &mut File, clips: u64, bins: u64, report: &mut Report) -> Result<Option<u64>> {
    let mut rest = [0; 40];
    if file.read_exact(&mut rest).is_err() {
        return Ok(None);
    }
    let width = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]);
    report.fact("number format", if width == 2 { "f16" } else { "f32" });
    let mut index = Vec::new();
    let Some(size) = clips.checked_mul(12) else {
        return Ok(None);
    };
    file.take(size).read_to_end(&mut index)?;
    let frames = index
        .chunks_exact(12)
        .map(|entry| u64::from(u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]])));
    let frames: u64 = frames.sum();
    report.fact("frames", frames);
    let values = frames
        .checked_mul(bins)
        .and_then(|values| values.checked_mul(width.into()));
    Ok(values.and_then(|values| values.checked_add(COMMON as u64 + 40 + size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u8, sizes: [u64; 3]) -> Vec<u8> {
        let mut bytes = b"ASTFEAT".to_vec();
        bytes.push(version);
        bytes.extend([7; 32]);
        for size in sizes {
            bytes.extend(size.to_le_bytes());
        }
        bytes
    }

    fn problems(bytes: &[u8]) -> Vec<String> {
        inspected(bytes).problems
    }

    fn inspected(bytes: &[u8]) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.features");
        std::fs::write(&path, bytes).unwrap();
        report(&path).unwrap()
    }

    #[test]
    fn a_file_of_the_right_length_is_fine_and_one_byte_less_is_not() {
        let mut first = header(b'1', [2, 3, 4]);
        first.extend(vec![0; 32 + 2 * 4 + 2 * 3 * 4 * 4]);
        let mut second = header(b'2', [1, 9, 4]);
        second.extend(0f32.to_le_bytes());
        second.extend(2u32.to_le_bytes());
        second.extend([0; 32]);
        second.extend(5u32.to_le_bytes());
        second.extend([0; 8]);
        second.extend([0; 5 * 4 * 2]);
        for whole in [first, second] {
            assert!(problems(&whole).is_empty());
            let cut = problems(&whole[..whole.len() - 1]);
            assert!(cut[0].contains("damaged"), "{cut:?}");
        }
        assert!(inspected(&header(b'9', [1, 1, 1])).remarks[0].contains("another version"));
    }
}
