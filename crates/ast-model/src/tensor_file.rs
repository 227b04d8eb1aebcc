//! Named tensors in safetensors files: mapped into memory when read, so that
//! nothing is held twice, and written so that a kill leaves the old file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Device, Kind, Tensor};

use crate::AstError;
use header::{Entry, Header};

mod header;

/// All tensors of a file by name, in the number format of the file.
///
/// The tensors are views of the file mapped into memory: pages are read when
/// they are first used, belong to the system's file cache and cost no memory
/// of their own. Changing such a tensor in place changes a private copy, never
/// the file. Replacing the file by renaming another onto it is safe, since the
/// mapping keeps the old one; **a file in use must not be written or cut in
/// place**: values would change, or the process would be ended by the system.
///
/// A tensor whose values do not lie at a multiple of their size is copied. So
/// are all where a file cannot be mapped, and on Windows, where a mapped file
/// could not be replaced.
///
/// # Errors
/// A file that cannot be read, is not safetensors, is cut short or holds
/// tensors that are not F32, F16, BF16 or I64; a pickle file under another
/// name.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, AstError> {
    let mut file = File::open(path).map_err(AstError::io(path))?;
    let header = header::read(path, &mut file)?;
    let mapping = map(path, &header);
    let mut tensors = BTreeMap::new();
    for (name, entry) in header.entries(path)? {
        let tensor = match &mapping {
            Some(bytes) if is_aligned(&entry) => view(bytes, &entry)?,
            _ => copy(path, &mut file, &entry)?,
        };
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The whole file as bytes in memory that the system fills when it is needed,
/// or nothing where that is not to be had.
fn map(path: &Path, header: &Header) -> Option<Tensor> {
    if cfg!(windows) {
        return None;
    }
    let size = i64::try_from(header.file_size).ok()?;
    let bytes = Tensor::f_from_file(path.to_str()?, false, size, (Kind::Uint8, Device::Cpu));
    let bytes = bytes.ok()?;
    // Another file may have been renamed into place since the header was read.
    let mut start = vec![0; header.bytes.len()];
    let narrowed = bytes.f_narrow(0, 0, start.len() as i64).ok()?;
    narrowed
        .f_copy_data_u8(&mut start, header.bytes.len())
        .ok()?;
    (start == header.bytes).then_some(bytes)
}

fn is_aligned(entry: &Entry) -> bool {
    entry.length > 0
        && entry
            .offset
            .is_multiple_of(entry.kind.elt_size_in_bytes() as u64)
}

fn view(bytes: &Tensor, entry: &Entry) -> Result<Tensor, AstError> {
    Ok(bytes
        .f_narrow(0, entry.offset as i64, entry.length as i64)?
        .f_view_dtype(entry.kind)?
        .f_view(entry.shape.as_slice())?)
}

fn copy(path: &Path, file: &mut File, entry: &Entry) -> Result<Tensor, AstError> {
    let mut bytes = vec![0; entry.length];
    file.seek(SeekFrom::Start(entry.offset))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(AstError::io(path))?;
    Ok(Tensor::f_from_data_size(&bytes, &entry.shape, entry.kind)?)
}

/// Number format of the values in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stored {
    /// 4 bytes a value, exact. The default.
    #[default]
    F32,
    /// 2 bytes a value, rounded to the nearest f16: at most 2⁻¹¹ of the value
    /// where that lies between 6.1·10⁻⁵ and 65504.
    F16,
}

impl Stored {
    fn kind(self) -> Kind {
        match self {
            Stored::F32 => Kind::Float,
            Stored::F16 => Kind::Half,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Stored::F32 => Dtype::F32,
            Stored::F16 => Dtype::F16,
        }
    }
}

/// Writes tensors as f32, one at a time. The file appears under its name only
/// once it is whole and on the disk.
///
/// # Errors
/// When the file cannot be written.
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> Result<(), AstError> {
    write_as(path, tensors, Stored::F32)
}

/// As [`write`], in the number format `stored`.
///
/// # Errors
/// As [`write`], and a value that is not finite in that format.
pub fn write_as<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    stored: Stored,
) -> Result<(), AstError> {
    let tensors: BTreeMap<&str, &Tensor> = tensors.into_iter().collect();
    for (name, tensor) in &tensors {
        if stored != Stored::F32 && !fits(tensor, stored)? {
            return Err(AstError::Malformed {
                path: path.to_owned(),
                reason: format!("{name} has values beyond the range of f16; store it as f32"),
            });
        }
    }
    let header = header_of(&tensors, stored).map_err(|reason| AstError::Malformed {
        path: path.to_owned(),
        reason,
    })?;
    replace_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors
            .values()
            .try_for_each(|tensor| file.write_all(&bytes_as(tensor, stored)))
    })
}

/// Whether no value becomes infinite.
fn fits(tensor: &Tensor, stored: Stored) -> Result<bool, AstError> {
    let rounded = tensor.f_to_kind(stored.kind())?.f_to_kind(Kind::Float)?;
    let whole = rounded.f_isfinite()?.f_all()?;
    Ok(whole.f_int64_value(&[])? != 0)
}

