//! The cache, its backbones, and the data sets.

use std::fs;
use std::path::{Path, PathBuf};

use ast_model::Checkpoint;
use serde_json::json;

use super::disk::gigabytes;
use super::{Check, Places};
use crate::backbones::{self, USUAL};
use crate::data::Manifest;

/// Everything on the disk.
pub(super) fn checks(places: &Places) -> Vec<Check> {
    let mut checks = vec![cache(&places.cache)];
    checks.extend(parts(&places.cache));
    checks.extend(models(&places.cache));
    checks.extend(data_sets(places));
    checks
}

fn cache(cache: &Path) -> Check {
    let name = "cache";
    if !cache.exists() {
        let found = format!("{} is not there yet", cache.display());
        return Check::ok(name, found + "; it is made when it is needed");
    }
    match tempfile::tempfile_in(cache) {
        Ok(_) => Check::ok(name, format!("{} can be written", cache.display())),
        Err(error) => Check::broken(
            name,
            format!("{} cannot be written: {error}", cache.display()),
            "change its permissions, or set SOFT_MOA_CACHE to a folder of yours",
        ),
    }
}

/// What fills the cache.
fn parts(cache: &Path) -> Option<Check> {
    let mut folders: Vec<(String, u64)> = fs::read_dir(cache)
        .ok()?
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, size(&entry.path()))
        })
        .collect();
    folders.sort_by_key(|(name, size)| (std::cmp::Reverse(*size), name.clone()));
    let part = |(name, size): &(String, u64)| format!("{name} {}", gigabytes(*size));
    let words: Vec<String> = folders.iter().map(part).collect();
    let figures: serde_json::Map<_, _> = folders
        .iter()
        .map(|(name, size)| (name.clone(), json!(size)))
        .collect();
    let found = if words.is_empty() {
        "empty".to_owned()
    } else {
        words.join(", ")
    };
    Some(Check::ok("cache sizes", found).with(figures.into()))
}

/// Bytes of all files below a folder; links are not followed.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => size(&entry.path()),
            Ok(about) => about.len(),
            Err(_) => 0,
        })
        .sum()
}

fn models(cache: &Path) -> Vec<Check> {
    let found = backbones::list(cache);
    if found.is_empty() {
        let remedy = format!("run `soft-moa fetch {USUAL}`, or `cargo xtask data` for a small one");
        return vec![Check::missing("backbones", "none in the cache", remedy)];
    }
    let check = |named: backbones::Named| {
        let title = format!("backbone {}", named.name);
        match Checkpoint::load(&named.folder) {
            Ok((checkpoint, _)) => {
                let config = &checkpoint.config;
                let (blocks, width) = (config.num_hidden_layers, config.hidden_size);
                let frames = config.max_length;
                Check::ok(
                    title,
                    format!("{blocks} blocks of width {width}, {frames} frames"),
                )
            }
            Err(error) => {
                let remedy = format!("remove {} and fetch it again", named.folder.display());
                Check::broken(title, error.to_string(), remedy)
            }
        }
    };
    found.into_iter().map(check).collect()
}

/// The data sets that have a manifest: there or not.
fn data_sets(places: &Places) -> Vec<Check> {
    let Ok(entries) = fs::read_dir(&places.datasets) else {
        return Vec::new();
    };
    let mut manifests: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    manifests.sort();
    manifests
        .iter()
        .map(|path| match Manifest::load(path) {
            Ok(manifest) => data_set(&manifest.name, &places.cache),
            Err(error) => {
                let title = format!("manifest {}", path.display());
                Check::broken(title, error.to_string(), "mend the manifest")
            }
        })
        .collect()
}

fn data_set(name: &str, cache: &Path) -> Check {
    let title = format!("data set {name}");
    let own = cache.join("data").join(name);
    let pointer = cache.join("data").join(format!("{name}.path"));
    let remedy = format!("run `cargo xtask data {name}`, or with --path {name}=FOLDER");
    if let Ok(text) = fs::read_to_string(&pointer) {
        let folder = PathBuf::from(text.trim());
        let found = format!("in {}", folder.display());
        return if folder.is_dir() {
            Check::ok(title, found)
        } else {
            Check::broken(title, format!("{found}, which is no folder"), remedy)
        };
    }
    if own.is_dir() {
        Check::ok(title, format!("in {}", own.display()))
    } else {
        Check::missing(title, "not on this machine", remedy)
    }
}
