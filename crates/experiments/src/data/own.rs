//! Anyone's own sounds, without a manifest: a folder per class, or a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use audio_frontend::{Extractor, FILE_ENDINGS, PipelineConfig};

use super::Dataset;
use super::error::DataError;
use super::layout::{LayoutSpec, TableFile};
use super::layouts::is_sound;
use super::leaks::LeakSpec;
use super::manifest::{ClassSpec, ClipSpec, Defaults, LabelSpec, Manifest};
use super::own_options::OwnOptions;
use super::scan::list_files;
use super::split_spec::{HoldOut, SplitSpec};
use super::table::{self, Row};
use super::toml_error::edit_distance;

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
    /// with columns as [`Columns`] names them (`.csv`, `.tsv`, `.jsonl`).
    ///
    /// Classes are in the order of their names, numbers in that of numbers.
    /// Sounds that come with a split keep it, those with at least three folds
    /// rotate over them, all others are divided in shares of every class, by
    /// speaker or group where there is one.
    ///
    /// # Errors
    /// No class is found, a table is at fault, or as [`Dataset::with_manifest`].
    pub fn own(place: &Path, options: &OwnOptions) -> Result<Self, DataError> {
        let (mut manifest, root) = if place.is_dir() {
            (folder(place, options)?, place)
        } else {
            let parent = place.parent().filter(|folder| *folder != Path::new(""));
            (own_table(place, options)?, parent.unwrap_or(Path::new(".")))
        };
        manifest
            .validate()
            .map_err(|message| fault(place, message))?;
        let mut dataset = Self::with_manifest(manifest.clone(), root)?;
        if options.max_length.is_none() {
            manifest.defaults.max_length = longest(&dataset)?;
            dataset.manifest = manifest;
        }
        Ok(dataset)
    }
}

fn fault(place: &Path, message: impl Into<String>) -> DataError {
    DataError::OwnSounds {
        place: place.to_path_buf(),
        message: message.into(),
    }
}

/// The manifest of a folder with a sub-folder for every class.
fn folder(root: &Path, options: &OwnOptions) -> Result<Manifest, DataError> {
    let files = list_files(root)?;
    let visible = |path: &str| !path.split('/').any(|part| part.starts_with('.'));
    let sounds = files
        .iter()
        .filter(|(relative, path)| is_sound(path) && visible(relative));
    let paths: Vec<Vec<&str>> = sounds
        .map(|(relative, _)| relative.split('/').collect())
        .filter(|parts: &Vec<&str>| parts.len() > 1)
        .collect();
    let part_of = |name: &str| {
        let name = name.to_lowercase();
        PARTS
            .iter()
            .position(|names| names.contains(&name.as_str()))
    };
    let has_parts = !paths.is_empty()
        && paths
            .iter()
            .all(|path| path.len() > 2 && part_of(path[0]).is_some());
    let depth = usize::from(has_parts);
    let classes: BTreeSet<&str> = paths.iter().map(|path| path[depth]).collect();
    if classes.len() < 2 {
        return Err(fault(
            root,
            format!(
                "{} sub-folders hold sound files ({}); make one for each of at least two classes, or name a table",
                classes.len(),
                FILE_ENDINGS.map(|ending| format!(".{ending}")).join(", ")
            ),
        ));
    }
    let endings = FILE_ENDINGS.join("|");
    let part = if has_parts {
        "(?<part>[^./][^/]*)/"
    } else {
        ""
    };
    let values: BTreeSet<&str> = paths.iter().map(|path| path[0]).collect();
    let split = match has_parts {
        true => parts("part", &values, None, options, root)?,
        false => shares(None, options),
    };
    Ok(manifest(
        root,
        options,
        ClipSpec {
            pattern: format!(r"^{part}(?<class>[^./][^/]*)/.+\.(?i:{endings})$"),
            exclude: Some(r"(^|/)\.".to_owned()),
            ..ClipSpec::default()
        },
        LayoutSpec::default(),
        label("class", classes),
        split,
    ))
}

