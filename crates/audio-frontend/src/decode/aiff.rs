//! Whether an AIFF file holds all of its sound.

use std::io::{Read, Seek, SeekFrom};

use super::source::{Source, read_up_to};

/// False if the sound chunk reaches past the end of the file. symphonia looks
/// for chunks behind the sound and reports such a file as unreadable, unless
/// it is told that it cannot look ahead.
pub(super) fn is_whole(source: &mut Source) -> std::io::Result<bool> {
    let Some(length) = source.byte_len() else {
        return Ok(true);
    };
    let mut position = 12;
    loop {
        source.seek(SeekFrom::Start(position))?;
        let header = read_up_to(&mut source.by_ref(), 8)?;
        let Some((id, size)) = header.split_at_checked(4) else {
            return Ok(true);
        };
        let Ok(size) = <[u8; 4]>::try_from(size) else {
            return Ok(true);
        };
        let size = u64::from(u32::from_be_bytes(size));
        if id == b"SSND" {
            return Ok(position + 8 + size <= length);
        }
        position += 8 + size + size % 2;
    }
}
