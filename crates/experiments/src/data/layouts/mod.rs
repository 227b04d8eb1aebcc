//! The layouts of data sets: from files, lists, tables and annotations to
//! candidates for clips, which have groups but no label yet.

mod annotations;
mod names;
mod resolve;
mod segments;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::layout::LayoutSpec;
use super::manifest::Manifest;
use super::scan::{Segment, list_files};

pub(super) use resolve::is_sound;

/// A file, or a piece of one, that may be a clip.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Path relative to the folder of the data set, with forward slashes.
    pub(super) relative: String,
    /// Where the file is.
    pub(super) path: PathBuf,
    /// Value of every group.
    pub(super) groups: BTreeMap<String, String>,
    /// The piece.
    pub(super) segment: Option<Segment>,
}

/// What a layout found.
#[derive(Debug)]
pub(super) struct Found {
    /// The candidates.
    pub(super) candidates: Vec<Candidate>,
    /// What was looked for, in words or as an expression.
    pub(super) wanted: String,
    /// Number of files or rows looked at.
    pub(super) looked_at: usize,
    /// One of them.
    pub(super) example: Option<String>,
}

/// The candidates of `manifest` under `root`.
pub(super) fn find(manifest: &Manifest, root: &Path) -> Result<Found, DataError> {
    match &manifest.layout {
        LayoutSpec::Files {} => {
            let files = list_files(root)?;
            Ok(names::find(&manifest.clips.pattern, &files))
        }
        LayoutSpec::Lists {
            group,
            otherwise,
            lists,
        } => {
            let files = list_files(root)?;
            let mut found = names::find(&manifest.clips.pattern, &files);
            let listed = names::read_lists(root, lists, &files)?;
            for candidate in &mut found.candidates {
                let value = listed.get(super::scan::stem(&candidate.relative));
                let value = value.unwrap_or(otherwise).clone();
                candidate.groups.insert(group.clone(), value);
            }
            Ok(found)
        }
        LayoutSpec::Table { .. } => segments::find(&manifest.layout, root),
        LayoutSpec::Annotations { files, line, audio } => {
            annotations::find(files, line, audio, root)
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
