//! What the front end must do for a checkpoint.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::AstError;

/// The settings in `preprocessor_config.json` that the features depend on,
/// with the names and defaults of Hugging Face's `ASTFeatureExtractor`. Its
/// other keys are ignored. A feature is (x − `mean`) / (2 · `std`) of the
/// log-mel energy x where `do_normalize` holds, else x.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PreprocessorConfig {
    /// Whether features are normalised. Default true.
    pub do_normalize: bool,
    /// Mean of the log-mel energies. Default −4.2677393, AudioSet's.
    pub mean: f64,
    /// Standard deviation of the log-mel energies. Default 4.5689974, AudioSet's.
    pub std: f64,
    /// Mel bins F. Default 128.
    pub num_mel_bins: i64,
    /// Frames T that a clip is padded or cut to. Default 1024.
    pub max_length: i64,
    /// Samples per second. Default 16000.
    pub sampling_rate: i64,
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        PreprocessorConfig {
            do_normalize: true,
            mean: -4.2677393,
            std: 4.5689974,
            num_mel_bins: 128,
            max_length: 1024,
            sampling_rate: 16_000,
        }
    }
}

impl PreprocessorConfig {
    /// Reads `preprocessor_config.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON or [`validate`](Self::validate)
    /// fails.
    pub fn read(path: &Path) -> Result<Self, AstError> {
        let text = std::fs::read(path).map_err(AstError::io(path))?;
        let config: Self = serde_json::from_slice(&text).map_err(|error| AstError::Malformed {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that every value can be used.
    ///
    /// # Errors
    /// [`AstError::Preprocessor`] names the first that cannot.
    pub fn validate(&self) -> Result<(), AstError> {
        let whole = [
            ("num_mel_bins", self.num_mel_bins),
            ("max_length", self.max_length),
            ("sampling_rate", self.sampling_rate),
        ];
        for (field, value) in whole {
            if !(1..=1 << 24).contains(&value) {
                return Err(bad(field, value, "must lie between 1 and 16777216"));
            }
        }
        if !self.mean.is_finite() {
            return Err(bad("mean", self.mean, "must be a finite number"));
        }
        if !(self.std.is_finite() && self.std > 0.0) {
            return Err(bad("std", self.std, "must be a finite number above 0"));
        }
        Ok(())
    }

    /// Checks that the features have the bins that the model takes.
    pub(super) fn check_bins(&self, bins: i64) -> Result<(), AstError> {
        if self.num_mel_bins == bins {
            return Ok(());
        }
        let problem = "is not the num_mel_bins of the model; use the preprocessor_config.json \
                       that belongs to these weights";
        Err(bad("num_mel_bins", self.num_mel_bins, problem))
    }

    /// The file as Hugging Face writes it.
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "do_normalize": self.do_normalize,
            "feature_extractor_type": "ASTFeatureExtractor",
            "feature_size": 1,
            "max_length": self.max_length,
            "mean": self.mean,
            "num_mel_bins": self.num_mel_bins,
            "padding_side": "right",
            "padding_value": 0.0,
            "return_attention_mask": false,
            "sampling_rate": self.sampling_rate,
            "std": self.std,
        })
    }
}

fn bad(field: &'static str, value: impl ToString, problem: &'static str) -> AstError {
    AstError::Preprocessor {
        field,
        value: value.to_string(),
        problem,
    }
}
