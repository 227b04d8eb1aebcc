//! One pre-LayerNorm transformer block.

use tch::Tensor;

use crate::AstError;
use crate::attention::Attention;
use crate::extension::{Context, Extension, HookError, Projection};
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
        let failed = |source: HookError| AstError::Extension {
            block: context.block,
            source,
        };
        let x = extension.before_block(context, x).map_err(failed)?;

        let n1 = self.layernorm_before.forward(&x);
        let attention = |input: &Tensor| self.attention.forward(input, context, extension);
        let branch = extension
            .around_attention(context, &n1, &attention)
            .map_err(failed)?;
        let x = x + branch.output;

        let n2 = self.layernorm_after.forward(&x);
        let ffn = |input: &Tensor| self.feed_forward(input, context, extension);
        let output = extension
            .around_ffn(context, &n2, branch.carry, &ffn)
            .map_err(failed)?;
        Ok(x + output)
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
            extension
                .project(context, Projection::Intermediate, n2, plain)?
                .gelu("none")
        } else {
            self.intermediate.forward_gelu(n2)?
        };
        let output = self.output.forward(&active)?;
        if extension.changes(Projection::FeedForwardOutput) {
            return extension.project(context, Projection::FeedForwardOutput, &active, output);
        }
        Ok(output)
    }
}
