//! Which frames of a clip are its own, and which tokens see one of them.
//!
//! Clips shorter than T frames are filled up with equal frames. The plain AST
//! treats them as sound: they take part in attention, pooling and routing.

use tch::{Kind, Tensor};

use crate::{AstConfig, AstError};

/// The number of frames of each clip in front of its padding, at least 1.
///
/// Padding is what a clip ends with where that is two or more frames equal to
/// the bit: recordings have no such frames unless they hold digital silence,
/// which counts as padding too. An augmentation that changes padded frames
/// differently (a time mask that ends among them) makes some of them count as
/// sound.
///
/// # Shapes
/// `features` [B, T, F] → `[B]`, int64
///
/// # Errors
/// Features of another rank, or without frames.
pub fn own_frames(features: &Tensor) -> Result<Tensor, AstError> {
    let size = features.size();
    if size.len() != 3 || size.contains(&0) {
        return Err(AstError::Rank { found: size });
    }
    let frames = size[1];
    let last = features.narrow(1, frames - 1, 1);
    let equal = features.eq_tensor(&last).all_dim(-1, false);
    // 1 from the first of the equal frames at the end on.
    let tail = equal
        .flip([1])
        .to_kind(Kind::Int64)
        .cumprod(1, None::<Kind>);
    let run = tail.sum_dim_intlist(1, false, Kind::Int64);
    let padded = &run * run.gt(1).to_kind(Kind::Int64);
    Ok((-padded + frames).clamp_min(1))
}

/// Which patches begin within a clip's own frames.
///
/// # Shapes
/// `features` [B, T, F] → [B, F'·T'], bool, in the order of the patches
///
/// # Errors
/// As [`own_frames`], and features of another length than the model takes.
pub fn patch_mask(features: &Tensor, config: &AstConfig) -> Result<Tensor, AstError> {
    let own = own_frames(features)?;
    let size = features.size();
    let (frames, bins) = (config.max_length, config.num_mel_bins);
    if size[1..] != [frames, bins] {
        return Err(AstError::Input {
            frames,
            bins,
            found: size,
        });
    }
    let grid = config.grid();
    let columns = Tensor::arange(grid.time, (Kind::Int64, features.device()));
    let begins = columns * config.time_stride;
    let inside = begins.unsqueeze(0).lt_tensor(&own.unsqueeze(1));
    let rows = inside
        .unsqueeze(1)
        .expand([size[0], grid.frequency, grid.time], false);
    Ok(rows.reshape([size[0], grid.patches()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init;

    fn numbers(t: &Tensor) -> Vec<i64> {
        Vec::try_from(t.to_kind(Kind::Int64).reshape([-1])).unwrap()
    }

    /// Clips of random frames, filled up with -0.5.
    fn clips(own: &[i64], frames: i64, bins: i64) -> Tensor {
        let count = own.len() as i64;
        let features = init::normal(1, "features", &[count, frames, bins], 1.0);
        for (index, &length) in own.iter().enumerate() {
            let clip = features.get(index as i64);
            let _ = clip.narrow(0, length, frames - length).fill_(-0.5);
        }
        features
    }

    #[test]
    fn frames_before_the_equal_ones_at_the_end_are_a_clips_own() {
        let features = clips(&[1, 10, 18, 20], 20, 8);
        assert_eq!(numbers(&own_frames(&features).unwrap()), [1, 10, 18, 20]);
        // One frame alone is equal to itself: no padding.
        let features = clips(&[19], 20, 8);
        assert_eq!(numbers(&own_frames(&features).unwrap()), [20]);
        // Digital silence keeps one frame.
        assert_eq!(numbers(&own_frames(&clips(&[0], 20, 8)).unwrap()), [1]);
    }

    #[test]
    fn a_mask_of_bins_does_not_hide_the_padding() {
        let features = clips(&[7], 20, 8);
        let _ = features.narrow(2, 2, 3).fill_(0.0);
        assert_eq!(numbers(&own_frames(&features).unwrap()), [7]);
    }

    #[test]
    fn patches_that_begin_in_the_padding_are_left_out_in_every_row() {
        let config = AstConfig {
            num_mel_bins: 36,
            max_length: 46,
            ..AstConfig::tiny()
        };
        // Patches begin at frames 0, 10, 20, 30; three rows along frequency.
        let features = clips(&[20, 21, 46], 46, 36);
        let mask = numbers(&patch_mask(&features, &config).unwrap());
        let (some, more, all) = ([1, 1, 0, 0], [1, 1, 1, 0], [1; 4]);
        assert_eq!(grid_rows(&config), 3);
        let expected: Vec<i64> = [some, more, all]
            .iter()
            .flat_map(|row| row.repeat(3))
            .collect();
        assert_eq!(mask, expected);
    }

    fn grid_rows(config: &AstConfig) -> i64 {
        config.grid().frequency
    }

    #[test]
    fn other_shapes_are_errors() {
        let config = AstConfig::tiny();
        assert!(own_frames(&init::normal(1, "x", &[4, 8], 1.0)).is_err());
        assert!(patch_mask(&clips(&[4], 8, 8), &config).is_err());
    }
}
