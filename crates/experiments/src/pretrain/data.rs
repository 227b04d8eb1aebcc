//! The clips of several data sets as one list.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use audio_frontend::Extractor;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::config::PretrainTask;
use super::heads::LabelSet;
use crate::bench;
use crate::clips::Clips;
use crate::data::{Dataset, FeatureOptions, Split};

/// What is known of one of the data sets: for the model card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Name of the manifest.
    pub name: String,
    /// What it is.
    pub title: String,
    /// Under which terms.
    pub licence: String,
    /// Number of classes.
    pub classes: usize,
    /// Clips that train.
    pub train: usize,
    /// Clips held out.
    pub validation: usize,
    /// Hash of sounds, labels and split.
    pub fingerprint: String,
}

/// Everything that is learnt from.
pub struct Mixture {
    /// The clips of all data sets, one set after the other, with classes counted
    /// over all sets.
    pub clips: Clips,
    /// Which of them train and which are held out; nothing is tested.
    pub split: Split,
    /// The classes.
    pub sets: Vec<LabelSet>,
    /// Where they come from.
    pub sources: Vec<Source>,
}

/// Opens the data sets and computes features, or takes them from the cache.
///
/// # Errors
/// A data set that is not there or broken, or unusable sounds.
pub fn open(
    tasks: &[PretrainTask],
    max_length: usize,
    [datasets, cache]: [&Path; 2],
    device: Device,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Mixture> {
    let front_end = crate::front_end::pipeline(max_length);
    let extractor = Extractor::new(front_end.clone())?;
    let mut split = Split::default();
    let (mut parts, mut sets, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first, mut classes) = (0, 0);
    for task in tasks {
        let dataset = dataset(&task.name, datasets, cache)?;
        let own = fold(&dataset, task)?;
        let folder = cache.join("features");
        let options = FeatureOptions {
            cache: Some(&folder),
            ..FeatureOptions::default()
        };
        let told = |done, total| progress(&task.name, done, total);
        let (features, _) = dataset.features(&extractor, options, &told)?;
        let labels = dataset.clips.iter();
        let labels = labels.map(|clip| (classes + clip.label) as i64).collect();
        let clips = Clips::from_features(features, labels, device)
            .context("the features do not belong to the clips; remove them from the cache")?;
        let train = own.train.iter().chain(&own.test).copied();
        let mut train: Vec<usize> = train.map(|index| first + index).collect();
        train.sort_unstable();
        let held: Vec<usize> = own.validation.iter().map(|index| first + index).collect();
        sources.push(Source {
            name: task.name.clone(),
            title: dataset.manifest.title.clone(),
            licence: dataset.manifest.licence.clone(),
            classes: dataset.classes(),
            train: train.len(),
            validation: held.len(),
            fingerprint: dataset.fingerprint()?,
        });
        split.train.extend(train);
        split.validation.extend(held);
        let names = dataset.manifest.class_names();
        sets.push(LabelSet {
            name: task.name.clone(),
            classes: names.iter().map(|&name| name.to_owned()).collect(),
            start: classes,
        });
        first += clips.len();
        classes += dataset.classes();
        parts.push(clips);
    }
    let clips = Clips::joined(parts).context("the data sets have features of different sizes")?;
    let clips = clips
        .with_fbank(front_end.fbank.clone())
        .with_ast(front_end.ast.clone());
    Ok(Mixture {
        clips,
        split,
        sets,
        sources,
    })
}

fn dataset(name: &str, datasets: &Path, cache: &Path) -> Result<Dataset> {
    let manifest = datasets.join(format!("{name}.toml"));
    ensure!(
        manifest.is_file(),
        "there is no manifest {}; name one of those in that folder, or write one",
        manifest.display()
    );
    let root = bench::data_folder(name, cache)?;
    let root = root.with_context(|| {
        format!("the recordings of {name} are not there; run `cargo xtask data {name}`")
    })?;
    Ok(Dataset::load(&manifest, &root)?)
}

fn fold(dataset: &Dataset, task: &PretrainTask) -> Result<Split> {
    let mut folds = dataset.splits()?;
    let count = folds.len();
    ensure!(
        task.fold < count,
        "{} has no fold {}, only {count}",
        task.name,
        task.fold
    );
    Ok(folds.swap_remove(task.fold))
}
