//! What of a clip can be computed once and kept, because nothing that trains
//! comes before it.

use ast_model::{Hidden, NoExtension, Step};
use tch::Tensor;

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
        let block = self.shared_blocks()?;
        if block == self.config().num_hidden_layers && !head.needs_tokens() {
            return Some(FrozenPart::Pooled);
        }
        (block > 0).then_some(FrozenPart::Tokens { block })
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
        let (backbone, _, _, pool) = self.parts();
        let step = Step::evaluation();
        let blocks = match part {
            FrozenPart::Tokens { block } => block,
            FrozenPart::Pooled => self.config().num_hidden_layers,
        };
        tch::no_grad(|| {
            let mut hidden = backbone.begin(features, &NoExtension, &step)?;
            while hidden.block() < blocks {
                hidden = backbone.advance(hidden, &NoExtension, &step)?;
            }
            let tokens = hidden.tokens();
            if part != FrozenPart::Pooled {
                return Ok(tokens.shallow_clone());
            }
            let width: &[i64] = &[self.config().hidden_size];
            let eps = self.config().layer_norm_eps;
            let normed = tokens
                .f_to_kind(tch::Kind::Float)?
                .f_layer_norm::<Tensor>(width, None, None, eps, false)?;
            Ok(pool.pool(&normed))
        })
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
                Ok(head.forward(&(frozen * weight + bias))?)
            }
        }
    }
}
