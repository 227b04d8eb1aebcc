//! From a folder and a manifest to the list of clips.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::error::DataError;
use super::manifest::{LabelSpec, Manifest};

/// One labelled recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Where the file is.
    pub path: PathBuf,
    /// Path relative to the folder of the data set, with forward slashes; the
    /// name of the clip everywhere else.
    pub relative: String,
    /// Index of the class, below C.
    pub label: usize,
    /// Value of every named group of the manifest's pattern.
    pub groups: BTreeMap<String, String>,
}

impl Clip {
    /// Value of the group `name`, or "" where the pattern has no such group.
    pub fn group(&self, name: &str) -> &str {
        self.groups.get(name).map_or("", String::as_str)
    }
}

/// Finds every clip of `manifest` under `root`, sorted by relative path.
///
/// Files that do not match the pattern, or match `clips.exclude`, and clips
/// whose label is in `label.leave_out` are passed over.
///
/// # Errors
/// The folder is missing or cannot be listed, no file is a clip, a label
/// belongs to no class, a class has no clips, or the number of clips is not
/// the one of the manifest.
pub fn scan(manifest: &Manifest, root: &Path) -> Result<Vec<Clip>, DataError> {
    if !root.is_dir() {
        return Err(DataError::FolderMissing {
            name: manifest.name.clone(),
            root: root.to_path_buf(),
        });
    }
    let files = list_files(root)?;
    let matcher = Matcher::new(manifest);
    let mut clips = Vec::new();
    for (relative, path) in &files {
        if let Some(clip) = matcher.clip(relative, path)? {
            clips.push(clip);
        }
    }
    if clips.is_empty() {
        return Err(DataError::NoClips {
            name: manifest.name.clone(),
            root: root.to_path_buf(),
            pattern: manifest.clips.pattern.clone(),
            files: files.len(),
            found: files.keys().next().cloned(),
        });
    }
    check_classes(manifest, root, &clips)?;
    check_count(manifest, root, clips.len())?;
    Ok(clips)
}

/// The manifest's expressions, compiled.
struct Matcher<'a> {
    manifest: &'a Manifest,
    pattern: Option<Regex>,
    exclude: Option<Regex>,
    classes: BTreeMap<&'a str, usize>,
}

impl<'a> Matcher<'a> {
    fn new(manifest: &'a Manifest) -> Self {
        // `Manifest::validate` has compiled both, so neither is lost here.
        Self {
            manifest,
            pattern: Regex::new(&manifest.clips.pattern).ok(),
            exclude: manifest
                .clips
                .exclude
                .as_ref()
                .and_then(|text| Regex::new(text).ok()),
            classes: class_of_value(&manifest.label),
        }
    }

    /// The clip at `relative`, or nothing where the file is to be passed over.
    fn clip(&self, relative: &str, path: &Path) -> Result<Option<Clip>, DataError> {
        let Some(pattern) = &self.pattern else {
            return Ok(None);
        };
        let Some(captures) = pattern.captures(relative) else {
            return Ok(None);
        };
        if self
            .exclude
            .as_ref()
            .is_some_and(|exclude| exclude.is_match(relative))
        {
            return Ok(None);
        }
        let value_of = |name: &str| captures.name(name).map_or("", |value| value.as_str());
        let label = &self.manifest.label;
        let value = value_of(&label.group);
        if label.leave_out.iter().any(|left_out| left_out == value) {
            return Ok(None);
        }
        let Some(class) = self.classes.get(value) else {
            return Err(DataError::UnknownLabel {
                name: self.manifest.name.clone(),
                file: path.to_path_buf(),
                group: label.group.clone(),
                value: value.to_owned(),
            });
        };
        let names = pattern.capture_names().flatten();
        let groups = names
            .map(|name| (name.to_owned(), value_of(name).to_owned()))
            .collect();
        Ok(Some(Clip {
            path: path.to_path_buf(),
            relative: relative.to_owned(),
            label: *class,
            groups,
        }))
    }
}

