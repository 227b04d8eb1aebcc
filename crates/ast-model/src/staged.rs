//! A forward pass in pieces, so that several models can go on from one prefix.

use tch::Tensor;

use crate::extension::{Extension, Step};
use crate::{AstError, AstModel, Grid};

/// The token sequence on its way through the blocks.
#[derive(Debug)]
pub struct Hidden {
    tokens: Tensor,
    grid: Option<Grid>,
    block: usize,
}

impl Hidden {
    /// Tokens that were computed earlier, before block `block`, with the patch
    /// grid [F', T'] among them; `None` where they have none.
    ///
    /// # Shapes
    /// `tokens` [B, L, D]
    pub fn resumed(tokens: Tensor, grid: Option<Grid>, block: usize) -> Self {
        Hidden {
            tokens,
            grid,
            block,
        }
    }

    /// The tokens.
    ///
    /// # Shapes
    /// [B, L, D]
    pub fn tokens(&self) -> &Tensor {
        &self.tokens
    }

    /// The block that comes next.
    pub fn block(&self) -> usize {
        self.block
    }

    /// The same tokens once more, without a copy.
    pub fn shallow_clone(&self) -> Self {
        Hidden {
            tokens: self.tokens.shallow_clone(),
            ..*self
        }
    }
}

impl AstModel {
    /// Embeds features: the sequence before block 0.
    ///
    /// # Shapes
    /// `features` [B, T, F]
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn begin(
        &self,
        features: &Tensor,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<Hidden, AstError> {
        let (tokens, grid) = self.embed(features, extension, step)?;
        Ok(Hidden {
            tokens,
            grid,
            block: 0,
        })
    }

    /// Runs the next block; after the last one nothing happens.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn advance(
        &self,
        hidden: Hidden,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<Hidden, AstError> {
        let Hidden {
            tokens,
            grid,
            block,
        } = hidden;
        if block >= self.depth() {
            return Ok(Hidden {
                tokens,
                grid,
                block,
            });
        }
        Ok(Hidden {
            tokens: self.block(block, tokens, grid, extension, step)?,
            grid,
            block: block + 1,
        })
    }

    /// Runs all blocks that are left and the final LayerNorm. After
    /// [`begin`](Self::begin) this is [`forward`](Self::forward), to the bit.
    ///
    /// # Shapes
    /// → [B, L, D], f32
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn finish(
        &self,
        mut hidden: Hidden,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<Tensor, AstError> {
        while hidden.block < self.depth() {
            hidden = self.advance(hidden, extension, step)?;
        }
        Ok(self.final_layernorm(&hidden.tokens))
    }
}
