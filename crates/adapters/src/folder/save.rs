//! Writing an adapter folder.

use std::fs::{self, File};
use std::path::Path;

use ast_model::tensor_file;
use serde::Serialize;

use super::stored::{DESCRIPTION, NEXT_DESCRIPTION, NEXT_WEIGHTS, WEIGHTS, digest};
use super::{AdapterDescription, FORMAT_VERSION};
use crate::{AdaptedModel, AdapterError};

/// Writes the adapter folder and returns its size in bytes.
///
/// A kill at any instant leaves a folder that loads as the old adapter or as
/// the new one, never as a mixture: both files are written whole under other
/// names, then renamed, weights first, and [`load`](super::load) knows the new
/// description by the digest of the weights.
///
/// # Errors
/// When a tensor holds values that are not finite, or the folder cannot be made
/// or written.
pub fn save(
    folder: &Path,
    model: &AdaptedModel,
    description: &AdapterDescription,
) -> Result<u64, AdapterError> {
    fs::create_dir_all(folder).map_err(AdapterError::io(folder))?;
    let at = |name: &str| folder.join(name);
    let kept = || model.trained().iter().chain(model.buffers());
    for (name, tensor) in kept() {
        if tensor.f_isfinite()?.f_all()?.int64_value(&[]) == 0 {
            return Err(AdapterError::NotFinite { name: name.clone() });
        }
    }
    let next = at(NEXT_WEIGHTS);
    tensor_file::write(&next, kept().map(|(name, tensor)| (name.as_str(), tensor)))?;
    let text =
        describe(description, digest(&next)?).map_err(|error| AdapterError::Description {
            path: at(DESCRIPTION),
            reason: error.to_string(),
        })?;
    tensor_file::replace(&at(NEXT_DESCRIPTION), text.as_bytes())?;
    for (from, to) in [(NEXT_WEIGHTS, WEIGHTS), (NEXT_DESCRIPTION, DESCRIPTION)] {
        fs::rename(at(from), at(to)).map_err(AdapterError::io(at(to)))?;
    }
    // Not every file system lets a folder be synced; the renames are done.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    let mut size = 0;
    for file in [DESCRIPTION, WEIGHTS].map(at) {
        size += fs::metadata(&file).map_err(AdapterError::io(&file))?.len();
    }
    Ok(size)
}

/// The description as it is on disk.
#[derive(Serialize)]
struct OnDisk<'a> {
    #[serde(flatten)]
    description: &'a AdapterDescription,
    weights_sha256: String,
}

fn describe(description: &AdapterDescription, digest: String) -> Result<String, serde_json::Error> {
    let on_disk = OnDisk {
        description: &AdapterDescription {
            format_version: FORMAT_VERSION,
            ..description.clone()
        },
        weights_sha256: digest,
    };
    Ok(serde_json::to_string_pretty(&on_disk)? + "\n")
}