fn class_of_value(label: &LabelSpec) -> BTreeMap<&str, usize> {
    let mut classes = BTreeMap::new();
    for (index, class) in label.classes.iter().enumerate() {
        classes.extend(class.values.iter().map(|value| (value.as_str(), index)));
    }
    classes
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
    let present: BTreeSet<usize> = clips.iter().map(|clip| clip.label).collect();
    let classes = manifest.label.classes.iter().enumerate();
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
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        name = "tones"
        title = "t"
        licence = "CC0-1.0"
        caveat = "c"
        [clips]
        pattern = '^(?<syllable>[^0-9/]+)(?<tone>[0-9]?)/(?<voice>[ab])\.wav$'
        exclude = '^skip'
        count = 3
        [label]
        group = "tone"
        leave_out = ["9"]
        classes = [{ name = "level", values = [""] }, { name = "rising", values = ["2"] }]
        [split]
        protocol = "leave-one-group-out"
        test_group = "voice"
        validation_group = "syllable"
        validation_fraction = 0.5
        [defaults]
        max_length = 8
        batch = 2
        epochs = 1
    "#;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary folder");
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, b"sound").expect("file");
        }
        root
    }

    fn scan_files(files: &[&str]) -> Result<Vec<Clip>, DataError> {
        let manifest = Manifest::parse(MANIFEST, Path::new("tones.toml")).expect("manifest");
        scan(&manifest, folder(files).path())
    }

    fn refused(files: &[&str]) -> String {
        scan_files(files).expect_err("refused").to_string()
    }

    #[test]
    fn clips_come_sorted_with_label_and_groups() {
        let files = [
            "ㄇㄚ2/a.wav",
            "ㄇㄚ/b.wav",
            "ㄇㄚ/a.wav",
            "ㄇㄚ9/a.wav",
            "skip2/a.wav",
            "notes.txt",
        ];
        let clips = scan_files(&files).expect("clips");
        let names: Vec<&str> = clips.iter().map(|clip| clip.relative.as_str()).collect();
        assert_eq!(names, ["ㄇㄚ/a.wav", "ㄇㄚ/b.wav", "ㄇㄚ2/a.wav"]);
        let labels: Vec<usize> = clips.iter().map(|clip| clip.label).collect();
        assert_eq!(labels, [0, 0, 1]);
        assert_eq!(clips[1].group("voice"), "b");
        assert_eq!((clips[0].group("tone"), clips[2].group("tone")), ("", "2"));
        assert!(clips[2].path.ends_with("ㄇㄚ2/a.wav"));
    }

    #[test]
    fn a_missing_folder_names_the_command_that_fetches_it() {
        let manifest = Manifest::parse(MANIFEST, Path::new("tones.toml")).expect("manifest");
        let error = scan(&manifest, Path::new("no/such/folder")).expect_err("missing");
        assert!(
            error.to_string().contains("cargo xtask data tones"),
            "{error}"
        );
        assert!(error.to_string().contains("no/such/folder"), "{error}");
    }

    #[test]
    fn a_folder_without_clips_shows_pattern_and_one_file() {
        let text = refused(&["other/sound.mp3"]);
        assert!(
            text.contains("other/sound.mp3") && text.contains("(?<tone>"),
            "{text}"
        );
    }

    #[test]
    fn another_number_of_clips_than_promised_is_refused() {
        let text = refused(&["ma/a.wav", "ma2/a.wav"]);
        assert!(
            text.contains("holds 2 clips") && text.contains("says 3"),
            "{text}"
        );
    }

    #[test]
    fn a_class_without_clips_is_named() {
        let text = refused(&["ma/a.wav", "ma/b.wav", "mo/a.wav"]);
        assert!(text.contains("class `rising`"), "{text}");
    }

    #[test]
    fn a_label_of_no_class_names_file_and_value() {
        let text = refused(&["ma/a.wav", "ma2/a.wav", "ma7/a.wav"]);
        assert!(
            text.contains("label `7`") && text.contains("a.wav"),
            "{text}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_ends() {
        let root = folder(&["ma/a.wav"]);
        std::os::unix::fs::symlink(root.path(), root.path().join("loop")).expect("link");
        let files = list_files(root.path()).expect("listed");
        assert_eq!(files.len(), 1, "{files:?}");
    }
}
