//! What of a clip can be computed once and kept, because nothing that trains
//! comes before it.

use ast_model::{Extension, Hidden, NoExtension, Step};
use tch::{Kind, TchError, Tensor};

use crate::{AdaptedModel, AdapterError};

/// The part of a model that gives the same for a clip in every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrozenPart {
    /// The tokens before block `block`, [B, L, D].
    Tokens {
        /// The first block that the method changes, at least 1.
        block: usize,
    },
    /// The pooled tokens in front of the final LayerNorm's factor and summand,
    /// [B, D]: only these two and the head train.
    ///
    /// With n(x) = (x - mean) / √(var + ε) the final LayerNorm is w ⊙ n(x) + b,
    /// and pooling is a mean over tokens, so pool(w ⊙ n(x) + b) =
    /// w ⊙ pool(n(x)) + b.
    Pooled,
    /// The same after every block, [B, blocks, D], for a head that looks at all
    /// of them.
    Layers,
}

impl AdaptedModel {
    /// What of a clip is the same in every step; `None` where that is nothing
    /// worth keeping: the method changes the tokens or acts in the first block,
    /// or patches are dropped.
    pub fn frozen_part(&self) -> Option<FrozenPart> {
        let (backbone, _, head, _) = self.parts();
        if !backbone.patchout().is_off() {
            return None;
        }
        let block = self.untouched_blocks()?;
        if block == self.config().num_hidden_layers {
            if head.needs_layers() {
                return Some(FrozenPart::Layers);
            }
            if !head.needs_tokens() {
                return Some(FrozenPart::Pooled);
            }
        }
        // Tokens alone do not tell where a clip ends.
        let whole = !head.needs_layers() && !self.masks_padding();
        (block > 0 && whole).then_some(FrozenPart::Tokens { block })
    }

    /// The frozen part of the pass, for [`forward_frozen`](Self::forward_frozen);
    /// the features themselves where there is none.
    ///
    /// # Shapes
    /// `features` [B, T, F] → as [`FrozenPart`] says
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn frozen(&self, features: &Tensor) -> Result<Tensor, AdapterError> {
        let Some(part) = self.frozen_part() else {
            return Ok(features.shallow_clone());
        };
        let step = Step::evaluation();
        self.note_padding(features, &step)?;
        let blocks = match part {
            FrozenPart::Tokens { block } => block,
            FrozenPart::Pooled | FrozenPart::Layers => self.config().num_hidden_layers,
        };
        tch::no_grad(|| {
            if part == FrozenPart::Layers {
                return self.pooled_layers(features, &NoExtension, &step);
            }
            let (backbone, _, _, pool) = self.parts();
            let mut hidden = backbone.begin(features, &NoExtension, &step)?;
            while hidden.block() < blocks {
                hidden = backbone.advance(hidden, &NoExtension, &step)?;
            }
            match part {
                FrozenPart::Pooled => {
                    let tokens = self.normalised(hidden.tokens())?;
                    Ok(pool.pool(&tokens, step.token_mask(&tokens).as_ref()))
                }
                _ => Ok(hidden.tokens().shallow_clone()),
            }
        })
    }

    /// [`forward`](Self::forward) with a head that looks at all blocks.
    pub(crate) fn forward_layers(
        &self,
        features: &Tensor,
        step: &Step,
    ) -> Result<Tensor, AdapterError> {
        let (backbone, extension, head, _) = self.parts();
        let layers = self.pooled_layers(features, extension, step)?;
        Ok(head.forward_layers(&layers, backbone.final_layernorm_affine())?)
    }

    /// The output of every block, normalised and pooled: [B, blocks, D].
    fn pooled_layers(
        &self,
        features: &Tensor,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<Tensor, AdapterError> {
        let (backbone, _, _, pool) = self.parts();
        let mut hidden = backbone.begin(features, extension, step)?;
        let mut layers = Vec::new();
        while hidden.block() < self.config().num_hidden_layers {
            hidden = backbone.advance(hidden, extension, step)?;
            let tokens = self.normalised(hidden.tokens())?;
            layers.push(pool.pool(&tokens, step.token_mask(&tokens).as_ref()));
        }
        Ok(Tensor::f_stack(&layers, 1)?)
    }

    /// The final LayerNorm without factor and summand.
    fn normalised(&self, tokens: &Tensor) -> Result<Tensor, TchError> {
        let width: &[i64] = &[self.config().hidden_size];
        let eps = self.config().layer_norm_eps;
        tokens
            .f_to_kind(Kind::Float)?
            .f_layer_norm::<Tensor>(width, None, None, eps, false)
    }

    /// As [`forward`](Self::forward), from what [`frozen`](Self::frozen) gave
    /// for the clips: the same up to the order of sums, and to the bit where
    /// tokens were kept and the clips come in the same batches.
    ///
    /// # Shapes
    /// as [`FrozenPart`] says → [B, C], f32
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_frozen(&self, frozen: &Tensor, step: &Step) -> Result<Tensor, AdapterError> {
        match self.frozen_part() {
            None => self.forward(frozen, step),
            Some(FrozenPart::Tokens { block }) => {
                let grid = Some(self.config().grid());
                self.finish(Hidden::resumed(frozen.shallow_clone(), grid, block), step)
            }
            Some(FrozenPart::Pooled) => {
                let (backbone, _, head, _) = self.parts();
                let [weight, bias] = backbone.final_layernorm_affine();
                Ok(head.forward_pooled(&(frozen * weight + bias))?)
            }
            Some(FrozenPart::Layers) => {
                let (backbone, _, head, _) = self.parts();
                Ok(head.forward_layers(frozen, backbone.final_layernorm_affine())?)
            }
        }
    }
}
