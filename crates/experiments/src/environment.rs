//! The machine a figure is measured on.

use std::fs;

use crate::record::Environment;

/// Describes this machine for a device, `cpu` or an accelerator's name.
pub fn describe(device: &str) -> Environment {
    Environment {
        processor: processor(),
        threads: tch::get_num_threads().max(0) as usize,
        device: device.to_owned(),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: "2.11.0".to_owned(),
    }
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let widest = ["amx_bf16", "avx512_bf16", "avx512f", "avx2"]
        .into_iter()
        .find(|flag| text.contains(flag));
    match widest {
        Some(feature) => format!("{name} ({feature})"),
        None => name.to_owned(),
    }
}

/// Memory of this machine in bytes; `None` where the system does not tell
/// (only Linux does).
pub fn total_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Starts a new measurement of the peak memory of this process. Linux only;
/// elsewhere [`peak_memory`] tells nothing.
pub fn reset_peak_memory() {
    // Writing 5 sets the high-water mark back (proc(5), clear_refs). Where it
    // is not allowed the mark stays at the maximum since the start.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Largest resident memory since the last reset, in bytes; 0 when unknown.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_peak_follows_what_is_used() {
        reset_peak_memory();
        let before = peak_memory();
        let block = vec![1u8; 200 << 20];
        let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 200 << 20);
        assert!(peak_memory() >= before + (150 << 20));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_memory_is_more_than_this_process_takes() {
        assert!(total_memory().unwrap() > peak_memory());
    }

    #[test]
    fn the_machine_has_a_name_and_threads() {
        let environment = describe("cpu");
        assert!(!environment.processor.is_empty());
        assert!(environment.threads > 0);
    }
}
