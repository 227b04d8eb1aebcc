//! The tensors of an AST: canonical names and shapes.

use crate::AstConfig;

/// Name of the position table.
pub(super) const POSITIONS: &str = "embeddings.position_embeddings";

/// First part of the names of the AudioSet head, which have no prefix.
const CLASSIFIER: &str = "classifier.";

/// Prefix that Hugging Face writes before every tensor but the classifier's.
const PREFIX: &str = "audio_spectrogram_transformer.";

/// The name without prefix.
pub(super) fn canonical(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The name as Hugging Face writes it.
pub(super) fn prefixed(name: &str) -> String {
    if name.starts_with(CLASSIFIER) {
        return name.to_owned();
    }
    format!("{PREFIX}{name}")
}

/// Every tensor the backbone needs, with its shape.
pub(super) fn parameters(config: &AstConfig) -> Vec<(String, Vec<i64>)> {
    let (d, hidden, patch) = (
        config.hidden_size,
        config.intermediate_size,
        config.patch_size,
    );
    let mut list: Vec<(String, Vec<i64>)> = vec![
        ("embeddings.cls_token".into(), vec![1, 1, d]),
        ("embeddings.distillation_token".into(), vec![1, 1, d]),
        (POSITIONS.into(), vec![1, config.tokens(), d]),
        (
            "embeddings.patch_embeddings.projection.weight".into(),
            vec![d, 1, patch, patch],
        ),
        (
            "embeddings.patch_embeddings.projection.bias".into(),
            vec![d],
        ),
    ];
    for block in 0..config.num_hidden_layers {
        let linears = [
            ("attention.attention.query", d, d),
            ("attention.attention.key", d, d),
            ("attention.attention.value", d, d),
            ("attention.output.dense", d, d),
            ("intermediate.dense", hidden, d),
            ("output.dense", d, hidden),
        ];
        for (name, output, input) in linears {
            list.push((
                format!("encoder.layer.{block}.{name}.weight"),
                vec![output, input],
            ));
            list.push((format!("encoder.layer.{block}.{name}.bias"), vec![output]));
        }
        for name in ["layernorm_before", "layernorm_after"] {
            list.push((format!("encoder.layer.{block}.{name}.weight"), vec![d]));
            list.push((format!("encoder.layer.{block}.{name}.bias"), vec![d]));
        }
    }
    list.push(("layernorm.weight".into(), vec![d]));
    list.push(("layernorm.bias".into(), vec![d]));
    list
}
