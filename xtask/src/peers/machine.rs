//! The machine that was measured on.

use serde::Serialize;
use std::fmt;

/// What the figures depend on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Name of the processor.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Mean number of processes that wanted to run in the last minute, before
    /// the measurement; where it is near the number of cores or above, the
    /// figures are noisy.
    pub load: Option<f64>,
}

impl Machine {
    /// This one, now.
    pub fn this() -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let first = file("/proc/loadavg");
        Self {
            processor: processor(&file("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            load: first.split(' ').next().and_then(|word| word.parse().ok()),
        }
    }
}

fn processor(cpuinfo: &str) -> String {
    let named = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores", self.processor, self.cores)?;
        match self.load {
            Some(load) => write!(f, ", load {load:.1} at the start"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_name_is_read_from_the_system() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n";
        assert_eq!(processor(text), "Some CPU @ 2 GHz");
        assert_eq!(processor(""), std::env::consts::ARCH);
    }
}
