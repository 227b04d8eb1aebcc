//! Which form adapters and experts have.

use serde::{Deserialize, Serialize};

use crate::{AdapterError, Compat};

/// The form of an adapter. As JSON: `"bottleneck"`, `{"convpass": {…}}` or
/// `{"conformer": {"kernel": 31}}`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expert {
    /// U GELU(D x + b) + c. The default.
    #[default]
    Bottleneck,
    /// A convolution over the tokens inside the bottleneck.
    Convpass(ConvpassConfig),
    /// GLU, depthwise convolution over the tokens, BatchNorm and SiLU inside
    /// the bottleneck.
    Conformer(ConformerConfig),
}

/// Settings of convpass adapters (arXiv 2207.07039, in one dimension): with
/// u = QuickGELU(D x + b), U Dropout(QuickGELU(conv u)) + c, kernel 3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvpassConfig {
    /// Leaves the convolution out, as the authors' program does by oversight:
    /// its tensors are created and counted, but get no gradient. Default: as
    /// the compat mode has it; without one, false.
    pub as_coded: Option<bool>,
    /// Share of hidden units dropped in training, in [0, 1). Default: 0.1.
    pub dropout: f64,
}

/// Settings of conformer adapters (arXiv 2312.03694, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConformerConfig {
    /// Width of the depthwise kernel, in tokens. Default: 31; the paper uses it
    /// for speech, and 8 for sounds.
    pub kernel: i64,
    /// LayerNorm of the adapter's input. Default: as the compat mode has it;
    /// without one, `apply`.
    pub input_norm: Option<InputNorm>,
}

/// What becomes of the LayerNorm at the input of a conformer adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputNorm {
    /// It normalises the input.
    Apply,
    /// Its parameters exist and are counted, but it is not applied and they
    /// get no gradient: the authors' program.
    Unused,
    /// There is none.
    Absent,
}

impl Default for ConvpassConfig {
    fn default() -> Self {
        ConvpassConfig {
            as_coded: None,
            dropout: 0.1,
        }
    }
}

impl Default for ConformerConfig {
    fn default() -> Self {
        ConformerConfig {
            kernel: 31,
            input_norm: None,
        }
    }
}

impl Expert {
    /// Sets what `compat` decides and was not given.
    pub(crate) fn set_compat(&mut self, compat: Compat) {
        let paper = compat == Compat::Paper;
        match self {
            Expert::Bottleneck => {}
            Expert::Convpass(config) => {
                config.as_coded.get_or_insert(paper);
            }
            Expert::Conformer(config) => {
                config.input_norm.get_or_insert(match compat {
                    Compat::Paper => InputNorm::Unused,
                    Compat::Fixed => InputNorm::Apply,
                });
            }
        }
    }

    /// Checks the form's own settings.
    pub(crate) fn validate(&self, method: &'static str) -> Result<(), AdapterError> {
        let bad = |field, value: String, problem| AdapterError::Config {
            method,
            field,
            value,
            problem,
        };
        match self {
            Expert::Convpass(config) if !(0.0..1.0).contains(&config.dropout) => {
                let value = config.dropout.to_string();
                Err(bad("dropout", value, "must lie in [0, 1)"))
            }
            Expert::Conformer(config) if !(1..=1024).contains(&config.kernel) => {
                let value = config.kernel.to_string();
                Err(bad("kernel", value, "must lie between 1 and 1024"))
            }
            _ => Ok(()),
        }
    }
}