fn header_of(tensors: &BTreeMap<&str, &Tensor>, stored: Stored) -> Result<Vec<u8>, String> {
    let mut end = 0;
    let entries = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.numel() * stored.kind().elt_size_in_bytes();
        let info = TensorInfo {
            dtype: stored.dtype(),
            shape: tensor.size().iter().map(|&size| size as usize).collect(),
            data_offsets: (start, end),
        };
        ((*name).to_owned(), info)
    });
    // Readers of the Hugging Face libraries ask for this entry.
    let about = [("format".to_owned(), "pt".to_owned())].into();
    let metadata =
        Metadata::new(Some(about), entries.collect()).map_err(|error| error.to_string())?;
    let mut header = serde_json::to_vec(&metadata).map_err(|error| error.to_string())?;
    // Values then lie at multiples of their size and can be mapped.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

/// Replaces the file `path` by `content`: temporary file in the same folder,
/// sync, rename. A kill leaves the old file.
///
/// # Errors
/// When the file cannot be written; nothing of it stays then.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), AstError> {
    replace_with(path, |file| file.write_all(content))
}

fn replace_with(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), AstError> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let written = write_synced(&partial, fill).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // The failure itself is what the caller must hear of.
        let _ = std::fs::remove_file(&partial);
    }
    written.map_err(AstError::io(path))
}

fn write_synced(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    fill(&mut file)?;
    file.into_inner()?.sync_all()
}

fn bytes_as(tensor: &Tensor, stored: Stored) -> Vec<u8> {
    if stored == Stored::F32 {
        return bytes(tensor);
    }
    let tensor = tensor.to_kind(stored.kind()).reshape([-1]).contiguous();
    let mut bytes = vec![0u8; tensor.numel() * stored.kind().elt_size_in_bytes()];
    let size = bytes.len();
    tensor
        .view_dtype(Kind::Uint8)
        .copy_data_u8(&mut bytes, size);
    bytes
}

/// The values of a tensor as little-endian f32 bytes.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.to_kind(Kind::Float).contiguous();
    let mut values = vec![0f32; tensor.numel()];
    tensor.copy_data(&mut values, tensor.numel());
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init;

    /// A file by hand, whose header is `padding` bytes longer than it must be.
    fn file_with_padding(folder: &Path, padding: usize) -> std::path::PathBuf {
        let mut header = br#"{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,12]},"#.to_vec();
        header.extend(br#""e":{"dtype":"F16","shape":[0,2],"data_offsets":[12,12]}}"#);
        header.resize(header.len().next_multiple_of(8) + padding, b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(
            [1f32, -2.0, 0.5]
                .iter()
                .flat_map(|value| value.to_le_bytes()),
        );
        let path = folder.join(format!("{padding}.safetensors"));
        std::fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn values_that_lie_askew_are_copied_and_equal() {
        let folder = tempfile::tempdir().unwrap();
        for padding in 0..5 {
            let tensors = read(&file_with_padding(folder.path(), padding)).unwrap();
            assert_eq!(tensors["x"], Tensor::from_slice(&[1f32, -2.0, 0.5]));
            assert_eq!(tensors["e"].size(), [0, 2]);
        }
    }

    #[test]
    fn views_of_the_mapping_equal_copies_and_outlive_the_file_s_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let matrix = init::normal(1, "matrix", &[5, 7], 1.0);
        let scalar = Tensor::from(2.5f32);
        write(&path, [("matrix", &matrix), ("scalar", &scalar)]).unwrap();
        let mapped = read(&path).unwrap();
        let mut file = File::open(&path).unwrap();
        let header = header::read(&path, &mut file).unwrap();
        for (name, entry) in header.entries(&path).unwrap() {
            assert_eq!(copy(&path, &mut file, &entry).unwrap(), mapped[&name]);
        }
        let other = Tensor::zeros([35], (Kind::Float, Device::Cpu));
        write(&path, [("matrix", &other)]).unwrap();
        assert_eq!(mapped["matrix"], matrix);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(mapped["matrix"], matrix);
    }

    #[test]
    fn half_of_the_bytes_hold_rounded_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("half.safetensors");
        let matrix = init::normal(1, "matrix", &[5, 7], 1.0);
        let scalar = Tensor::from(2.5f32);
        let tensors = [("matrix", &matrix), ("scalar", &scalar)];
        write_as(&path, tensors, Stored::F16).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found["matrix"].kind(), Kind::Half);
        assert_eq!(found["matrix"], matrix.to_kind(Kind::Half));
        assert_eq!(found["scalar"], scalar.to_kind(Kind::Half));
        let large = Tensor::from_slice(&[1f32, 1e5]);
        let error = write_as(&path, [("large", &large)], Stored::F16).unwrap_err();
        assert!(error.to_string().contains("large"), "{error}");
        assert_eq!(read(&path).unwrap().len(), 2, "the old file stays");
    }

    #[test]
    fn a_mapped_tensor_can_be_changed_without_changing_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = file_with_padding(folder.path(), 0);
        let before = std::fs::read(&path).unwrap();
        let _ = read(&path).unwrap()["x"].shallow_clone().fill_(9.0);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
