//! The weights of an AST as they are on disk.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use crate::{AstConfig, AstError, Positions, init, tensor_file};

mod classifier;
mod derive;
mod edit;
mod files;
mod load;
mod names;
mod original;
mod preprocessor;
pub(crate) mod shards;

pub use classifier::Classifier;
pub use load::{ConfigSource, LoadOptions, LoadReport, Resized};
pub use preprocessor::PreprocessorConfig;

/// An AST's configuration and f32 weights under their Hugging Face names,
/// without the prefix `audio_spectrogram_transformer.`. Never changed by
/// training: [`crate::AstModel::bind`] copies what is trained.
#[derive(Debug)]
pub struct Checkpoint {
    /// The shape of the model.
    pub config: AstConfig,
    tensors: BTreeMap<String, Tensor>,
    classifier: Option<Classifier>,
    preprocessor: Option<PreprocessorConfig>,
}

impl Checkpoint {
    /// Reads a checkpoint as it is: [`load_with`](Self::load_with) with the
    /// default options.
    ///
    /// # Errors
    /// As [`load_with`](Self::load_with).
    pub fn load(path: &Path) -> Result<(Self, LoadReport), AstError> {
        load::load(path, &LoadOptions::default())
    }

    /// Reads a checkpoint: a folder in the Hugging Face layout, or a
    /// safetensors file with the other files, if any, beside it.
    ///
    /// - Weights: `model.safetensors`, or the files that
    ///   `model.safetensors.index.json` names, or the folder's only
    ///   safetensors file. f32 tensors stay in the file, mapped into memory
    ///   (see [`tensor_file::read`]: do not change it in place while in use).
    /// - Names: Hugging Face's, with or without prefix, or those of the
    ///   original release (`module.v.…`, `v.…`), whose fused query, key and
    ///   value are taken apart.
    /// - `config.json`; without it the shape is told from the tensors, see
    ///   [`ConfigSource::Derived`], with a LayerNorm epsilon of 1e-6 (the
    ///   original program's) for original names and 1e-12 for others.
    /// - `preprocessor_config.json`, if it is there.
    ///
    /// # Errors
    /// A missing or damaged file, a pickle file in its place, a missing tensor
    /// (unless allowed) or one of another shape than the configuration says.
    pub fn load_with(path: &Path, options: &LoadOptions) -> Result<(Self, LoadReport), AstError> {
        load::load(path, options)
    }

