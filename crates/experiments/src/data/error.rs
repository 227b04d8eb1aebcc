//! What can be wrong with a data set, and what to do about it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How many bad files an error message names before it only counts them.
const NAMED_FILES: usize = 10;

/// A fault in the input: a manifest, a folder of sounds, or one of its files.
///
/// Every variant names what is at fault and what to do next. A program that
/// stops because of one of these exits with [`DataError::EXIT_CODE`].
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A manifest cannot be opened.
    #[error("cannot read the manifest {}: {source}; check the path and that the file is UTF-8 text", file.display())]
    ManifestUnreadable {
        /// The manifest.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A manifest has a field the program does not know.
    #[error("{}{}: unknown field `{field}`; {}", file.display(), at_line(*line), suggestion(nearest.as_deref()))]
    UnknownField {
        /// The manifest.
        file: PathBuf,
        /// Line of the table that holds the field, from 1, where known.
        line: Option<usize>,
        /// The field as written.
        field: String,
        /// The known field that is spelled most like it.
        nearest: Option<String>,
    },
    /// A manifest is not TOML, lacks a field, or has a value of another type.
    #[error("{}{}: {message}; correct the manifest", file.display(), at_line(*line))]
    ManifestSyntax {
        /// The manifest.
        file: PathBuf,
        /// Line of the fault, from 1, where known.
        line: Option<usize>,
        /// What the parser said.
        message: String,
    },
    /// A manifest reads well but contradicts itself.
    #[error("{}: {message}", file.display())]
    ManifestContradiction {
        /// The manifest.
        file: PathBuf,
        /// What contradicts what, and what to write instead.
        message: String,
    },
    /// The folder of a data set does not exist.
    #[error("the folder of data set `{name}` is missing: {}; fetch it with `cargo xtask data {name}`, or name the folder it is in", root.display())]
    FolderMissing {
        /// Name of the data set.
        name: String,
        /// Where it was looked for.
        root: PathBuf,
    },
    /// A folder below the data set cannot be listed.
    #[error("cannot list {}: {source}; check the permissions of the folder", folder.display())]
    FolderUnreadable {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No file of the folder is a clip.
    #[error("no file under {} is a clip of `{name}`: {files} files, none matches `{pattern}`{}; check that this is the folder of the data set, or fetch it with `cargo xtask data {name}`", root.display(), example(found.as_deref()))]
    NoClips {
        /// Name of the data set.
        name: String,
        /// Folder that was searched.
        root: PathBuf,
        /// The pattern of the manifest.
        pattern: String,
        /// Number of files of any kind in the folder.
        files: usize,
        /// One of them, to compare with the pattern.
        found: Option<String>,
    },
    /// More or fewer clips than the manifest promises.
    #[error("{} holds {found} clips of `{name}`, the manifest says {expected}; fetch the data set again with `cargo xtask data {name}`, or correct `clips.count`", root.display())]
    ClipCount {
        /// Name of the data set.
        name: String,
        /// Folder that was searched.
        root: PathBuf,
        /// Clips of the manifest.
        expected: usize,
        /// Clips of the folder.
        found: usize,
    },
    /// A class of the manifest has no clip.
    #[error("class `{class}` of `{name}` has no clips under {}; fetch the missing files with `cargo xtask data {name}`, or remove the class from the manifest", root.display())]
    EmptyClass {
        /// Name of the data set.
        name: String,
        /// Display name of the class.
        class: String,
        /// Folder that was searched.
        root: PathBuf,
    },
    /// A clip carries a label no class of the manifest claims.
    #[error("{}: label `{value}` (group `{group}`) belongs to no class of `{name}`; add it to the `values` of a class or to `label.leave_out`", file.display())]
    UnknownLabel {
        /// Name of the data set.
        name: String,
        /// The clip.
        file: PathBuf,
        /// The group of the pattern that holds the label.
        group: String,
        /// The value found.
        value: String,
    },
    /// Group values stand in two parts of a split that must not share them.
    #[error(
        "fold {fold}: {group} {} in the {first} part and in the {second} part (for example {} and {}); results would be too good: divide the clips another way, or allow it with `allow_leaks = [\"{group}\"]` in the settings of the run or task, or with `leaks.allow` in the manifest", shared(values), examples[0], examples[1]
    )]
    GroupLeak {
        /// Index of the fold, from 0.
        fold: usize,
        /// Name of the group.
        group: String,
        /// The shared values.
        values: Vec<String>,
        /// One part.
        first: String,
        /// The other part.
        second: String,
        /// A clip of the first value in either part.
        examples: Box<[String; 2]>,
    },
    /// A clip has a group value that the split does not list.
    #[error("{}: {group} `{value}` is not in {list} of the manifest; add it there, or leave the clip out with `clips.exclude`", file.display())]
    UnlistedGroup {
        /// Where it should stand.
        list: &'static str,
        /// The clip.
        file: PathBuf,
        /// Name of the group.
        group: String,
        /// Its value.
        value: String,
    },
    /// The same clip in two formats.
    #[error("{} and {} differ in the ending only; the same sound could be trained on and tested, so remove one", first.display(), second.display())]
    TwoEndings {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A table or list of clips cannot be read.
    #[error("cannot read {}: {source}; check the path and the permissions, or fetch the data set again", file.display())]
    TableUnreadable {
        /// The table.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A table or list of clips is at fault.
    #[error("{}, line {line}: {message}", file.display())]
    TableFault {
        /// The table.
        file: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// A list names files that are not there.
    #[error("{} lists {count} files that are not under {}, for example {examples}; fetch the missing files, or take them out of the list", list.display(), root.display())]
    ListedMissing {
        /// The list.
        list: PathBuf,
        /// Folder of the data set.
        root: PathBuf,
        /// Number of missing files.
        count: usize,
        /// Some of them.
        examples: String,
    },
    /// A folder of sounds whose layout cannot be told.
    #[error("{}: {message}", place.display())]
    OwnSounds {
        /// The folder or table.
        place: PathBuf,
        /// What is missing and what to do.
        message: String,
    },
    /// A split cannot be made from these clips.
    #[error("fold {fold}: {message}")]
    Split {
        /// Index of the fold, from 0.
        fold: usize,
        /// What is missing and what to change.
        message: String,
    },
    /// A class that cannot be learnt.
    #[error("fold {fold}: class {name} has no training clip; {remedy}")]
    NoTrainingClip {
        /// Index of the fold, from 0.
        fold: usize,
        /// Index of the class.
        class: usize,
        /// Its name, where it is known; else the index.
        name: String,
        /// What to change.
        remedy: String,
    },
    /// Files that are no usable sound.
    #[error("{}", bad_files(*total, files))]
    BadFiles {
        /// Number of clips looked at.
        total: usize,
        /// Each bad file, and a sentence that names it and what is wrong.
        files: Vec<(PathBuf, String)>,
    },
    /// Somebody asked to end early.
    #[error(
        "stopped before all sounds were read; what was made of them so far is lost, so give the same command again"
    )]
    Stopped,
    /// The features do not fit into memory.
    #[error(
        "{clips} clips of {max_length} frames and {bins} bins do not fit into memory; use a smaller `max_length`"
    )]
    TooLarge {
        /// Number of clips.
        clips: usize,
        /// Frames per clip.
        max_length: usize,
        /// Mel bins per frame.
        bins: usize,
    },
}

