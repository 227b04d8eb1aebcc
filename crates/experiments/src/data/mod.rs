//! Data sets: manifests, clips, splits and features.
//!
//! A [`Manifest`] (one file in `datasets/`) describes a data set. Together with
//! the folder of its recordings it makes a [`Dataset`], from which come the
//! [`Split`]s of the manifest's protocol and the [`Features`] of every clip.
//! [`synthetic::dataset`] makes a small one without any recordings.
//!
//! Nothing here knows a model: features are plain `f32` numbers.

mod cache;
mod error;
mod features;
mod manifest;
mod scan;
mod split;
pub mod synthetic;
pub(crate) mod toml_error;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use audio_frontend::Extractor;
use features::Sound;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

pub use cache::CacheUse;
pub use error::DataError;
pub use features::{Features, Progress};
pub use manifest::{
    ClassSpec, ClipSpec, Defaults, ExtraSpec, LabelSpec, Manifest, PartNote, SplitSpec,
};
pub(crate) use scan::list_files;
pub use scan::{Clip, scan};
pub use split::{Split, per_class, splits};

/// SHA-256 of something.
pub type Hash = [u8; 32];

/// A manifest and the clips it describes.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What the data set is.
    pub manifest: Manifest,
    /// The clips, sorted by relative path.
    pub clips: Vec<Clip>,
    /// Folder of the recordings; empty for synthesised sounds.
    pub root: PathBuf,
    sounds: Sounds,
    hashes: OnceLock<Vec<Hash>>,
}

/// Where the sound of a clip is.
#[derive(Debug, Clone)]
enum Sounds {
    /// In the file the clip names.
    Files,
    /// In memory: mono samples at 16 kHz of every clip.
    Samples(Vec<Vec<f32>>),
}

impl Dataset {
    /// Reads the manifest at `manifest_path` and finds its clips under `root`.
    ///
    /// # Errors
    /// As [`Manifest::load`] and [`scan`].
    pub fn load(manifest_path: &Path, root: &Path) -> Result<Self, DataError> {
        Self::with_manifest(Manifest::load(manifest_path)?, root)
    }

    /// Finds the clips of `manifest` under `root`.
    ///
    /// # Errors
    /// As [`scan`].
    pub fn with_manifest(manifest: Manifest, root: &Path) -> Result<Self, DataError> {
        let clips = scan(&manifest, root)?;
        Ok(Self {
            manifest,
            clips,
            root: root.to_path_buf(),
            sounds: Sounds::Files,
            hashes: OnceLock::new(),
        })
    }

    /// The given clips, sorted by relative path, whose labels are classes of
    /// `manifest`.
    pub(crate) fn with_clips(manifest: Manifest, clips: Vec<Clip>, root: &Path) -> Self {
        Self {
            manifest,
            clips,
            root: root.to_path_buf(),
            sounds: Sounds::Files,
            hashes: OnceLock::new(),
        }
    }

    /// Number of classes C.
    pub fn classes(&self) -> usize {
        self.manifest.label.classes.len()
    }

    /// `recordings` or `synthesised`: what to say beside a result.
    pub fn source(&self) -> &'static str {
        match self.sounds {
            Sounds::Files => "recordings",
            Sounds::Samples(_) => "synthesised",
        }
    }

    /// The folds of the manifest's protocol.
    ///
    /// # Errors
    /// As [`splits`].
    pub fn splits(&self) -> Result<Vec<Split>, DataError> {
        splits(&self.manifest.split, &self.clips, self.classes())
    }

    /// Number of clips of each class in `part`.
    ///
    /// # Shapes
    /// Returns C numbers; their largest over their sum is what guessing scores.
    pub fn class_counts(&self, part: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.classes()];
        for &index in part {
            counts[self.clips[index].label] += 1;
        }
        counts
    }

    /// SHA-256 of the sound of every clip, computed once.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn hashes(&self) -> Result<&[Hash], DataError> {
        if let Some(hashes) = self.hashes.get() {
            return Ok(hashes);
        }
        let hashes = match &self.sounds {
            Sounds::Files => hash_files(&self.clips)?,
            Sounds::Samples(sounds) => sounds
                .par_iter()
                .map(|samples| hash_samples(samples))
                .collect(),
        };
        Ok(self.hashes.get_or_init(|| hashes))
    }

    /// Hash, in hexadecimal digits, of all that decides what is learnt from
    /// this data set: its sounds, labels, groups and protocol. Titles, licences,
    /// defaults and the place of the folder do not count.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn fingerprint(&self) -> Result<String, DataError> {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            // The length keeps neighbouring fields apart.
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        field(self.manifest.name.as_bytes());
        field(format!("{:?}", self.manifest.split).as_bytes());
        for name in self.manifest.class_names() {
            field(name.as_bytes());
        }
        for (clip, sound) in self.clips.iter().zip(self.hashes()?) {
            field(clip.relative.as_bytes());
            field(&(clip.label as u64).to_le_bytes());
            for (group, value) in &clip.groups {
                field(group.as_bytes());
                field(value.as_bytes());
            }
            field(sound);
        }
        Ok(hex(&hash.finalize()))
    }

    /// The features of every clip, in the order of [`Dataset::clips`], each cut
    /// or padded to the `max_length` of the front end.
    ///
    /// They are taken from the file of an earlier call in the folder `cache`
    /// where sounds and settings are the same, and else computed on all cores
    /// and stored there. That a cache file is damaged or cannot be written is
    /// told in the second value and stops nothing.
    ///
    /// # Errors
    /// A clip is no usable sound (all such clips are named), or the features do
    /// not fit into memory.
    pub fn features(
        &self,
        extractor: &Extractor,
        cache: Option<&Path>,
        progress: &Progress<'_>,
    ) -> Result<(Features, CacheUse), DataError> {
        let sound = |index: usize| match &self.sounds {
            Sounds::Files => Sound::File(&self.clips[index].path),
            Sounds::Samples(sounds) => Sound::Samples(&sounds[index], synthetic::SAMPLE_RATE),
        };
        let compute = || features::compute(&self.clips, extractor, progress, &sound);
        let Some(folder) = cache else {
            return Ok((compute()?, CacheUse::Off));
        };
        let (max_length, bins) = features::size(extractor);
        let settings = format!("{:?}", extractor.config());
        let key = cache::Key::new(self.hashes()?, &settings, max_length, bins);
        cache::load_or_compute(folder, &self.manifest.name, &key, compute)
    }
}

fn hash_files(clips: &[Clip]) -> Result<Vec<Hash>, DataError> {
    let read: Vec<Result<Hash, String>> = clips
        .par_iter()
        .map(|clip| match std::fs::read(&clip.path) {
            Ok(bytes) => Ok(Sha256::digest(bytes).into()),
            Err(error) => Err(format!("cannot read {}: {error}", clip.path.display())),
        })
        .collect();
    features::all_good(clips, read)
}

fn hash_samples(samples: &[f32]) -> Hash {
    let mut hash = Sha256::new();
    for sample in samples {
        hash.update(sample.to_le_bytes());
    }
    hash.finalize().into()
}

/// Hexadecimal digits of `bytes`.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
