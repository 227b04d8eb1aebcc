//! Whether the pages of an Ogg file follow each other without a hole.
//!
//! symphonia drops a page whose checksum is wrong and goes on with the next, so
//! that the signal would close up over the hole.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use symphonia::core::checksum::Crc32;
use symphonia::core::io::{MediaSource, Monitor};

use super::source::{Source, read_up_to};

/// Bytes of a page before its table of segments.
const HEADER: usize = 27;
/// Where a page's checksum stands; it is computed with zeros in this place.
const CHECKSUM: std::ops::Range<usize> = 22..26;

/// An Ogg file that is an error of the kind `InvalidData` where a page is
/// damaged or missing. Pages are looked at when they are first read in order;
/// what is read ahead, to find the end, passes as it is.
pub(super) struct CheckedPages {
    source: Source,
    /// Where the next read begins.
    position: u64,
    /// Whether the source may stand elsewhere than where it is read next.
    moved: bool,
    /// How far pages were looked at; `page` ends here.
    checked: u64,
    page: Vec<u8>,
    /// Streams that have not ended, with the number of their last page of audio.
    streams: BTreeMap<u32, Option<u32>>,
    /// Behind the last page of all streams anything may stand.
    over: bool,
    /// What is wrong at `checked`.
    fault: Option<String>,
}

impl CheckedPages {
    /// `source` stands at its start.
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            position: 0,
            moved: false,
            checked: 0,
            page: Vec::new(),
            streams: BTreeMap::new(),
            over: false,
            fault: None,
        }
    }

    /// Reads the page at `checked`, or what is there of it at the end.
    fn read_page(&mut self) -> Result<()> {
        if self.fault.is_none() {
            self.move_to(self.checked)?;
            self.page = read_up_to(&mut self.source, HEADER)?;
            self.fault = self.read_rest()?.map(|detail| {
                let page = self.checked;
                format!("ogg: the page at byte {page} {detail}")
            });
        }
        if let Some(fault) = &self.fault {
            self.page.clear();
            self.moved = true;
            return Err(Error::new(ErrorKind::InvalidData, fault.clone()));
        }
        self.checked += self.page.len() as u64;
        Ok(())
    }

    /// Reads what follows a page's header; gives what is wrong with the page.
    fn read_rest(&mut self) -> Result<Option<&'static str>> {
        if !self.page.starts_with(b"OggS") {
            let junk = self.page.len() >= 4 && !self.over;
            return Ok(junk.then_some("does not begin like one"));
        }
        if self.page.len() < HEADER || !self.append(usize::from(self.page[HEADER - 1]))? {
            return Ok(None);
        }
        let table = self.page[HEADER..].iter();
        let body = table.map(|&length| usize::from(length)).sum();
        Ok(if self.append(body)? {
            self.fault_of_page()
        } else {
            None
        })
    }

    fn move_to(&mut self, position: u64) -> Result<()> {
        if self.moved {
            self.source.seek(SeekFrom::Start(position))?;
            self.moved = false;
        }
        Ok(())
    }

    /// False if the file ends before.
    fn append(&mut self, count: usize) -> Result<bool> {
        let more = read_up_to(&mut self.source, count)?;
        self.page.extend_from_slice(&more);
        Ok(more.len() == count)
    }

    fn fault_of_page(&mut self) -> Option<&'static str> {
        let number = |at: usize| {
            let bytes = [at, at + 1, at + 2, at + 3].map(|i| self.page[i]);
            u32::from_le_bytes(bytes)
        };
        let (serial, sequence, stated) = (number(14), number(18), number(22));
        let position = u64::from(number(10)) << 32 | u64::from(number(6));
        let mut crc = Crc32::new(0);
        crc.process_buf_bytes(&self.page[..CHECKSUM.start]);
        crc.process_buf_bytes(&[0; CHECKSUM.end - CHECKSUM.start]);
        crc.process_buf_bytes(&self.page[CHECKSUM.end..]);
        if crc.crc() != stated {
            return Some("does not match its checksum");
        }
        let (begins, ends) = (self.page[5] & 2 != 0, self.page[5] & 4 != 0);
        if begins {
            self.streams.insert(serial, None);
        }
        let last = self.streams.get_mut(&serial)?;
        if last.is_some_and(|last| last.wrapping_add(1) != sequence) {
            return Some("does not follow the one before it; some are missing");
        }
        // Headers stand at position 0, and a page on which no packet ends at
        // none. A recording of a broadcast goes from its headers right into
        // the middle, so only pages of audio have to follow each other.
        if last.is_some() || (position != 0 && position != u64::MAX) {
            *last = Some(sequence);
        }
        if ends {
            self.streams.remove(&serial);
        }
        self.over = self.streams.is_empty();
        None
    }
}

impl Read for CheckedPages {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.position == self.checked && !buffer.is_empty() {
            self.read_page()?;
        }
        let start = self.checked - self.page.len() as u64;
        let count = if (start..=self.checked).contains(&self.position) {
            let rest = &self.page[(self.position - start) as usize..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        } else {
            self.move_to(self.position)?;
            // No further than to where pages are looked at.
            let until = if self.position < start {
                start
            } else {
                u64::MAX
            };
            let most = (until - self.position).min(buffer.len() as u64) as usize;
            let count = self.source.read(&mut buffer[..most])?;
            self.moved = self.position + count as u64 == start;
            count
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for CheckedPages {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.position = match to {
            // The source itself may stand elsewhere.
            SeekFrom::Current(by) => {
                let target = self.position.checked_add_signed(by);
                let target = target.ok_or(ErrorKind::InvalidInput)?;
                self.source.seek(SeekFrom::Start(target))?
            }
            to => self.source.seek(to)?,
        };
        self.moved = true;
        Ok(self.position)
    }
}

impl MediaSource for CheckedPages {
    fn is_seekable(&self) -> bool {
        self.source.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}