impl DataError {
    /// Exit code of a program that stops because its input is at fault.
    pub const EXIT_CODE: u8 = 2;

    /// A contradiction in the manifest `file`.
    pub(crate) fn contradiction(file: &Path, message: impl Into<String>) -> Self {
        Self::ManifestContradiction {
            file: file.to_path_buf(),
            message: message.into(),
        }
    }
}

fn shared(values: &[String]) -> String {
    let named: Vec<String> = values.iter().take(3).map(|v| format!("`{v}`")).collect();
    let more = match values.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let verb = if values.len() == 1 { "is" } else { "are" };
    format!("{}{more} {verb}", named.join(", "))
}

fn at_line(line: Option<usize>) -> String {
    line.map(|line| format!(", line {line}"))
        .unwrap_or_default()
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("the nearest known field is `{nearest}`"),
        None => "remove it".to_owned(),
    }
}

fn example(found: Option<&str>) -> String {
    found
        .map(|found| format!(" (for example `{found}`)"))
        .unwrap_or_default()
}

fn bad_files(total: usize, files: &[(PathBuf, String)]) -> String {
    let mut text = format!("{} of {total} clips cannot be used:", files.len());
    for (_, fault) in files.iter().take(NAMED_FILES) {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n  {fault}");
    }
    if files.len() > NAMED_FILES {
        let _ = write!(text, "\n  and {} more", files.len() - NAMED_FILES);
    }
    text.push_str("\nreplace or remove these files; where a manifest says what the clips are, `clips.exclude` leaves them out");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_bad_files_is_cut_and_counted() {
        let files = (0..12)
            .map(|index| (PathBuf::new(), format!("clip-{index}.wav is empty")))
            .collect();
        let text = DataError::BadFiles { total: 40, files }.to_string();
        assert!(text.starts_with("12 of 40 clips"), "{text}");
        assert!(text.contains("clip-9.wav is empty"), "{text}");
        assert!(!text.contains("clip-10.wav"), "{text}");
        assert!(text.contains("and 2 more"), "{text}");
    }
}
