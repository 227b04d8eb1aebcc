//! Free disk and free memory.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::Check;

/// Below this a checkpoint and a feature cache may not fit.
const LITTLE_DISK: u64 = 2_000_000_000;

/// Below this AST-Base does not train.
const LITTLE_MEMORY: u64 = 2_000_000_000;

/// Free space where the cache is, asked of the system's `df`: the standard
/// library does not tell.
pub(super) fn free(cache: &Path) -> Check {
    let name = "disk";
    let Some(free) = free_bytes(cache) else {
        let remedy = "look yourself that a few gigabytes are free";
        return Check::missing(name, "free space is not known", remedy);
    };
    let found = format!("{} free for {}", gigabytes(free), cache.display());
    let check = if free < LITTLE_DISK {
        let remedy = "free some space, or set SOFT_MOA_CACHE to a folder on a larger disk";
        Check::missing(name, found, remedy)
    } else {
        Check::ok(name, found)
    };
    check.with(json!({ "free_bytes": free }))
}

fn free_bytes(folder: &Path) -> Option<u64> {
    // The folder may not be there yet; its first parent that is has its disk.
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let mut df = Command::new("df");
    let output = df
        .env("LC_ALL", "C")
        .arg("-Pk")
        .arg(existing)
        .output()
        .ok()?;
    available(&String::from_utf8_lossy(&output.stdout))
}

/// The column `Available`, which stands before the one in per cent.
fn available(text: &str) -> Option<u64> {
    let columns: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    let percent = columns.iter().position(|column| column.ends_with('%'))?;
    let kibibytes: u64 = columns.get(percent.checked_sub(1)?)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Memory that the system would give to a program.
pub(super) fn memory() -> Check {
    let name = "memory";
    let Some(free) = available_memory() else {
        let remedy = "look yourself that a few gigabytes are free";
        return Check::missing(name, "free memory is not known (needs Linux)", remedy);
    };
    let found = format!("{} available", gigabytes(free));
    let check = if free < LITTLE_MEMORY {
        let remedy = "close other programs, or train a smaller backbone with a smaller batch";
        Check::missing(name, found, remedy)
    } else {
        Check::ok(name, found)
    };
    check.with(json!({ "available_bytes": free }))
}

/// Memory in bytes that the system would give to a program.
pub fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    mem_available(&text)
}

fn mem_available(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Bytes in the unit of disks.
pub(super) fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_and_memory_are_read_from_what_the_system_prints() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
                  /dev/a b 100 40 60 40% /a folder\n";
        assert_eq!(available(df), Some(60 * 1024));
        assert_eq!(available("no answer\n"), None);
        let meminfo = "MemTotal: 9 kB\nMemAvailable:    12 kB\n";
        assert_eq!(mem_available(meminfo), Some(12 * 1024));
        assert_eq!(mem_available(""), None);
    }
}
