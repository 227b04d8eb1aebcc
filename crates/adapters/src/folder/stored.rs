//! The two files as they lie on disk.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AdapterDescription, FORMAT_VERSION};
use crate::AdapterError;

pub(super) const DESCRIPTION: &str = "adapter_config.json";
pub(super) const WEIGHTS: &str = "adapter_model.safetensors";
/// Files of a save that is not finished.
pub(super) const NEXT_DESCRIPTION: &str = "adapter_config.next.json";
pub(super) const NEXT_WEIGHTS: &str = "adapter_model.next.safetensors";

/// The field beside those of [`AdapterDescription`].
const DIGEST: &str = "weights_sha256";

/// A longer description is not one but an accident or an attack.
const MAX_DESCRIPTION: u64 = 64 << 20;

/// A description and the digest of its weights; version 1 has none.
pub(super) struct Stored {
    pub description: AdapterDescription,
    pub digest: Option<String>,
}

impl Stored {
    pub fn read(path: &Path) -> Result<Self, AdapterError> {
        let refuse = |reason: String| AdapterError::Description {
            path: path.to_owned(),
            reason,
        };
        let size = fs::metadata(path).map_err(AdapterError::io(path))?.len();
        if size > MAX_DESCRIPTION {
            return Err(refuse(format!("{size} bytes are too many")));
        }
        let text = fs::read_to_string(path).map_err(AdapterError::io(path))?;
        let mut value: Value =
            serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        let version = value["format_version"].as_u64().unwrap_or(0);
        if !(1..=u64::from(FORMAT_VERSION)).contains(&version) {
            return Err(refuse(format!(
                "format version {version}; this program reads versions 1 to {FORMAT_VERSION}"
            )));
        }
        let mut digest = None;
        if version >= 2 {
            let fields = value.as_object_mut();
            let field = fields.and_then(|fields| fields.remove(DIGEST));
            let Some(Value::String(text)) = field else {
                return Err(refuse(format!("{DIGEST} is missing")));
            };
            digest = Some(text);
        }
        let description: AdapterDescription =
            serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
        if description.labels.is_empty() {
            return Err(refuse("labels are empty".into()));
        }
        Ok(Stored {
            description,
            digest,
        })
    }
}

/// SHA-256 of a file as hexadecimal digits.
pub(super) fn digest(path: &Path) -> Result<String, AdapterError> {
    let mut file = File::open(path).map_err(AdapterError::io(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(AdapterError::io(path))?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
    }
    let bytes = hash.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
