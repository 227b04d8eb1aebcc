//! The card beside a backbone: what it is, what it was made of, and how to make it
//! again.

use std::fmt::Write;

use ast_model::AstConfig;

use super::{PretrainConfig, Pretrained};

/// Markdown for `README.md` in the folder of the backbone.
pub fn card(config: &PretrainConfig, made: &Pretrained, shape: &AstConfig) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(format!("# {}\n", config.name));
    line(format!(
        "An Audio Spectrogram Transformer of {} values: {} blocks of width {}, {} heads, patches of \
         {} at strides {} (frequency) and {} (time), {} mel bins, {} frames of 10 ms.\n",
        made.parameters,
        shape.num_hidden_layers,
        shape.hidden_size,
        shape.num_attention_heads,
        shape.patch_size,
        shape.frequency_stride,
        shape.time_stride,
        shape.num_mel_bins,
        shape.max_length
    ));
    line("## Data\n".into());
    line("| data set | what | licence | classes | clips that trained | held out |".into());
    line("| --- | --- | --- | ---: | ---: | ---: |".into());
    for source in &made.sources {
        line(format!(
            "| `{}` | {} | {} | {} | {} | {} |",
            source.name,
            source.title,
            source.licence,
            source.classes,
            source.train,
            source.validation
        ));
    }
    line("\n## Recipe\n".into());
    line("`soft-moa pretrain --config pretrain.toml`, with\n\n```toml".into());
    // Plain settings with text keys always become TOML.
    line(
        toml::to_string(config)
            .unwrap_or_default()
            .trim_end()
            .into(),
    );
    line("```\n".into());
    line(format!(
        "{} epochs, weights of epoch {}; {:.0} seconds of training.\n",
        made.epochs,
        made.selected_epoch + 1,
        made.training_seconds
    ));
    line("## On the clips held out\n".into());
    line("| figure | value |".into());
    line("| --- | ---: |".into());
    line(format!("| loss | {:.4} |", made.validation_loss));
    for (name, value) in &made.validation {
        line(format!("| {name} | {value:.4} |"));
    }
    line("\n## Checksums\n".into());
    line(format!(
        "`model.safetensors`: {} bytes, SHA-256 `{}`. Fingerprint of the weights: `{}`.",
        made.bytes, made.sha256, made.fingerprint
    ));
    text
}
