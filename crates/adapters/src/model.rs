//! A backbone with one method attached and a classification head.

use ast_model::{
    AstConfig, AstModel, BindOptions, Checkpoint, Extension, Hidden, Patchout, Pooling, Precision,
    Recomputed, SharedBackbone, Step, padding,
};
use tch::{Device, Tensor};

use crate::build::{self, Parts};
use crate::head::HeadModule;
use crate::pool::Pool;
use crate::{AdapterError, Head, MethodConfig, ParameterCounts, late};

/// How a backbone becomes a classifier.
#[derive(Debug, Clone)]
pub struct AdaptOptions {
    /// C, number of classes.
    pub classes: i64,
    /// Seed of all initial values.
    pub seed: u64,
    /// Number format of the frozen matrices.
    pub precision: Precision,
    /// Where the model lives.
    pub device: Device,
    /// From tokens to one vector per clip.
    pub pooling: Pooling,
    /// From the pooled vector to class scores.
    pub head: Head,
    /// The first block in which the method acts; the blocks before stay the
    /// plain backbone. 0 for all blocks, as in the papers.
    pub first_block: usize,
    /// Patches dropped in training steps.
    pub patchout: Patchout,
    /// Whether frames that only fill a clip up to T are left out of pooling and
    /// routing; attention sees them all the same. Which these are follows from
    /// the features: see [`ast_model::padding`]. Not with [`Patchout`], nor with
    /// heads that look at tokens. Off in both papers (quirk Q30).
    pub mask_padding: bool,
}

impl AdaptOptions {
    /// `classes` classes, seed 0, f32, on the CPU, mean over all tokens, linear
    /// head, the method in all blocks, no patch dropped, padding as sound.
    pub fn new(classes: i64) -> Self {
        AdaptOptions {
            classes,
            seed: 0,
            precision: Precision::F32,
            device: Device::Cpu,
            pooling: Pooling::All,
            head: Head::Linear,
            first_block: 0,
            patchout: Patchout::default(),
            mask_padding: false,
        }
    }
}

/// What [`AdaptedModel::forward_recomputed`] gives.
pub struct RecomputedPass<'a> {
    pass: Recomputed<'a>,
    logits: Tensor,
}

impl RecomputedPass<'_> {
    /// Class scores before the softmax.
    ///
    /// # Shapes
    /// [B, C], f32
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// Adds the gradient of `loss`, computed from the logits, and of the
    /// method's own losses to `grad` of every trained tensor.
    ///
    /// # Errors
    /// When a block cannot be computed again.
    pub fn backward(self, loss: &Tensor) -> Result<(), AdapterError> {
        Ok(self.pass.backward(loss)?)
    }
}

/// A classifier: frozen backbone, trained modules, trained head.
pub struct AdaptedModel {
    backbone: AstModel,
    extension: Box<dyn Extension>,
    head: HeadModule,
    method: MethodConfig,
    pool: Pool,
    mask_padding: bool,
    trained: Vec<(String, Tensor)>,
    buffers: Vec<(String, Tensor)>,
}

impl AdaptedModel {
    /// Attaches a method and a fresh head, whose linear map [D → C] starts at
    /// U(±1/√D).
    ///
    /// # Errors
    /// A hyper-parameter out of range, or fewer than one class.
    pub fn new(
        checkpoint: &Checkpoint,
        method: &MethodConfig,
        options: &AdaptOptions,
    ) -> Result<Self, AdapterError> {
        build::check(checkpoint, method, options)?;
        let trains = |name: &str| build::trains(method, options, name);
        let backbone = AstModel::bind(
            checkpoint,
            &BindOptions {
                trained: &trains,
                precision: options.precision,
                device: options.device,
                patchout: options.patchout,
            },
        )?;
        Self::on(backbone, checkpoint, method, options)
    }

