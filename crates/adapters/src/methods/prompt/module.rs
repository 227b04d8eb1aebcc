//! Prompts as an extension of the backbone.

use ast_model::{AstConfig, Context, Extension, HookError, SPECIAL_TOKENS};
use tch::Tensor;

use super::{PromptConfig, token_bound};
use crate::parameters::Parameters;

/// Prompts of the first block and, when deep, of the others.
pub(super) struct Prompts {
    /// [1, M, D]
    first: Tensor,
    /// Those of the blocks from the second on: [blocks − 1, M, D].
    deep: Option<Tensor>,
    /// Special tokens that stay, before the prompts.
    special: i64,
}

impl Prompts {
    pub fn new(config: &PromptConfig, backbone: &AstConfig, parameters: &mut Parameters) -> Self {
        let bound = token_bound(backbone);
        let (m, d) = (config.prompts, backbone.hidden_size);
        let later = (backbone.num_hidden_layers as i64 - 1).max(0);
        Prompts {
            first: parameters.uniform("prompt_embeddings".into(), &[1, m, d], bound),
            deep: (config.deep && later > 0).then(|| {
                parameters.uniform("deep_prompt_embeddings".into(), &[later, m, d], bound)
            }),
            special: config.special(),
        }
    }

    /// The special tokens that stay, `prompts` [1, M, D], and the tokens of `x`
    /// from `rest` on.
    fn insert(&self, x: &Tensor, prompts: &Tensor, rest: i64) -> Result<Tensor, HookError> {
        let [batch, tokens, _] = x.size()[..] else {
            return Err("the token sequence is not [B, L, D]".into());
        };
        let special = x.narrow(1, 0, self.special);
        let prompts = prompts.expand([batch, -1, -1], false);
        let rest = x.narrow(1, rest, tokens - rest);
        Ok(Tensor::f_cat(&[special, prompts, rest], 1)?)
    }
}

impl Extension for Prompts {
    fn tokens(&self, _context: &Context, tokens: Tensor) -> Result<Tensor, HookError> {
        self.insert(&tokens, &self.first, SPECIAL_TOKENS)
    }

    fn before_block(&self, context: &Context, x: Tensor) -> Result<Tensor, HookError> {
        let (Some(deep), Some(index)) = (&self.deep, context.block.checked_sub(1)) else {
            return Ok(x);
        };
        let prompts = deep.narrow(0, index as i64, 1);
        self.insert(&x, &prompts, self.special + prompts.size()[1])
    }
}
