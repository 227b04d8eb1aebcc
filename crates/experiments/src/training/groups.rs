//! Rates and decays of some of the trained tensors.

use regex::Regex;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Learner, TrainingConfig, TrainingError};
use crate::optimiser::Treatment;

/// Which tensors have weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decayed {
    /// Every trained tensor, as in the authors' program. The default.
    #[default]
    All,
    /// Those with two axes or more: no biases and no LayerNorms.
    Matrices,
}

/// A part of the trained tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The classification head.
    Head,
    /// Tensors of the backbone that train, the final LayerNorm included.
    Backbone,
    /// What the method added.
    Method,
}

/// Tensors that are trained in another way than the rest: those of a part,
/// those whose name matches a pattern, or both where both are given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParameterGroup {
    /// A part of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// A regular expression that some place of the name must match, for example
    /// `layernorm` or `^encoder\.layer\.(10|11)\.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Initial learning rate; the common one when left out. Warm-up and cosine
    /// are the same for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Weight decay, multiplied by the tensor's own learning rate; the common
    /// one when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

impl ParameterGroup {
    pub(super) fn validate(&self) -> Result<(), TrainingError> {
        if self.part.is_none() && self.pattern.is_none() {
            let allowed = "a part (head, backbone, method) or a pattern for each group";
            return Err(TrainingError::config("groups", "nothing", allowed));
        }
        self.regex()?;
        // 0 freezes a group.
        for (field, value) in [
            ("groups.learning_rate", self.learning_rate),
            ("groups.weight_decay", self.weight_decay),
        ] {
            if let Some(value) = value
                && !(value >= 0.0 && value.is_finite())
            {
                return Err(TrainingError::config(
                    field,
                    value,
                    "a number of 0 or above",
                ));
            }
        }
        Ok(())
    }

    fn regex(&self) -> Result<Option<Regex>, TrainingError> {
        let Some(pattern) = &self.pattern else {
            return Ok(None);
        };
        let allowed = "a regular expression (syntax of the regex crate)";
        let regex = Regex::new(pattern);
        let regex = regex.map_err(|_| TrainingError::config("groups.pattern", pattern, allowed))?;
        Ok(Some(regex))
    }
}

/// The treatment of every trained tensor of a learner, in their order.
///
/// # Errors
/// A group that matches no tensor, so that a mistyped pattern is not passed over.
pub(super) fn treatments(
    learner: &dyn Learner,
    config: &TrainingConfig,
) -> Result<Vec<Treatment>, TrainingError> {
    let trained = learner.trained();
    let of_backbone = learner.trained_in_backbone();
    let mut treatments: Vec<Treatment> = trained
        .iter()
        .map(|(_, tensor)| Treatment {
            rate_factor: 1.0,
            weight_decay: common_decay(tensor, config),
        })
        .collect();
    let mut taken = vec![false; trained.len()];
    for group in &config.groups {
        let regex = group.regex()?;
        let mut matched = false;
        for (index, (name, _)) in trained.iter().enumerate() {
            let part = part_of(name, index < of_backbone);
            let fits = group.part.is_none_or(|wanted| wanted == part)
                && regex.as_ref().is_none_or(|regex| regex.is_match(name));
            matched |= fits;
            if !fits || std::mem::replace(&mut taken[index], true) {
                continue;
            }
            let treatment = &mut treatments[index];
            if let Some(rate) = group.learning_rate {
                treatment.rate_factor = rate / config.learning_rate;
            }
            if let Some(decay) = group.weight_decay {
                treatment.weight_decay = decay;
            }
        }
        if !matched {
            return Err(empty(group, trained));
        }
    }
    Ok(treatments)
}

fn part_of(name: &str, of_backbone: bool) -> Part {
    if of_backbone {
        Part::Backbone
    } else if name.starts_with("classification_head.") || name.starts_with("heads.") {
        Part::Head
    } else {
        Part::Method
    }
}

fn common_decay(tensor: &Tensor, config: &TrainingConfig) -> f64 {
    match config.decayed {
        Decayed::Matrices if tensor.dim() < 2 => 0.0,
        _ => config.adamw.weight_decay,
    }
}

fn empty(group: &ParameterGroup, trained: &[(String, Tensor)]) -> TrainingError {
    let names: Vec<&str> = trained.iter().map(|(name, _)| name.as_str()).collect();
    let more = if names.len() > 12 { ", …" } else { "" };
    let pattern = group
        .pattern
        .clone()
        .unwrap_or_else(|| format!("{:?}", group.part));
    TrainingError::EmptyGroup {
        pattern,
        known: names[..names.len().min(12)].join(", ") + more,
    }
}
