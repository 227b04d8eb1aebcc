//! Checkpoints by name: in a folder, below `backbones/` of the cache, or
//! fetched from the hub; and which of them an adapter was trained on.

use std::fs;
use std::path::{Path, PathBuf};

use adapters::AdapterDescription;
use anyhow::{Context, Result, bail};
use ast_model::{Checkpoint, hub};

#[cfg(test)]
mod tests;

/// File that makes a folder an adapter.
pub const ADAPTER_FILE: &str = "adapter_config.json";

/// The model that runs use where the user names none and has several.
pub const USUAL: &str = "MIT/ast-finetuned-audioset-10-10-0.4593";

/// A checkpoint in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What [`find`] knows it by.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
}

/// The backbone of an adapter.
#[derive(Debug)]
pub struct Fitting {
    /// What [`find`] knows it by.
    pub name: String,
    /// Folder of the whole checkpoint.
    pub folder: PathBuf,
    /// Cut to the adapter's blocks and made for its length.
    pub checkpoint: Checkpoint,
}

/// Folder of the cache that fetched models lie in, one folder a revision.
pub fn hub_cache(cache: &Path) -> PathBuf {
    cache.join("hub")
}

/// The checkpoint that `name` means: a folder or file that exists, a name below
/// `backbones/` of the cache, or the id of a fetched model, `OWNER/NAME` or
/// `OWNER/NAME@REVISION`.
///
/// # Errors
/// When there is none; the message lists what there is and says how to get
/// others.
pub fn find(name: &str, cache: &Path) -> Result<PathBuf> {
    let path = Path::new(name);
    if path.exists() {
        return Ok(path.to_owned());
    }
    let own = cache.join("backbones").join(name);
    if !name.is_empty() && is_checkpoint(&own) {
        return Ok(own);
    }
    let (id, revision) = name.split_once('@').unwrap_or((name, "main"));
    let place = hub::folder(id, revision, &hub_cache(cache));
    match place {
        Ok(folder) if is_checkpoint(&folder) => Ok(folder),
        Ok(_) => bail!(
            "there is no folder {name}, and the model {id} is not in the cache; run \
             `soft-moa fetch {id}`{}, or name one of: {}",
            if revision == "main" {
                String::new()
            } else {
                format!(" with --revision {revision}")
            },
            names(cache)
        ),
        Err(_) => bail!(
            "there is no backbone {name}: neither a folder nor a name in {}; name a folder, a \
             model that `soft-moa fetch` has fetched, or one of: {}",
            cache.join("backbones").display(),
            names(cache)
        ),
    }
}

