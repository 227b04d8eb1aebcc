//! What `data` and `manifest` of a run mean: anyone's own sounds, or a data set
//! with a manifest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::RunConfig;
use crate::bench::data_folder;
use crate::data::Manifest;

/// The manifests that come with the program.
const KNOWN: [(&str, &str); 7] = [
    ("esc-50", include_str!("../../../../datasets/esc-50.toml")),
    (
        "urbansound8k",
        include_str!("../../../../datasets/urbansound8k.toml"),
    ),
    (
        "speech-commands-v2",
        include_str!("../../../../datasets/speech-commands-v2.toml"),
    ),
    (
        "fluent-speech-commands",
        include_str!("../../../../datasets/fluent-speech-commands.toml"),
    ),
    ("iemocap", include_str!("../../../../datasets/iemocap.toml")),
    (
        "mandarin-tone",
        include_str!("../../../../datasets/mandarin-tone.toml"),
    ),
    (
        "prompt-language",
        include_str!("../../../../datasets/prompt-language.toml"),
    ),
];

/// Files and folders that only the data set of that name has, as unpacked.
const MARKS: [(&str, [&str; 2]); 5] = [
    ("esc-50", ["meta/esc50.csv", "audio"]),
    ("urbansound8k", ["audio/fold1", "audio/fold10"]),
    (
        "speech-commands-v2",
        ["validation_list.txt", "testing_list.txt"],
    ),
    (
        "fluent-speech-commands",
        ["data/train_data.csv", "wavs/speakers"],
    ),
    (
        "iemocap",
        [
            "Session1/dialog/EmoEvaluation",
            "Session5/dialog/EmoEvaluation",
        ],
    ),
];

/// Says that a folder is not a data set with a manifest, whatever it looks like.
const NONE: &str = "none";

/// Where sounds come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A folder of classes, or a table.
    Own(PathBuf),
    /// A data set with a manifest.
    Set {
        /// The manifest's name, or the path of its file.
        name: String,
        /// It.
        manifest: Box<Manifest>,
        /// The folder of the recordings.
        root: PathBuf,
    },
}

impl Source {
    /// What the settings mean. `cache` is where `cargo xtask data` notes where
    /// data sets lie.
    ///
    /// # Errors
    /// Nothing is named, or what is named is not there.
    pub(super) fn of(config: &RunConfig, cache: &Path) -> Result<Self> {
        let data = config.data.as_deref();
        match config.manifest.as_deref() {
            Some(NONE) => {}
            Some(name) => return set(name, data, cache),
            None => {
                let data = data.context(
                    "there is nothing to train on; name sounds with --data, or a data set with \
                     --manifest",
                )?;
                if let Some(name) = meant(data) {
                    return set(&name, None, cache);
                }
                if let Some((name, root)) = recognised(data) {
                    return set(name, Some(&root), cache);
                }
            }
        }
        let data = data.context("name the folder or table of the sounds with --data")?;
        ensure!(
            data.exists(),
            "there is no {}; check the path",
            data.display()
        );
        Ok(Source::Own(data.to_owned()))
    }
}

/// The data set that `data` names itself: a manifest file, or the name of one
/// that comes with the program where there is nothing of that name.
fn meant(data: &Path) -> Option<String> {
    let text = data.to_str()?;
    let known = !data.exists() && KNOWN.iter().any(|(name, _)| *name == text);
    let file = data.extension().is_some_and(|ending| ending == "toml");
    (known || file).then(|| text.to_owned())
}

/// The data set that lies in the folder, or beside it where its folder `audio`
/// is named.
fn recognised(folder: &Path) -> Option<(&'static str, PathBuf)> {
    let folder = absolute(folder);
    let above = folder.file_name().is_some_and(|name| name == "audio");
    let above = folder.parent().filter(|_| above);
    [Some(folder.as_path()), above]
        .into_iter()
        .flatten()
        .find_map(|root| {
            let holds =
                |(_, marks): &&(&str, [&str; 2])| marks.iter().all(|mark| root.join(mark).exists());
            MARKS
                .iter()
                .find(holds)
                .map(|(name, _)| (*name, root.to_owned()))
        })
}

fn set(name: &str, root: Option<&Path>, cache: &Path) -> Result<Source> {
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    let file = Path::new(name);
    let (manifest, name) = match known {
        Some((_, text)) if !file.exists() => (Manifest::parse(text, file)?, name.to_owned()),
        _ if file.exists() => {
            let place = absolute(file).display().to_string();
            (Manifest::load(file)?, place)
        }
        _ => {
            let names: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
            bail!(
                "there is no manifest {name}; name a file, one of {}, or none",
                names.join(", ")
            )
        }
    };
    let root = match root {
        Some(root) => root.to_owned(),
        None => data_folder(&manifest.name, cache)?.with_context(|| {
            let name = &manifest.name;
            format!(
                "where the recordings of {name} lie is not known; name their folder with --data, \
                 or once and for all with `cargo xtask data --path {name}=FOLDER`"
            )
        })?,
    };
    Ok(Source::Set {
        name,
        manifest: Box::new(manifest),
        root,
    })
}

/// Where a path leads, for records of runs.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(data: Option<&Path>, manifest: Option<&str>) -> RunConfig {
        RunConfig {
            data: data.map(Path::to_owned),
            manifest: manifest.map(str::to_owned),
            ..RunConfig::default()
        }
    }

    #[test]
    fn every_manifest_that_comes_with_the_program_is_read_under_its_name() {
        for (name, text) in KNOWN {
            let manifest = Manifest::parse(text, Path::new(name)).unwrap();
            assert_eq!(manifest.name, name);
        }
        assert!(
            MARKS
                .iter()
                .all(|(name, _)| KNOWN.iter().any(|known| known.0 == *name))
        );
    }

    #[test]
    fn data_sets_are_told_by_name_file_or_layout() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("ESC-50");
        for made in ["meta/esc50.csv", "audio", "fold1"] {
            std::fs::create_dir_all(folder.join(made)).unwrap();
        }
        let cache = place.path().join("cache");
        let told = |config: &RunConfig| match Source::of(config, &cache).unwrap() {
            Source::Own(data) => ("own".to_owned(), data),
            Source::Set { name, root, .. } => (name, root),
        };
        let official = ("esc-50".to_owned(), folder.clone());
        assert_eq!(told(&config(Some(&folder), None)), official);
        assert_eq!(told(&config(Some(&folder.join("audio")), None)), official);
        let named = config(Some(&folder), Some("esc-50"));
        assert_eq!(told(&named), official);
        let not = config(Some(&folder), Some("none"));
        assert_eq!(told(&not), ("own".to_owned(), folder.clone()));
        // Without a folder it is where `cargo xtask data --path` says.
        let named = config(Some(Path::new("esc-50")), None);
        let text = Source::of(&named, &cache).unwrap_err().to_string();
        assert!(
            text.contains("cargo xtask data --path esc-50=FOLDER"),
            "{text}"
        );
        std::fs::create_dir_all(cache.join("data")).unwrap();
        let pointer = cache.join("data/esc-50.path");
        std::fs::write(pointer, folder.to_str().unwrap()).unwrap();
        assert_eq!(told(&named), official);
        let text = Source::of(&config(None, Some("esc-5")), &cache).unwrap_err();
        assert!(text.to_string().contains("esc-50, urbansound8k"), "{text}");
    }
}
