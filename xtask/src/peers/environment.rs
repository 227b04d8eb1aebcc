//! A Python environment in the cache with torch, torchaudio and transformers:
//! made when first asked for, made again when it is not whole or when the
//! lists of packages change.

use super::stubs;
use crate::paths::Paths;
use crate::pip::Pip;
use crate::{disk, files, lock, process};
use anyhow::{Context, Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written last. Holds the packages that were installed.
const MARKER: &str = "installed.txt";

/// Wheels, pip's copies and unpacked files.
const SPACE: u64 = 3_500_000_000;
/// The same with every library for GPUs.
const FULL_SPACE: u64 = 14_000_000_000;

/// Imported once before the environment counts as whole.
pub const IMPORTS: &str = "import torch, torchaudio.compliance.kaldi, soundfile; \
    from transformers import ASTFeatureExtractor; torch.zeros(8).exp()";

const ADVICE: &str = "Check the network, the proxy and pip's index settings (`python3 -m pip config \
    list`) and run the command again; an index or a folder of wheels set there is used";

/// Folder of the programs and the lists of packages.
pub fn sources(paths: &Paths) -> PathBuf {
    paths.root.join("benches/peers")
}

/// The interpreter of a whole environment, which is made if need be.
pub fn ensure(paths: &Paths) -> Result<PathBuf> {
    ensure_lists(paths, &Lists::of(&sources(paths)))
}

/// The same with the packages of one more list in [`sources`].
pub fn ensure_with(paths: &Paths, list: &str) -> Result<PathBuf> {
    let sources = sources(paths);
    let mut lists = Lists::of(&sources);
    lists.others.push(sources.join(list));
    ensure_lists(paths, &lists)
}

fn ensure_lists(paths: &Paths, lists: &Lists) -> Result<PathBuf> {
    let name = lists.folder_name()?;
    let folder = paths.cache.join(&name);
    if folder.join(MARKER).is_file() {
        return Ok(python_of(&folder));
    }
    let _lock = lock::acquire(&paths.cache, &name)?;
    if !folder.join(MARKER).is_file() {
        if folder.exists() {
            eprintln!("{} is incomplete; making it again", folder.display());
            std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        make(&folder, lists)?;
    }
    Ok(python_of(&folder))
}

/// The lists of packages.
struct Lists {
    torch: PathBuf,
    others: Vec<PathBuf>,
}

impl Lists {
    fn of(sources: &Path) -> Self {
        Self {
            torch: sources.join("torch.txt"),
            others: vec![sources.join("requirements.txt")],
        }
    }

    /// Changes with the lists, so that each has an environment of its own.
    fn folder_name(&self) -> Result<String> {
        let mut all = files::sha256(&self.torch)?;
        for list in &self.others {
            all += &files::sha256(list)?;
        }
        Ok(format!("peers-{}", &files::sha256_of(&all)[..12]))
    }
}

fn python_of(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// Not made elsewhere and moved, because scripts of an environment name its
/// folder; the marker tells a finished one.
fn make(folder: &Path, lists: &Lists) -> Result<()> {
    let parent = folder.parent().context("a cache entry has a parent")?;
    disk::require(parent, SPACE, "the Python environment of the peers")?;
    eprintln!(
        "making a Python environment with torch in {} (about 0.7 GB to download)",
        folder.display()
    );
    create(folder)?;
    let python = python_of(folder);
    let pip = |words: &[&str], list: &Path| install(&python, folder, words, list);
    eprintln!("(pip will say that packages for GPUs are missing: they are left out on purpose)");
    pip(&["--no-deps"], &lists.torch)?;
    for list in &lists.others {
        pip(&[], list)?;
    }
    if let Err(error) = stubs::complete(&python) {
        eprintln!("{error:#}\ninstalling torch with everything it asks for (several GB)");
        disk::require(parent, FULL_SPACE, "torch with its libraries for GPUs")?;
        stubs::remove(&python)?;
        pip(&["--ignore-installed"], &lists.torch)?;
        imports(&python)?;
    }
    let packages = listing(&python)?;
    files::write_whole(&folder.join(MARKER), packages.as_bytes())
}

fn create(folder: &Path) -> Result<()> {
    let mut python = Pip::find()?.python().ok_or_else(|| {
        anyhow!("pip was found without its Python: put python3 (3.10 or newer) into PATH")
    })?;
    let version = "import sys; print('%d.%d' % sys.version_info[:2]); \
                   sys.exit(sys.version_info < (3, 10))";
    let mut check = Command::new(python.get_program());
    let output = check.args(["-c", version]).output()?;
    if !output.status.success() {
        bail!(
            "Python {} is too old: torch needs 3.10 or newer. Put a newer python3 first in PATH",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
    let made = process::fetch(python.args(["-m", "venv"]).arg(folder))?;
    if !made.success {
        bail!(
            "python3 could not make an environment in {}. Install its `venv` module (Debian, \
             Ubuntu: `apt install python3-venv`) and try again. Its last lines:\n{}",
            folder.display(),
            made.tail
        );
    }
    Ok(())
}

fn install(python: &Path, folder: &Path, words: &[&str], list: &Path) -> Result<()> {
    // Inside the environment, so that only one disk must have the space.
    let scratch = folder.join("pip-temporary");
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    let mut command = Command::new(python);
    command.args(["-m", "pip", "install", "--progress-bar", "off"]);
    command.args(words).arg("-r").arg(list);
    let result = process::fetch(command.env("TMPDIR", &scratch))?;
    let _ = std::fs::remove_dir_all(&scratch);
    if !result.success {
        bail!(
            "pip could not install the packages of {}. Its last lines:\n{}\n{ADVICE}",
            list.display(),
            result.tail
        );
    }
    Ok(())
}

/// Fails with Python's complaint unless everything can be imported.
fn imports(python: &Path) -> Result<()> {
    let output = Command::new(python).args(["-c", IMPORTS]).output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    bail!(
        "the packages are installed and cannot be imported: {}",
        text.lines().last().unwrap_or("no reason given")
    )
}

fn listing(python: &Path) -> Result<String> {
    let mut command = Command::new(python);
    let output = command.args(["-m", "pip", "freeze"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(torch: &str, others: &str) -> String {
        let dir = tempfile::tempdir().expect("tempdir");
        std::fs::write(dir.path().join("torch.txt"), torch).expect("written");
        std::fs::write(dir.path().join("requirements.txt"), others).expect("written");
        Lists::of(dir.path()).folder_name().expect("readable")
    }

    #[test]
    fn one_more_list_means_another_folder() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in ["torch.txt", "requirements.txt", "more.txt"] {
            std::fs::write(dir.path().join(name), name).expect("written");
        }
        let mut lists = Lists::of(dir.path());
        let plain = lists.folder_name().expect("readable");
        lists.others.push(dir.path().join("more.txt"));
        assert_ne!(lists.folder_name().expect("readable"), plain);
    }

    #[test]
    fn other_packages_mean_another_folder() {
        let name = lists("torch==1", "numpy");
        assert_eq!(name, lists("torch==1", "numpy"));
        assert_ne!(name, lists("torch==2", "numpy"));
        assert_ne!(name, lists("torch==1", "numpy<3"));
        assert!(name.starts_with("peers-") && name.len() == 18, "{name}");
    }
}
