//! The shape of an AST and the arithmetic of its patch grid.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::AstError;

/// The shape of an AST, with the names Hugging Face uses in `config.json`.
///
/// `config.json` files hold many more keys that do not concern the arithmetic;
/// those are ignored when a checkpoint is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AstConfig {
    /// Width D. AST-Base has 768, AST-Small 384, AST-Tiny 192.
    pub hidden_size: i64,
    /// Number of transformer blocks.
    pub num_hidden_layers: usize,
    /// Attention heads; must divide `hidden_size`.
    pub num_attention_heads: i64,
    /// Hidden width of the feed-forward sub-layer, usually 4 D.
    pub intermediate_size: i64,
    /// Added to the variance in every LayerNorm. Hugging Face's AST has 1e-12.
    pub layer_norm_eps: f64,
    /// Side of the square patch in bins and frames.
    pub patch_size: i64,
    /// Step between patches along frequency, in mel bins.
    pub frequency_stride: i64,
    /// Step between patches along time, in frames.
    pub time_stride: i64,
    /// Frames T of one input.
    pub max_length: i64,
    /// Mel bins F of one input.
    pub num_mel_bins: i64,
    /// Whether query, key and value projections have a bias. Always true in AST.
    #[serde(default = "yes")]
    pub qkv_bias: bool,
}

fn yes() -> bool {
    true
}

/// Number of patches along frequency (F') and time (T').
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// F', patches along frequency.
    pub frequency: i64,
    /// T', patches along time.
    pub time: i64,
}

impl Grid {
    /// F'·T', the number of patches.
    pub fn patches(&self) -> i64 {
        self.frequency * self.time
    }
}

/// The most tokens L that a model may have: more than strides of one give at
/// 1024 frames and 128 bins. Whoever asks for more, in a file perhaps, gets an
/// error and not a table of positions that fills the memory.
const MOST_TOKENS: i64 = 1 << 17;

/// Class and distillation token: they stand in front of the patches.
pub const SPECIAL_TOKENS: i64 = 2;

impl AstConfig {
    /// AST-Base, the shape of `MIT/ast-finetuned-audioset-10-10-0.4593`.
    pub fn base() -> Self {
        AstConfig {
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            layer_norm_eps: 1e-12,
            patch_size: 16,
            frequency_stride: 10,
            time_stride: 10,
            max_length: 1024,
            num_mel_bins: 128,
            qkv_bias: true,
        }
    }

    /// AST-Small: width 384, 6 heads.
    pub fn small() -> Self {
        AstConfig {
            hidden_size: 384,
            num_attention_heads: 6,
            intermediate_size: 1536,
            ..Self::base()
        }
    }

    /// AST-Tiny: width 192, 3 heads.
    pub fn tiny() -> Self {
        AstConfig {
            hidden_size: 192,
            num_attention_heads: 3,
            intermediate_size: 768,
            ..Self::base()
        }
    }

