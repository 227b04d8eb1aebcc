//! Scalars as a TensorBoard event file.
//!
//! The file is a sequence of records: length (u64), masked CRC-32C of the
//! length, the bytes, masked CRC-32C of the bytes, all little-endian. The bytes
//! are a protocol buffer `Event` of which three fields matter here. Both are
//! documented with TensorFlow (`tensorflow/core/lib/io/record_writer.h`,
//! `tensorflow/core/util/event.proto`).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An event file that cannot be written.
#[derive(Debug, Error)]
#[error("{path}: {source}; check that the folder is writable and that the disk has room", path = .path.display())]
pub struct EventError {
    path: PathBuf,
    source: std::io::Error,
}

/// An event file, written from the start and then appended to.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Starts the file `events.out.tfevents.0.soft-moa` in `folder` anew: what
    /// an interrupted run left is written again by the one that goes on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, EventError> {
        let path = folder.join("events.out.tfevents.0.soft-moa");
        let failed = |source| EventError {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        let mut events = EventFile { path, file };
        let mut version = event(0.0, 0);
        field(&mut version, 3, b"brain.Event:2");
        events.append(&version)?;
        Ok(events)
    }

    /// Adds named values at a step. `seconds` is the wall time since 1970, or
    /// since the start of the run where the file shall be the same each time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn scalars(
        &mut self,
        step: i64,
        seconds: f64,
        values: &[(&str, f64)],
    ) -> Result<(), EventError> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut entry = Vec::new();
            field(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | 5); // simple_value, 32 bits
            entry.extend((*value as f32).to_le_bytes());
            field(&mut summary, 1, &entry);
        }
        let mut bytes = event(seconds, step);
        field(&mut bytes, 5, &summary);
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), EventError> {
        let length = (bytes.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(bytes);
        record.extend(masked(bytes).to_le_bytes());
        let written = self.file.write_all(&record);
        written.map_err(|source| EventError {
            path: self.path.clone(),
            source,
        })
    }
}

/// Wall time (field 1, f64) and step (field 2, i64) of an event.
fn event(seconds: f64, step: i64) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend(seconds.to_le_bytes());
    bytes.push(2 << 3);
    varint(&mut bytes, step as u64);
    bytes
}

/// A field of bytes: key, length, content.
fn field(bytes: &mut Vec<u8>, number: u8, content: &[u8]) {
    bytes.push(number << 3 | 2);
    varint(bytes, content.len() as u64);
    bytes.extend(content);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// CRC-32C, rotated and shifted so that a checksum of data that holds
/// checksums stays a good one.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC with the Castagnoli polynomial, bit by bit: events are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc_32c() {
        // The check value of the polynomial, and a vector of RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_file_is_the_records_that_tensorboard_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::create(folder.path()).unwrap();
        file.scalars(300, 1.5, &[("loss", 0.25)]).unwrap();
        let bytes = fs::read(file.path).unwrap();
        // Event { wall_time: 0, step: 0, file_version: "brain.Event:2" }
        let mut first = vec![9, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 26, 13];
        first.extend(b"brain.Event:2");
        // Event { wall_time: 1.5, step: 300, summary: [{ tag, simple_value }] }
        let mut second = vec![9, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 16, 0xac, 2, 42, 13, 10, 11];
        second.extend([10, 4]);
        second.extend(b"loss");
        second.extend([21, 0, 0, 0x80, 0x3e]);
        let mut rest = bytes.as_slice();
        for expected in [first, second] {
            let length = (expected.len() as u64).to_le_bytes();
            assert_eq!(rest[..8], length);
            assert_eq!(rest[8..12], masked(&length).to_le_bytes());
            rest = &rest[12..];
            assert_eq!(rest[..expected.len()], expected);
            rest = &rest[expected.len()..];
            assert_eq!(rest[..4], masked(&expected).to_le_bytes());
            rest = &rest[4..];
        }
        assert!(rest.is_empty());
    }
}
