//! From a folder and a manifest to the list of clips.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::error::DataError;
use super::layouts::{self, Candidate};
use super::manifest::{LabelSpec, Manifest};
use super::template::Template;

/// One labelled recording, or a piece of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Where the file is.
    pub path: PathBuf,
    /// Path relative to the folder of the data set, with forward slashes.
    pub relative: String,
    /// Index of the class, below C.
    pub label: usize,
    /// Value of every group the manifest speaks of.
    pub groups: BTreeMap<String, String>,
    /// The piece of the file that is the clip; all of it when left out.
    pub segment: Option<Segment>,
}

/// From when to when in a file, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Where the clip begins, at least 0.
    pub start: f64,
    /// Where it ends, after `start`; the end of the file when left out.
    pub end: Option<f64>,
}

/// How far, in seconds, a segment may reach beyond the end of its file: tables
/// round to hundredths, and 10 ms are one frame.
const ROUNDING: f64 = 0.01;

impl Clip {
    /// Value of the group `name`, or "" where the clip has no such group.
    pub fn group(&self, name: &str) -> &str {
        self.groups.get(name).map_or("", String::as_str)
    }

    /// What tells it from all other clips: the relative path, and the times of
    /// a segment.
    pub fn name(&self) -> String {
        match self.segment {
            None => self.relative.clone(),
            Some(Segment { start, end: None }) => format!("{} [{start} s ..]", self.relative),
            Some(Segment {
                start,
                end: Some(end),
            }) => format!("{} [{start} s .. {end} s]", self.relative),
        }
    }
}

impl Segment {
    /// The samples of the segment in a file of `length` samples at `rate` Hz:
    /// from the sample nearest to `start` up to, and without, the one nearest
    /// to `end`.
    ///
    /// # Errors
    /// A sentence that says what does not fit.
    pub fn samples(&self, rate: u32, length: usize) -> Result<Range<usize>, String> {
        let rate = f64::from(rate);
        let seconds = length as f64 / rate;
        let at = |time: f64| (time * rate).round() as usize;
        let end = match self.end {
            None => length,
            Some(end) if end <= seconds + ROUNDING => at(end).min(length),
            Some(end) => {
                return Err(format!(
                    "the clip ends at {end} s and the file at {seconds} s; correct the end"
                ));
            }
        };
        let start = at(self.start);
        if start >= end {
            return Err(format!(
                "the clip begins at {} s and holds no sample of the file, which is {seconds} s long; correct its times",
                self.start
            ));
        }
        Ok(start..end)
    }
}

/// Finds every clip of `manifest` under `root`, sorted by relative path and,
/// within a file, by time.
///
/// Files that are no clips by the layout of the manifest, or match
/// `clips.exclude`, and clips whose label is in `label.leave_out` are passed
/// over.
///
/// # Errors
/// The folder is missing or cannot be listed, a table or list is at fault, no
/// file is a clip, a label belongs to no class, a class has no clips, two
/// clips are the same sound, or the number of clips is not the one of the
/// manifest.
pub fn scan(manifest: &Manifest, root: &Path) -> Result<Vec<Clip>, DataError> {
    if !root.is_dir() {
        return Err(DataError::FolderMissing {
            name: manifest.name.clone(),
            root: root.to_path_buf(),
        });
    }
    let found = layouts::find(manifest, root)?;
    let labeller = Labeller::new(manifest);
    let mut clips = Vec::new();
    for candidate in found.candidates {
        if let Some(clip) = labeller.clip(candidate)? {
            clips.push(clip);
        }
    }
    if clips.is_empty() {
        return Err(DataError::NoClips {
            name: manifest.name.clone(),
            root: root.to_path_buf(),
            pattern: found.wanted,
            files: found.looked_at,
            found: found.example,
        });
    }
    clips.sort_by(|a, b| {
        let start = |clip: &Clip| clip.segment.map_or(-1.0, |segment| segment.start);
        let by_path = a.relative.cmp(&b.relative);
        by_path.then(start(a).total_cmp(&start(b)))
    });
    check_endings(&clips)?;
    check_classes(manifest, root, &clips)?;
    check_count(manifest, root, clips.len())?;
    Ok(clips)
}

/// Gives candidates their label and the groups put together from others.
struct Labeller<'a> {
    manifest: &'a Manifest,
    exclude: Option<Regex>,
    classes: BTreeMap<&'a str, usize>,
    derive: Vec<(&'a String, Template)>,
}

