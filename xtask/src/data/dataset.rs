//! A data set in the cache: unpacked beside its place, checked, moved there.

use super::debian;
use super::keep;
use super::manifest::{Debian, Manifest, Package};
use crate::paths::{self, Paths};
use crate::{disk, files, lock};
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Hidden folder with the marker and the licence texts.
const SOURCE: &str = ".source";

/// Written last: what the folder was made from.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    name: String,
    licence: String,
    packages: Vec<Unpacked>,
    /// Number of files and of bytes.
    files: usize,
    bytes: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unpacked {
    name: String,
    folder: String,
    contents: String,
}

/// How thoroughly a data set that is there is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Number and total size of the files.
    Quick,
    /// The checksum of every file as well.
    Full,
}

/// The folder of the data set, which is fetched if need be.
pub fn ensure(
    paths: &Paths,
    manifest: &Manifest,
    source: &Debian,
    check: Check,
) -> Result<PathBuf> {
    let folder = paths.data().join(&manifest.name);
    if is_whole(&folder, source, check)? {
        return Ok(folder);
    }
    let _lock = lock::acquire(&paths.data(), &manifest.name)?;
    paths::remove_leftovers(&paths.data(), &manifest.name);
    if is_whole(&folder, source, check)? {
        return Ok(folder);
    }
    if folder.exists() {
        eprintln!(
            "{} is damaged or of an older manifest; fetching it again",
            folder.display()
        );
    }
    let packed: u64 = source.packages.iter().map(|package| package.size).sum();
    disk::require(
        &paths.cache,
        packed * 4,
        &format!("fetching {}", manifest.name),
    )?;
    let partial = paths::partial_folder(&paths.data(), &manifest.name)?;
    let finished = partial.path().join("finished");
    for package in &source.packages {
        let file = debian::obtain(package, &paths.downloads(), partial.path());
        let file = file.map_err(|error| {
            let advice = debian::by_hand(&source.packages, &paths.downloads(), &manifest.name);
            anyhow!("{error:#}\n{advice}")
        })?;
        place(package, &file, &partial.path().join("package"), &finished)?;
    }
    write_marker(manifest, source, &finished)?;
    paths::move_into_place(&finished, &folder)?;
    eprintln!(
        "{}: {} files in {}",
        manifest.name,
        source.files,
        folder.display()
    );
    Ok(folder)
}

