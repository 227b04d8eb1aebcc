//! Random numbers of a training step, derived from its seed.

use ast_model::{Context, Step, init};
use moe_routing::{Draws, Train};
use tch::Tensor;

/// The draws of one module in one step: functions of the step's seed, the
/// module's block and place, and the purpose.
pub(crate) struct StepDraws<'a> {
    step: &'a Step,
    name: String,
}

impl<'a> StepDraws<'a> {
    /// Those of the module at `place` in the context's block.
    pub fn new(context: &Context<'a>, place: &str) -> Self {
        StepDraws {
            step: context.step,
            name: format!("draws of block {} {place}", context.block),
        }
    }

    /// What a training pass needs; `None` in evaluation.
    pub fn train(&self) -> Option<Train<'_>> {
        self.step.train.then(|| Train {
            draws: self,
            update_statistics: !self.step.recomputing(),
        })
    }
}

impl Draws for StepDraws<'_> {
    fn normal(&self, what: &str, shape: &[i64]) -> Tensor {
        init::normal(self.step.seed, &format!("{} {what}", self.name), shape, 1.0)
    }

    fn uniform(&self, what: &str, shape: &[i64]) -> Tensor {
        init::uniform(self.step.seed, &format!("{} {what}", self.name), shape, 0.5) + 0.5
    }
}
