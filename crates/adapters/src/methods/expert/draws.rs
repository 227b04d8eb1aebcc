//! The random draws of an adapter in one training step.

use ast_model::{Context, init};
use moe_routing::{Draws, Train};
use tch::Tensor;

/// Draws that depend on the step's seed, the block and the place inside it,
/// so that a repeated step repeats them.
pub(crate) struct StepDraws {
    seed: u64,
    place: String,
}

impl StepDraws {
    /// Draws for the module `place` of the block that `context` names.
    pub fn new(context: &Context, place: &str) -> Self {
        StepDraws {
            seed: context.step.seed,
            place: format!("{}.{place}", context.block),
        }
    }

    /// What training adds to this pass; `None` in evaluation.
    pub fn train(&self, context: &Context) -> Option<Train<'_>> {
        context.step.train.then(|| Train {
            draws: self,
            update_statistics: !context.step.recomputing(),
        })
    }
}

impl Draws for StepDraws {
    fn normal(&self, what: &str, shape: &[i64]) -> Tensor {
        init::normal(self.seed, &format!("{}.{what}", self.place), shape, 1.0)
    }

    fn uniform(&self, what: &str, shape: &[i64]) -> Tensor {
        init::uniform(self.seed, &format!("{}.{what}", self.place), shape, 0.5) + 0.5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ast_model::Step;

    #[test]
    fn draws_differ_by_block_place_and_purpose_and_repeat() {
        let step = Step::training(5);
        let draw = |block, place: &str, what: &str| {
            let context = Context {
                block,
                grid: None,
                step: &step,
            };
            StepDraws::new(&context, place).uniform(what, &[50])
        };
        let first = draw(0, "moa_ffn", "noise");
        assert_eq!(draw(0, "moa_ffn", "noise"), first);
        assert_ne!(draw(1, "moa_ffn", "noise"), first);
        assert_ne!(draw(0, "moa_mhsa", "noise"), first);
        assert_ne!(draw(0, "moa_ffn", "dropout"), first);
        let bounds = [first.min(), first.max()].map(|t| t.double_value(&[]));
        assert!(bounds[0] >= 0.0 && bounds[1] <= 1.0);
    }
}