    /// A fresh model as Hugging Face initialises it: matrices N(0, 0.02²),
    /// biases and tokens 0, LayerNorms 1 and 0. Position embeddings, which
    /// Hugging Face leaves at 0, are drawn from N(0, 0.02²) as in the original
    /// ViT. Every value is derived from the seed and the tensor's name.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn random(config: &AstConfig, seed: u64) -> Result<Self, AstError> {
        config.validate()?;
        let tensors = names::parameters(config)
            .into_iter()
            .map(|(name, shape)| {
                let value = initial_value(seed, &name, &shape);
                (name, value)
            })
            .collect();
        Ok(Checkpoint {
            config: config.clone(),
            tensors,
            classifier: None,
            preprocessor: None,
        })
    }

    /// Writes `config.json`, `preprocessor_config.json` and
    /// `model.safetensors` into `folder` as Hugging Face does, in f32 and with
    /// the classifier if there is one. Each file is replaced only once the new
    /// one is whole. A `preprocessor_config.json` of an earlier checkpoint is
    /// removed where this one has none.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn save(&self, folder: &Path) -> Result<(), AstError> {
        files::write(folder, self)
    }

    /// The head that the model was trained with, if the files had a whole one.
    /// It is no part of the backbone: neither
    /// [`fingerprint`](Self::fingerprint) nor
    /// [`tensors`](Self::tensors) know it.
    pub fn classifier(&self) -> Option<&Classifier> {
        self.classifier.as_ref()
    }

    /// What the front end must do for this model, if the files said it.
    pub fn preprocessor(&self) -> Option<&PreprocessorConfig> {
        self.preprocessor.as_ref()
    }

    /// The same weights without the blocks from `blocks` on. The final
    /// LayerNorm stays; the classifier, which knows only the output of all
    /// blocks, does not.
    ///
    /// # Errors
    /// When there are fewer blocks than asked for.
    pub fn first_blocks(&self, blocks: usize) -> Result<Self, AstError> {
        if blocks > self.config.num_hidden_layers {
            return Err(AstError::Config {
                field: "num_hidden_layers",
                value: blocks.to_string(),
                problem: "is more than the checkpoint has; ask for fewer blocks",
            });
        }
        let config = AstConfig {
            num_hidden_layers: blocks,
            ..self.config.clone()
        };
        let mut cut = self.select(config);
        if blocks < self.config.num_hidden_layers {
            cut.classifier = None;
        }
        Ok(cut)
    }

    /// The same weights for inputs of `max_length` frames; the position
    /// embeddings follow `positions`.
    ///
    /// # Errors
    /// When `max_length` is shorter than one patch, or, with
    /// [`Positions::Pad`], longer than the checkpoint's.
    pub fn with_length(&self, max_length: i64, positions: Positions) -> Result<Self, AstError> {
        let strides = [self.config.frequency_stride, self.config.time_stride];
        self.with_grid(max_length, strides, positions)
    }

    /// The same weights for inputs of `max_length` frames cut into patches at
    /// other steps; `strides` are those along frequency and time. Larger steps
    /// give fewer tokens and a cheaper model.
    ///
    /// With [`Positions::Pad`] the length stays the checkpoint's: compute
    /// features with the `config.max_length` of the result.
    ///
    /// # Errors
    /// When `max_length` is shorter than one patch or a stride is below 1, or,
    /// with [`Positions::Pad`], when it is longer than the checkpoint's.
    pub fn with_grid(
        &self,
        max_length: i64,
        [frequency_stride, time_stride]: [i64; 2],
        positions: Positions,
    ) -> Result<Self, AstError> {
        let own = self.config.max_length;
        if positions == Positions::Pad && max_length > own {
            return Err(AstError::Config {
                field: "max_length",
                value: max_length.to_string(),
                problem: "is more than the checkpoint has, so clips cannot be padded to its \
                          length; use positions crop or interpolate",
            });
        }
        let max_length = match positions {
            Positions::Pad => own,
            Positions::Crop | Positions::Interpolate | Positions::Zero => max_length,
        };
        let config = AstConfig {
            max_length,
            frequency_stride,
            time_stride,
            ..self.config.clone()
        };
        config.validate()?;
        let (from, to) = (self.config.grid(), config.grid());
        let mut adapted = self.select(config);
        let table = positions.adapt(self.get(names::POSITIONS), from, to)?;
        adapted.tensors.insert(names::POSITIONS.to_owned(), table);
        if let Some(preprocessor) = &mut adapted.preprocessor {
            preprocessor.max_length = max_length;
        }
        Ok(adapted)
    }

    /// The tensor of a canonical name.
    ///
    /// # Panics
    /// Never for the names that [`names`](Self::names) lists.
    pub(crate) fn get(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    /// Canonical names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// All tensors by canonical name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Number of values in all tensors.
    pub fn parameter_count(&self) -> u64 {
        self.tensors.values().map(|t| t.numel() as u64).sum()
    }

    /// SHA-256 over configuration, names, shapes and values, as hexadecimal
    /// digits: changes when anything does that the output depends on.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.config.identity());
        for (name, tensor) in &self.tensors {
            hash.update(name.as_bytes());
            for size in tensor.size() {
                hash.update(size.to_le_bytes());
            }
            hash.update(tensor_file::bytes(tensor));
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn select(&self, config: AstConfig) -> Self {
        let tensors = names::parameters(&config)
            .into_iter()
            .map(|(name, _)| {
                let tensor = self.get(&name).shallow_clone();
                (name, tensor)
            })
            .collect();
        Checkpoint {
            config,
            tensors,
            classifier: self.classifier.as_ref().map(Classifier::shallow_clone),
            preprocessor: self.preprocessor.clone(),
        }
    }
}

fn initial_value(seed: u64, name: &str, shape: &[i64]) -> Tensor {
    let options = (Kind::Float, Device::Cpu);
    if name.contains("layernorm") && name.ends_with("weight") {
        return Tensor::ones(shape, options);
    }
    if name.ends_with("bias") || name.ends_with("_token") {
        return Tensor::zeros(shape, options);
    }
    init::normal(seed, name, shape, 0.02)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ast_base_has_the_published_number_of_values() {
        let count: i64 = names::parameters(&AstConfig::base())
            .iter()
            .map(|(_, shape)| shape.iter().product::<i64>())
            .sum();
        assert_eq!(count, 86_187_264);
    }

    #[test]
    fn fewer_blocks_and_another_length_keep_the_other_weights() {
        let config = AstConfig {
            num_hidden_layers: 2,
            max_length: 64,
            ..AstConfig::tiny()
        };
        let checkpoint = Checkpoint::random(&config, 1).unwrap();
        let small = checkpoint.first_blocks(1).unwrap();
        assert_eq!(small.names().count(), checkpoint.names().count() - 16);
        let short = small.with_length(32, Positions::Crop).unwrap();
        assert_eq!(short.get(names::POSITIONS).size(), [1, 12 * 2 + 2, 192]);
        assert!(checkpoint.first_blocks(3).is_err());
        assert!(checkpoint.with_length(15, Positions::Crop).is_err());
        assert_ne!(short.fingerprint(), small.fingerprint());
    }
}
