//! How much memory a run will take, and how much there is.

use std::fs;

use adapters::MethodConfig;
use ast_model::Checkpoint;

use crate::bench::RunConfig;
use crate::data::FeatureFormat;

/// Program, libtorch and its work space: what a run on a tiny model takes.
const PROGRAM: u64 = 320 << 20;

/// Numbers kept per token, block and unit of width for the backward pass: inputs of
/// both LayerNorms, q, k, v, attention's output, twice the feed-forward layer's 4 D,
/// the adapters', and what a product needs beside them.
const KEPT: u64 = 24;

/// Bytes per trained number: the value, its gradient, two moments, flat copies and
/// the best epoch's weights.
const PER_TRAINED: u64 = 40;

/// An estimate, rather too large than too small: program + 4 bytes per frozen
/// weight + 40 per trained one (a tenth of the backbone for adapters) +
/// 4 · 24 · B · L · D per block for the backward pass + the features of all clips,
/// which are mapped.
pub(super) fn estimate(checkpoint: &Checkpoint, config: &RunConfig, clips: usize) -> u64 {
    let shape = &checkpoint.config;
    let parameters = checkpoint.parameter_count();
    let trained = match config.method {
        MethodConfig::Full(_) => parameters,
        _ => parameters / 10,
    };
    let batch = config.training.micro_batch.unwrap_or(config.training.batch) as u64;
    let tokens = shape.tokens().max(0) as u64;
    let width = shape.hidden_size.max(0) as u64;
    let blocks = match config.training.activation_checkpointing {
        // One block, and the input of each.
        true => 2,
        false => shape.num_hidden_layers as u64,
    };
    let cell = match config.features {
        FeatureFormat::F32 => 4,
        FeatureFormat::F16 => 2,
    };
    let features = clips as u64 * (config.max_length * config.front_end.fbank.num_mel_bins) as u64;
    PROGRAM
        + 4 * parameters
        + PER_TRAINED * trained
        + 4 * KEPT * batch * tokens * width * blocks
        + cell * features
}

/// Memory in bytes that the system would give to programs; `None` where it does
/// not tell (only Linux does).
pub fn available() -> Option<u64> {
    let free = crate::doctor::available_memory()?;
    Some(container(&|path| fs::read_to_string(path).ok()).map_or(free, |left| left.min(free)))
}

/// What is left of a container's limit (cgroup, version 2).
fn container(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let number = |path| read(path)?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max")?;
    let used = number("/sys/fs/cgroup/memory.current")?;
    Some(limit.saturating_sub(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_limit_counts_and_none_is_no_limit() {
        let files = |limit: &'static str| {
            move |path: &str| {
                let is_limit = path.ends_with("max");
                Some(if is_limit { limit } else { "300\n" }.to_owned())
            }
        };
        assert_eq!(container(&files("1000\n")), Some(700));
        assert_eq!(container(&files("200\n")), Some(0));
        assert_eq!(container(&files("max\n")), None);
        assert_eq!(container(&|_| None), None);
    }
}
