//! The shape of a model that comes without `config.json`.

use std::collections::BTreeMap;

use tch::Tensor;

use super::names::POSITIONS;
use crate::config::SPECIAL_TOKENS;
use crate::{AstConfig, AstError};

/// Width of one head in every published AST, as in DeiT.
const HEAD_WIDTH: i64 = 64;
/// Added to the variance in the LayerNorms of the original program.
const ORIGINAL_EPS: f64 = 1e-6;
const PROJECTION: &str = "embeddings.patch_embeddings.projection.weight";

/// The configuration that the shapes of canonically named tensors tell.
///
/// Width, blocks, feed-forward width and patch size are read from the shapes.
/// By convention: heads of width 64, 128 mel bins and strides of 10, which must
/// explain the number of positions. That number leaves ten lengths open; it is
/// the power of two among them (the original models have 1024, 512 and 128
/// frames), else the shortest. LayerNorm's epsilon is 1e-6 for original names
/// and 1e-12 for Hugging Face's.
pub(super) fn config(
    tensors: &BTreeMap<String, Tensor>,
    original: bool,
) -> Result<AstConfig, AstError> {
    let base = AstConfig::base();
    let blocks = blocks(tensors);
    let [hidden_size, _, patch_size, _] = shape(tensors, PROJECTION, blocks)?;
    let [_, tokens, _] = shape(tensors, POSITIONS, blocks)?;
    let intermediate_size = if blocks > 0 {
        let [rows, _] = shape(tensors, "encoder.layer.0.intermediate.dense.weight", blocks)?;
        rows
    } else {
        base.intermediate_size
    };
    if hidden_size % HEAD_WIDTH != 0 {
        return Err(unknown(format!(
            "the width {hidden_size} is no multiple of the usual head width {HEAD_WIDTH}"
        )));
    }
    let config = AstConfig {
        hidden_size,
        num_hidden_layers: blocks,
        num_attention_heads: hidden_size / HEAD_WIDTH,
        intermediate_size,
        patch_size,
        layer_norm_eps: if original {
            ORIGINAL_EPS
        } else {
            base.layer_norm_eps
        },
        ..base
    };
    let frames = frames(&config, tokens - SPECIAL_TOKENS)?;
    Ok(AstConfig {
        max_length: frames,
        ..config
    })
}

/// One more than the largest block index: a gap shows up as missing tensors.
fn blocks(tensors: &BTreeMap<String, Tensor>) -> usize {
    tensors
        .keys()
        .filter_map(|name| name.strip_prefix("encoder.layer."))
        .filter_map(|rest| rest.split('.').next()?.parse::<usize>().ok())
        .filter_map(|index| index.checked_add(1))
        .max()
        .unwrap_or(0)
}

fn shape<const N: usize>(
    tensors: &BTreeMap<String, Tensor>,
    name: &str,
    blocks: usize,
) -> Result<[i64; N], AstError> {
    let tensor = tensors.get(name).ok_or_else(|| AstError::MissingTensor {
        name: name.to_owned(),
        blocks,
    })?;
    let size = tensor.size();
    <[i64; N]>::try_from(size.as_slice())
        .map_err(|_| unknown(format!("{name} has the shape {size:?}, not {N} axes")))
}

/// The length whose patches are as many as the positions.
fn frames(config: &AstConfig, patches: i64) -> Result<i64, AstError> {
    if !(1..=config.num_mel_bins).contains(&config.patch_size) {
        return Err(unknown(format!("patches of side {}", config.patch_size)));
    }
    let rows = config.grid().frequency;
    if patches < 1 || patches % rows != 0 {
        return Err(unknown(format!(
            "{patches} patch positions are not {rows} rows, as {} mel bins and a stride of {} give",
            config.num_mel_bins, config.frequency_stride
        )));
    }
    let stride = config.time_stride;
    let shortest = (patches / rows - 1) * stride + config.patch_size;
    let power = u64::try_from(shortest)
        .ok()
        .and_then(u64::checked_next_power_of_two);
    let power = power.and_then(|power| i64::try_from(power).ok());
    Ok(match power {
        Some(power) if power < shortest + stride => power,
        _ => shortest,
    })
}

fn unknown(reason: String) -> AstError {
    AstError::UnknownShape { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_of_the_original_models_are_found_from_their_positions() {
        for (frames, columns) in [(1024, 101), (512, 50), (128, 12), (106, 10)] {
            let found = super::frames(&AstConfig::base(), 12 * columns).unwrap();
            assert_eq!(found, frames);
        }
        assert!(super::frames(&AstConfig::base(), 12 * 101 + 1).is_err());
        assert!(super::frames(&AstConfig::base(), 0).is_err());
    }
}
