//! A backbone with one method attached and a classification head.

use ast_model::{
    AstConfig, AstModel, BindOptions, Checkpoint, Extension, Patchout, Pooling, Precision,
    Recomputed, Step,
};
use tch::{Device, Tensor};

use crate::parameters::Parameters;
use crate::{AdapterError, MethodConfig, ParameterCounts};

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
    /// Patches dropped in training steps.
    pub patchout: Patchout,
}

impl AdaptOptions {
    /// `classes` classes, seed 0, f32, on the CPU, mean over all tokens,
    /// no patch dropped.
    pub fn new(classes: i64) -> Self {
        AdaptOptions {
            classes,
            seed: 0,
            precision: Precision::F32,
            device: Device::Cpu,
            pooling: Pooling::All,
            patchout: Patchout::default(),
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
    head_weight: Tensor,
    head_bias: Tensor,
    pooling: Pooling,
    trained: Vec<(String, Tensor)>,
    buffers: Vec<(String, Tensor)>,
}

impl AdaptedModel {
    /// Attaches a method and a fresh head, a linear map [D → C] whose values
    /// start at U(±1/√D).
    ///
    /// # Errors
    /// A hyper-parameter out of range, or fewer than one class.
    pub fn new(
        checkpoint: &Checkpoint,
        method: &MethodConfig,
        options: &AdaptOptions,
    ) -> Result<Self, AdapterError> {
        let method = method.method();
        method.validate(&checkpoint.config)?;
        if !(1..=1 << 20).contains(&options.classes) {
            return Err(AdapterError::Config {
                method: method.name(),
                field: "classes",
                value: options.classes.to_string(),
                problem: "must lie between 1 and 1048576",
            });
        }
        let trains = |name: &str| method.trains(name);
        let backbone = AstModel::bind(
            checkpoint,
            &BindOptions {
                trained: &trains,
                precision: options.precision,
                device: options.device,
                patchout: options.patchout,
            },
        )?;
        let d = checkpoint.config.hidden_size;
        let bound = 1.0 / (d as f64).sqrt();
        let mut parameters = Parameters::new(options.seed, options.device);
        let extension = method.build(checkpoint, &mut parameters)?;
        let shape = [options.classes, d];
        let head_weight = parameters.uniform("classification_head.weight".into(), &shape, bound);
        let head_bias = parameters.uniform("classification_head.bias".into(), &shape[..1], bound);
        let mut trained: Vec<(String, Tensor)> = backbone
            .trained()
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        let (created, buffers) = parameters.into_lists();
        trained.extend(created);
        Ok(AdaptedModel {
            backbone,
            extension,
            head_weight,
            head_bias,
            pooling: options.pooling,
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
        let tokens = self
            .backbone
            .forward(features, self.extension.as_ref(), step)?;
        self.classify(&tokens)
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
        let extension = self.extension.as_ref();
        let pass = self
            .backbone
            .forward_recomputed(features, extension, step)?;
        let logits = self.classify(pass.tokens())?;
        Ok(RecomputedPass { pass, logits })
    }

    /// [B, L, D] → [B, C]
    fn classify(&self, tokens: &Tensor) -> Result<Tensor, AdapterError> {
        let pooled = self.pooling.pool(tokens);
        Ok(pooled.f_linear(&self.head_weight, Some(&self.head_bias))?)
    }

    /// Every trained tensor with its name: those of the backbone, of the
    /// method and of the head. All are f32 leaves that require gradients.
    pub fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
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
        ParameterCounts::of(
            self.trained
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor.numel() as u64)),
        )
    }

    /// The shape of the backbone.
    pub fn config(&self) -> &AstConfig {
        self.backbone.config()
    }
}