    /// As [`new`](Self::new) on a backbone that other models use too: whatever
    /// the method does not train is not copied. Precision and device are the
    /// backbone's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn beside(
        shared: &SharedBackbone,
        method: &MethodConfig,
        options: &AdaptOptions,
    ) -> Result<Self, AdapterError> {
        let checkpoint = shared.checkpoint();
        let options = AdaptOptions {
            precision: shared.precision(),
            device: shared.device(),
            ..options.clone()
        };
        build::check(checkpoint, method, &options)?;
        let trains = |name: &str| build::trains(method, &options, name);
        let backbone = shared.bind(&trains, options.patchout)?;
        Self::on(backbone, checkpoint, method, &options)
    }

    fn on(
        backbone: AstModel,
        checkpoint: &Checkpoint,
        method: &MethodConfig,
        options: &AdaptOptions,
    ) -> Result<Self, AdapterError> {
        let Parts {
            extension,
            head,
            created,
            buffers,
        } = build::parts(checkpoint, method, options, false)?;
        let mut trained: Vec<(String, Tensor)> = backbone
            .trained()
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        trained.extend(created);
        Ok(AdaptedModel {
            backbone,
            extension,
            head,
            method: method.clone(),
            pool: method.method().pooling(options.pooling)?,
            mask_padding: options.mask_padding,
            trained,
            buffers,
        })
    }

    /// Class scores before the softmax.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, C], f32
    ///
    /// # Errors
    /// Features of another shape than the backbone takes.
    pub fn forward(&self, features: &Tensor, step: &Step) -> Result<Tensor, AdapterError> {
        if self.head.needs_layers() {
            self.note_padding(features, step)?;
            return self.forward_layers(features, step);
        }
        self.classify(&self.tokens(features, step)?, step)
    }

    /// One vector per token: the final hidden states, with the method attached,
    /// before pooling and head.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, L, D], f32; methods that add tokens have
    /// more of them than the backbone.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn tokens(&self, features: &Tensor, step: &Step) -> Result<Tensor, AdapterError> {
        let extension = self.extension.as_ref();
        self.note_padding(features, step)?;
        Ok(self.backbone.forward(features, extension, step)?)
    }

    /// One vector per clip, without gradients: the final hidden states, with the
    /// method attached, pooled as the head sees them, or with `pooling` over the
    /// tokens that it means (prompts are no patches). Padded frames are left out
    /// where the model leaves them out.
    ///
    /// # Shapes
    /// `features` [B, T, F] → [B, D], f32
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and a pooling of which the method leaves
    /// nothing.
    pub fn embeddings(
        &self,
        features: &Tensor,
        pooling: Option<Pooling>,
    ) -> Result<Tensor, AdapterError> {
        let pool = match pooling {
            None => self.pool,
            Some(pooling) => self.method.method().places(pooling)?,
        };
        tch::no_grad(|| {
            let step = Step::evaluation();
            let tokens = self.tokens(features, &step)?;
            Ok(pool.pool(&tokens, step.token_mask(&tokens).as_ref()))
        })
    }

    /// Tells the pass where the clips end, if that is to count, and takes back
    /// what another model may have said to the same step.
    pub(crate) fn note_padding(&self, features: &Tensor, step: &Step) -> Result<(), AdapterError> {
        if self.mask_padding {
            step.set_patch_mask(padding::patch_mask(features, self.config())?);
        } else {
            step.clear_patch_mask();
        }
        Ok(())
    }

    /// Whether padded frames are left out of pooling and routing.
    pub(crate) fn masks_padding(&self) -> bool {
        self.mask_padding
    }

    /// A training step's forward pass that keeps only the input of each block;
    /// see [`Recomputed`]. Give the loss to [`RecomputedPass::backward`].
    ///
    /// # Shapes
    /// `features` [B, T, F]
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_recomputed<'a>(
        &'a self,
        features: &'a Tensor,
        step: &'a Step,
    ) -> Result<RecomputedPass<'a>, AdapterError> {
        if self.head.needs_layers() {
            return Err(AdapterError::HeadNeedsLayers);
        }
        let extension = self.extension.as_ref();
        self.note_padding(features, step)?;
        let pass = self
            .backbone
            .forward_recomputed(features, extension, step)?;
        let logits = self.classify(pass.tokens(), step)?;
        Ok(RecomputedPass { pass, logits })
    }

    /// Backbone, method, head and pooling.
    pub(crate) fn parts(&self) -> (&AstModel, &dyn Extension, &HeadModule, Pool) {
        (
            &self.backbone,
            self.extension.as_ref(),
            &self.head,
            self.pool,
        )
    }

    /// [B, L, D] → [B, C]
    fn classify(&self, tokens: &Tensor, step: &Step) -> Result<Tensor, AdapterError> {
        let mask = step.token_mask(tokens);
        Ok(self.head.forward(tokens, self.pool, mask.as_ref())?)
    }

    /// Class scores from the tokens before block [`Hidden::block`], which must
    /// be those of this backbone with nothing changed so far: at most
    /// [`shared_blocks`](Self::shared_blocks) blocks.
    pub(crate) fn finish(&self, hidden: Hidden, step: &Step) -> Result<Tensor, AdapterError> {
        let extension = self.extension.as_ref();
        let tokens = self.backbone.finish(hidden, extension, step)?;
        self.classify(&tokens, step)
    }

    /// How many of the first blocks are those of the plain backbone, with
    /// nothing trained before or inside them; `None` where the method changes
    /// the embedding or the tokens themselves, the head looks at all blocks, or
    /// padding is masked.
    pub fn shared_blocks(&self) -> Option<usize> {
        if self.head.needs_layers() || self.mask_padding {
            return None;
        }
        self.untouched_blocks()
    }

    /// As [`shared_blocks`](Self::shared_blocks), whatever the head looks at.
    pub(crate) fn untouched_blocks(&self) -> Option<usize> {
        let names = self.trained.iter().chain(&self.buffers);
        let depth = self.config().num_hidden_layers;
        late::shared_blocks(names.map(|(name, _)| name.as_str()), depth)
    }

    /// Every trained tensor with its name: those of the backbone, of the
    /// method and of the head. All are f32 leaves that require gradients.
    pub fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
    }

    /// How many of the first of [`trained`](Self::trained) are the backbone's
    /// own; those of the method and the head follow.
    pub fn trained_in_backbone(&self) -> usize {
        self.backbone.trained().len()
    }

    /// Every tensor of the method that changes in training without being
    /// trained, such as the running statistics of a BatchNorm, with its name.
    /// They are part of what training gives: whoever copies or saves the
    /// trained tensors takes them along. None is counted as trained.
    pub fn buffers(&self) -> &[(String, Tensor)] {
        &self.buffers
    }

    /// How many values train.
    pub fn counts(&self) -> ParameterCounts {
        ParameterCounts::of(&self.trained)
    }

    /// The shape of the backbone.
    pub fn config(&self) -> &AstConfig {
        self.backbone.config()
    }
}
