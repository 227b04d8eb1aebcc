//! Prompt-tuning: trained tokens in the sequence (Jia et al. 2022,
//! arXiv 2203.12119; section 3 of arXiv 2312.03694).

mod config;
mod module;

use ast_model::AstConfig;

pub use config::{PromptConfig, PromptPooling};

/// Bound v of the uniform initial values of prompts and prefixes:
/// √(6 / (3 · patch² + D)), 0.0625 in AST-Base. The formula is that of a
/// patch embedding of three-channel images, from which prompts came.
pub(crate) fn token_bound(backbone: &AstConfig) -> f64 {
    let patch = backbone.patch_size as f64;
    (6.0 / (3.0 * patch * patch + backbone.hidden_size as f64)).sqrt()
}