/// Whether the folder holds what the manifest describes.
pub fn is_whole(folder: &Path, source: &Debian, check: Check) -> Result<bool> {
    let Ok(text) = std::fs::read_to_string(folder.join(SOURCE).join("marker.json")) else {
        return Ok(false);
    };
    let Ok(marker) = serde_json::from_str::<Marker>(&text) else {
        return Ok(false);
    };
    if marker.packages != unpacked(source) || (marker.files, marker.bytes) != measure(folder)? {
        return Ok(false);
    }
    if check == Check::Full {
        for package in &source.packages {
            let part = folder.join(&package.folder);
            if files::folder_sha256(&part)? != package.contents {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn unpacked(source: &Debian) -> Vec<Unpacked> {
    let of = |package: &Package| Unpacked {
        name: package.name.clone(),
        folder: package.folder.clone(),
        contents: package.contents.clone(),
    };
    source.packages.iter().map(of).collect()
}

fn measure(folder: &Path) -> Result<(usize, u64)> {
    let listing = files::listing(folder)?;
    Ok((listing.len(), listing.iter().map(|(_, size)| size).sum()))
}

/// Unpacks one package and keeps its root folder and its licence.
fn place(package: &Package, file: &Path, scratch: &Path, finished: &Path) -> Result<()> {
    debian::unpack(package, file, scratch)?;
    let root = scratch.join(&package.root);
    if !root.is_dir() {
        bail!("{} holds no folder {}", file.display(), package.root);
    }
    if !package.endings.is_empty() {
        keep::recordings(&root, &package.endings)?;
    }
    let found = files::folder_sha256(&root)?;
    if found != package.contents {
        bail!(
            "the files of {} are not those of the manifest (checksum {found} instead of {}): \
             delete it and fetch version {}",
            file.display(),
            package.contents,
            package.version
        );
    }
    let target = finished.join(&package.folder);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(&root, &target)
        .with_context(|| format!("cannot move {} to {}", root.display(), target.display()))?;
    let copyright = scratch
        .join("usr/share/doc")
        .join(&package.name)
        .join("copyright");
    if copyright.is_file() {
        let licences = finished.join(SOURCE);
        std::fs::create_dir_all(&licences)?;
        std::fs::copy(
            &copyright,
            licences.join(format!("{}.copyright", package.name)),
        )?;
    }
    std::fs::remove_dir_all(scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

fn write_marker(manifest: &Manifest, source: &Debian, finished: &Path) -> Result<()> {
    let (files, bytes) = measure(finished)?;
    if files != source.files {
        bail!(
            "{} has {files} files after unpacking and its manifest says {}: correct `files` in \
             datasets/{}.toml",
            manifest.name,
            source.files,
            manifest.name
        );
    }
    let marker = Marker {
        name: manifest.name.clone(),
        licence: manifest.licence.clone(),
        packages: unpacked(source),
        files,
        bytes,
    };
    let text = serde_json::to_string_pretty(&marker)?;
    crate::files::write_whole(&finished.join(SOURCE).join("marker.json"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::debian::fixtures::package;
    use super::super::manifest::Source;
    use super::*;
    use std::process::Command;

    /// Builds a real package file with two recordings, put there by hand.
    fn by_hand(dir: &Path) -> (Paths, Manifest, Debian) {
        let tree = dir.join("tree/usr/share/voice/ogg");
        std::fs::create_dir_all(&tree).expect("tree");
        std::fs::write(tree.join("a.ogg"), "first").expect("file");
        std::fs::write(tree.join("b.ogg"), "second").expect("file");
        let mut package = package("voice", "2-1");
        let root = dir.join("tree/usr/share/voice");
        package.contents = files::folder_sha256(&root).expect("checksum");
        let paths = Paths {
            root: dir.to_path_buf(),
            cache: dir.join("cache"),
        };
        std::fs::create_dir_all(paths.downloads()).expect("downloads");
        let data = dir.join("data.tar");
        let run = |program: &str, args: &[&str]| {
            let status = Command::new(program).args(args).current_dir(dir).status();
            assert!(status.expect("started").success(), "{program} failed");
        };
        run("tar", &["-cf", "data.tar", "-C", "tree", "usr"]);
        write_ar(&paths.downloads().join(package.file_name()), &data);
        let source = Debian {
            files: 2,
            packages: vec![package],
        };
        let manifest = Manifest {
            name: "tones".to_owned(),
            title: "t".to_owned(),
            licence: "l".to_owned(),
            source: Some(Source::Debian(source.clone())),
        };
        (paths, manifest, source)
    }

    /// The outer archive of a package: a magic line and three members.
    fn write_ar(path: &Path, data: &Path) {
        let mut bytes = b"!<arch>\n".to_vec();
        let control = {
            let empty = data.with_file_name("control.tar");
            let made = Command::new("tar")
                .arg("-cf")
                .arg(&empty)
                .args(["-T", "/dev/null"])
                .status();
            assert!(made.expect("started").success());
            std::fs::read(empty).expect("control")
        };
        let data = std::fs::read(data).expect("data");
        for (name, content) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar", control),
            ("data.tar", data),
        ] {
            let head = format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                100_644,
                content.len()
            );
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend_from_slice(&content);
            if content.len() % 2 == 1 {
                bytes.push(b'\n');
            }
        }
        std::fs::write(path, bytes).expect("package");
    }

    #[test]
    fn a_package_put_there_by_hand_becomes_a_checked_folder() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, manifest, source) = by_hand(dir.path());
        let folder = ensure(&paths, &manifest, &source, Check::Full).expect("fetched");
        assert_eq!(
            std::fs::read(folder.join("ogg/a.ogg")).expect("file"),
            b"first"
        );
        assert!(is_whole(&folder, &source, Check::Full).expect("readable"));
        let hidden = std::fs::read_dir(paths.data()).expect("list").flatten();
        let partial = hidden
            .into_iter()
            .filter(|e| e.file_name().to_string_lossy().contains("partial"));
        assert_eq!(partial.count(), 0);
    }

    #[test]
    fn what_is_no_recording_is_left_out_where_endings_are_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, manifest, mut source) = by_hand(dir.path());
        let package = &mut source.packages[0];
        package.endings = vec!["wav".to_owned()];
        package.contents = files::sha256_of("");
        source.files = 0;
        let folder = ensure(&paths, &manifest, &source, Check::Full).expect("fetched");
        assert!(files::listing(&folder).expect("readable").is_empty());
    }

    #[test]
    fn damage_is_noticed_and_mended() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, manifest, source) = by_hand(dir.path());
        let folder = ensure(&paths, &manifest, &source, Check::Quick).expect("fetched");
        std::fs::write(folder.join("ogg/a.ogg"), "FIRST").expect("changed");
        assert!(is_whole(&folder, &source, Check::Quick).expect("same size"));
        assert!(!is_whole(&folder, &source, Check::Full).expect("other content"));
        std::fs::remove_file(folder.join("ogg/a.ogg")).expect("removed");
        assert!(!is_whole(&folder, &source, Check::Quick).expect("a file less"));
        ensure(&paths, &manifest, &source, Check::Quick).expect("mended");
        assert!(is_whole(&folder, &source, Check::Full).expect("readable"));
    }

    #[test]
    fn other_recordings_under_the_same_name_are_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, manifest, mut source) = by_hand(dir.path());
        source.packages[0].contents = "1".repeat(64);
        let error = ensure(&paths, &manifest, &source, Check::Quick).expect_err("refused");
        assert!(
            format!("{error:#}").contains("voice_2-1_all.deb"),
            "{error:#}"
        );
        assert!(!paths.data().join("tones").exists());
    }

    #[test]
    fn a_truncated_package_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, manifest, source) = by_hand(dir.path());
        let file = paths.downloads().join(source.packages[0].file_name());
        let bytes = std::fs::read(&file).expect("read");
        std::fs::write(&file, &bytes[..bytes.len() / 3]).expect("cut");
        let error = ensure(&paths, &manifest, &source, Check::Quick).expect_err("damaged");
        assert!(
            format!("{error:#}").contains("voice_2-1_all.deb"),
            "{error:#}"
        );
    }

    #[test]
    fn a_wrong_number_of_files_points_at_the_manifest() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (paths, manifest, mut source) = by_hand(dir.path());
        source.files = 3;
        let error = ensure(&paths, &manifest, &source, Check::Quick).expect_err("refused");
        assert!(error.to_string().contains("datasets/tones.toml"), "{error}");
    }
}
