//! Data sets: manifests, clips, splits and features.
//!
//! A [`Manifest`] (one file in `datasets/`) describes a data set. Together with
//! the folder of its recordings it makes a [`Dataset`], from which come the
//! [`Split`]s of the manifest's protocol and the [`Features`] of every clip.
//! [`synthetic::dataset`] makes a small one without any recordings.
//!
//! Nothing here knows a model: features are plain `f32` numbers.

mod bytes;
mod cache;
mod cache_lock;
mod compute;
mod error;
mod features;
mod layout;
mod layouts;
mod leaks;
mod manifest;
mod own;
mod own_folder;
mod own_groups;
mod own_options;
mod own_table;
mod protocol;
mod scan;
mod shares;
mod split;
mod split_check;
mod split_spec;
mod stop;
pub mod synthetic;
mod table;
mod template;
pub(crate) mod toml_error;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use audio_frontend::Extractor;
use compute::{Job, Sound};
use features::FeatureShape;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

pub use cache::CacheUse;
pub use compute::Progress;
pub use error::DataError;
pub use features::{FeatureFormat, Features};
pub use layout::{LayoutSpec, ListFile, TableFile};
pub use leaks::{ALWAYS_APART, AllowedLeak, LeakSpec};
pub use manifest::{ClassSpec, ClipSpec, Defaults, LabelSpec, Manifest, PartNote};
pub(crate) use own_groups::TOGETHER;
pub use own_options::{Columns, OwnOptions};
pub use protocol::{FewShotRule, Protocol, ValidationRule, first_per_class, per_class};
pub(crate) use scan::list_files;
pub use scan::{Clip, Segment, scan};
pub use split::{Split, splits};
pub use split_spec::{ExtraSpec, HoldOut, SplitSpec};
pub use stop::Stop;

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

    /// Leaves out all clips but these, given by index in ascending order.
    pub fn keep(&mut self, part: &[usize]) {
        fn only<T: Clone>(values: &[T], part: &[usize]) -> Vec<T> {
            part.iter().map(|&index| values[index].clone()).collect()
        }
        self.clips = only(&self.clips, part);
        if let Sounds::Samples(samples) = &self.sounds {
            self.sounds = Sounds::Samples(only(samples, part));
        }
        self.hashes = OnceLock::new();
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
    /// As [`splits`], and where a group that is to be kept apart stands in two
    /// parts.
    pub fn splits(&self) -> Result<Vec<Split>, DataError> {
        self.splits_for(&Protocol::default())
    }

    /// The folds of the manifest's protocol as a run with these choices has
    /// them. Few-shot training parts are taken later, since their clips depend
    /// on the seed: [`Protocol::training_part`].
    ///
    /// # Errors
    /// As [`Dataset::splits`]; groups of `protocol.allow_leaks` are not looked
    /// at.
    pub fn splits_for(&self, protocol: &Protocol) -> Result<Vec<Split>, DataError> {
        // Which class a clip of several classes stands under says little.
        let classes = match self.manifest.label.separator {
            None => self.classes(),
            Some(_) => 0,
        };
        let folds = splits(&self.manifest.split, &self.clips, classes);
        let mut folds = folds.map_err(|error| self.with_class_name(error))?;
        for fold in &mut folds {
            let leaks = &self.manifest.leaks;
            leaks::check(fold, &self.clips, leaks, &protocol.allow_leaks)?;
            protocol.validation.apply(fold);
        }
        Ok(folds)
    }

    /// An error that knows a class by its number alone.
    fn with_class_name(&self, mut error: DataError) -> DataError {
        if let DataError::NoTrainingClip { class, name, .. } = &mut error
            && let Some(known) = self.manifest.label.classes.get(*class)
        {
            name.clone_from(&known.name);
        }
        error
    }

    /// Which classes each clip belongs to, where clips may have several: 1 where
    /// it does, 0 where it does not.
    ///
    /// # Shapes
    /// clips · C values, a row a clip.
    pub fn multi_hot(&self) -> Option<Vec<f32>> {
        let label = &self.manifest.label;
        label.separator.as_ref()?;
        let mut values = Vec::with_capacity(self.clips.len() * self.classes());
        for clip in &self.clips {
            let own = label.of(clip.group(&label.group));
            let is = |class: &ClassSpec| own.iter().any(|value| class.has(value));
            values.extend(label.classes.iter().map(|class| f32::from(is(class))));
        }
        Some(values)
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
        self.hash(Stop::default())
    }

    /// As [`hashes`](Self::hashes), unless it is told to end early.
    ///
    /// # Errors
    /// A file cannot be read, or [`DataError::Stopped`].
    pub fn hash(&self, stop: Stop<'_>) -> Result<&[Hash], DataError> {
        if let Some(hashes) = self.hashes.get() {
            return Ok(hashes);
        }
        let hashes = match &self.sounds {
            Sounds::Files => hash_files(&self.clips, stop)?,
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
    /// With a cache they lie in a file that is mapped into memory: that of an
    /// earlier call where sounds and settings are the same, and else a new one,
    /// computed on all cores. That a cache file is damaged or cannot be written
    /// is told in the second value and stops nothing.
    ///
    /// # Errors
    /// A clip is no usable sound (all such clips are named), or the features do
    /// not fit into memory where there is no cache.
    pub fn features(
        &self,
        extractor: &Extractor,
        options: FeatureOptions<'_>,
        progress: &Progress<'_>,
    ) -> Result<(Features, CacheUse), DataError> {
        let sound = |index: usize| match &self.sounds {
            Sounds::Files => Sound::File,
            Sounds::Samples(sounds) => Sound::Samples(&sounds[index], synthetic::SAMPLE_RATE),
        };
        let job = Job {
            clips: &self.clips,
            sound: &sound,
            extractor,
            allow_truncated: self.manifest.clips.allow_truncated,
            format: options.format,
            progress,
            stop: options.stop,
        };
        let config = extractor.config();
        let shape = FeatureShape {
            max_length: config.ast.max_length,
            bins: config.fbank.num_mel_bins,
            padding: config.ast.normalised(0.0),
            format: options.format,
        };
        let build: &cache::Build<'_> = &|store| compute::compute(&job, store);
        let Some(folder) = options.cache else {
            let features = cache::in_memory(self.clips.len(), shape, build)?;
            return Ok((features, CacheUse::Off));
        };
        let mut settings = format!("{config:?}");
        if job.allow_truncated {
            settings.push_str(" allow_truncated");
        }
        let key = cache::Key::new(self.hash(options.stop)?, &settings, shape);
        cache::load_or_build(folder, &self.manifest.name, &key, build)
    }
}

/// Where and how features are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeatureOptions<'a> {
    /// Folder of the feature cache; in memory when left out.
    pub cache: Option<&'a Path>,
    /// Their format. Default f32.
    pub format: FeatureFormat,
    /// Asked before every recording whether to end with
    /// [`DataError::Stopped`]. Default never.
    pub stop: Stop<'a>,
}

/// SHA-256 of the sound of every clip: of its file, and where the clip is a
/// piece of that, of its times too.
fn hash_files(clips: &[Clip], stop: Stop<'_>) -> Result<Vec<Hash>, DataError> {
    let runs: Vec<&[Clip]> = clips.chunk_by(|a, b| a.path == b.path).collect();
    let read: Vec<Result<Hash, String>> = runs
        .par_iter()
        .map(|run| {
            stop.check().map_err(|stopped| stopped.to_string())?;
            match std::fs::read(&run[0].path) {
                Ok(bytes) => Ok(Sha256::digest(bytes).into()),
                Err(error) => Err(format!("cannot read {}: {error}", run[0].path.display())),
            }
        })
        .collect();
    stop.check()?;
    let mut hashes = Vec::with_capacity(clips.len());
    let mut bad = Vec::new();
    for (run, read) in runs.into_iter().zip(read) {
        match read {
            Ok(file) => hashes.extend(run.iter().map(|clip| hash_piece(file, clip.segment))),
            Err(fault) => bad.push((run[0].path.clone(), fault)),
        }
    }
    if bad.is_empty() {
        return Ok(hashes);
    }
    let total = clips.len();
    Err(DataError::BadFiles { total, files: bad })
}

fn hash_piece(file: Hash, segment: Option<Segment>) -> Hash {
    let Some(Segment { start, end }) = segment else {
        return file;
    };
    let mut hash = Sha256::new();
    hash.update(file);
    hash.update(start.to_le_bytes());
    hash.update(end.unwrap_or(f64::INFINITY).to_le_bytes());
    hash.finalize().into()
}

fn hash_samples(samples: &[f32]) -> Hash {
    let mut hash = Sha256::new();
    for sample in samples {
        hash.update(sample.to_le_bytes());
    }
    hash.finalize().into()
}

/// Hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
