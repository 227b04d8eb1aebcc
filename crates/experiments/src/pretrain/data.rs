//! The clips of several data sets as one list.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use audio_frontend::Extractor;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::config::PretrainTask;
use super::heads::LabelSet;
use crate::bench;
use crate::clips::Clips;
use crate::data::{Dataset, FeatureOptions, Hash, Split};

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

/// A data set and its fold.
struct Opened {
    name: String,
    dataset: Dataset,
    split: Split,
}

/// Opens the data sets and computes features, or takes them from the cache.
///
/// A recording that one data set holds out trains in none, though another set
/// has it too, with other labels.
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
    let opened: Vec<Opened> = tasks
        .iter()
        .map(|task| open_one(task, datasets, cache))
        .collect::<Result<_>>()?;
    let held = held_out(&opened)?;
    let mut split = Split::default();
    let (mut parts, mut sets, mut sources) = (Vec::new(), Vec::new(), Vec::new());
    let (mut first, mut classes) = (0, 0);
    for one in &opened {
        let train = training_part(one, &held)?;
        let validation = &one.split.validation;
        sources.push(source(one, train.len())?);
        split.train.extend(train.iter().map(|index| first + index));
        split
            .validation
            .extend(validation.iter().map(|index| first + index));
        let names = one.dataset.manifest.class_names();
        sets.push(LabelSet {
            name: one.name.clone(),
            classes: names.iter().map(|&name| name.to_owned()).collect(),
            start: classes,
        });
        let clips = features(one, &extractor, classes, cache, device, progress)?;
        first += clips.len();
        classes += one.dataset.classes();
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

fn open_one(task: &PretrainTask, datasets: &Path, cache: &Path) -> Result<Opened> {
    let dataset = dataset(&task.name, datasets, cache)?;
    let split = fold(&dataset, task)?;
    Ok(Opened {
        name: task.name.clone(),
        dataset,
        split,
    })
}

/// The sounds that any of the data sets holds out.
fn held_out(opened: &[Opened]) -> Result<HashSet<Hash>> {
    let mut held = HashSet::new();
    for one in opened {
        let hashes = one.dataset.hashes()?;
        held.extend(one.split.validation.iter().map(|&index| hashes[index]));
    }
    Ok(held)
}

/// What of a data set trains: training and test part without what is held out.
fn training_part(one: &Opened, held: &HashSet<Hash>) -> Result<Vec<usize>> {
    let hashes = one.dataset.hashes()?;
    let all = one.split.train.iter().chain(&one.split.test).copied();
    let mut train: Vec<usize> = all
        .filter(|&index| !held.contains(&hashes[index]))
        .collect();
    train.sort_unstable();
    Ok(train)
}

fn source(one: &Opened, train: usize) -> Result<Source> {
    let manifest = &one.dataset.manifest;
    Ok(Source {
        name: one.name.clone(),
        title: manifest.title.clone(),
        licence: manifest.licence.clone(),
        classes: one.dataset.classes(),
        train,
        validation: one.split.validation.len(),
        fingerprint: one.dataset.fingerprint()?,
    })
}

/// The clips of a data set, with classes counted from `first`.
fn features(
    one: &Opened,
    extractor: &Extractor,
    first: usize,
    cache: &Path,
    device: Device,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Clips> {
    let folder = cache.join("features");
    let options = FeatureOptions {
        cache: Some(&folder),
        ..FeatureOptions::default()
    };
    let told = |done, total| progress(&one.name, done, total);
    let (features, _) = one.dataset.features(extractor, options, &told)?;
    let labels = one.dataset.clips.iter();
    let labels = labels.map(|clip| (first + clip.label) as i64).collect();
    Clips::from_features(features, labels, device)
        .context("the features do not belong to the clips; remove them from the cache")
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
