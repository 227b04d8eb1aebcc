//! Debian packages: fetched with the user's own apt, unpacked without root.

use super::manifest::Package;
use crate::files;
use crate::process::{self, find_program};
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package file: one put into `by_hand`, or one fetched into `folder`.
pub fn obtain(package: &Package, by_hand: &Path, folder: &Path) -> Result<PathBuf> {
    if let Some(path) = find_file(package, by_hand) {
        eprintln!("using {}", path.display());
        return Ok(path);
    }
    if find_program("apt-get".as_ref()).is_none() {
        bail!("there is no apt-get on this machine");
    }
    let exact = format!("{}={}", package.name, package.version);
    let mut fetched = apt_download(&exact, folder)?;
    if !fetched.success && is_root() {
        eprintln!("the package lists may be missing; updating them");
        process::fetch(apt().arg("update"))?;
        fetched = apt_download(&exact, folder)?;
    }
    if !fetched.success {
        // Another version may hold the same recordings: the checksum of the
        // contents decides.
        fetched.success = apt_download(&package.name, folder)?.success;
    }
    if !fetched.success {
        bail!(
            "apt-get could not download {exact} (if the package lists are old or missing, run \
             `apt-get update` as root and try again). Its last lines:\n{}",
            fetched.tail
        );
    }
    let prefix = format!("{}_", package.name);
    let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
    std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| name(path).is_some_and(|n| n.starts_with(&prefix) && n.ends_with(".deb")))
        .ok_or_else(|| anyhow!("apt-get left no file of {} behind", package.name))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    // Its complaints are shown and searched, so let them be in one language.
    command.env("LC_ALL", "C").arg("-q");
    if is_root() {
        // The user `_apt` cannot write into a private temporary folder.
        command.args(["-o", "APT::Sandbox::User=root"]);
    }
    command
}

fn apt_download(what: &str, folder: &Path) -> Result<process::Fetched> {
    process::fetch(apt().arg("download").arg(what).current_dir(folder))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// The file in its archive name, or as apt writes the epoch.
fn find_file(package: &Package, folder: &Path) -> Option<PathBuf> {
    let with_epoch = format!("{}_{}_all.deb", package.name, package.version);
    [
        package.file_name(),
        with_epoch.replace(':', "%3a"),
        with_epoch,
    ]
    .into_iter()
    .map(|name| folder.join(name))
    .find(|path| path.is_file())
}

/// Unpacks a package file into `target` and says so when it is not the build
/// the manifest was written from.
pub fn unpack(package: &Package, file: &Path, target: &Path) -> Result<()> {
    std::fs::create_dir_all(target)
        .with_context(|| format!("cannot create {}", target.display()))?;
    if files::sha256(file)? != package.sha256 {
        eprintln!(
            "note: {} differs from the one the manifest was written from; its recordings are \
             checked after unpacking",
            file.display()
        );
    }
    let result = if find_program("dpkg-deb".as_ref()).is_some() {
        let mut command = Command::new("dpkg-deb");
        let status = command.arg("-x").arg(file).arg(target).status();
        status.is_ok_and(|status| status.success())
    } else {
        unpack_with_tar(file, target)?
    };
    if !result {
        bail!(
            "cannot unpack {}: it is damaged (delete it and fetch it again) or the disk is full",
            file.display()
        );
    }
    Ok(())
}

/// A package is an `ar` archive with a compressed tar of the files inside.
fn unpack_with_tar(file: &Path, target: &Path) -> Result<bool> {
    for program in ["ar", "tar"] {
        if find_program(program.as_ref()).is_none() {
            bail!("unpacking a Debian package needs dpkg-deb, or ar and tar: install one of them");
        }
    }
    let members = Command::new("ar").arg("t").arg(file).output()?;
    let members = String::from_utf8_lossy(&members.stdout).into_owned();
    let Some(data) = members.lines().find(|name| name.starts_with("data.tar")) else {
        return Ok(false);
    };
    let mut archive = Command::new("ar")
        .arg("p")
        .arg(file)
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()?;
    let pipe = archive.stdout.take().context("ar gave no output")?;
    let mut tar = Command::new("tar");
    tar.arg("-x")
        .args(compression_flag(data))
        .arg("-C")
        .arg(target);
    let status = tar.stdin(pipe).status()?;
    Ok(archive.wait()?.success() && status.success())
}

/// Read from a pipe, tar cannot find the compression out by itself.
fn compression_flag(data: &str) -> Option<&'static str> {
    match data.rsplit('.').next()? {
        "xz" => Some("--xz"),
        "gz" => Some("--gzip"),
        "zst" => Some("--zstd"),
        _ => None,
    }
}

/// What to download where apt cannot.
pub fn by_hand(packages: &[Package], folder: &Path, name: &str) -> String {
    let mut text = format!(
        "To bring {name} by hand, download from any mirror of Debian's archive (release bookworm)\n"
    );
    for package in packages {
        text.push_str(&format!(
            "    {}/{} ({:.1} MB, sha256 {})\n",
            package.pool,
            package.file_name(),
            package.size as f64 / 1e6,
            package.sha256
        ));
    }
    text.push_str(&format!(
        "into {} and run this command again",
        folder.display()
    ));
    text
}

#[cfg(test)]
pub mod fixtures {
    //! A package description for the tests of this program.
    use super::*;

    /// A package whose checksums are those of nothing.
    pub fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            pool: "pool/main".to_owned(),
            sha256: "0".repeat(64),
            size: 1_500_000,
            root: "usr/share/voice".to_owned(),
            folder: String::new(),
            endings: Vec::new(),
            contents: "0".repeat(64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::package;
    use super::*;

    #[test]
    fn a_file_put_there_by_hand_is_found_under_each_of_its_names() {
        let package = package("voice", "1:2.0~x-1");
        for name in ["voice_2.0~x-1_all.deb", "voice_1%3a2.0~x-1_all.deb"] {
            let dir = tempfile::tempdir().expect("tempdir");
            assert_eq!(find_file(&package, dir.path()), None);
            std::fs::write(dir.path().join(name), "x").expect("file");
            let found = obtain(&package, dir.path(), dir.path()).expect("found");
            assert_eq!(found, dir.path().join(name));
        }
    }

    #[test]
    fn the_advice_names_file_size_checksum_and_folder() {
        let text = by_hand(
            &[package("voice", "1:2-1")],
            Path::new("/c/downloads"),
            "tones",
        );
        for part in [
            "pool/main/voice_2-1_all.deb",
            "1.5 MB",
            &"0".repeat(64),
            "/c/downloads",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn compression_follows_the_member_name() {
        assert_eq!(compression_flag("data.tar.xz"), Some("--xz"));
        assert_eq!(compression_flag("data.tar.zst"), Some("--zstd"));
        assert_eq!(compression_flag("data.tar"), None);
    }
}
