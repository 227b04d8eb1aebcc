//! What a pretraining run is: one TOML file.

use ast_model::{AstConfig, Positions};
use serde::{Deserialize, Serialize};

use super::decoder::DecoderConfig;
use crate::training::{TrainingConfig, TrainingError};

/// Settings of `soft-moa pretrain`. At least one of [`supervised`](Self::supervised),
/// [`masked`](Self::masked) and [`distil`](Self::distil) must have a weight; the
/// loss is their weighted sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Name of the backbone that is made.
    pub name: String,
    /// What training starts from.
    pub start: Start,
    /// Frames T of a clip, 100 a second.
    pub max_length: usize,
    /// The data sets, each with a head of its own.
    pub tasks: Vec<PretrainTask>,
    /// Learning the labels. Default: weight 1.
    #[serde(default)]
    pub supervised: Supervised,
    /// Telling hidden patches from visible ones. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<Masked>,
    /// Learning from a larger backbone. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distil: Option<Distil>,
    /// The training itself. Objective, mixup, activation checkpointing and
    /// frozen cache must stay at their defaults.
    pub training: TrainingConfig,
}

/// What training starts from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// A checkpoint: a folder, a name below `backbones/` of the cache, or a
    /// fetched model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Its first so many blocks; all when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// What happens to its positions. Default crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Steps between patches along frequency and time; the checkpoint's when
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strides: Option<[i64; 2]>,
    /// Without a checkpoint: the shape of a model with random weights. Its
    /// `max_length` does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape: Option<AstConfig>,
}

/// A data set to learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainTask {
    /// Name of its manifest.
    pub name: String,
    /// The fold whose validation part is held out; everything else trains, its
    /// test part too. Default 0.
    #[serde(default)]
    pub fold: usize,
}

/// Learning the labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervised {
    /// Factor of the mean cross-entropy. Default 1; 0 for none.
    pub weight: f64,
}

impl Default for Supervised {
    fn default() -> Self {
        Supervised { weight: 1.0 }
    }
}

/// Telling hidden patches from visible ones (masked autoencoder).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Masked {
    /// Factor of the mean squared error of the hidden patches. Default 1.
    pub weight: f64,
    /// Share of the patches that is hidden. Default 0.75.
    pub share: f64,
    /// What tells them.
    pub decoder: DecoderConfig,
}

impl Default for Masked {
    fn default() -> Self {
        Masked {
            weight: 1.0,
            share: 0.75,
            decoder: DecoderConfig::default(),
        }
    }
}

/// Learning from a larger backbone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distil {
    /// Factor of the mean squared difference of the tokens. Default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// The teacher: as [`Start::checkpoint`].
    pub teacher: String,
    /// Its first so many blocks; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<usize>,
    /// What happens to its positions. Default crop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
}

fn one() -> f64 {
    1.0
}

impl PretrainConfig {
    /// Checks the settings that need neither data nor weights.
    ///
    /// # Errors
    /// [`TrainingError::Config`] names the first that cannot be used.
    pub fn validate(&self) -> Result<(), TrainingError> {
        if self.name.is_empty() || self.name.contains(['/', '\\']) {
            return Err(TrainingError::config(
                "name",
                &self.name,
                "a name without slashes",
            ));
        }
        if self.tasks.is_empty() {
            return Err(TrainingError::config(
                "tasks",
                "nothing",
                "at least one data set",
            ));
        }
        if self.start.checkpoint.is_some() == self.start.shape.is_some() {
            let allowed = "either a checkpoint or a shape";
            return Err(TrainingError::config("start", "both or neither", allowed));
        }
        let masked = self.masked.as_ref().map_or(0.0, |masked| masked.weight);
        let distil = self.distil.as_ref().map_or(0.0, |distil| distil.weight);
        let weights = [
            ("supervised.weight", self.supervised.weight),
            ("masked.weight", masked),
            ("distil.weight", distil),
        ];
        for (field, weight) in weights {
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(TrainingError::config(
                    field,
                    weight,
                    "a number of 0 or above",
                ));
            }
        }
        if weights.iter().all(|&(_, weight)| weight == 0.0) {
            let allowed = "above 0 for supervised, masked or distil";
            return Err(TrainingError::config("weight", 0, allowed));
        }
        if let Some(masked) = &self.masked {
            masked.validate()?;
        }
        self.check_training()?;
        self.training.validate()
    }

    fn check_training(&self) -> Result<(), TrainingError> {
        let own = &self.training;
        let usual = TrainingConfig::new(own.epochs, own.batch, own.learning_rate, own.seed);
        let allowed = "left out in pretraining";
        for (field, same) in [
            ("training.objective", own.objective == usual.objective),
            ("training.mixup", own.mixup == usual.mixup),
            (
                "training.activation_checkpointing",
                !own.activation_checkpointing,
            ),
            ("training.frozen_cache_mib", own.frozen_cache_mib == 0),
        ] {
            if !same {
                return Err(TrainingError::config(field, "set", allowed));
            }
        }
        Ok(())
    }
}

