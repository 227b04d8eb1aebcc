//! Where the bytes come from: a file, memory, or a pipe.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use symphonia::core::io::{MediaSource, ReadOnlySource};

use crate::error::{Error, Result};

/// A readable source; only pipes cannot be rewound.
pub(super) type Source = Box<dyn MediaSource>;

pub(super) fn open_file(path: &Path) -> Result<Source> {
    let read_error = |source| Error::Read {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(read_error)?;
    let about = file.metadata().map_err(read_error)?;
    if about.is_dir() {
        return Err(read_error(ErrorKind::IsADirectory.into()));
    }
    if about.is_file() && about.len() == 0 {
        return Err(Error::Empty { path: path.into() });
    }
    Ok(if about.is_file() {
        Box::new(file)
    } else {
        Box::new(ReadOnlySource::new(file))
    })
}

pub(super) fn open_bytes(name: &Path, bytes: Vec<u8>) -> Result<Source> {
    if bytes.is_empty() {
        return Err(Error::Empty { path: name.into() });
    }
    Ok(Box::new(Cursor::new(bytes)))
}

/// The first bytes of a source that is at its start, and the source at its
/// start again.
pub(super) fn peek(mut source: Source, count: usize) -> std::io::Result<(Vec<u8>, Source)> {
    let head = read_up_to(&mut source, count)?;
    if source.is_seekable() {
        source.seek(SeekFrom::Start(0))?;
        return Ok((head, source));
    }
    let again = Cursor::new(head.clone()).chain(source);
    Ok((head, Box::new(ReadOnlySource::new(again))))
}

/// `count` bytes, or fewer where the source ends.
pub(super) fn read_up_to(source: &mut impl Read, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.by_ref().take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A source that may not be rewound, for demuxers that look ahead to the end
/// of the file only where they can.
pub(super) fn forward_only(source: Source) -> Source {
    Box::new(ReadOnlySource::new(source))
}

/// Length in bytes and back to the start.
pub(super) fn rewind(source: &mut Source) -> std::io::Result<()> {
    source.seek(SeekFrom::Start(0)).map(|_| ())
}

/// A source, at its start, in which `bytes` stand at `at`, whatever it holds there.
pub(super) fn overlaid(source: Source, at: u64, bytes: [u8; 4]) -> Source {
    Box::new(Overlaid {
        source,
        position: 0,
        at,
        bytes,
    })
}

struct Overlaid {
    source: Source,
    position: u64,
    at: u64,
    bytes: [u8; 4],
}

impl Read for Overlaid {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        for (place, byte) in (self.at..).zip(self.bytes) {
            let offset = place.checked_sub(self.position);
            let offset = offset.and_then(|offset| usize::try_from(offset).ok());
            if let Some(read) = offset.and_then(|offset| buffer[..count].get_mut(offset)) {
                *read = byte;
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Overlaid {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.position = self.source.seek(to)?;
        Ok(self.position)
    }
}

impl MediaSource for Overlaid {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}
