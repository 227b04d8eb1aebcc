//! Checkpoints fetched from the Hugging Face hub by model id (feature `hub`).
//!
//! [`fetch`] gives a folder for [`crate::Checkpoint::load`]. The first call
//! downloads it; later ones find it complete and use no network. A download
//! that was cut off, by the network or by a kill, goes on where it stopped; its
//! size and checksum are compared with the hub's; the folder appears under its
//! name only once every file in it is whole. Processes that want the same
//! model at once wait for the first.
//!
//! ```no_run
//! use ast_model::{Checkpoint, hub};
//!
//! let options = hub::HubOptions::new("cache");
//! let folder = hub::fetch("MIT/ast-finetuned-audioset-10-10-0.4593", "main", &options)?;
//! let (checkpoint, report) = Checkpoint::load(&folder)?;
//! # Ok::<(), ast_model::AstError>(())
//! ```
//!
//! Where `<cache>/<owner>--<name>/<revision>` already holds `config.json` and
//! the weights, put there by hand, they are used as they are. To fetch a
//! revision that has moved on the hub, such as `main`, delete its folder.
//!
//! Why not the crate `hf-hub`: version 1.0 brings 284 crates with it, begins a
//! broken download anew and does not compare checksums. The HTTP client used
//! here, `ureq`, brings about 30, is blocking as this crate is, and takes
//! certificates from the system, so that company proxies work.

mod client;
mod download;
mod install;
mod options;
mod place;
mod verify;

use std::path::{Path, PathBuf};

use crate::AstError;
use crate::checkpoint::shards;
use client::{About, Client, Problem};
use install::Staging;
use place::Place;

pub use options::{HubOptions, Progress};

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const WEIGHTS: &str = "model.safetensors";
const PICKLE: &str = "pytorch_model.bin";

/// The folder of a model, downloaded if it is not in the cache.
///
/// `id` is `owner/name` as on the hub, `revision` a branch, tag or commit,
/// usually `main`.
///
/// # Errors
/// An id or revision that cannot be one; no network, with the place to put the
/// files by hand; a model that does not exist, is not open to the token or has
/// no safetensors weights; a file that differs from what the hub announced; a
/// cache that cannot be written.
pub fn fetch(id: &str, revision: &str, options: &HubOptions) -> Result<PathBuf, AstError> {
    fetch_with_progress(id, revision, options, &mut |_| {})
}

/// [`fetch`], with a call after every part received.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_with_progress(
    id: &str,
    revision: &str,
    options: &HubOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<PathBuf, AstError> {
    let place = Place::new(id, revision, &options.cache)?;
    if is_complete(&place.folder) {
        return Ok(place.folder);
    }
    options.validate()?;
    let _lock = place.lock()?;
    // Another process may have been at it while this one waited.
    if is_complete(&place.folder) {
        return Ok(place.folder);
    }
    let mut download = Download {
        client: Client::new(options),
        place: &place,
        options,
        progress,
    };
    download.run().map_err(|problem| place.explain(problem))?;
    Ok(place.folder)
}

/// Where [`fetch`] puts a model and looks for it: the folder to fill by hand on
/// a machine without network.
///
/// # Errors
/// An id or revision that cannot be one.
pub fn folder(id: &str, revision: &str, cache: &Path) -> Result<PathBuf, AstError> {
    Ok(Place::new(id, revision, cache)?.folder)
}

fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).is_file();
    let sharded = || {
        let index = folder.join(shards::INDEX);
        index.is_file()
            && shards::files(&index).is_ok_and(|files| files.iter().all(|file| has(file)))
    };
    has(CONFIG) && (has(WEIGHTS) || sharded())
}

struct Download<'a> {
    client: Client,
    place: &'a Place,
    options: &'a HubOptions,
    progress: &'a mut dyn FnMut(Progress),
}

impl Download<'_> {
    fn run(&mut self) -> Result<(), Problem> {
        let config = self.url(&self.place.revision, CONFIG);
        let about = self.client.must_have(&config)?;
        // All files must be of one state of the repository, even if the
        // branch moves meanwhile.
        let commit = about.commit.clone();
        let revision = commit.as_deref().unwrap_or(&self.place.revision).to_owned();
        let staging = Staging::new(self.place, &revision)?;
        self.file(&staging, &revision, CONFIG, &about)?;
        if let Some(about) = self.client.about(&self.url(&revision, PREPROCESSOR))? {
            self.file(&staging, &revision, PREPROCESSOR, &about)?;
        }
        match self.client.about(&self.url(&revision, WEIGHTS))? {
            Some(about) => self.file(&staging, &revision, WEIGHTS, &about)?,
            None => self.shards(&staging, &revision)?,
        }
        staging.note(self.place, &self.options.endpoint, commit.as_deref())?;
        staging.install(self.place)?;
        Ok(())
    }

    fn shards(&mut self, staging: &Staging, revision: &str) -> Result<(), Problem> {
        let Some(about) = self.client.about(&self.url(revision, shards::INDEX))? else {
            return Err(self.no_weights(revision));
        };
        self.file(staging, revision, shards::INDEX, &about)?;
        for shard in shards::files(&staging.folder.join(shards::INDEX))? {
            let about = self.client.must_have(&self.url(revision, &shard))?;
            self.file(staging, revision, &shard, &about)?;
        }
        Ok(())
    }

    fn no_weights(&self, revision: &str) -> Problem {
        let pickled = self.client.about(&self.url(revision, PICKLE));
        let problem = if matches!(pickled, Ok(Some(_))) {
            "has its weights only as pickle file pytorch_model.bin, which can run code when read; \
             fetch that file by hand and convert it with Python: \
             `safetensors.torch.save_file(torch.load(\"pytorch_model.bin\", weights_only=True), \
             \"model.safetensors\")`"
        } else {
            "has no model.safetensors; choose a model with weights in that format"
        };
        Problem::Fatal(AstError::HubFiles {
            id: self.place.id.clone(),
            problem,
        })
    }

    fn file(
        &mut self,
        staging: &Staging,
        revision: &str,
        file: &str,
        about: &About,
    ) -> Result<(), Problem> {
        let url = self.url(revision, file);
        let target = staging.folder.join(file);
        download::download(&self.client, &url, about, &target, self.progress)
    }

    fn url(&self, revision: &str, file: &str) -> String {
        let endpoint = self.options.endpoint.trim_end_matches('/');
        // A slash in a revision is part of its name.
        let revision = revision.replace('/', "%2F");
        format!("{endpoint}/{}/resolve/{revision}/{file}", self.place.id)
    }
}
