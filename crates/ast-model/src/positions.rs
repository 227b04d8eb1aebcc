//! Position embeddings for another input length than the checkpoint's.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::Grid;
use crate::config::SPECIAL_TOKENS;

/// What happens to the position embeddings when the patch grid changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// The rule of the original AST: a shorter axis keeps the centre of the
    /// checkpoint's grid, a longer one is interpolated linearly.
    #[default]
    Crop,
    /// The whole grid is interpolated linearly to the new size, in both
    /// directions.
    Interpolate,
    /// All zeros, as the authors' released program has it for every length
    /// but 1024 frames.
    Zero,
    /// The checkpoint keeps its own length: clips are padded to it by the front
    /// end (zeros before normalisation) and every position embedding stays as
    /// it was trained. As slow as the full length, and exactly the pretrained
    /// model. Where the strides change the grid all the same, as `Crop`.
    Pad,
}

impl Positions {
    /// `crop`, `interpolate`, `zero` or `pad`.
    pub fn name(self) -> &'static str {
        match self {
            Positions::Crop => "crop",
            Positions::Interpolate => "interpolate",
            Positions::Zero => "zero",
            Positions::Pad => "pad",
        }
    }

    /// Position embeddings for the grid `to`, given those for `from`.
    /// Unchanged when the grids are equal.
    ///
    /// # Shapes
    /// `table` [1, F'·T' + 2, D] of `from` → [1, F'·T' + 2, D] of `to`
    pub fn adapt(self, table: &Tensor, from: Grid, to: Grid) -> Tensor {
        if from == to {
            return table.copy();
        }
        let width = table.size()[2];
        if self == Positions::Zero {
            return Tensor::zeros(
                [1, to.patches() + SPECIAL_TOKENS, width],
                (table.kind(), table.device()),
            );
        }
        let special = table.narrow(1, 0, SPECIAL_TOKENS);
        let patches = table
            .narrow(1, SPECIAL_TOKENS, from.patches())
            .transpose(1, 2)
            .reshape([1, width, from.frequency, from.time]);
        let patches = match self {
            Positions::Crop | Positions::Pad => crop_axis(
                &crop_axis(&patches, 2, from.frequency, to.frequency),
                3,
                from.time,
                to.time,
            ),
            Positions::Interpolate | Positions::Zero => patches,
        };
        let size = [to.frequency, to.time];
        let patches = if patches.size()[2..] == size {
            patches
        } else {
            patches.upsample_bilinear2d(size, false, None, None)
        };
        Tensor::cat(&[special, patches.flatten(2, 3).transpose(1, 2)], 1)
    }
}

/// Keeps the `to` centre positions of an axis; a shorter axis is left alone.
fn crop_axis(x: &Tensor, axis: i64, from: i64, to: i64) -> Tensor {
    if to >= from {
        return x.shallow_clone();
    }
    x.narrow(axis, from / 2 - to / 2, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init;
    use tch::{Device, Kind};

    const FROM: Grid = Grid {
        frequency: 12,
        time: 101,
    };

    /// The value of a patch row is its column, so that rows can be recognised.
    fn columns() -> Tensor {
        let columns = Tensor::arange(FROM.time, (Kind::Float, Device::Cpu));
        let patches = columns.repeat([FROM.frequency]).view([1, -1, 1]);
        Tensor::cat(
            &[
                Tensor::full([1, 2, 1], -1.0, (Kind::Float, Device::Cpu)),
                patches,
            ],
            1,
        )
    }

    #[test]
    fn crop_keeps_the_column_ranges_of_the_original_ast() {
        for (time, first, end) in [(9, 46, 55), (39, 31, 70), (49, 26, 75), (79, 11, 90)] {
            let to = Grid {
                frequency: 12,
                time,
            };
            let table = Positions::Crop.adapt(&columns(), FROM, to);
            assert_eq!(table.size(), [1, 12 * time + 2, 1]);
            assert_eq!(table.double_value(&[0, 0, 0]), -1.0);
            assert_eq!(table.double_value(&[0, 2, 0]), first as f64);
            assert_eq!(table.double_value(&[0, 1 + time, 0]), (end - 1) as f64);
        }
    }

    #[test]
    fn interpolation_spans_the_whole_grid_and_keeps_the_special_rows() {
        let to = Grid {
            frequency: 12,
            time: 9,
        };
        let table = Positions::Interpolate.adapt(&columns(), FROM, to);
        assert_eq!(table.double_value(&[0, 1, 0]), -1.0);
        assert!(table.double_value(&[0, 2, 0]) < 10.0);
        assert!(table.double_value(&[0, 10, 0]) > 90.0);
    }

    #[test]
    fn zero_is_zero_unless_the_grid_is_the_checkpoint_s_own() {
        let table = init::normal(1, "p", &[1, FROM.patches() + 2, 4], 1.0);
        assert_eq!(Positions::Zero.adapt(&table, FROM, FROM), table);
        let other = Positions::Zero.adapt(
            &table,
            FROM,
            Grid {
                frequency: 12,
                time: 5,
            },
        );
        assert_eq!(other.abs().sum(Kind::Float).double_value(&[]), 0.0);
    }

    #[test]
    fn pad_keeps_the_length_and_every_position() {
        let config = crate::AstConfig {
            num_hidden_layers: 1,
            max_length: 96,
            ..crate::AstConfig::tiny()
        };
        let checkpoint = crate::Checkpoint::random(&config, 1).unwrap();
        let padded = checkpoint.with_length(40, Positions::Pad).unwrap();
        assert_eq!(padded.config.max_length, 96);
        assert_eq!(padded.fingerprint(), checkpoint.fingerprint());
        let error = checkpoint.with_length(97, Positions::Pad).unwrap_err();
        assert!(error.to_string().contains("max_length = 97"), "{error}");
    }
}
