//! An ffmpeg for the tests of audio formats: the static one inside the wheel
//! of the Python package `imageio-ffmpeg`, so that no system package is needed.

use crate::lock;
use crate::paths::{self, Paths};
use crate::pip::{Dependencies, Pip};
use crate::process;
use crate::wheel;
use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Tests find the program through this variable.
pub const VARIABLE: &str = "SOFT_MOA_FFMPEG";
/// The package on the Python package index.
const PACKAGE: &str = "imageio-ffmpeg";
/// Fixed, so that every machine tests with the same encoders.
const VERSION: &str = "0.6.0";
/// Name of the program in the cache.
const PROGRAM: &str = "ffmpeg";

/// The program that the user names, as a full path: tests run in folders of
/// their own.
///
/// # Errors
/// There is no such program. Tests that quietly did without it would pass
/// untested.
pub fn named(program: Option<OsString>) -> Result<Option<PathBuf>> {
    let Some(program) = program.map(PathBuf::from) else {
        return Ok(None);
    };
    if !program.is_file() {
        bail!(
            "{VARIABLE} is `{}`, which is no file: set it to the full path of an ffmpeg, \
             or unset it to have one fetched",
            program.display()
        );
    }
    let full = std::path::absolute(&program);
    Ok(Some(full.with_context(|| {
        format!("cannot tell the full path of {}", program.display())
    })?))
}

/// The ffmpeg on PATH, which the tests fall back to.
pub fn installed() -> Option<PathBuf> {
    process::find_program(PROGRAM.as_ref())
}

/// The program to test with, fetched at the first call.
///
/// # Errors
/// It is not in the cache yet and cannot be fetched.
pub fn ensure(paths: &Paths) -> Result<PathBuf> {
    let name = format!("ffmpeg-{VERSION}");
    let target = paths.cache.join("tools").join(&name);
    let program = target.join(PROGRAM);
    if program.is_file() {
        return Ok(program);
    }
    let pip = Pip::find()?;
    let parent = target.parent().context("a cache entry has a parent")?;
    let _lock = lock::acquire(parent, &name)?;
    if program.is_file() {
        return Ok(program);
    }
    paths::remove_leftovers(parent, &name);
    let partial = paths::partial_folder(parent, &name)?;
    fetch(&pip, partial.path())?;
    let finished = partial.path().join("finished");
    paths::move_into_place(&finished, &target)?;
    Ok(program)
}

/// Puts the program into `folder/finished`.
fn fetch(pip: &Pip, folder: &Path) -> Result<()> {
    let downloads = folder.join("downloads");
    std::fs::create_dir_all(&downloads)
        .with_context(|| format!("cannot create {}", downloads.display()))?;
    let wanted = [format!("{PACKAGE}=={VERSION}")];
    let advice = format!(
        "Check the network and pip's index settings, or install ffmpeg, or set {VARIABLE} to one"
    );
    pip.download(&downloads, &wanted, Dependencies::None, &advice)?;
    let wheels = wheel::in_folder(&downloads)?;
    let wheel = wheels.iter().find(|wheel| wheel.name == PACKAGE);
    let wheel = wheel.ok_or_else(|| anyhow!("pip downloaded no wheel of {PACKAGE}"))?;
    let unpacked = folder.join("unpacked");
    let written = wheel::unpack(wheel, &unpacked, is_program)?;
    let member = written.keys().next();
    let member = member.ok_or_else(|| anyhow!("no ffmpeg inside {}", wheel.path.display()))?;
    let finished = folder.join("finished");
    std::fs::create_dir_all(&finished)
        .with_context(|| format!("cannot create {}", finished.display()))?;
    let program = finished.join(PROGRAM);
    std::fs::rename(unpacked.join(member), &program)
        .with_context(|| format!("cannot write {}", program.display()))?;
    make_executable(&program)
}

/// Whether a member of the wheel is the program; its name holds the platform
/// and ffmpeg's own version.
fn is_program(member: &str) -> bool {
    member
        .strip_prefix("imageio_ffmpeg/binaries/ffmpeg-")
        .is_some()
}

#[cfg(unix)]
fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", program.display()))
}

#[cfg(not(unix))]
fn make_executable(_program: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_program_must_be_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join(PROGRAM);
        let error = named(Some(program.clone().into())).expect_err("nothing is there");
        assert!(error.to_string().contains("unset it"), "{error}");
        std::fs::write(&program, "").expect("it can be written");
        let found = named(Some(program.clone().into())).expect("it is there");
        assert_eq!(found, Some(program));
        assert_eq!(named(None).expect("none is named"), None);
    }

    #[test]
    fn only_the_program_is_taken_out_of_the_wheel() {
        assert!(is_program(
            "imageio_ffmpeg/binaries/ffmpeg-linux-x86_64-v7.0.2"
        ));
        assert!(!is_program("imageio_ffmpeg/binaries/README.md"));
        assert!(!is_program("imageio_ffmpeg/_io.py"));
    }
}
