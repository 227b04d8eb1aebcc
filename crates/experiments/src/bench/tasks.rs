//! A task of a profile: data set, splits and features.

use std::path::{Path, PathBuf};

use adapters::Compat;
use anyhow::{Context, Result, bail};
use audio_frontend::{Channels, Extractor, PipelineConfig};
use tch::Device;

use super::backbone::{Backbone, Fitted};
use super::profile::TaskSpec;
use super::progress::Bars;
use crate::clips::{Augmentation, Clips};
use crate::data::{Dataset, Defaults, FeatureOptions, Protocol, Split, per_class, synthetic};
use crate::front_end::pipeline;

/// Seed of the choice of validation and test clips, where they are thinned out.
const TEST_SEED: u64 = 0;

/// Seed of the synthesised sounds.
const SYNTHETIC_SEED: u64 = 10;

/// Where manifests and recordings are.
pub struct TaskSource<'a> {
    /// Folder of the manifests.
    pub datasets: &'a Path,
    /// The user's cache.
    pub cache: &'a Path,
}

/// Recordings that nobody fetched or a data set that nobody described: no
/// fault, the other tasks run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotThere(String);

/// A data set ready for its runs.
pub struct Task {
    /// What the profile says.
    pub spec: TaskSpec,
    /// The clips.
    pub dataset: Dataset,
    /// Hash of sounds, labels and protocol.
    pub fingerprint: String,
    /// What runs choose about their parts.
    pub protocol: Protocol,
    /// Folds of the protocol, whole.
    pub splits: Vec<Split>,
    /// Settings of the front end; its `ast.max_length` is the length of a clip.
    pub front_end: PipelineConfig,
    /// What its runs share, once [`prepare`](Self::prepare) was called.
    pub ready: Option<Ready>,
}

/// What every run of a task uses, made once.
pub struct Ready {
    /// Features of all clips.
    pub clips: Clips,
    /// The backbone for the task's length.
    pub backbone: Fitted,
}

impl Task {
    /// Opens the data set of a task, for runs that behave as `compat` says.
    ///
    /// # Errors
    /// Recordings that are not there, with the way to get them; a broken
    /// manifest; a file that cannot be read.
    pub fn open(spec: &TaskSpec, source: &TaskSource, compat: Compat) -> Result<Self> {
        let manifest_path = source.datasets.join(format!("{}.toml", spec.name));
        if !manifest_path.is_file() && !spec.synthesise {
            bail!(NotThere(format!(
                "there is no manifest {place}: this version does not know the layout of {name}; \
                 write one like the others in that folder, or leave the task out with \
                 --profile-file",
                place = manifest_path.display(),
                name = spec.name
            )));
        }
        let dataset = match root(&spec.name, source.cache)? {
            Some(root) => Dataset::load(&manifest_path, &root)?,
            None if spec.synthesise => synthetic::dataset(SYNTHETIC_SEED),
            None => bail!(NotThere(format!(
                "the recordings of {name} are not in {place}; run `cargo xtask data {name}`",
                name = spec.name,
                place = source.cache.join("data").join(&spec.name).display()
            ))),
        };
        let defaults = &dataset.manifest.defaults;
        let mut front_end = pipeline(spec.max_length.unwrap_or(defaults.max_length));
        front_end.decode.channels = channels(defaults, compat);
        let mut spec = spec.clone();
        // The profile speaks first, then the manifest.
        spec.augmentation.get_or_insert_with(|| Augmentation {
            spec_augment: defaults.spec_augment.clone(),
            ..Augmentation::default()
        });
        let protocol = protocol(&spec, defaults, compat);
        Ok(Task {
            spec,
            fingerprint: dataset.fingerprint()?,
            splits: dataset.splits_for(&protocol)?,
            protocol,
            dataset,
            front_end,
            ready: None,
        })
    }

