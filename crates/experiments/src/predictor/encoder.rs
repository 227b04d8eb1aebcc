//! A model that turns features into numbers.

use std::path::Path;

use adapters::{AdaptOptions, AdaptedModel, AdapterDescription};
use anyhow::{Context, Result, ensure};
use ast_model::{AstModel, BindOptions, Checkpoint, Pooling, Step};
use audio_frontend::{Extractor, PipelineConfig};
use ndarray::ArrayView2;
use tch::{Device, Kind, Tensor};

use crate::front_end;

/// What comes out for one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    /// Scores of the C classes before the softmax.
    Logits,
    /// Probabilities of the C classes (softmax of the logits).
    Probabilities,
    /// One vector of width D: the final hidden states, pooled in this way;
    /// without one as the adapter's head sees them, or over all tokens of a
    /// plain backbone.
    Pooled(Option<Pooling>),
    /// One vector of width D per token: [L, D].
    Tokens,
}

/// A model with or without an adapter, and what it gives.
pub struct Encoder {
    model: Model,
    gives: Vectors,
    device: Device,
    frames: usize,
    bins: usize,
    /// What the backbone's files say of its features.
    own_front_end: Option<PipelineConfig>,
}

enum Model {
    Adapted(Box<AdaptedModel>),
    Plain(Box<AstModel>),
}

impl Encoder {
    /// An adapter on its backbone, which must be cut and made for the
    /// adapter's length already (see [`crate::backbones::for_adapter`]).
    ///
    /// # Errors
    /// Another backbone, or files that cannot be read.
    pub fn adapted(
        folder: &Path,
        backbone: &Checkpoint,
        options: &AdaptOptions,
        gives: Vectors,
    ) -> Result<Self> {
        let (model, _) = adapters::load(folder, backbone, options)?;
        let config = model.config();
        Ok(Encoder {
            frames: config.max_length as usize,
            bins: config.num_mel_bins as usize,
            model: Model::Adapted(Box::new(model)),
            gives,
            device: options.device,
            own_front_end: None,
        })
    }

    /// A backbone without an adapter.
    ///
    /// # Errors
    /// When probabilities are asked for, the weights do not fit the device, or
    /// the backbone is for sounds of another sampling rate.
    pub fn plain(backbone: &Checkpoint, options: &AdaptOptions, gives: Vectors) -> Result<Self> {
        ensure!(
            !matches!(gives, Vectors::Logits | Vectors::Probabilities),
            "a backbone alone knows no classes; name an adapter"
        );
        let bind = BindOptions {
            precision: options.precision,
            device: options.device,
            ..BindOptions::frozen()
        };
        Ok(Encoder {
            frames: backbone.config.max_length as usize,
            bins: backbone.config.num_mel_bins as usize,
            model: Model::Plain(Box::new(AstModel::bind(backbone, &bind)?)),
            gives,
            device: options.device,
            own_front_end: Some(front_end::for_checkpoint(backbone)?),
        })
    }

    /// Frames T of one window.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Shape of what [`encode`](Self::encode) gives for `values` numbers of
    /// one window: [C], [D] or [L, D].
    pub fn shape(&self, values: usize) -> Vec<usize> {
        match self.gives {
            Vectors::Tokens => {
                let width = match &self.model {
                    Model::Adapted(model) => model.config().hidden_size,
                    Model::Plain(model) => model.config().hidden_size,
                };
                vec![values / width as usize, width as usize]
            }
            _ => vec![values],
        }
    }

    /// What the model gives for each window, in their order.
    ///
    /// # Shapes
    /// every window `[T, F]` → C, D or L · D values
    ///
    /// # Errors
    /// Windows of another shape, or a failing model.
    pub fn encode(&self, windows: &[ArrayView2<f32>]) -> Result<Vec<Vec<f32>>> {
        let mut values: Vec<f32> = Vec::with_capacity(windows.len() * self.frames * self.bins);
        for window in windows {
            ensure!(
                window.dim() == (self.frames, self.bins),
                "a window is {:?}, but the model takes {:?}; the front end in the adapter's \
                 description does not fit its backbone",
                window.dim(),
                (self.frames, self.bins)
            );
            values.extend(window.iter());
        }
        if windows.is_empty() {
            return Ok(Vec::new());
        }
        let size = [windows.len(), self.frames, self.bins].map(|size| size as i64);
        let features = Tensor::from_slice(&values).reshape(size);
        let given = tch::no_grad(|| self.forward(&features.to_device(self.device)))?;
        let given = given.to_device(Device::Cpu).to_kind(Kind::Float);
        let rows = given.reshape([size[0], -1]);
        let flat: Vec<f32> = rows.contiguous().view([-1]).try_into()?;
        let width = flat.len() / windows.len();
        Ok(flat.chunks_exact(width).map(<[f32]>::to_vec).collect())
    }

    fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let step = Step::evaluation();
        Ok(match (&self.model, self.gives) {
            (Model::Adapted(model), Vectors::Logits) => model.forward(features, &step)?,
            (Model::Adapted(model), Vectors::Probabilities) => {
                model.forward(features, &step)?.softmax(-1, Kind::Float)
            }
            (Model::Adapted(model), Vectors::Pooled(pooling)) => {
                model.embeddings(features, pooling)?
            }
            (Model::Adapted(model), Vectors::Tokens) => model.tokens(features, &step)?,
            (Model::Plain(model), Vectors::Pooled(pooling)) => {
                model.embeddings(features, pooling.unwrap_or_default())?
            }
            (Model::Plain(model), _) => model.token_embeddings(features)?,
        })
    }

    /// The front end of an adapter, or that which the files of a plain backbone
    /// ask for, for this model, without a limit on the length of a recording:
    /// memory does not grow with it.
    ///
    /// # Errors
    /// Settings that no front end has.
    pub fn front_end(&self, description: Option<&AdapterDescription>) -> Result<Extractor> {
        let mut config = match (description, &self.own_front_end) {
            (Some(description), _) => front_end_of(description)?,
            (None, Some(own)) => own.clone(),
            (None, None) => front_end::pipeline(self.frames),
        };
        config.ast.max_length = self.frames;
        let limits = &mut config.decode.limits;
        limits.max_seconds = f64::MAX;
        limits.max_samples = u64::MAX;
        Ok(Extractor::new(config)?)
    }
}

/// The front end that an adapter was trained with.
///
/// # Errors
/// Settings that no front end has.
pub fn front_end_of(description: &AdapterDescription) -> Result<PipelineConfig> {
    serde_json::from_value(description.features.clone()).context(
        "`features` in adapter_config.json are no settings of this front end; was the adapter \
         trained by another program?",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::{Compat, FORMAT_VERSION, Head, MethodConfig, save};
    use ast_model::{AstConfig, Positions, Precision, init};

    /// Clips of 32 frames; the second has 12 of its own.
    fn windows() -> Tensor {
        let windows = init::normal(1, "windows", &[2, 32, 32], 1.0);
        let _ = windows.get(1).narrow(0, 12, 20).fill_(-0.4);
        windows
    }

    fn rows(values: &Tensor) -> Vec<Vec<f32>> {
        let width = values.size()[1] as usize;
        let flat: Vec<f32> = values.contiguous().view([-1]).try_into().unwrap();
        flat.chunks_exact(width).map(<[f32]>::to_vec).collect()
    }

    #[test]
    fn vectors_of_an_adapter_are_those_of_its_own_tokens_and_its_own_padding() {
        let shape = AstConfig {
            hidden_size: 8,
            num_attention_heads: 2,
            intermediate_size: 8,
            num_hidden_layers: 1,
            num_mel_bins: 32,
            max_length: 32,
            ..AstConfig::tiny()
        };
        let backbone = Checkpoint::random(&shape, 1).unwrap();
        let json = serde_json::json!({ "method": "prompt", "prompts": 3, "pooling": "prompts" });
        let method: MethodConfig = serde_json::from_value(json).unwrap();
        let options = AdaptOptions {
            mask_padding: true,
            ..AdaptOptions::new(2)
        };
        let model = AdaptedModel::new(&backbone, &method, &options).unwrap();
        let description = AdapterDescription {
            format_version: FORMAT_VERSION,
            method,
            compat: Compat::Fixed,
            backbone_fingerprint: backbone.fingerprint(),
            backbone: "random".into(),
            blocks: 1,
            strides: [10, 10],
            precision: Precision::F32,
            max_length: 32,
            positions: Positions::Crop,
            pooling: Pooling::All,
            head: Head::Linear,
            first_block: 0,
            mask_padding: true,
            labels: ["a", "b"].map(str::to_owned).to_vec(),
            features: serde_json::json!({}),
        };
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &model, &description).unwrap();

        let features = windows();
        let flat: Vec<f32> = features.contiguous().view([-1]).try_into().unwrap();
        let views: Vec<_> = flat
            .chunks_exact(32 * 32)
            .map(|window| ArrayView2::from_shape((32, 32), window).unwrap())
            .collect();
        for pooling in [None, Some(Pooling::Patches), Some(Pooling::All)] {
            let gives = Vectors::Pooled(pooling);
            let plain = AdaptOptions::new(1);
            let encoder = Encoder::adapted(folder.path(), &backbone, &plain, gives).unwrap();
            let expected = model.embeddings(&features, pooling).unwrap();
            assert_eq!(
                encoder.encode(&views).unwrap(),
                rows(&expected),
                "{pooling:?}"
            );
        }
        // The head pools the three prompts behind the class token.
        let tokens = tch::no_grad(|| model.tokens(&features, &Step::evaluation())).unwrap();
        let prompts = tokens.narrow(1, 1, 3);
        let over_tokens: &[i64] = &[1];
        let expected = prompts.mean_dim(over_tokens, false, None::<Kind>);
        let found = model.embeddings(&features, None).unwrap();
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
        let impossible = Vectors::Pooled(Some(Pooling::ClsDist));
        let plain = AdaptOptions::new(1);
        let encoder = Encoder::adapted(folder.path(), &backbone, &plain, impossible).unwrap();
        let error = encoder.encode(&views).unwrap_err().to_string();
        assert!(error.contains("keep_distillation"), "{error}");
    }
}