/// Every checkpoint in the cache, sorted by name.
pub fn list(cache: &Path) -> Vec<Named> {
    let mut found = Vec::new();
    for (name, folder) in folders(&cache.join("backbones")) {
        if is_checkpoint(&folder) {
            found.push(Named { name, folder });
        }
    }
    for (model, folder) in folders(&hub_cache(cache)) {
        let id = model.replacen("--", "/", 1);
        for (revision, folder) in folders(&folder) {
            if is_checkpoint(&folder) {
                let name = match revision.as_str() {
                    "main" => id.clone(),
                    _ => format!("{id}@{}", revision.replace("%2F", "/")),
                };
                found.push(Named { name, folder });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The backbone of a run that names none: the only one in the cache, or
/// [`USUAL`] among several.
///
/// # Errors
/// When the cache has none, or several without the usual one.
pub fn usual(cache: &Path) -> Result<Named> {
    let mut found = list(cache);
    if let Some(index) = found.iter().position(|named| named.name == USUAL) {
        return Ok(found.swap_remove(index));
    }
    match found.len() {
        0 => bail!(
            "there is no backbone in {}; run `soft-moa fetch {USUAL}`, or name a folder with \
             --backbone",
            cache.display()
        ),
        1 => Ok(found.swap_remove(0)),
        _ => bail!("name a backbone with --backbone: {}", names(cache)),
    }
}

/// The folder of the adapter at `path`, which may also be a run's.
pub fn adapter_folder(path: &Path) -> PathBuf {
    let inner = path.join("adapter");
    let is_run = !path.join(ADAPTER_FILE).is_file() && inner.join(ADAPTER_FILE).is_file();
    if is_run { inner } else { path.to_owned() }
}

/// The backbone an adapter was trained on: the one named, else the first in
/// the cache whose weights have the adapter's fingerprint. Those that the
/// description or the run beside the adapter name are tried first.
///
/// # Errors
/// When the named one has other weights, or no candidate has the right ones;
/// the message says what the adapter needs and how to get it.
pub fn for_adapter(
    folder: &Path,
    description: &AdapterDescription,
    named: Option<&str>,
    cache: &Path,
) -> Result<Fitting> {
    if let Some(name) = named {
        let place = find(name, cache)?;
        let checkpoint = fit(&place, description)?;
        if checkpoint.fingerprint() != description.backbone_fingerprint {
            bail!(
                "{} was not trained on {name}: its weights differ; it needs {}",
                folder.display(),
                needs(description)
            );
        }
        return Ok(Fitting {
            name: name.to_owned(),
            folder: place,
            checkpoint,
        });
    }
    let mut tried = Vec::new();
    for candidate in candidates(folder, description, cache) {
        // One that cannot be cut or read is simply another backbone.
        if let Ok(checkpoint) = fit(&candidate.folder, description)
            && checkpoint.fingerprint() == description.backbone_fingerprint
        {
            return Ok(Fitting {
                name: candidate.name,
                folder: candidate.folder,
                checkpoint,
            });
        }
        tried.push(candidate.name);
    }
    bail!(
        "the backbone of {} is not in the cache {}; it is {}. Name its folder with --backbone, or \
         fetch it (`soft-moa fetch`, `cargo xtask data`). Tried: {}",
        folder.display(),
        cache.display(),
        needs(description),
        or_none(&tried)
    );
}

/// The checkpoint cut and adapted as the description says.
fn fit(folder: &Path, description: &AdapterDescription) -> Result<Checkpoint> {
    let (full, _) = Checkpoint::load(folder)?;
    Ok(full.first_blocks(description.blocks)?.with_grid(
        description.max_length,
        description.strides,
        description.positions,
    )?)
}

/// What may be it, most likely first.
fn candidates(folder: &Path, description: &AdapterDescription, cache: &Path) -> Vec<Named> {
    let mut found = list(cache);
    found.sort_by_key(|named| !description.backbone.starts_with(&named.name));
    if let Some(place) = of_run(folder) {
        found.insert(
            0,
            Named {
                name: place.display().to_string(),
                folder: place,
            },
        );
    }
    found
}

/// The checkpoint that the run beside an adapter was started with.
fn of_run(adapter: &Path) -> Option<PathBuf> {
    let run = adapter.parent()?.join("found.json");
    let found: serde_json::Value = serde_json::from_str(&fs::read_to_string(run).ok()?).ok()?;
    let place = PathBuf::from(found.get("backbone_folder")?.as_str()?);
    place.exists().then_some(place)
}

/// What an adapter needs, in words.
fn needs(description: &AdapterDescription) -> String {
    format!(
        "\"{}\" ({} blocks, {} frames, fingerprint {}…)",
        description.backbone,
        description.blocks,
        description.max_length,
        &description
            .backbone_fingerprint
            .get(..12)
            .unwrap_or_default()
    )
}

fn names(cache: &Path) -> String {
    let names: Vec<String> = list(cache).into_iter().map(|named| named.name).collect();
    or_none(&names)
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Whether a folder looks like a checkpoint, whole or not.
pub fn is_checkpoint(folder: &Path) -> bool {
    if folder.join(ADAPTER_FILE).is_file() {
        return false;
    }
    let weights = ["model.safetensors", "model.safetensors.index.json"];
    weights.iter().any(|file| folder.join(file).is_file())
}

/// The folders in a folder with their names; none where it is not there.
fn folders(parent: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let folder = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        entry.path().is_dir().then(|| (name, entry.path()))
    };
    entries.flatten().filter_map(folder).collect()
}

/// The whole checkpoint of a name, with an error that names it.
///
/// # Errors
/// Those of [`find`], and a checkpoint that cannot be read.
pub fn load(name: &str, cache: &Path) -> Result<(PathBuf, Checkpoint)> {
    let folder = find(name, cache)?;
    let loaded = Checkpoint::load(&folder);
    let (checkpoint, _) = loaded.with_context(|| format!("the backbone {name} cannot be used"))?;
    Ok((folder, checkpoint))
}
