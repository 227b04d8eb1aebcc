//! Anyone's own sounds, without a manifest: a folder per class, or a table.

use std::collections::BTreeSet;
use std::path::Path;

use audio_frontend::{Extractor, PipelineConfig};

use super::error::DataError;
use super::layout::LayoutSpec;
use super::leaks::LeakSpec;
use super::manifest::{ClassSpec, ClipSpec, Defaults, LabelSpec, Manifest};
use super::own_options::OwnOptions;
use super::split_spec::{HoldOut, SplitSpec};
use super::{Dataset, own_folder, own_groups, own_table};

/// Clips whose length is looked at when `max_length` is left out.
const MEASURED: usize = 64;

/// Frames when all of those are longer: what AST was pretrained with.
const LONGEST: usize = 1024;

/// What people call the three parts.
const PARTS: [&[&str]; 3] = [
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];

impl Dataset {
    /// Sounds without a manifest: a folder with a sub-folder for every class,
    /// which may lie in folders named train, validation and test; or a table
    /// with columns as [`OwnOptions::columns`] names them (`.csv`, `.tsv`, `.jsonl`).
    ///
    /// Classes are in the order of their names, numbers in that of numbers.
    /// Sounds that come with a split keep it, those with at least three folds
    /// rotate over them, of two folds the last is tested; all others are divided
    /// in shares of every class. Clips that a speaker, a group, a recording or
    /// an incomplete column of folds ties together, over any number of others,
    /// stay together; [`OwnOptions::allow_leaks`] names groups that need not.
    ///
    /// # Errors
    /// No class is found, a table is at fault, or as [`Dataset::with_manifest`].
    pub fn own(place: &Path, options: &OwnOptions) -> Result<Self, DataError> {
        let (manifest, groups, root) = if place.is_dir() {
            (own_folder::manifest(place, options)?, Vec::new(), place)
        } else {
            let parent = place.parent().filter(|folder| *folder != Path::new(""));
            let (manifest, groups) = own_table::manifest(place, options)?;
            (manifest, groups, parent.unwrap_or(Path::new(".")))
        };
        // With one class, which is enough to measure, it would be refused.
        if !options.measured_only {
            manifest
                .validate()
                .map_err(|message| fault(place, message))?;
        }
        let mut dataset = Self::with_manifest(manifest, root)?;
        own_groups::connect(&mut dataset, &groups);
        if options.max_length.is_none() {
            dataset.manifest.defaults.max_length = longest(&dataset)?;
        }
        Ok(dataset)
    }
}

pub(super) fn fault(place: &Path, message: impl Into<String>) -> DataError {
    DataError::OwnSounds {
        place: place.to_path_buf(),
        message: message.into(),
    }
}

/// How many classes sounds must have.
pub(super) fn least_classes(options: &OwnOptions) -> usize {
    if options.measured_only { 1 } else { 2 }
}

/// Which part a name means.
pub(super) fn part_of(name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    PARTS
        .iter()
        .position(|names| names.contains(&name.as_str()))
}

pub(super) fn manifest(
    place: &Path,
    options: &OwnOptions,
    clips: ClipSpec,
    layout: LayoutSpec,
    label: LabelSpec,
    split: SplitSpec,
) -> Manifest {
    let stem = place.file_stem().unwrap_or_default().to_string_lossy();
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
        _ => '-',
    };
    let name: String = stem.chars().map(plain).collect();
    let name = match name.trim_matches('-') {
        "" => "own-sounds".to_owned(),
        name => name.to_owned(),
    };
    Manifest {
        name,
        title: format!("own sounds, {} classes", label.classes.len()),
        licence: "own".to_owned(),
        caveat: match &split {
            SplitSpec::Shares { group: None, .. } => {
                "Divided clip by clip: where several clips are of one speaker or recording, the accuracy is too good.".to_owned()
            }
            _ => String::new(),
        },
        parts: Vec::new(),
        source: toml::Table::new(),
        layout,
        clips,
        label,
        split,
        leaks: LeakSpec::default(),
        defaults: Defaults {
            max_length: options.max_length.unwrap_or(LONGEST),
            batch: 32,
            epochs: 20,
            paper_channels: None,
            paper_validation: None,
            spec_augment: audio_frontend::SpecAugment::default(),
        },
    }
}