    /// Reads `config.json` of a Hugging Face checkpoint.
    ///
    /// # Errors
    /// When the file cannot be read, is not JSON, lacks a field or
    /// [`validate`](Self::validate) fails.
    pub fn read(path: &Path) -> Result<Self, AstError> {
        let text = std::fs::read_to_string(path).map_err(AstError::io(path))?;
        let config: AstConfig =
            serde_json::from_str(&text).map_err(|error| AstError::Malformed {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that the sizes fit together.
    ///
    /// # Errors
    /// [`AstError::Config`] names the first field that does not.
    pub fn validate(&self) -> Result<(), AstError> {
        let positive = [
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("patch_size", self.patch_size),
            ("frequency_stride", self.frequency_stride),
            ("time_stride", self.time_stride),
        ];
        for (field, value) in positive {
            if !(1..=1 << 20).contains(&value) {
                return Err(bad(field, value, "must lie between 1 and 1048576"));
            }
        }
        if self.num_hidden_layers > 1000 {
            return Err(bad(
                "num_hidden_layers",
                self.num_hidden_layers,
                "must be at most 1000",
            ));
        }
        if self.hidden_size % self.num_attention_heads != 0 {
            return Err(bad(
                "hidden_size",
                self.hidden_size,
                "must be a multiple of num_attention_heads",
            ));
        }
        if !(self.patch_size..=1 << 20).contains(&self.max_length) {
            return Err(bad(
                "max_length",
                self.max_length,
                "must be at least patch_size (one patch of frames) and at most 1048576",
            ));
        }
        if !(self.patch_size..=1 << 16).contains(&self.num_mel_bins) {
            return Err(bad(
                "num_mel_bins",
                self.num_mel_bins,
                "must be at least patch_size (one patch of mel bins) and at most 65536",
            ));
        }
        if self.tokens() > MOST_TOKENS {
            return Err(bad(
                "max_length",
                self.max_length,
                "gives more than 131072 tokens, with which no machine computes attention; choose \
                 a smaller max_length or larger strides",
            ));
        }
        if !(self.layer_norm_eps >= 0.0 && self.layer_norm_eps < 1.0) {
            return Err(bad(
                "layer_norm_eps",
                self.layer_norm_eps,
                "must lie in [0, 1)",
            ));
        }
        if !self.qkv_bias {
            return Err(bad(
                "qkv_bias",
                false,
                "is not supported: every AST has these biases",
            ));
        }
        Ok(())
    }

    /// The text that stands for this shape in a checkpoint's fingerprint, by
    /// which adapters know their backbone. It must never change for a shape that
    /// there was before: a new field joins only where it is not what all models
    /// had until then.
    pub(crate) fn identity(&self) -> String {
        let AstConfig {
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            intermediate_size,
            layer_norm_eps,
            patch_size,
            frequency_stride,
            time_stride,
            max_length,
            num_mel_bins,
            qkv_bias,
        } = self;
        format!(
            "AstConfig {{ hidden_size: {hidden_size}, num_hidden_layers: {num_hidden_layers}, \
             num_attention_heads: {num_attention_heads}, intermediate_size: {intermediate_size}, \
             layer_norm_eps: {layer_norm_eps:?}, patch_size: {patch_size}, \
             frequency_stride: {frequency_stride}, time_stride: {time_stride}, \
             max_length: {max_length}, num_mel_bins: {num_mel_bins}, qkv_bias: {qkv_bias} }}"
        )
    }

    /// The patch grid: (bins − patch) div stride + 1 along each axis
    /// (Gong et al. 2021, section 2.1).
    pub fn grid(&self) -> Grid {
        Grid {
            frequency: (self.num_mel_bins - self.patch_size) / self.frequency_stride + 1,
            time: (self.max_length - self.patch_size) / self.time_stride + 1,
        }
    }

    /// L, the number of tokens: patches plus class and distillation token.
    pub fn tokens(&self) -> i64 {
        self.grid().patches() + SPECIAL_TOKENS
    }
}

fn bad(field: &'static str, value: impl ToString, problem: &'static str) -> AstError {
    AstError::Config {
        field,
        value: value.to_string(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_counts_of_the_paper_s_data_sets_come_out() {
        for (frames, time, tokens) in [
            (100, 9, 110),
            (400, 39, 470),
            (500, 49, 590),
            (800, 79, 950),
            (1024, 101, 1214),
        ] {
            let config = AstConfig {
                max_length: frames,
                ..AstConfig::base()
            };
            assert_eq!(
                config.grid(),
                Grid {
                    frequency: 12,
                    time
                }
            );
            assert_eq!(config.tokens(), tokens);
        }
    }

    #[test]
    fn a_field_that_does_not_fit_is_named() {
        let config = AstConfig {
            num_attention_heads: 7,
            ..AstConfig::base()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("hidden_size")
        );
        let config = AstConfig {
            max_length: 15,
            ..AstConfig::base()
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .contains("max_length")
        );
    }

    #[test]
    fn the_identity_of_a_shape_stays_what_it_was() {
        let expected = "AstConfig { hidden_size: 768, num_hidden_layers: 12, \
            num_attention_heads: 12, intermediate_size: 3072, layer_norm_eps: 1e-12, \
            patch_size: 16, frequency_stride: 10, time_stride: 10, max_length: 1024, \
            num_mel_bins: 128, qkv_bias: true }";
        assert_eq!(AstConfig::base().identity(), expected);
    }

    #[test]
    fn more_tokens_than_any_model_has_are_refused() {
        let with = |max_length, stride| AstConfig {
            max_length,
            frequency_stride: stride,
            time_stride: stride,
            ..AstConfig::base()
        };
        with(1024, 1).validate().unwrap();
        for config in [with(1 << 20, 10), with(1 << 20, 1), with(2048, 1)] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains("larger strides"), "{error}");
        }
    }
}
