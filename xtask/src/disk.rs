//! Free space, asked of the system's `df`: the standard library does not tell.

use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Fails when the file system of `folder` has less than `needed` bytes free.
///
/// Where `df` is missing or answers something else, the check is left out:
/// a full disk then shows itself while writing.
pub fn require(folder: &Path, needed: u64, what: &str) -> Result<()> {
    let Some(free) = free_bytes(folder) else {
        return Ok(());
    };
    if free < needed {
        bail!(
            "{what} needs {} of free space and {} has {}: free some space, or set {} to a \
             folder on a larger disk",
            gigabytes(needed),
            folder.display(),
            gigabytes(free),
            crate::paths::CACHE_VARIABLE,
        );
    }
    Ok(())
}

/// Why a test cannot mount a small disk of its own here.
pub fn no_small_disk() -> Option<String> {
    let Ok(place) = tempfile::tempdir() else {
        return Some("there is no folder for temporary files".to_owned());
    };
    let mount = "mount -t tmpfs -o size=64k tmpfs \"$1\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount"]);
    unshare.args(["sh", "-c", mount, "sh"]).arg(place.path());
    let mounted = unshare.output().is_ok_and(|out| out.status.success());
    (!mounted).then(|| {
        "a file system cannot be mounted here; allow user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1), or run the tests as root"
            .to_owned()
    })
}

fn free_bytes(folder: &Path) -> Option<u64> {
    // The folder may not exist yet; its first existing parent is on the same disk.
    let existing = folder.ancestors().find(|dir| dir.exists())?;
    let output = Command::new("df")
        .env("LC_ALL", "C")
        .arg("-Pk")
        .arg(existing)
        .output()
        .ok()?;
    parse_df(&String::from_utf8_lossy(&output.stdout))
}

/// Reads `Available` of the portable format: a heading, then one line whose
/// last five columns are blocks, used, available, per cent and mount point.
fn parse_df(text: &str) -> Option<u64> {
    let line = text.lines().nth(1)?;
    let columns: Vec<&str> = line.split_whitespace().collect();
    let percent = columns.iter().position(|column| column.ends_with('%'))?;
    let kilobytes: u64 = columns.get(percent.checked_sub(1)?)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_space_is_read_from_the_portable_format() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                    /dev/sda1 1000 400 600 40% /\n";
        assert_eq!(parse_df(text), Some(600 * 1024));
    }

    #[test]
    fn a_file_system_name_with_spaces_does_not_shift_the_columns() {
        let text = "heading\nmy share on host 1000 400 7 40% /mnt/a b\n";
        assert_eq!(parse_df(text), Some(7 * 1024));
        assert_eq!(parse_df("heading only\n"), None);
        assert_eq!(parse_df("heading\n/dev/x - - - - /\n"), None);
    }

    #[test]
    fn too_little_space_is_an_error_that_names_the_variable() {
        let dir = tempfile::tempdir().expect("tempdir");
        let missing = dir.path().join("not/yet/there");
        assert!(require(&missing, 1, "this").is_ok());
        if free_bytes(dir.path()).is_some() {
            let error = require(&missing, u64::MAX, "libtorch").expect_err("never that much");
            assert!(error.to_string().contains("SOFT_MOA_CACHE"), "{error}");
        }
    }
}
