//! Activation checkpointing: memory of one block instead of all of them.

use tch::{Kind, Tensor};

use crate::extension::{Extension, Pass, Step};
use crate::{AstError, AstModel, Grid};

/// A forward pass that kept only the input of each block. The backward pass
/// computes each block a second time, from the last to the first, so that only
/// one block's intermediate results exist at a time. Costs about half as much
/// again as a plain step; gradients are the same up to the order of sums.
///
/// Modules that keep statistics of their inputs must not count a pass twice:
/// they ask [`Step::recomputing`].
pub struct Recomputed<'a> {
    model: &'a AstModel,
    features: &'a Tensor,
    extension: &'a dyn Extension,
    step: &'a Step,
    grid: Option<Grid>,
    /// The input of each block; those with something trained before them
    /// require gradients.
    inputs: Vec<Tensor>,
    /// Whether a block's output depends on something trained.
    recorded: Vec<bool>,
    /// The output of the last block, cut off from what came before.
    last: Tensor,
    tokens: Tensor,
}

impl AstModel {
    /// As [`forward`](Self::forward), keeping only the input of each block.
    /// Compute the loss from [`Recomputed::tokens`] and give it to
    /// [`Recomputed::backward`].
    ///
    /// # Shapes
    /// `features` [B, T, F] → tokens [B, L, D]
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_recomputed<'a>(
        &'a self,
        features: &'a Tensor,
        extension: &'a dyn Extension,
        step: &'a Step,
    ) -> Result<Recomputed<'a>, AstError> {
        let _pass = step.enter(Pass::First);
        let (embedded, grid) = self.embed(features, extension, step)?;
        let mut depends = embedded.requires_grad();
        let mut x = embedded.detach();
        let (mut inputs, mut recorded) = (Vec::new(), Vec::new());
        for index in 0..self.depth() {
            let input = x.set_requires_grad(depends);
            // The graph of this block is dropped at the end of the round; it
            // only tells whether anything in it is trained.
            let output = self.block(index, input.shallow_clone(), grid, extension, step)?;
            depends = output.requires_grad();
            recorded.push(depends);
            inputs.push(input);
            x = output.detach();
        }
        let last = x.set_requires_grad(depends);
        Ok(Recomputed {
            tokens: self.final_layernorm(&last),
            model: self,
            features,
            extension,
            step,
            grid,
            inputs,
            recorded,
            last,
        })
    }
}

impl Recomputed<'_> {
    /// The final hidden states.
    ///
    /// # Shapes
    /// [B, L, D], f32
    pub fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    /// Adds the gradient of `loss` to every trained tensor, those of the
    /// extension included.
    ///
    /// Losses that extensions add with [`Step::add_loss`] count with weight
    /// one, here, block by block; what [`Step::take_loss`] gives after the
    /// forward pass is their value without a gradient.
    ///
    /// # Errors
    /// As [`AstModel::forward`].
    pub fn backward(self, loss: &Tensor) -> Result<(), AstError> {
        drop(self.step.take_loss());
        loss.f_backward()?;
        let mut gradient = self.last.grad();
        let _pass = self.step.enter(Pass::Second);
        for (index, input) in self.inputs.iter().enumerate().rev() {
            if !self.recorded[index] {
                return Ok(());
            }
            let (model, step) = (self.model, self.step);
            let output = model.block(
                index,
                input.shallow_clone(),
                self.grid,
                self.extension,
                step,
            )?;
            backward_from(&output, &gradient, step.take_loss())?;
            gradient = input.grad();
        }
        let (embedded, _) = self.model.embed(self.features, self.extension, self.step)?;
        if embedded.requires_grad() {
            backward_from(&embedded, &gradient, self.step.take_loss())?;
        }
        Ok(())
    }
}

/// Runs the backward pass from `output` with the gradient it received, plus
/// that of a loss of its own.
fn backward_from(output: &Tensor, gradient: &Tensor, own: Option<Tensor>) -> Result<(), AstError> {
    let mut target = (output * gradient).sum(Kind::Float);
    if let Some(own) = own {
        target += own;
    }
    Ok(target.f_backward()?)
}
