//! Hyper-parameters of prompt-tuning.

use ast_model::{AstConfig, Checkpoint, Extension, Pooling};
use serde::{Deserialize, Serialize};

use super::module::Prompts;
use crate::methods::MethodConfig;
use crate::methods::method::Method;
use crate::parameters::Parameters;
use crate::pool::Pool;
use crate::{AdapterError, Compat};

/// Which of the final tokens are averaged to one vector per clip. In brackets
/// the authors' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptPooling {
    /// All tokens, prompts included (ALL).
    All,
    /// The class token alone (CLS).
    Cls,
    /// The prompts (PROMPTS).
    Prompts,
    /// The patches (SPEECH).
    Patches,
    /// Prompts and patches (PROMPTS+SPEECH).
    PromptsPatches,
}

/// M trained tokens between the special tokens and the patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptConfig {
    /// M. Default: 25.
    pub prompts: i64,
    /// Whether every block has prompts of its own, which replace the outputs of
    /// the block before in their place (deep), or the first block's prompts
    /// pass through all of them (shallow). Default: true, deep.
    pub deep: bool,
    /// Default: what the model says (`AdaptOptions::pooling`), which by default
    /// is the mean over all tokens, prompts included.
    pub pooling: Option<PromptPooling>,
    /// Whether the distillation token stays. Default: false, as in the authors'
    /// program, which removes it.
    pub keep_distillation: bool,
}

impl Default for PromptConfig {
    fn default() -> Self {
        PromptConfig {
            prompts: 25,
            deep: true,
            pooling: None,
            keep_distillation: false,
        }
    }
}

impl PromptConfig {
    /// Number of special tokens that stay, all before the prompts.
    pub(super) fn special(&self) -> i64 {
        1 + i64::from(self.keep_distillation)
    }
}

impl Method for PromptConfig {
    fn name(&self) -> &'static str {
        "prompt"
    }

    fn filled(&self, _compat: Compat) -> MethodConfig {
        MethodConfig::Prompt(*self)
    }

    fn validate(&self, _backbone: &AstConfig) -> Result<(), AdapterError> {
        if (1..=4096).contains(&self.prompts) {
            return Ok(());
        }
        Err(AdapterError::Config {
            method: "prompt",
            field: "prompts",
            value: self.prompts.to_string(),
            problem: "must lie between 1 and 4096",
        })
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        Ok(Box::new(Prompts::new(self, &checkpoint.config, parameters)))
    }

    fn pooling(&self, wanted: Pooling) -> Result<Pool, AdapterError> {
        let (special, prompts) = (self.special(), self.prompts);
        let (start, length) = match self.pooling {
            Some(PromptPooling::All) => return Ok(Pool::Model(Pooling::All)),
            Some(PromptPooling::Cls) => return Ok(Pool::Model(Pooling::Cls)),
            Some(PromptPooling::Prompts) => (special, Some(prompts)),
            Some(PromptPooling::Patches) => (special + prompts, None),
            Some(PromptPooling::PromptsPatches) => (special, None),
            None => return self.places(wanted),
        };
        Ok(Pool::Range { start, length })
    }

    fn places(&self, wanted: Pooling) -> Result<Pool, AdapterError> {
        match wanted {
            Pooling::ClsDist if !self.keep_distillation => Err(AdapterError::Config {
                method: "prompt",
                field: "pooling",
                value: format!("{wanted:?}"),
                problem: "needs the distillation token; set keep_distillation to true or \
                          choose another pooling",
            }),
            Pooling::Patches => Ok(Pool::Range {
                start: self.special() + self.prompts,
                length: None,
            }),
            Pooling::All | Pooling::Cls | Pooling::ClsDist => Ok(Pool::Model(wanted)),
        }
    }
}
