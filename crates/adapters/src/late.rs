//! Methods that act in the last blocks only. The blocks before are the plain
//! backbone: no gradient flows through them, and adapters that begin late can
//! be evaluated over one common prefix.

use ast_model::{Branch, Context, Extension, HookError, Projection, SubLayer};
use tch::Tensor;

use crate::head;

/// The block that a tensor belongs to by its name `encoder.layer.BLOCK.…`.
pub(crate) fn block_of(name: &str) -> Option<usize> {
    let rest = name.strip_prefix("encoder.layer.")?;
    rest.split_once('.')?.0.parse().ok()
}

/// Whether a tensor acts after all blocks: final LayerNorm and head.
pub(crate) fn is_after_blocks(name: &str) -> bool {
    name.starts_with("layernorm.") || name.starts_with(head::PREFIX)
}

/// How many of `depth` blocks run before anything that these tensors change;
/// nothing where the embedding changes too.
///
/// Every method names a block's tensors after the block. A name of another form
/// counts as one that changes everything.
pub(crate) fn shared_blocks<'a>(
    mut names: impl Iterator<Item = &'a str>,
    depth: usize,
) -> Option<usize> {
    names.try_fold(depth, |shared, name| {
        if is_after_blocks(name) {
            return Some(shared);
        }
        Some(shared.min(block_of(name)?))
    })
}

/// A method that acts from block `first` on.
pub(crate) struct FromBlock {
    pub inner: Box<dyn Extension>,
    pub first: usize,
}

impl Extension for FromBlock {
    fn before_block(&self, context: &Context, x: Tensor) -> Result<Tensor, HookError> {
        if context.block < self.first {
            return Ok(x);
        }
        self.inner.before_block(context, x)
    }

    fn around_attention(
        &self,
        context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        if context.block < self.first {
            return Ok(Branch {
                output: attention(n1)?,
                carry: None,
            });
        }
        self.inner.around_attention(context, n1, attention)
    }

    fn around_ffn(
        &self,
        context: &Context,
        n2: &Tensor,
        carry: Option<Tensor>,
        ffn: &SubLayer,
    ) -> Result<Tensor, HookError> {
        if context.block < self.first {
            return ffn(n2);
        }
        self.inner.around_ffn(context, n2, carry, ffn)
    }

    fn changes(&self, projection: Projection) -> bool {
        self.inner.changes(projection)
    }

    fn project(
        &self,
        context: &Context,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        if context.block < self.first {
            return Ok(output);
        }
        self.inner.project(context, projection, input, output)
    }

    fn key_value_tokens(&self, context: &Context) -> Option<(Tensor, Tensor)> {
        if context.block < self.first {
            return None;
        }
        self.inner.key_value_tokens(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_changed_block_is_read_from_the_names() {
        let shared = |names: &[&str]| shared_blocks(names.iter().copied(), 12);
        assert_eq!(
            shared(&["layernorm.weight", "classification_head.bias"]),
            Some(12)
        );
        assert_eq!(
            shared(&["encoder.layer.11.moa_ffn.up", "encoder.layer.7.x.y"]),
            Some(7)
        );
        assert_eq!(shared(&["encoder.layer.11.x.y", "prompts"]), None);
        assert_eq!(shared(&["embeddings.cls_token"]), None);
    }
}
