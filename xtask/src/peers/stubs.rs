//! Empty libraries in place of those for GPUs.
//!
//! The torch of the Python package index names gigabytes of GPU libraries that
//! must be there when it is loaded, though a processor never calls into them.
//! A library without content satisfies the loader as long as functions are
//! looked up when they are first called. So: import torch, see which library
//! the loader misses, make an empty one, and try again until nothing is missing.

use super::environment::IMPORTS;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// More missing libraries than this are another problem.
const MOST: usize = 40;

/// Read by Python when it starts: look functions up when they are called.
const LAZY: &str = "import os, sys; sys.setdlopenflags(os.RTLD_LAZY)\n";
const LAZY_FILE: &str = "lazy-libraries.pth";

/// Prints the folder of the installed packages.
const SITE: &str = "import sysconfig; print(sysconfig.get_path('platlib'))";

/// Adds empty libraries until everything imports.
pub fn complete(python: &Path) -> Result<()> {
    let site = site_packages(python)?;
    let mut made = Vec::new();
    while let Some(complaint) = complaint(python)? {
        let Some(library) = missing_library(&complaint) else {
            bail!("torch cannot be imported without its GPU libraries: {complaint}");
        };
        if made.contains(&library) || made.len() == MOST {
            bail!("an empty {library} does not satisfy torch: {complaint}");
        }
        if made.is_empty() {
            write(&site.join(LAZY_FILE), LAZY)?;
        }
        eprintln!("an empty {library} stands in for the one of the GPU");
        make(&folder(&site), &library)?;
        made.push(library);
    }
    Ok(())
}

/// Takes the empty libraries away again.
pub fn remove(python: &Path) -> Result<()> {
    let site = site_packages(python)?;
    // What cannot be removed was never made, or is overwritten next.
    let _ = std::fs::remove_file(site.join(LAZY_FILE));
    let record = folder(&site).join(RECORD);
    for library in std::fs::read_to_string(&record).unwrap_or_default().lines() {
        let _ = std::fs::remove_file(folder(&site).join(library));
    }
    Ok(())
}

/// List of the empty libraries, beside them.
const RECORD: &str = "empty-libraries.txt";

/// Every library of torch looks for others in its own folder.
fn folder(site: &Path) -> PathBuf {
    site.join("torch/lib")
}

fn site_packages(python: &Path) -> Result<PathBuf> {
    let output = Command::new(python).args(["-c", SITE]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(PathBuf::from(text.trim()))
}

/// The last line of what Python says when the imports fail.
fn complaint(python: &Path) -> Result<Option<String>> {
    let output = Command::new(python)
        .args(["-c", IMPORTS])
        .env("LC_ALL", "C")
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    Ok(Some(last.unwrap_or("no reason given").to_owned()))
}

/// Name of the library in `…: libname.so.1: cannot open shared object file: …`.
fn missing_library(complaint: &str) -> Option<String> {
    let (before, _) = complaint.split_once(": cannot open shared object file")?;
    let name = before.rsplit([' ', '/']).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let library = name.starts_with("lib") && name.contains(".so") && name.chars().all(plain);
    library.then(|| name.to_owned())
}

/// The linker that every Rust program needs makes it.
fn make(folder: &Path, library: &str) -> Result<()> {
    let source = folder.join("empty-library.c");
    write(&source, "int empty_library;\n")?;
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-fPIC"])
        .arg(format!("-Wl,-soname,{library}"))
        .arg("-o")
        .arg(folder.join(library))
        .arg(&source);
    let output = command.output().context("cannot start cc")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("cc could not make an empty library: {}", text.trim());
    }
    let record = folder.join(RECORD);
    let mut lines = std::fs::read_to_string(&record).unwrap_or_default();
    lines.push_str(library);
    lines.push('\n');
    write(&record, &lines)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_library_is_read_from_the_loaders_words() {
        let name = |text: &str| missing_library(text);
        let end = "cannot open shared object file: No such file or directory";
        assert_eq!(
            name(&format!("ImportError: libcudnn.so.9: {end}")).as_deref(),
            Some("libcudnn.so.9")
        );
        assert_eq!(
            name(&format!("OSError: /a b/libcublasLt.so.13: {end}")).as_deref(),
            Some("libcublasLt.so.13")
        );
        assert_eq!(name("ModuleNotFoundError: No module named 'torch'"), None);
        assert_eq!(name(&format!("ImportError: ../odd name;: {end}")), None);
    }

    #[test]
    fn an_empty_library_carries_the_name_that_was_missed() {
        let dir = tempfile::tempdir().expect("tempdir");
        make(dir.path(), "libnothing.so.7").expect("made");
        let bytes = std::fs::read(dir.path().join("libnothing.so.7")).expect("there");
        let name = b"libnothing.so.7\0";
        assert!(bytes.starts_with(b"\x7fELF"));
        assert!(bytes.windows(name.len()).any(|window| window == name));
        let record = std::fs::read_to_string(dir.path().join(RECORD)).expect("there");
        assert_eq!(record, "libnothing.so.7\n");
    }
}
