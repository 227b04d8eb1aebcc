//! A backbone bound for one run: which tensors train, in which precision.

use tch::{Device, Kind, Tensor};

use crate::binder::Binder;
use crate::block::Block;
use crate::config::SPECIAL_TOKENS;
use crate::extension::{Context, Extension, NoExtension, Step};
use crate::hook_shapes;
use crate::linear::LayerNorm;
use crate::{AstConfig, AstError, Checkpoint, Grid, Patchout, Precision};

/// How a [`Checkpoint`] becomes an [`AstModel`].
pub struct BindOptions<'a> {
    /// Which tensors are trained, by canonical name.
    pub trained: &'a dyn Fn(&str) -> bool,
    /// Number format of the frozen matrices.
    pub precision: Precision,
    /// Where the model lives.
    pub device: Device,
    /// Patches dropped in training steps.
    pub patchout: Patchout,
}

impl BindOptions<'static> {
    /// Everything frozen, f32, on the CPU, no patch dropped.
    pub fn frozen() -> Self {
        BindOptions {
            trained: &|_| false,
            precision: Precision::F32,
            device: Device::Cpu,
            patchout: Patchout::default(),
        }
    }
}

/// An AST ready to run. Frozen f32 tensors share memory with the checkpoint, but
/// for query, key and value of each block, which are copied into one matrix
/// (85 MB in AST-Base); trained ones are copies of their own with gradients on.
#[derive(Debug)]
pub struct AstModel {
    pub(crate) config: AstConfig,
    pub(crate) patchout: Patchout,
    pub(crate) patch: [Tensor; 2],
    pub(crate) special: [Tensor; 2],
    pub(crate) positions: Tensor,
    pub(crate) blocks: Vec<Block>,
    pub(crate) layernorm: LayerNorm,
    pub(crate) trained: Vec<(String, Tensor)>,
}

impl AstModel {
    /// Binds the weights of a checkpoint.
    ///
    /// # Errors
    /// When libtorch cannot move a tensor to the device, or the patchout leaves
    /// nothing of the patch grid.
    pub fn bind(checkpoint: &Checkpoint, options: &BindOptions) -> Result<Self, AstError> {
        Binder::new(checkpoint, options, None).model()
    }

    /// The shape of the model.
    pub fn config(&self) -> &AstConfig {
        &self.config
    }

    /// The trained tensors of the backbone with their canonical names, f32
    /// leaves that require gradients.
    pub fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
    }

    /// The final hidden states with `extension` attached.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, L, D], f32, after the final LayerNorm. L is
    /// F'·T' + 2 unless the extension adds or removes tokens.
    ///
    /// # Errors
    /// Features of another shape than the model was bound for, or a failing
    /// extension.
    pub fn forward(
        &self,
        features: &Tensor,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<Tensor, AstError> {
        let (mut x, grid) = self.embed(features, extension, step)?;
        for index in 0..self.depth() {
            x = self.block(index, x, grid, extension, step)?;
        }
        Ok(self.layernorm.forward(&x))
    }

    /// [`forward`](Self::forward) of the plain AST in evaluation.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, L, D]
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_plain(&self, features: &Tensor) -> Result<Tensor, AstError> {
        self.forward(features, &NoExtension, &Step::evaluation())
    }

    /// Every hidden state of the plain AST: the embedding, then the output of
    /// each block. [`final_layernorm`](Self::final_layernorm) of the last one
    /// is what [`forward_plain`](Self::forward_plain) returns.
    ///
    /// # Shapes
    /// `features` [B, T, F] → one [B, L, D] more than there are blocks
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn hidden_states(&self, features: &Tensor) -> Result<Vec<Tensor>, AstError> {
        let step = Step::evaluation();
        let (embedded, grid) = self.embed(features, &NoExtension, &step)?;
        let mut states = vec![embedded];
        for index in 0..self.depth() {
            let x = states[index].shallow_clone();
            states.push(self.block(index, x, grid, &NoExtension, &step)?);
        }
        Ok(states)
    }

    /// The final LayerNorm.
    ///
    /// # Shapes
    /// [B, L, D] → [B, L, D]
    pub fn final_layernorm(&self, x: &Tensor) -> Tensor {
        self.layernorm.forward(x)
    }

    /// Factor w and summand b of the final LayerNorm.
    ///
    /// # Shapes
    /// two tensors `[D]`
    pub fn final_layernorm_affine(&self) -> [&Tensor; 2] {
        [&self.layernorm.weight, &self.layernorm.bias]
    }

    /// Which patches are dropped in training steps.
    pub fn patchout(&self) -> &Patchout {
        &self.patchout
    }

    /// Number of blocks.
    pub(crate) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// One block: [B, L, D] → [B, L, D].
    pub(crate) fn block(
        &self,
        index: usize,
        x: Tensor,
        grid: Option<Grid>,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<Tensor, AstError> {
        let context = Context {
            block: index,
            grid,
            step,
        };
        self.blocks[index].forward(x, &context, extension)
    }

    /// Patches, special tokens and positions: [B, T, F] → [B, L, D], and the
    /// grid of the patches among them.
    pub(crate) fn embed(
        &self,
        features: &Tensor,
        extension: &dyn Extension,
        step: &Step,
    ) -> Result<(Tensor, Option<Grid>), AstError> {
        let (frames, bins) = (self.config.max_length, self.config.num_mel_bins);
        let size = features.size();
        if size.len() != 3 || size[0] < 1 || size[1..] != [frames, bins] {
            return Err(AstError::Input {
                frames,
                bins,
                found: size,
            });
        }
        // The convolution sees frequency as rows: [B, 1, F, T].
        let image = features.to_kind(Kind::Float).unsqueeze(1).transpose(2, 3);
        let stride = [self.config.frequency_stride, self.config.time_stride];
        let patches = image
            .f_conv2d(
                &self.patch[0],
                Some(&self.patch[1]),
                stride,
                [0, 0],
                [1, 1],
                1,
            )?
            .flatten(2, 3)
            .transpose(1, 2);
        let block = self.depth();
        let failed = |source| AstError::EmbeddingExtension { source };
        let mut grid = Some(self.config.grid());
        let expected = patches.size();
        let patches = extension
            .patches(&Context { block, grid, step }, patches)
            .and_then(|patches| hook_shapes::same("patches", patches, &expected))
            .map_err(failed)?;
        let [cls, dist] = [0, 1].map(|i: usize| self.special[i].expand([size[0], -1, -1], false));
        debug_assert_eq!(cls.size()[1] + dist.size()[1], SPECIAL_TOKENS);
        let mut tokens = Tensor::cat(&[cls, dist, patches], 1) + &self.positions;
        if step.train && !self.patchout.is_off() {
            let kept = self.patchout.draw(self.config.grid(), step.seed);
            tokens = kept.apply(&tokens);
            grid = kept.grid;
        }
        let tokens = extension
            .tokens(&Context { block, grid, step }, tokens)
            .and_then(|tokens| {
                hook_shapes::sequence("tokens", tokens, [size[0], self.config.hidden_size])
            })
            .map_err(failed)?;
        Ok((tokens, grid))
    }
}
