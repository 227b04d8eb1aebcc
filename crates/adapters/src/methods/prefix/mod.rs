//! Prefix-tuning: trained keys and values beside those of the tokens
//! (Li and Liang 2021, arXiv 2101.00190; section 3 of arXiv 2312.03694).

use ast_model::{AstConfig, Checkpoint, Context, Extension};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::MethodConfig;
use super::method::Method;
use super::placement::{PerBlock, per_block};
use super::prompt::token_bound;
use crate::parameters::Parameters;
use crate::{AdapterError, Compat};

/// M trained tokens in the attention of every block: M/2 keys and M/2 values,
/// each of width D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrefixConfig {
    /// M, keys and values together; even. Default: 24.
    pub tokens: i64,
}

impl Default for PrefixConfig {
    fn default() -> Self {
        PrefixConfig { tokens: 24 }
    }
}

impl Method for PrefixConfig {
    fn name(&self) -> &'static str {
        "prefix"
    }

    fn filled(&self, _compat: Compat) -> MethodConfig {
        MethodConfig::Prefix(*self)
    }

    fn validate(&self, _backbone: &AstConfig) -> Result<(), AdapterError> {
        if (2..=8192).contains(&self.tokens) && self.tokens % 2 == 0 {
            return Ok(());
        }
        Err(AdapterError::Config {
            method: "prefix",
            field: "tokens",
            value: self.tokens.to_string(),
            problem: "must be an even number between 2 and 8192, half for keys, half for values",
        })
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        let backbone = &checkpoint.config;
        let shape = [1, self.tokens / 2, backbone.hidden_size];
        let bound = token_bound(backbone);
        let first = parameters.first_block();
        let blocks = per_block(backbone, first, true, "prefix", |name| {
            ["keys", "values"]
                .map(|part| parameters.uniform(format!("{name}.{part}"), &shape, bound))
        });
        Ok(Box::new(Prefix { blocks }))
    }
}

/// Keys and values of every block in which the method acts, each [1, M/2, D].
struct Prefix {
    blocks: PerBlock<[Tensor; 2]>,
}

impl Extension for Prefix {
    fn key_value_tokens(&self, context: &Context) -> Option<(Tensor, Tensor)> {
        let [keys, values] = self.blocks.get(context.block)?;
        Some((keys.shallow_clone(), values.shallow_clone()))
    }
}
