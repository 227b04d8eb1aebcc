//! Position embeddings for another input length than the checkpoint's.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::config::SPECIAL_TOKENS;
use crate::{AstError, Grid};

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
    /// Unchanged, and sharing memory, when the grids are equal.
    ///
    /// # Shapes
    /// `table` [1, F'·T' + 2, D] of `from` → [1, F'·T' + 2, D] of `to`
    ///
    /// # Errors
    /// When `table` is not that of `from`, or there is no memory for the result.
    pub fn adapt(self, table: &Tensor, from: Grid, to: Grid) -> Result<Tensor, AstError> {
        let expected = [1, from.patches() + SPECIAL_TOKENS];
        let found = table.size();
        if found.len() != 3 || found[..2] != expected {
            return Err(AstError::TensorShape {
                name: "embeddings.position_embeddings".to_owned(),
                expected: expected.to_vec(),
                found,
            });
        }
        if from == to {
            return Ok(table.shallow_clone());
        }
        let width = found[2];
        if self == Positions::Zero {
            let size = [1, to.patches() + SPECIAL_TOKENS, width];
            return Ok(Tensor::f_zeros(size, (table.kind(), table.device()))?);
        }
        let special = table.f_narrow(1, 0, SPECIAL_TOKENS)?;
        let patches = table
            .f_narrow(1, SPECIAL_TOKENS, from.patches())?
            .f_transpose(1, 2)?
            .f_reshape([1, width, from.frequency, from.time])?;
        let patches = match self {
            Positions::Crop | Positions::Pad => {
                let rows = crop_axis(&patches, 2, from.frequency, to.frequency)?;
                crop_axis(&rows, 3, from.time, to.time)?
            }
            Positions::Interpolate | Positions::Zero => patches,
        };
        let size = [to.frequency, to.time];
        let patches = if patches.size()[2..] == size {
            patches
        } else {
            patches.f_upsample_bilinear2d(size, false, None, None)?
        };
        let patches = patches.f_flatten(2, 3)?.f_transpose(1, 2)?;
        Ok(Tensor::f_cat(&[special, patches], 1)?)
    }
}

/// Keeps the `to` centre positions of an axis; a shorter axis is left alone.
fn crop_axis(x: &Tensor, axis: i64, from: i64, to: i64) -> Result<Tensor, AstError> {
    if to >= from {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_narrow(axis, from / 2 - to / 2, to)?)
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

    fn grid(frequency: i64, time: i64) -> Grid {
        Grid { frequency, time }
    }

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

    /// Where the old axis is read for the new place `at` when its `cells` cells
    /// are divided anew into `new`: the two neighbours and the weight of the
    /// second. Centres of cells lie at half numbers, ends are continued.
    fn between(at: i64, cells: i64, new: i64) -> (i64, i64, f64) {
        let centre = (at as f64 + 0.5) * cells as f64 / new as f64 - 0.5;
        let place = centre.clamp(0.0, (cells - 1) as f64);
        let low = place.floor() as i64;
        (low, (low + 1).min(cells - 1), place - low as f64)
    }

    /// One value of the new table by its formula: the axis cut to its centre
    /// where `crop` holds and it is too long, then linear between neighbours.
    fn expected(table: &Tensor, to: Grid, [f, t]: [i64; 2], crop: bool) -> f64 {
        let axis = |at, from, to| {
            if crop && to < from {
                let kept = from / 2 - to / 2 + at;
                return (kept, kept, 0.0);
            }
            between(at, from, to)
        };
        let (f0, f1, f_weight) = axis(f, FROM.frequency, to.frequency);
        let (t0, t1, t_weight) = axis(t, FROM.time, to.time);
        let value = |f, t| table.double_value(&[0, SPECIAL_TOKENS + f * FROM.time + t, 0]);
        let row = |f| (1.0 - t_weight) * value(f, t0) + t_weight * value(f, t1);
        (1.0 - f_weight) * row(f0) + f_weight * row(f1)
    }

    #[test]
    fn every_value_of_every_grid_is_that_of_the_formula() {
        let table = init::normal(3, "positions", &[1, FROM.patches() + 2, 1], 1.0);
        let grids = [
            grid(12, 9),
            // Longer in time than the checkpoint.
            grid(12, 150),
            // Fewer rows (the centre is kept), an odd number of them, more.
            grid(6, 101),
            grid(5, 49),
            grid(7, 120),
            grid(20, 30),
            grid(23, 203),
        ];
        for to in grids {
            for (positions, crop) in [
                (Positions::Crop, true),
                (Positions::Pad, true),
                (Positions::Interpolate, false),
            ] {
                let adapted = positions.adapt(&table, FROM, to).unwrap();
                assert_eq!(adapted.size(), [1, to.patches() + 2, 1]);
                for special in 0..2 {
                    let place = [0, special, 0];
                    assert_eq!(adapted.double_value(&place), table.double_value(&place));
                }
                for f in 0..to.frequency {
                    for t in 0..to.time {
                        let found = adapted.double_value(&[0, 2 + f * to.time + t, 0]);
                        let expected = expected(&table, to, [f, t], crop);
                        assert!(
                            (found - expected).abs() < 2e-4,
                            "{positions:?} {to:?} at {f}, {t}: {found} instead of {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn half_the_rows_are_the_six_in_the_centre() {
        let rows = Tensor::arange(FROM.patches(), (Kind::Int64, Device::Cpu));
        let rows = rows
            .divide_scalar_mode(FROM.time, "floor")
            .to_kind(Kind::Float);
        let table = Tensor::cat(&[rows.narrow(0, 0, 2), rows], 0).view([1, -1, 1]);
        let adapted = Positions::Crop.adapt(&table, FROM, grid(6, 101)).unwrap();
        for row in 0..6 {
            let found = adapted.double_value(&[0, 2 + 101 * row, 0]);
            assert_eq!(found, (3 + row) as f64);
        }
    }

    #[test]
    fn a_table_of_another_grid_is_an_error_with_both_shapes() {
        let table = columns().narrow(1, 0, 100);
        for positions in [Positions::Crop, Positions::Interpolate, Positions::Zero] {
            let error = positions.adapt(&table, FROM, grid(12, 9)).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("[1, 100, 1]") && text.contains("1214"),
                "{text}"
            );
        }
    }

    #[test]
    fn crop_keeps_the_column_ranges_of_the_original_ast() {
        for (time, first, end) in [(9, 46, 55), (39, 31, 70), (49, 26, 75), (79, 11, 90)] {
            let table = Positions::Crop.adapt(&columns(), FROM, grid(12, time));
            let table = table.unwrap();
            assert_eq!(table.size(), [1, 12 * time + 2, 1]);
            assert_eq!(table.double_value(&[0, 0, 0]), -1.0);
            assert_eq!(table.double_value(&[0, 2, 0]), first as f64);
            assert_eq!(table.double_value(&[0, 1 + time, 0]), (end - 1) as f64);
        }
    }

    #[test]
    fn zero_is_zero_unless_the_grid_is_the_checkpoint_s_own() {
        let table = init::normal(1, "p", &[1, FROM.patches() + 2, 4], 1.0);
        let zero = |to| Positions::Zero.adapt(&table, FROM, to).unwrap();
        assert_eq!(zero(FROM), table);
        let other = zero(grid(12, 5));
        assert_eq!(other.size(), [1, 62, 4]);
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
