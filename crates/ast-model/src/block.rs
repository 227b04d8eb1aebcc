//! One pre-LayerNorm transformer block.

use tch::Tensor;

use crate::AstError;
use crate::attention::Attention;
use crate::extension::{Context, Extension, HookError, Projection};
use crate::hook_shapes;
use crate::linear::{LayerNorm, Linear};

/// x̂ = x + Attn(LN₁ x); y = x̂ + FFN(LN₂ x̂).
#[derive(Debug)]
pub(crate) struct Block {
    pub layernorm_before: LayerNorm,
    pub attention: Attention,
    pub layernorm_after: LayerNorm,
    pub intermediate: Linear,
    pub output: Linear,
}

impl Block {
    /// [B, L, D] → [B, L, D], f32.
    pub fn forward(
        &self,
        x: Tensor,
        context: &Context,
        extension: &dyn Extension,
    ) -> Result<Tensor, AstError> {
        let block = context.block;
        let output = self.run(x, context, extension);
        output.map_err(|source| AstError::Extension { block, source })
    }

    fn run(
        &self,
        x: Tensor,
        context: &Context,
        extension: &dyn Extension,
    ) -> Result<Tensor, HookError> {
        let batch = x.size().first().copied().unwrap_or(0);
        let ends = [batch, self.layernorm_before.width()];
        let x = extension.before_block(context, x)?;
        let x = hook_shapes::sequence("before_block", x, ends)?;
        let size = x.size();

        let n1 = self.layernorm_before.forward(&x);
        let attention = |input: &Tensor| self.attention.forward(input, context, extension);
        let branch = extension.around_attention(context, &n1, &attention)?;
        let output = hook_shapes::same("around_attention", branch.output, &size)?;
        let x = hook_shapes::sum(x, output)?;

        let n2 = self.layernorm_after.forward(&x);
        let ffn = |input: &Tensor| self.feed_forward(input, context, extension);
        let output = extension.around_ffn(context, &n2, branch.carry, &ffn)?;
        let output = hook_shapes::same("around_ffn", output, &size)?;
        hook_shapes::sum(x, output)
    }

    /// W₂ GELU(W₁ n₂ + b₁) + b₂ with the exact (erf) GELU.
    fn feed_forward(
        &self,
        n2: &Tensor,
        context: &Context,
        extension: &dyn Extension,
    ) -> Result<Tensor, HookError> {
        let active = if extension.changes(Projection::Intermediate) {
            let plain = self.intermediate.forward(n2)?;
            let map = Projection::Intermediate;
            hook_shapes::projected(extension, context, map, n2, plain)?.f_gelu("none")?
        } else {
            self.intermediate.forward_gelu(n2)?
        };
        let output = self.output.forward(&active)?;
        if extension.changes(Projection::FeedForwardOutput) {
            let map = Projection::FeedForwardOutput;
            return hook_shapes::projected(extension, context, map, &active, output);
        }
        Ok(output)
    }
}