pub(super) fn label(group: &str, values: BTreeSet<&str>) -> LabelSpec {
    let class = |name: String| ClassSpec {
        values: vec![name.clone()],
        name,
    };
    LabelSpec {
        group: group.to_owned(),
        separator: None,
        leave_out: Vec::new(),
        classes: natural(values).into_iter().map(class).collect(),
    }
}

/// Values in the order of numbers where all are, else of their letters.
pub(super) fn natural(values: BTreeSet<&str>) -> Vec<String> {
    let mut values: Vec<&str> = values.into_iter().collect();
    let numbers: Option<Vec<i64>> = values.iter().map(|value| value.parse().ok()).collect();
    if numbers.is_some() {
        values.sort_by_key(|value| value.parse::<i64>().unwrap_or_default());
    }
    values.into_iter().map(str::to_owned).collect()
}

/// The split by the names of parts that are there.
pub(super) fn parts(
    group: &str,
    values: &BTreeSet<&str>,
    kept: Option<&str>,
    options: &OwnOptions,
    place: &Path,
) -> Result<SplitSpec, DataError> {
    let mut named: [Vec<String>; 3] = Default::default();
    for value in values {
        let Some(part) = part_of(value) else {
            let message = format!(
                "`{value}` is no part; write train, validation or test, or leave the column out to have the clips divided"
            );
            return Err(fault(place, message));
        };
        named[part].push((*value).to_owned());
    }
    let [train, validation, test] = named;
    if !options.measured_only && (train.is_empty() || test.is_empty()) {
        let message = "there must be a train and a test part; name both, or neither to have the clips divided";
        return Err(fault(place, message));
    }
    let hold_out = validation.is_empty().then(|| hold_out(kept, options));
    Ok(SplitSpec::Parts {
        group: group.to_owned(),
        train,
        validation,
        test,
        hold_out,
    })
}

/// One value of `group` trains and validates, the other one is tested.
pub(super) fn two_parts(
    group: &str,
    train: &str,
    test: &str,
    kept: Option<&str>,
    options: &OwnOptions,
) -> SplitSpec {
    SplitSpec::Parts {
        group: group.to_owned(),
        train: vec![train.to_owned()],
        validation: Vec::new(),
        test: vec![test.to_owned()],
        hold_out: Some(hold_out(kept, options)),
    }
}

fn hold_out(kept: Option<&str>, options: &OwnOptions) -> HoldOut {
    HoldOut {
        group: kept.map(str::to_owned),
        fraction: options.validation,
        seed: options.seed,
    }
}

pub(super) fn shares(kept: Option<&str>, options: &OwnOptions) -> SplitSpec {
    SplitSpec::Shares {
        group: kept.map(str::to_owned),
        validation: options.validation,
        test: options.test,
        seed: options.seed,
    }
}

/// Frames of the longest of some clips.
fn longest(dataset: &Dataset) -> Result<usize, DataError> {
    let extractor = Extractor::new(PipelineConfig::default());
    let extractor = extractor.map_err(|error| fault(&dataset.root, error.to_string()))?;
    let fbank = extractor.config().fbank.clone();
    let clips = &dataset.clips;
    let step = clips.len().div_ceil(MEASURED).max(1);
    let mut frames = 1;
    for clip in clips.iter().step_by(step) {
        let seconds = match clip.segment {
            Some(segment) if segment.end.is_some() => {
                segment.end.unwrap_or_default() - segment.start
            }
            // A bad file is told, with all others, when features are made.
            _ => match extractor.load(&clip.path) {
                Ok(audio) => audio.seconds() - clip.segment.map_or(0.0, |s| s.start),
                Err(_) => continue,
            },
        };
        let samples = (seconds.max(0.0) * f64::from(fbank.sample_rate)).round() as usize;
        frames = frames.max(fbank.num_frames(samples));
    }
    Ok(frames.min(LONGEST))
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
