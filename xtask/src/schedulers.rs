//! What the tests of sweeps need: HyperQueue out of its wheel, Slurm as the system
//! has it, and a network of their own to start them in.

use crate::paths::{self, Paths};
use crate::pip::{Dependencies, Pip};
use crate::{lock, process, wheel};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Tests find the Python package of HyperQueue through this variable: a folder with
/// it and what it needs.
pub const HYPERQUEUE_VARIABLE: &str = "SOFT_MOA_HYPERQUEUE";

/// Tests start Slurm when this variable is set.
pub const SLURM_VARIABLE: &str = "SOFT_MOA_SLURM";

/// Fixed, so that every machine tests with the same server and worker. They are a
/// library inside the wheel.
const HYPERQUEUE: &str = "hyperqueue==0.27.0";

/// What a Slurm of one machine consists of.
const SLURM: [&str; 8] = [
    "slurmctld",
    "slurmd",
    "sbatch",
    "scancel",
    "scontrol",
    "sinfo",
    "munged",
    "mungekey",
];

/// The folder that the user names, or one in the cache, filled at the first call.
///
/// # Errors
/// What is named is not there, or nothing can be fetched.
pub fn hyperqueue(paths: &Paths, named: Option<OsString>) -> Result<PathBuf> {
    if let Some(named) = named.map(PathBuf::from) {
        if !is_package(&named) {
            bail!(
                "{HYPERQUEUE_VARIABLE} is `{}`, which does not hold the Python package \
                 hyperqueue: name a folder that does, or unset it to have one made",
                named.display()
            );
        }
        return std::path::absolute(&named)
            .with_context(|| format!("cannot tell the full path of {}", named.display()));
    }
    let name = HYPERQUEUE.replace("==", "-");
    let target = paths.cache.join("tools").join(&name);
    if is_package(&target) {
        return Ok(target);
    }
    let pip = Pip::find()?;
    let parent = target.parent().context("a cache entry has a parent")?;
    let _lock = lock::acquire(parent, &name)?;
    if is_package(&target) {
        return Ok(target);
    }
    paths::remove_leftovers(parent, &name);
    let partial = paths::partial_folder(parent, &name)?;
    let downloads = partial.path().join("downloads");
    std::fs::create_dir_all(&downloads)
        .with_context(|| format!("cannot create {}", downloads.display()))?;
    let advice =
        format!("Check the network and pip's index settings, or set {HYPERQUEUE_VARIABLE}");
    pip.download(
        &downloads,
        &[HYPERQUEUE.to_owned()],
        Dependencies::All,
        &advice,
    )?;
    let finished = partial.path().join("finished");
    for wheel in wheel::in_folder(&downloads)? {
        wheel::unpack(&wheel, &finished, |_| true)?;
    }
    paths::move_into_place(&finished, &target)?;
    Ok(target)
}

fn is_package(folder: &Path) -> bool {
    folder.join("hyperqueue/__init__.py").is_file()
}

/// Why no test can have a network of its own, which keeps what it starts away from
/// every other machine.
pub fn no_network() -> Option<String> {
    if let Some(missing) = missing(&["unshare", "nsenter"]) {
        return Some(format!("{missing} is missing; install util-linux"));
    }
    if missing(&["ip"]).is_some() && missing(&["ifconfig"]).is_some() {
        return Some("ip is missing; install iproute2".to_owned());
    }
    let works = |words: &[&str]| {
        let mut unshare = Command::new("unshare");
        let quiet = unshare.args(words).arg("true").stdin(Stdio::null());
        let status = quiet.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let allowed = if is_root() {
        works(&["--net"])
    } else {
        works(&["--net", "--map-root-user"])
    };
    (!allowed).then(|| "the system allows no network namespaces (`unshare --net`)".to_owned())
}

/// Why Slurm cannot be started here.
pub fn no_slurm() -> Option<String> {
    match missing(&SLURM) {
        Some(missing) => Some(format!(
            "{missing} is missing; on Debian `apt-get install slurm-wlm munge`"
        )),
        None => (!is_root()).then(|| "its daemons need root".to_owned()),
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

fn missing<'a>(programs: &[&'a str]) -> Option<&'a str> {
    let gone = |name: &&&str| process::find_program((**name).as_ref()).is_none();
    programs.iter().find(gone).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_package_must_be_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let paths = Paths {
            root: folder.path().to_path_buf(),
            cache: folder.path().to_path_buf(),
        };
        let named = || hyperqueue(&paths, Some(folder.path().as_os_str().to_owned()));
        let error = named().expect_err("nothing is there").to_string();
        assert!(error.contains("unset it"), "{error}");
        std::fs::create_dir(folder.path().join("hyperqueue")).expect("a folder");
        std::fs::write(folder.path().join("hyperqueue/__init__.py"), "").expect("a file");
        assert_eq!(named().expect("it is there"), folder.path());
    }

    #[test]
    fn a_missing_program_is_named() {
        assert_eq!(missing(&["sh", "no-such-program"]), Some("no-such-program"));
        assert_eq!(missing(&["sh"]), None);
    }
}