impl Masked {
    fn validate(&self) -> Result<(), TrainingError> {
        if !(self.share > 0.0 && self.share < 1.0) {
            return Err(TrainingError::config(
                "masked.share",
                self.share,
                "between 0 and 1",
            ));
        }
        let DecoderConfig {
            width,
            blocks,
            heads,
        } = self.decoder;
        if width < 4 || width % 4 != 0 {
            return Err(TrainingError::config(
                "masked.decoder.width",
                width,
                "a multiple of 4",
            ));
        }
        if heads < 1 || width % heads != 0 {
            let allowed = "a divisor of the decoder's width";
            return Err(TrainingError::config(
                "masked.decoder.heads",
                heads,
                allowed,
            ));
        }
        if blocks == 0 {
            return Err(TrainingError::config(
                "masked.decoder.blocks",
                blocks,
                "at least 1",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "small"
        max_length = 100
        start = { checkpoint = "ast-small-dinov2", blocks = 3, strides = [16, 16] }
        tasks = [{ name = "a" }, { name = "b", fold = 1 }]
        masked = { share = 0.6 }
        distil = { teacher = "big" }
        training = { epochs = 2, batch = 8, learning_rate = 1e-4, seed = 1 }
    "#;

    fn changed(change: impl Fn(&mut PretrainConfig)) -> Result<(), String> {
        let mut config: PretrainConfig = toml::from_str(TEXT).unwrap();
        change(&mut config);
        config.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_says_what_to_learn_and_everything_else_has_defaults() {
        let config: PretrainConfig = toml::from_str(TEXT).unwrap();
        config.validate().unwrap();
        assert_eq!(config.supervised.weight, 1.0);
        assert_eq!(config.masked.as_ref().unwrap().decoder.width, 192);
        assert_eq!(config.distil.as_ref().unwrap().weight, 1.0);
        let again = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<PretrainConfig>(&again).unwrap(), config);
        assert!(toml::from_str::<PretrainConfig>(&format!("{TEXT}\nmask = 1")).is_err());
    }

    #[test]
    fn the_recipe_that_comes_with_the_project_can_be_used() {
        let text = include_str!("../../recipes/ast-tiny-audio.toml");
        let config: PretrainConfig = toml::from_str(text).unwrap();
        config.validate().unwrap();
        let datasets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        for task in &config.tasks {
            let manifest = datasets.join(format!("{}.toml", task.name));
            assert!(manifest.is_file(), "{}", manifest.display());
        }
        let targets = [
            "mandarin-tone",
            "prompt-language",
            "esc-50",
            "speech-commands-v2",
        ];
        assert!(
            config
                .tasks
                .iter()
                .all(|task| !targets.contains(&task.name.as_str()))
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |change: fn(&mut PretrainConfig), name: &str| {
            let error = changed(change).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        };
        refused(|config| config.tasks.clear(), "tasks");
        refused(|config| config.start.checkpoint = None, "start");
        refused(
            |config| config.supervised.weight = -1.0,
            "supervised.weight",
        );
        refused(
            |config| config.training.frozen_cache_mib = 5,
            "training.frozen_cache",
        );
        let masked = |config: &mut PretrainConfig| config.masked.as_mut().unwrap().share = 1.0;
        refused(masked, "masked.share");
        let nothing = |config: &mut PretrainConfig| {
            config.supervised.weight = 0.0;
            config.masked = None;
            config.distil = None;
        };
        refused(nothing, "weight");
    }
}
