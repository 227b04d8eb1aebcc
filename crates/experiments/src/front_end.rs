//! The settings of `audio-frontend` that every experiment uses.

use anyhow::{Result, ensure};
use ast_model::Checkpoint;
use audio_frontend::PipelineConfig;

/// Kaldi log-mel features for AST with AudioSet statistics, cut or padded to
/// `max_length` frames.
pub fn pipeline(max_length: usize) -> PipelineConfig {
    let mut config = PipelineConfig::default();
    config.ast.max_length = max_length;
    config
}

/// [`pipeline`] for the length of a checkpoint, with what its
/// `preprocessor_config.json` says: its own mean and deviation, or features as
/// they are where `do_normalize` is false.
///
/// # Errors
/// A checkpoint for sounds of another sampling rate.
pub fn for_checkpoint(checkpoint: &Checkpoint) -> Result<PipelineConfig> {
    let mut config = pipeline(checkpoint.config.max_length as usize);
    let Some(told) = checkpoint.preprocessor() else {
        return Ok(config);
    };
    let rate = i64::from(config.fbank.sample_rate);
    ensure!(
        told.sampling_rate == rate,
        "the preprocessor_config.json of this backbone has sampling_rate = {}, but features are \
         computed at {rate} Hz; take a backbone trained on sounds of {rate} Hz",
        told.sampling_rate
    );
    let [mean, std] = match told.do_normalize {
        true => [told.mean, told.std],
        // (x - 0) / (2 · 0.5) is x, to the bit.
        false => [0.0, 0.5],
    };
    config.ast.mean = mean as f32;
    config.ast.std = std as f32;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ast_model::AstConfig;
    use std::fs;

    /// A tiny checkpoint whose `preprocessor_config.json` is `text`.
    fn with(text: &str) -> Checkpoint {
        let shape = AstConfig {
            hidden_size: 8,
            num_attention_heads: 1,
            intermediate_size: 8,
            num_hidden_layers: 1,
            max_length: 16,
            ..AstConfig::tiny()
        };
        let folder = tempfile::tempdir().unwrap();
        let random = Checkpoint::random(&shape, 1).unwrap();
        random.save(folder.path()).unwrap();
        fs::write(folder.path().join("preprocessor_config.json"), text).unwrap();
        Checkpoint::load(folder.path()).unwrap().0
    }

    #[test]
    fn a_checkpoint_says_how_its_features_are_normalised() {
        let usual = for_checkpoint(&with("{}")).unwrap();
        assert_eq!(usual.ast.mean, pipeline(16).ast.mean);
        let own = for_checkpoint(&with(r#"{"mean": -5.5, "std": 4.0}"#)).unwrap();
        assert_eq!((own.ast.mean, own.ast.std), (-5.5, 4.0));
        assert_eq!(own.ast.max_length, 16);
        let none = r#"{"do_normalize": false, "mean": -5.5, "std": 4.0}"#;
        let none = for_checkpoint(&with(none)).unwrap();
        for value in [-15.942_385f32, -1.0e-7, 0.0, 3.3, 1.0e9] {
            assert_eq!(none.ast.normalised(value), value);
        }
    }

    #[test]
    fn a_checkpoint_for_another_sampling_rate_is_refused() {
        let error = for_checkpoint(&with(r#"{"sampling_rate": 32000}"#));
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains("32000") && text.contains("16000 Hz"),
            "{text}"
        );
    }
}
