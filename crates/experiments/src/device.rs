//! Choosing a device, loading libtorch's CUDA part when it is asked for, and
//! keeping memory for the CPU.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tch::{Cuda, Device};

/// The device called `name`: `cpu`, `cuda` or `cuda:INDEX`. Never falls back:
/// CUDA that does not work is an error with the reason.
///
/// # Errors
/// An unknown name, or CUDA that cannot be used.
pub fn choose(name: &str) -> Result<Device> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let index = match name.strip_prefix("cuda") {
        Some("") => 0,
        Some(rest) => rest
            .strip_prefix(':')
            .and_then(|index| index.parse().ok())
            .with_context(|| format!("{name} is no device; use cpu, cuda or cuda:INDEX"))?,
        None => bail!("{name} is no device; use cpu, cuda or cuda:INDEX"),
    };
    let library = cuda_library()?;
    load(&library)?;
    if !Cuda::is_available() {
        bail!(
            "{} was loaded but sees no GPU; check that `nvidia-smi` works and that the driver \
             supports CUDA 13",
            library.display()
        );
    }
    let count = Cuda::device_count();
    if index as i64 >= count {
        bail!("cuda:{index} does not exist; this machine has {count} CUDA device(s)");
    }
    Ok(Device::Cuda(index))
}

/// libtorch_cpu.so as this process has loaded it.
///
/// # Errors
/// Where the system does not tell (only Linux does), or libtorch is linked in.
pub fn libtorch() -> Result<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps")
        .context("cannot find out where libtorch was loaded from (needs Linux)")?;
    let loaded = maps
        .lines()
        .filter_map(|line| line.find('/').map(|start| &line[start..]))
        .find(|path| path.ends_with("/libtorch_cpu.so"))
        .context("libtorch_cpu.so is not loaded as a shared library")?;
    Ok(PathBuf::from(loaded))
}

/// libtorch_cuda.so beside the libtorch this process runs on.
fn cuda_library() -> Result<PathBuf> {
    let library = libtorch()?.with_file_name("libtorch_cuda.so");
    if !library.is_file() {
        bail!(
            "this libtorch has no CUDA part ({} is missing); run `cargo xtask libtorch --cuda` \
             and build again",
            library.display()
        );
    }
    Ok(library)
}

/// Loads the library for the rest of the process; its initialisers register
/// the CUDA backend with libtorch.
#[allow(unsafe_code)] // the one exception: there is no safe way to load a library
fn load(path: &std::path::Path) -> Result<()> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: libtorch_cuda.so is part of the libtorch already loaded from the
    // same folder, made to be loaded into such a process, and never unloaded.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .with_context(|| format!("cannot load {}", path.display()))?;
    std::mem::forget(library);
    Ok(())
}

/// Lets this process keep memory that libtorch frees, for its next tensor.
///
/// A step makes and drops hundreds of buffers of tens of megabytes. glibc gets
/// each from the kernel and gives it back at once, and the kernel fills every
/// page with zeros again: about a tenth of the time of a step on a CPU. Call
/// this at the start of a program that trains or evaluates; a process that
/// does keeps the most memory it ever needed until it ends. With another C
/// library nothing happens.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_glibc_memory();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)] // glibc's settings have no safe interface
fn keep_glibc_memory() {
    const TOP_PAD: i32 = 64 << 20;
    let settings = [
        // Large buffers come from the heap, not from mappings of their own ...
        (libc::M_MMAP_MAX, 0),
        // ... which never shrinks ...
        (libc::M_TRIM_THRESHOLD, -1),
        // ... grows in large steps ...
        (libc::M_TOP_PAD, TOP_PAD),
        // ... and is one for all threads: gradients are made and dropped by
        // other threads than the forward pass.
        (libc::M_ARENA_MAX, 1),
    ];
    for (name, value) in settings {
        // SAFETY: plain numbers; an unknown setting or value is refused by the
        // return value, and then that setting stays as it was.
        unsafe { libc::mallopt(name, value) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_refused_and_the_cpu_is_always_there() {
        assert_eq!(choose("cpu").unwrap(), Device::Cpu);
        for name in ["gpu", "cuda:x", "cud"] {
            assert!(
                choose(name)
                    .unwrap_err()
                    .to_string()
                    .contains("use cpu, cuda")
            );
        }
    }
}
