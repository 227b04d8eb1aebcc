//! Vectors in a file that other programs read, and an index of its rows.

use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

/// Bytes in front of the values of a `.npy` file, so many that any shape fits.
const NPY_HEADER: usize = 128;

/// Bytes in front of the values of a safetensors file, length included.
const SAFETENSORS_HEADER: usize = 256;

/// A file that grows by rows and appears under its name when it is finished.
///
/// - `.npy`: [rows, …], f32, for NumPy.
/// - `.safetensors`: one tensor `embeddings` [rows, …], F32.
/// - `.jsonl`: an object a row with `file`, `start`, `end`, `shape`, `values`.
///
/// Beside it lies `NAME.index.jsonl` with an object a row: `row`, `file`,
/// `start` and `end` in seconds.
pub struct VectorFile {
    path: PathBuf,
    kind: Kind,
    values: BufWriter<tempfile::NamedTempFile>,
    index: BufWriter<tempfile::NamedTempFile>,
    rows: usize,
    shape: Vec<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npy,
    Safetensors,
    Lines,
}

impl VectorFile {
    /// Begins a file; its folder must be there.
    ///
    /// # Errors
    /// An ending that is none of the three, or a folder that cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let kind = match ending {
            Some("npy") => Kind::Npy,
            Some("safetensors") => Kind::Safetensors,
            Some("jsonl") => Kind::Lines,
            _ => bail!(
                "{} ends in none of .safetensors, .npy and .jsonl; name the file so",
                path.display()
            ),
        };
        let mut values = BufWriter::new(temporary(path)?);
        let header = match kind {
            Kind::Npy => NPY_HEADER,
            Kind::Safetensors => SAFETENSORS_HEADER,
            Kind::Lines => 0,
        };
        values.write_all(&vec![b' '; header])?;
        Ok(VectorFile {
            path: path.to_owned(),
            kind,
            values,
            index: BufWriter::new(temporary(path)?),
            rows: 0,
            shape: Vec::new(),
        })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// A row of another shape than the first, or a disk that is full.
    pub fn push(
        &mut self,
        file: &str,
        [start, end]: [f64; 2],
        shape: &[usize],
        values: &[f32],
    ) -> Result<()> {
        if self.rows == 0 {
            self.shape = shape.to_vec();
        }
        ensure!(
            self.shape == shape,
            "{file} gives {shape:?} where the rows before are {:?}",
            self.shape
        );
        let at = json!({ "row": self.rows, "file": file, "start": start, "end": end });
        writeln!(self.index, "{at}").with_context(|| full(&self.path))?;
        let written = match self.kind {
            Kind::Lines => {
                let row = json!({
                    "file": file, "start": start, "end": end, "shape": shape, "values": values,
                });
                writeln!(self.values, "{row}")
            }
            Kind::Npy | Kind::Safetensors => values
                .iter()
                .try_for_each(|value| self.values.write_all(&value.to_le_bytes())),
        };
        written.with_context(|| full(&self.path))?;
        self.rows += 1;
        Ok(())
    }

    /// Gives the file its header and its name; the path of the index.
    ///
    /// # Errors
    /// When the disk is full or the folder cannot be written.
    pub fn finish(mut self) -> Result<PathBuf> {
        let mut shape = vec![self.rows];
        shape.extend(&self.shape);
        let header = match self.kind {
            Kind::Npy => npy_header(&shape),
            Kind::Safetensors => safetensors_header(&shape),
            Kind::Lines => Vec::new(),
        };
        let index = index_path(&self.path);
        self.values
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.values.write_all(&header))
            .with_context(|| full(&self.path))?;
        keep(self.values, &self.path)?;
        keep(self.index, &index)?;
        Ok(index)
    }
}

/// `a.npy` has the index `a.index.jsonl`.
fn index_path(path: &Path) -> PathBuf {
    path.with_extension("index.jsonl")
}

fn temporary(path: &Path) -> Result<tempfile::NamedTempFile> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).with_context(|| {
        let folder = folder.display();
        format!("cannot write into {folder}; make the folder or name another with --out")
    })
}

fn keep(file: BufWriter<tempfile::NamedTempFile>, path: &Path) -> Result<()> {
    let file = file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .with_context(|| full(path))?;
    file.as_file().sync_all().with_context(|| full(path))?;
    file.persist(path).with_context(|| full(path))?;
    Ok(())
}

fn full(path: &Path) -> String {
    format!("cannot write {}; has the disk room?", path.display())
}

/// Version 1.0 of NumPy's format: magic, length, a Python dictionary, spaces,
/// a line end.
fn npy_header(shape: &[usize]) -> Vec<u8> {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    // A comma behind the last makes a tuple of one size one too.
    let text = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}",
        sizes.join(", ")
    );
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((NPY_HEADER as u16 - 10).to_le_bytes());
    header.extend(text.as_bytes());
    header.resize(NPY_HEADER - 1, b' ');
    header.push(b'\n');
    header
}

/// Length of the rest, JSON, spaces.
fn safetensors_header(shape: &[usize]) -> Vec<u8> {
    let bytes = 4 * shape.iter().product::<usize>();
    let text = json!({
        "embeddings": { "dtype": "F32", "shape": shape, "data_offsets": [0, bytes] },
    });
    let mut header = (SAFETENSORS_HEADER as u64 - 8).to_le_bytes().to_vec();
    header.extend(text.to_string().as_bytes());
    header.resize(SAFETENSORS_HEADER, b' ');
    header
}

/// Number of rows that an index names.
///
/// # Errors
/// When the file cannot be read.
pub fn rows(index: &Path) -> io::Result<usize> {
    Ok(fs::read_to_string(index)?.lines().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let mut file = VectorFile::create(&path).unwrap();
        file.push("a.wav", [0.0, 1.0], &[2, 1], &[1.0, 2.0])
            .unwrap();
        file.push("b.wav", [0.0, 0.5], &[2, 1], &[3.0, 4.0])
            .unwrap();
        let index = file.finish().unwrap();
        assert_eq!(rows(&index).unwrap(), 2);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        (folder, path)
    }

    #[test]
    fn safetensors_files_are_read_back() {
        let (_folder, path) = write("a.safetensors");
        let tensors = ast_model::tensor_file::read(&path).unwrap();
        let values: Vec<f32> = tensors["embeddings"].view([-1]).try_into().unwrap();
        assert_eq!(tensors["embeddings"].size(), [2, 2, 1]);
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn npy_files_are_read_back() {
        let (_folder, path) = write("a.npy");
        let tensor = tch::Tensor::read_npy(&path).unwrap();
        assert_eq!(tensor.size(), [2, 2, 1]);
        let values: Vec<f32> = tensor.view([-1]).try_into().unwrap();
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn another_ending_is_refused_and_a_file_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let refused = VectorFile::create(&folder.path().join("a.csv"));
        assert!(refused.err().unwrap().to_string().contains(".npy"));
        let file = VectorFile::create(&folder.path().join("a.npy")).unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
