//! The places of a transformer block where other modules can act.
//!
//! With n₁ = LN₁ x, a = Attn(n₁), x̂ = x + a, n₂ = LN₂ x̂, f = FFN(n₂),
//! y = x̂ + f, every hook has a default that leaves the plain AST as it is.

use std::any::Any;
use std::cell::{Cell, RefCell};

use tch::Tensor;

use crate::{AstConfig, Grid};

/// What a hook returns when it cannot do its work.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// One pass through the model: its mode, its randomness, and the losses that
/// extensions want added to the task's.
#[derive(Debug, Default)]
pub struct Step {
    /// Whether this is a training step (matters for dropout and batch statistics).
    pub train: bool,
    /// Seed of every random draw of this step.
    pub seed: u64,
    losses: RefCell<Vec<Tensor>>,
    watched: bool,
    shown: RefCell<Vec<Box<dyn Any>>>,
    pass: Cell<Pass>,
    patch_mask: RefCell<Option<Tensor>>,
}

/// Which of the two forward passes of activation checkpointing this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pass {
    /// There is but one.
    #[default]
    Only,
    /// Its graph is dropped at once.
    First,
    /// Computed again for the gradients.
    Second,
}

/// Puts the pass back when it goes out of scope.
pub(crate) struct InPass<'a>(&'a Cell<Pass>);

impl Drop for InPass<'_> {
    fn drop(&mut self) {
        self.0.set(Pass::Only);
    }
}

impl Step {
    /// A pass in evaluation mode.
    pub fn evaluation() -> Self {
        Step::default()
    }

    /// A pass in evaluation mode in which extensions [`show`](Self::show) how
    /// they work. Its result is that of [`evaluation`](Self::evaluation).
    pub fn watched() -> Self {
        Step {
            watched: true,
            ..Step::default()
        }
    }

    /// A training step whose random draws are derived from `seed`.
    pub fn training(seed: u64) -> Self {
        Step {
            train: true,
            seed,
            ..Step::default()
        }
    }

    /// Asks for a weighted scalar to be added to the task's loss.
    pub fn add_loss(&self, loss: Tensor) {
        let loss = match self.pass.get() {
            Pass::First => loss.detach(),
            Pass::Only | Pass::Second => loss,
        };
        self.losses.borrow_mut().push(loss);
    }

    /// Whether somebody wants to see how extensions work.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Hands out what an extension has to show of this pass; what type that is
    /// lies between it and whoever watches.
    pub fn show(&self, what: Box<dyn Any>) {
        self.shown.borrow_mut().push(what);
    }

    /// Everything shown since the last call, in the order of the computation.
    pub fn take_shown(&self) -> Vec<Box<dyn Any>> {
        self.shown.take()
    }

    /// Whether this call repeats one made before in the same step (activation
    /// checkpointing). Statistics of batches have been counted then.
    pub fn recomputing(&self) -> bool {
        self.pass.get() == Pass::Second
    }

    /// Takes back what [`set_patch_mask`](Self::set_patch_mask) said.
    pub fn clear_patch_mask(&self) {
        *self.patch_mask.borrow_mut() = None;
    }

    /// Says which patches of this pass begin within the sound of their clips
    /// (see [`padding::patch_mask`](crate::padding::patch_mask)), for whoever
    /// wants to leave out the others. The backbone itself does not look at it.
    ///
    /// # Shapes
    /// `mask` [B, F'·T']
    pub fn set_patch_mask(&self, mask: Tensor) {
        *self.patch_mask.borrow_mut() = Some(mask);
    }

    /// The tokens that are no padding, where that was said: 1 for the tokens in
    /// front of the patches, whatever a method has added there, then the mask
    /// of the patches. `None` also where there are fewer tokens than patches in
    /// the mask: some were dropped ([`Patchout`](crate::Patchout)), and the mask
    /// does not say which.
    ///
    /// # Shapes
    /// `x` [B, L, any] with the patches at its end → [B, L], bool
    pub fn token_mask(&self, x: &Tensor) -> Option<Tensor> {
        let mask = self.patch_mask.borrow();
        let mask = mask.as_ref()?;
        let &[clips, patches] = mask.size().first_chunk()?;
        let in_front = x.size().get(1)? - patches;
        if in_front < 0 {
            return None;
        }
        let in_front = Tensor::ones([clips, in_front], (mask.kind(), mask.device()));
        Some(Tensor::cat(&[in_front, mask.shallow_clone()], 1))
    }

    pub(crate) fn enter(&self, pass: Pass) -> InPass<'_> {
        self.pass.set(pass);
        InPass(&self.pass)
    }

    /// The sum of all asked for since the last call; `None` when there is none.
    pub fn take_loss(&self) -> Option<Tensor> {
        self.losses
            .borrow_mut()
            .drain(..)
            .reduce(|sum, loss| sum + loss)
    }
}

/// What a hook knows of the moment it is called in.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Index of the block, from 0; for [`Extension::patches`] and
    /// [`Extension::tokens`] the number of blocks.
    pub block: usize,
    /// The patch grid [F', T'] of the tokens, as the embedding made them:
    /// smaller where [`Patchout`](crate::Patchout) dropped rows or columns,
    /// `None` where it left no grid.
    pub grid: Option<Grid>,
    /// The pass this call belongs to.
    pub step: &'a Step,
}

