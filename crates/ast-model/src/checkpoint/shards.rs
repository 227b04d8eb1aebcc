//! Weights spread over several files, with an index that says which is where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use tch::Tensor;

use crate::{AstError, tensor_file};

/// Name of the index in a folder.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "distinct_names")]
    weight_map: BTreeMap<String, String>,
}

/// The names of the files that an index speaks of, sorted. All lie in the
/// index's own folder.
///
/// # Errors
/// An index that cannot be read or names a file elsewhere.
#[cfg(feature = "hub")]
pub(crate) fn files(index: &Path) -> Result<BTreeSet<String>, AstError> {
    Ok(read_index(index)?.weight_map.into_values().collect())
}

/// All tensors of all files.
pub(super) fn read(index: &Path) -> Result<BTreeMap<String, Tensor>, AstError> {
    let weight_map = read_index(index)?.weight_map;
    let folder = index.parent().unwrap_or(Path::new(""));
    let shards: BTreeSet<&String> = weight_map.values().collect();
    let mut origin: BTreeMap<String, &String> = BTreeMap::new();
    let mut tensors = BTreeMap::new();
    for shard in shards {
        let path = folder.join(shard);
        if !path.is_file() {
            return Err(refuse(index, format!("the file {shard} is not there")));
        }
        for (name, tensor) in tensor_file::read(&path)? {
            if let Some(first) = origin.insert(name.clone(), shard) {
                let problem = format!("{name} lies in {first} and again in {shard}");
                return Err(refuse(index, problem));
            }
            tensors.insert(name, tensor);
        }
    }
    for (name, shard) in &weight_map {
        if origin.get(name) != Some(&shard) {
            return Err(refuse(index, format!("{name} is not in {shard}")));
        }
    }
    Ok(tensors)
}

fn read_index(path: &Path) -> Result<Index, AstError> {
    let text = std::fs::read(path).map_err(AstError::io(path))?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| AstError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    match index.weight_map.values().find(|name| !is_plain(name)) {
        Some(name) => Err(refuse(
            path,
            format!("{name:?} is not the plain name of a .safetensors file"),
        )),
        None if index.weight_map.is_empty() => Err(refuse(path, "it names no tensor".to_owned())),
        None => Ok(index),
    }
}

/// A name that stays in its folder on every system.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single =
        matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    single && name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0'])
}

fn refuse(index: &Path, problem: String) -> AstError {
    AstError::Shards {
        path: index.to_owned(),
        problem,
    }
}

/// JSON allows a name twice, and most readers then keep one at will.
fn distinct_names<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            formatter.write_str("tensor names with their files")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut names = BTreeMap::new();
            while let Some((name, file)) = map.next_entry::<String, String>()? {
                if names.contains_key(&name) {
                    return Err(A::Error::custom(format!("{name} is named twice")));
                }
                names.insert(name, file);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_map(Names)
}