impl<'a> Labeller<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        // `Manifest::validate` has read all of these, so none is lost here.
        let exclude = manifest.clips.exclude.as_ref();
        let derive = manifest.clips.derive.iter();
        Self {
            manifest,
            exclude: exclude.and_then(|text| Regex::new(text).ok()),
            classes: class_of_value(&manifest.label),
            derive: derive
                .filter_map(|(name, text)| Some((name, Template::parse("", text).ok()?)))
                .collect(),
        }
    }

    /// The clip, or nothing where it is to be passed over.
    fn clip(&self, candidate: Candidate) -> Result<Option<Clip>, DataError> {
        let Candidate {
            relative,
            path,
            mut groups,
            segment,
        } = candidate;
        let exclude = self.exclude.as_ref();
        if exclude.is_some_and(|exclude| exclude.is_match(&relative)) {
            return Ok(None);
        }
        for (name, template) in &self.derive {
            let value = template.fill(&groups);
            groups.insert((*name).clone(), value);
        }
        let label = &self.manifest.label;
        let value = groups.get(&label.group).map_or("", String::as_str);
        if label.leave_out.iter().any(|left_out| left_out == value) {
            return Ok(None);
        }
        // Of several labels the first stands for the clip where one must.
        let mut first = None;
        for label in label.of(value) {
            match self.classes.get(label) {
                Some(class) => first = first.or(Some(*class)),
                None => return Err(self.unknown(path, label)),
            }
        }
        let Some(class) = first else {
            return Err(self.unknown(path, value));
        };
        Ok(Some(Clip {
            label: class,
            path,
            relative,
            groups,
            segment,
        }))
    }

    fn unknown(&self, file: PathBuf, value: &str) -> DataError {
        DataError::UnknownLabel {
            name: self.manifest.name.clone(),
            file,
            group: self.manifest.label.group.clone(),
            value: value.to_owned(),
        }
    }
}

fn class_of_value(label: &LabelSpec) -> BTreeMap<&str, usize> {
    let mut classes = BTreeMap::new();
    for (index, class) in label.classes.iter().enumerate() {
        classes.extend(class.values.iter().map(|value| (value.as_str(), index)));
    }
    classes
}

/// `path` without the ending of its file name.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    match path[name..].rfind('.') {
        Some(dot) if dot > 0 => &path[..name + dot],
        _ => path,
    }
}

/// Refuses the same clip in two formats, which could be in two parts.
fn check_endings(clips: &[Clip]) -> Result<(), DataError> {
    let mut stems: BTreeMap<&str, &Clip> = BTreeMap::new();
    for clip in clips {
        let other = stems.entry(stem(&clip.relative)).or_insert(clip);
        if other.path != clip.path {
            return Err(DataError::TwoEndings {
                first: other.path.clone(),
                second: clip.path.clone(),
            });
        }
    }
    Ok(())
}

/// Every file under `root` by its relative path. Links to folders are
/// followed, each folder once, so that a loop of links ends.
pub(crate) fn list_files(root: &Path) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let mut files = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(String::new(), root.to_path_buf())];
    while let Some((prefix, folder)) = open.pop() {
        let unreadable = |source| DataError::FolderUnreadable {
            folder: folder.clone(),
            source,
        };
        if !seen.insert(folder.canonicalize().map_err(unreadable)?) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let relative = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            if path.is_dir() {
                open.push((format!("{relative}/"), path));
            } else {
                files.insert(relative, path);
            }
        }
    }
    Ok(files)
}

fn check_classes(manifest: &Manifest, root: &Path, clips: &[Clip]) -> Result<(), DataError> {
    let label = &manifest.label;
    let mut present: BTreeSet<usize> = clips.iter().map(|clip| clip.label).collect();
    if label.separator.is_some() {
        let classes = class_of_value(label);
        for clip in clips {
            let own = label.of(clip.group(&label.group));
            present.extend(own.iter().filter_map(|value| classes.get(value)));
        }
    }
    let classes = label.classes.iter().enumerate();
    match classes
        .into_iter()
        .find(|(index, _)| !present.contains(index))
    {
        None => Ok(()),
        Some((_, class)) => Err(DataError::EmptyClass {
            name: manifest.name.clone(),
            class: class.name.clone(),
            root: root.to_path_buf(),
        }),
    }
}

fn check_count(manifest: &Manifest, root: &Path, found: usize) -> Result<(), DataError> {
    match manifest.clips.count {
        Some(expected) if expected != found => Err(DataError::ClipCount {
            name: manifest.name.clone(),
            root: root.to_path_buf(),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