/// One of the six linear maps of a block: four of the attention sub-layer, two
/// of the feed-forward sub-layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Projection {
    /// Queries, input n₁.
    Query,
    /// Keys, input n₁.
    Key,
    /// Values, input n₁.
    Value,
    /// The output map, input the concatenated heads.
    Output,
    /// The first map of the feed-forward sub-layer, input n₂, before the GELU:
    /// [D → 4 D] in every published size.
    Intermediate,
    /// The second map of the feed-forward sub-layer, input the output of the
    /// GELU.
    FeedForwardOutput,
}

impl Projection {
    /// All six, in the order of the computation.
    pub const ALL: [Projection; 6] = [
        Projection::Query,
        Projection::Key,
        Projection::Value,
        Projection::Output,
        Projection::Intermediate,
        Projection::FeedForwardOutput,
    ];

    /// Canonical name of the map's module inside a block; `.weight` and
    /// `.bias` follow it in a [`Checkpoint`](crate::Checkpoint).
    pub fn module(self) -> &'static str {
        match self {
            Projection::Query => "attention.attention.query",
            Projection::Key => "attention.attention.key",
            Projection::Value => "attention.attention.value",
            Projection::Output => "attention.output.dense",
            Projection::Intermediate => "intermediate.dense",
            Projection::FeedForwardOutput => "output.dense",
        }
    }

    /// Widths [in, out] of the map in a model of this shape.
    pub fn widths(self, config: &AstConfig) -> [i64; 2] {
        let (narrow, wide) = (config.hidden_size, config.intermediate_size);
        match self {
            Projection::Intermediate => [narrow, wide],
            Projection::FeedForwardOutput => [wide, narrow],
            _ => [narrow, narrow],
        }
    }
}

/// The attention or feed-forward sub-layer as a function of its input.
///
/// # Shapes
/// [B, L, D] → [B, L, D]
pub type SubLayer<'a> = dyn Fn(&Tensor) -> Result<Tensor, HookError> + 'a;

/// What replaces the output of the attention sub-layer.
#[derive(Debug)]
pub struct Branch {
    /// Added to the residual stream: x̂ = x + `output`. [B, L, D]
    pub output: Tensor,
    /// Handed to [`Extension::around_ffn`] of the same block.
    pub carry: Option<Tensor>,
}

/// Modules attached to a backbone. All defaults are the plain AST.
///
/// # Errors
/// A hook that cannot do its work says why; the pass ends with that error
/// (`AstError::Extension`, in the embedding `AstError::EmbeddingExtension`). A
/// result of another shape than the one stated ends it too, with
/// `AstError::HookShape` as the source.
pub trait Extension {
    /// The patches as the patch convolution gives them, before positions and
    /// special tokens join them and before any is dropped.
    ///
    /// # Shapes
    /// [B, F'·T', D] → [B, F'·T', D]
    fn patches(&self, _context: &Context, patches: Tensor) -> Result<Tensor, HookError> {
        Ok(patches)
    }

    /// The token sequence after the embedding (positions added).
    ///
    /// # Shapes
    /// [B, L, D] → [B, any, D]
    fn tokens(&self, _context: &Context, tokens: Tensor) -> Result<Tensor, HookError> {
        Ok(tokens)
    }

    /// The token sequence before each block.
    ///
    /// # Shapes
    /// [B, L, D] → [B, any, D]
    fn before_block(&self, _context: &Context, x: Tensor) -> Result<Tensor, HookError> {
        Ok(x)
    }

    /// The attention sub-layer: receives n₁ and Attn, returns what is added to x.
    ///
    /// # Shapes
    /// `n1` [B, L, D] → [`Branch::output`] [B, L, D]
    fn around_attention(
        &self,
        _context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        Ok(Branch {
            output: attention(n1)?,
            carry: None,
        })
    }

    /// The feed-forward sub-layer: receives n₂, FFN and what
    /// [`around_attention`](Self::around_attention) carried over; returns what
    /// is added to x̂.
    ///
    /// # Shapes
    /// `n2` and `carry` [B, L, D] → [B, L, D]
    fn around_ffn(
        &self,
        _context: &Context,
        n2: &Tensor,
        _carry: Option<Tensor>,
        ffn: &SubLayer,
    ) -> Result<Tensor, HookError> {
        ffn(n2)
    }

    /// Whether [`project`](Self::project) changes this projection; where it
    /// does not, the fused path is taken.
    fn changes(&self, _projection: Projection) -> bool {
        false
    }

    /// Changes the output of a projection.
    ///
    /// # Shapes
    /// `input` [B, L, in], `output` [B, L, out] → [B, L, out]; in and out are
    /// those of [`Projection::widths`]. `output` may be bf16.
    fn project(
        &self,
        _context: &Context,
        _projection: Projection,
        _input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        Ok(output)
    }

    /// Further keys and values, the same for every clip.
    ///
    /// # Shapes
    /// two tensors [1, M, D]
    fn key_value_tokens(&self, _context: &Context) -> Option<(Tensor, Tensor)> {
        None
    }
}

/// No module attached: the plain AST.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoExtension;

impl Extension for NoExtension {}
