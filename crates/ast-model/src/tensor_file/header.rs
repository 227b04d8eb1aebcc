//! The header of a safetensors file: what lies where.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};
use tch::Kind;

use crate::AstError;

/// Bytes before the header: its length as a 64-bit number.
const LENGTH_BYTES: u64 = 8;
/// A longer header is not a set of weights but an attack or an accident.
const MAX_HEADER: u64 = 100 << 20;
/// How a file begins that Git left in place of one it keeps elsewhere.
const LFS_POINTER: &[u8] = b"version ";

/// A header that fits its file.
pub(super) struct Header {
    /// Where in the data which tensor lies.
    pub metadata: Metadata,
    /// The first bytes of the file, up to the data.
    pub bytes: Vec<u8>,
    /// Size of the whole file in bytes.
    pub file_size: u64,
}

/// Where one tensor lies.
pub(super) struct Entry {
    pub kind: Kind,
    pub shape: Vec<i64>,
    /// From the start of the file, in bytes.
    pub offset: u64,
    /// In bytes.
    pub length: usize,
}

/// Reads and checks the header; afterwards every tensor is known to lie inside
/// the file and to be as large as its shape says.
pub(super) fn read(path: &Path, file: &mut File) -> Result<Header, AstError> {
    let file_size = file.metadata().map_err(AstError::io(path))?.len();
    let mut bytes = vec![0; LENGTH_BYTES.min(file_size) as usize];
    file.read_exact(&mut bytes).map_err(AstError::io(path))?;
    let refuse = |start: &[u8], reason: String| foreign(path, start, reason);
    let Ok(length) = <[u8; LENGTH_BYTES as usize]>::try_from(bytes.as_slice()) else {
        let reason = format!("{file_size} bytes are too few for a header");
        return Err(refuse(&bytes, reason));
    };
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length + LENGTH_BYTES > file_size {
        let reason = format!("a header of {length} bytes in a file of {file_size}");
        return Err(refuse(&bytes, reason));
    }
    bytes.resize((LENGTH_BYTES + length) as usize, 0);
    file.read_exact(&mut bytes[LENGTH_BYTES as usize..])
        .map_err(AstError::io(path))?;
    // Parsing checks offsets, overlaps and sizes against the shapes.
    let metadata: Metadata = serde_json::from_slice(&bytes[LENGTH_BYTES as usize..])
        .map_err(|error| refuse(&bytes, error.to_string()))?;
    let data = metadata.data_len() as u64;
    if LENGTH_BYTES + length + data != file_size {
        let reason = format!("{data} bytes of tensors announced in a file of {file_size}");
        return Err(refuse(&bytes, reason));
    }
    Ok(Header {
        metadata,
        bytes,
        file_size,
    })
}

impl Header {
    /// All tensors by name.
    pub fn entries(&self, path: &Path) -> Result<Vec<(String, Entry)>, AstError> {
        let mut entries = Vec::new();
        for (name, info) in self.metadata.tensors() {
            let kind = kind_of(info.dtype).ok_or_else(|| AstError::TensorType {
                name: name.clone(),
                found: format!("{:?}", info.dtype),
            })?;
            let shape = info.shape.iter().map(|&size| i64::try_from(size));
            let shape = shape
                .collect::<Result<_, _>>()
                .map_err(|_| AstError::Malformed {
                    path: path.to_owned(),
                    reason: format!("tensor {name} has the shape {:?}", info.shape),
                })?;
            let (start, end) = info.data_offsets;
            let entry = Entry {
                kind,
                shape,
                offset: (self.bytes.len() + start) as u64,
                length: end - start,
            };
            entries.push((name, entry));
        }
        Ok(entries)
    }
}

/// A file that is no safetensors file: what it looks like instead.
fn foreign(path: &Path, start: &[u8], reason: String) -> AstError {
    let path = path.to_owned();
    let zip = start.starts_with(b"PK\x03\x04");
    let pickle = matches!(start, [0x80, 2..=5, ..]);
    if zip || pickle {
        return AstError::Pickle { path };
    }
    let reason = if start.starts_with(LFS_POINTER) {
        "a pointer of Git LFS, not the weights themselves; run `git lfs pull`".to_owned()
    } else {
        reason
    };
    AstError::Malformed { path, reason }
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::I64 => Some(Kind::Int64),
        _ => None,
    }
}