/// The manifest of a table.
fn own_table(file: &Path, options: &OwnOptions) -> Result<Manifest, DataError> {
    let rows = table::read(file)?;
    let present = table::columns(&rows);
    let names = &options.columns;
    for needed in [&names.path, &names.label] {
        if !present.contains(needed.as_str()) {
            let present: Vec<&str> = present.iter().copied().collect();
            return Err(fault(
                file,
                format!(
                    "there is no column `{needed}`, only {}; rename one, or say what the columns are called",
                    present.join(", ")
                ),
            ));
        }
    }
    // A column that is spelled almost right would be lost in silence.
    for column in &present {
        let near = |known: &&str| {
            *known != *column
                && !present.contains(*known)
                && edit_distance(&column.to_lowercase(), known) <= 1
        };
        if let Some(known) = names.all().iter().find(|known| near(known)) {
            return Err(fault(
                file,
                format!(
                    "the column `{column}` is not used; is it `{known}`? Rename it or remove it"
                ),
            ));
        }
    }
    let has = |name: &String| present.contains(name.as_str());
    let column = |name: &String| has(name).then(|| name.clone());
    let mut columns = BTreeMap::from([("label".to_owned(), names.label.clone())]);
    for (group, name) in [
        ("split", &names.split),
        ("fold", &names.fold),
        ("speaker", &names.speaker),
        ("group", &names.group),
    ] {
        if has(name) {
            columns.insert(group.to_owned(), name.clone());
        }
    }
    let value = |row: &Row, name: &str| row.required(name).unwrap_or_default().to_owned();
    let values =
        |name: &str| -> BTreeSet<String> { rows.iter().map(|row| value(row, name)).collect() };
    let kept = ["speaker", "group"]
        .into_iter()
        .find(|group| columns.contains_key(*group))
        .or_else(|| (has(&names.start) || has(&names.end)).then_some("file"));
    let folds = values(&names.fold);
    let split = if has(&names.split) {
        let values = values(&names.split);
        let values = values.iter().map(String::as_str).collect();
        parts("split", &values, kept, options, file)?
    } else if has(&names.fold) && folds.len() >= 3 && !folds.contains("") {
        SplitSpec::GroupRotation {
            group: "fold".to_owned(),
            order: natural(folds.iter().map(String::as_str).collect()),
        }
    } else {
        shares(kept, options)
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let layout = LayoutSpec::Table {
        tables: vec![TableFile {
            file: name.into_owned(),
            set: BTreeMap::new(),
        }],
        path: names.path.clone(),
        folder: String::new(),
        start: column(&names.start),
        end: column(&names.end),
        columns,
    };
    let labels = values(&names.label);
    if labels.contains("") {
        return Err(fault(
            file,
            format!("a row has no `{}`; give every clip a label", names.label),
        ));
    }
    let labels = labels.iter().map(String::as_str).collect();
    let clips = ClipSpec::default();
    let label = label("label", labels);
    Ok(manifest(file, options, clips, layout, label, split))
}

fn manifest(
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

fn label(group: &str, values: BTreeSet<&str>) -> LabelSpec {
    let class = |name: String| ClassSpec {
        values: vec![name.clone()],
        name,
    };
    LabelSpec {
        group: group.to_owned(),
        leave_out: Vec::new(),
        classes: natural(values).into_iter().map(class).collect(),
    }
}

/// Values in the order of numbers where all are, else of their letters.
fn natural(values: BTreeSet<&str>) -> Vec<String> {
    let mut values: Vec<&str> = values.into_iter().collect();
    let numbers: Option<Vec<i64>> = values.iter().map(|value| value.parse().ok()).collect();
    if numbers.is_some() {
        values.sort_by_key(|value| value.parse::<i64>().unwrap_or_default());
    }
    values.into_iter().map(str::to_owned).collect()
}

/// The split by the names of parts that are there.
fn parts(
    group: &str,
    values: &BTreeSet<&str>,
    kept: Option<&str>,
    options: &OwnOptions,
    place: &Path,
) -> Result<SplitSpec, DataError> {
    let mut named: [Vec<String>; 3] = Default::default();
    for value in values {
        let lower = value.to_lowercase();
        let part = PARTS.iter().position(|part| part.contains(&&*lower));
        let Some(part) = part else {
            let message = format!(
                "`{value}` is no part; write train, validation or test, or leave the column out to have the clips divided"
            );
            return Err(fault(place, message));
        };
        named[part].push((*value).to_owned());
    }
    let [train, validation, test] = named;
    if train.is_empty() || test.is_empty() {
        let message = "there must be a train and a test part; name both, or neither to have the clips divided";
        return Err(fault(place, message));
    }
    let hold_out = validation.is_empty().then(|| HoldOut {
        group: kept.map(str::to_owned),
        fraction: options.validation,
        seed: options.seed,
    });
    Ok(SplitSpec::Parts {
        group: group.to_owned(),
        train,
        validation,
        test,
        hold_out,
    })
}

fn shares(kept: Option<&str>, options: &OwnOptions) -> SplitSpec {
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
