//! Random dropping of patches in training.

use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::config::SPECIAL_TOKENS;
use crate::{AstError, Grid};

/// Patches left out of each training step (Koutini et al. 2022, PaSST), off by
/// default. Whole rows and columns of the patch grid are dropped first, then
/// single patches; which ones is drawn from the step's seed, the same for
/// every clip of the batch. Class and distillation token always stay.
/// Fewer tokens make a step cheaper and regularise; evaluation sees them all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patchout {
    /// Rows of F' to drop. Default 0.
    pub frequency: i64,
    /// Columns of T' to drop. Default 0.
    pub time: i64,
    /// Share of the patches left by rows and columns to drop one by one, in
    /// [0, 1). Default 0. What is left is no grid any more.
    pub share: f64,
}

/// What is left of a step's tokens.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Token indices, special tokens included, ascending.
    pub tokens: Vec<i64>,
    /// The grid of the patches left, if they form one.
    pub grid: Option<Grid>,
}

impl Patchout {
    /// Whether anything is dropped.
    pub fn is_off(&self) -> bool {
        *self == Patchout::default()
    }

    /// Checks the settings against the patch grid of the model.
    ///
    /// # Errors
    /// [`AstError::Config`] when nothing would be left of an axis, or a number
    /// is negative.
    pub fn validate(&self, grid: Grid) -> Result<(), AstError> {
        let bad = |field, value: String, problem| AstError::Config {
            field,
            value,
            problem,
        };
        if !(0..grid.frequency).contains(&self.frequency) {
            let problem = "must be at least 0 and less than the rows F' of the patch grid";
            let value = self.frequency.to_string();
            return Err(bad("patchout.frequency", value, problem));
        }
        if !(0..grid.time).contains(&self.time) {
            let problem = "must be at least 0 and less than the columns T' of the patch grid";
            return Err(bad("patchout.time", self.time.to_string(), problem));
        }
        if !(0.0..1.0).contains(&self.share) {
            let problem = "must lie in [0, 1)";
            return Err(bad("patchout.share", self.share.to_string(), problem));
        }
        Ok(())
    }

    /// The tokens that stay in the step with this seed.
    pub(crate) fn draw(&self, grid: Grid, seed: u64) -> Kept {
        let mut rng = ChaCha8Rng::from_seed(key(seed));
        let rows = choose(&mut rng, grid.frequency, self.frequency);
        let columns = choose(&mut rng, grid.time, self.time);
        let patch = |row: &i64, column: &i64| SPECIAL_TOKENS + row * grid.time + column;
        let mut patches: Vec<i64> = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| patch(row, column)))
            .collect();
        let mut left = Some(Grid {
            frequency: rows.len() as i64,
            time: columns.len() as i64,
        });
        let dropped = (self.share * patches.len() as f64) as i64;
        if dropped > 0 {
            let stay = choose(&mut rng, patches.len() as i64, dropped);
            patches = stay.iter().map(|&index| patches[index as usize]).collect();
            left = None;
        }
        let tokens = (0..SPECIAL_TOKENS).chain(patches).collect();
        Kept { tokens, grid: left }
    }
}

impl Kept {
    /// [B, L, D] → [B, tokens left, D]
    pub fn apply(&self, x: &Tensor) -> Tensor {
        x.index_select(1, &Tensor::from_slice(&self.tokens).to_device(x.device()))
    }
}

/// All but `dropped` of the numbers below `size`, ascending.
fn choose(rng: &mut ChaCha8Rng, size: i64, dropped: i64) -> Vec<i64> {
    let (size, dropped) = (size as usize, dropped as usize);
    let mut stay: Vec<i64> = sample(rng, size, size - dropped)
        .into_iter()
        .map(|index| index as i64)
        .collect();
    stay.sort_unstable();
    stay
}

/// The step's seed, kept apart from every other use of it.
fn key(seed: u64) -> [u8; 32] {
    let mut key = *b"........ patchout of a step ....";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        frequency: 12,
        time: 9,
    };

    #[test]
    fn rows_and_columns_leave_a_grid_and_single_patches_do_not() {
        let structured = Patchout {
            frequency: 4,
            time: 3,
            share: 0.0,
        };
        let kept = structured.draw(GRID, 7);
        let left = Grid {
            frequency: 8,
            time: 6,
        };
        assert_eq!(kept.grid, Some(left));
        assert_eq!(kept.tokens.len(), 2 + 8 * 6);
        let single = Patchout {
            share: 0.25,
            ..structured
        };
        let kept = single.draw(GRID, 7);
        assert_eq!(kept.grid, None);
        assert_eq!(kept.tokens.len(), 2 + 36);
        assert!(kept.tokens.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(kept.tokens[..2], [0, 1]);
        assert!(kept.tokens.iter().all(|&token| token < 2 + 108));
    }

    #[test]
    fn the_draw_depends_on_the_seed_alone() {
        let patchout = Patchout {
            frequency: 2,
            time: 2,
            share: 0.5,
        };
        assert_eq!(patchout.draw(GRID, 3).tokens, patchout.draw(GRID, 3).tokens);
        assert_ne!(patchout.draw(GRID, 3).tokens, patchout.draw(GRID, 4).tokens);
        let all = Patchout::default().draw(GRID, 3);
        assert_eq!(all.tokens, (0..110).collect::<Vec<i64>>());
    }

    #[test]
    fn settings_that_leave_nothing_are_refused() {
        for patchout in [
            Patchout {
                frequency: 12,
                ..Patchout::default()
            },
            Patchout {
                time: 9,
                ..Patchout::default()
            },
            Patchout {
                time: -1,
                ..Patchout::default()
            },
            Patchout {
                share: 1.0,
                ..Patchout::default()
            },
            Patchout {
                share: f64::NAN,
                ..Patchout::default()
            },
        ] {
            let error = patchout.validate(GRID).unwrap_err().to_string();
            assert!(error.contains("patchout."), "{error}");
        }
        assert!(Patchout::default().validate(GRID).is_ok());
    }
}