    /// Computes the features of all clips, or takes them from the cache.
    ///
    /// # Errors
    /// Clips that are no usable sounds, or too little memory.
    pub fn prepare(
        &mut self,
        backbone: &Backbone,
        cache: &Path,
        device: Device,
        bars: &Bars,
    ) -> Result<()> {
        if self.ready.is_some() {
            return Ok(());
        }
        let extractor = Extractor::new(self.front_end.clone())?;
        let progress = bars.features(&self.spec.name, self.dataset.clips.len());
        let folder = cache.join("features");
        let options = FeatureOptions {
            cache: Some(&folder),
            format: self.spec.features,
            ..FeatureOptions::default()
        };
        let on_done = |done: usize, _: usize| progress.set_position(done as u64);
        let (features, usage) = self.dataset.features(&extractor, options, &on_done)?;
        progress.finish_and_clear();
        if let Some(note) = usage.note() {
            bars.say(note);
        }
        let labels: Vec<i64> = self
            .dataset
            .clips
            .iter()
            .map(|clip| clip.label as i64)
            .collect();
        let clips = Clips::from_features(features, labels, device)
            .context("the features do not belong to the clips; remove them from the cache")?
            .with_fbank(self.front_end.fbank.clone())
            .with_ast(self.front_end.ast.clone());
        self.ready = Some(Ready {
            clips,
            backbone: backbone.fitted(self.front_end.ast.max_length),
        });
        Ok(())
    }

    /// The parts of one fold, thinned out as the profile asks, with at most
    /// `few_shot` training clips of each class.
    ///
    /// # Errors
    /// A fold that the protocol does not have.
    pub fn split(&self, fold: usize, seed: u64, few_shot: Option<usize>) -> Result<Split> {
        let whole = self.splits.get(fold).with_context(|| {
            format!(
                "{} has no fold {fold}, only {}",
                self.spec.name,
                self.splits.len()
            )
        })?;
        // Every run of a fold is tested on the same clips, whatever its seed.
        let fixed = |part: &[usize]| match self.spec.test_clips_per_class {
            Some(limit) => per_class(part, &self.dataset.clips, limit, TEST_SEED),
            None => part.to_vec(),
        };
        let protocol = Protocol {
            few_shot,
            ..self.protocol.clone()
        };
        Ok(Split {
            train: protocol.training_part(&whole.train, &self.dataset.clips, seed),
            validation: fixed(&whole.validation),
            test: fixed(&whole.test),
            extra: whole
                .extra
                .iter()
                .map(|(name, part)| (name.clone(), fixed(part)))
                .collect(),
            ..whole.clone()
        })
    }
}

/// What `compat` asks for, and what the profile asks for instead.
fn protocol(spec: &TaskSpec, defaults: &Defaults, compat: Compat) -> Protocol {
    let usual = Protocol::of(compat, defaults);
    Protocol {
        validation: spec.validation.unwrap_or(usual.validation),
        few_shot: spec.train_clips_per_class,
        few_shot_rule: spec.few_shot_rule.unwrap_or(usual.few_shot_rule),
        allow_leaks: spec.allow_leaks.clone(),
    }
}

/// The channels that runs of a data set take.
fn channels(defaults: &Defaults, compat: Compat) -> Channels {
    match compat {
        Compat::Paper => defaults.paper_channels.unwrap_or_default(),
        Compat::Fixed => Channels::default(),
    }
}

/// The folder of a data set: `data/NAME` in the cache, or where the file
/// `data/NAME.path` points.
pub(crate) fn root(name: &str, cache: &Path) -> Result<Option<PathBuf>> {
    let folder = cache.join("data").join(name);
    let pointer = cache.join("data").join(format!("{name}.path"));
    if pointer.is_file() {
        let text = std::fs::read_to_string(&pointer)
            .with_context(|| format!("cannot read {}", pointer.display()))?;
        let path = PathBuf::from(text.trim());
        if !path.is_dir() {
            bail!(
                "{} points to {}, which is no folder; run `cargo xtask data --path {name}=FOLDER`",
                pointer.display(),
                path.display()
            );
        }
        return Ok(Some(path));
    }
    Ok(folder.is_dir().then_some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;

    #[test]
    fn only_runs_as_in_the_paper_take_the_channel_of_the_paper() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        let defaults = |name: &str| Manifest::load(&folder.join(name)).unwrap().defaults;
        let urban = defaults("urbansound8k.toml");
        assert_eq!(channels(&urban, Compat::Paper), Channels::First);
        assert_eq!(channels(&urban, Compat::Fixed), Channels::Mix);
        let other = defaults("mandarin-tone.toml");
        assert_eq!(channels(&other, Compat::Paper), Channels::Mix);
    }
}
