//! The forms an adapter or an expert of a mixture can take.

use ast_model::AstConfig;
use moe_routing::{BatchNorm, Conformer, Convpass, ExpertBank, Inner, LayerNorm, TokenConvolution};
use serde::{Deserialize, Serialize};

use super::Bottleneck;
use super::mixture::check_width;
use crate::parameters::{Parameters, SIGMA};
use crate::{AdapterError, AdapterInit, Compat};

/// What lies between the down- and the up-projection.
///
/// As JSON: `"bottleneck"`, `{"convpass": {}}` or `{"conformer": {"kernel": 31}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expert {
    /// A GELU. The default.
    #[default]
    Bottleneck,
    /// QuickGELU around a convolution over three tokens, then dropout 0.1
    /// (arXiv 2207.07039).
    Convpass(ConvpassExpert),
    /// GLU, depthwise convolution over the tokens, BatchNorm, SiLU: the
    /// conformer adapter of arXiv 2312.03694.
    Conformer(ConformerExpert),
}

/// Settings of a convpass adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvpassExpert {
    /// Whether the convolution's output is used. The authors' program computes
    /// it and goes on without, activating twice; its tensors are counted but
    /// never get a gradient. Default: as the compat mode has it; without one,
    /// true.
    pub use_convolution: Option<bool>,
}

/// Settings of a conformer adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConformerExpert {
    /// Tokens under the depthwise kernel. Default: 31, the authors' value for
    /// speech (8 for other sounds).
    pub kernel: i64,
    /// LayerNorm of the adapter's input. Default: as the compat mode has it;
    /// without one, `applied`.
    pub input_norm: Option<InputNorm>,
}

/// What becomes of the LayerNorm at a conformer adapter's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputNorm {
    /// It is applied.
    Applied,
    /// Its tensors exist and are counted, but its result is thrown away: the
    /// authors' program.
    Unused,
    /// There is none.
    Absent,
}

impl Default for ConformerExpert {
    fn default() -> Self {
        ConformerExpert {
            kernel: 31,
            input_norm: None,
        }
    }
}

/// Tokens under the kernel of a convpass adapter.
const CONVPASS_KERNEL: i64 = 3;
const CONVPASS_DROPOUT: f64 = 0.1;
const MOMENTUM: f64 = 0.1;

impl Expert {
    /// Sets what `compat` decides and was not given.
    pub(crate) fn fill(&mut self, compat: Compat) {
        let fixed = compat == Compat::Fixed;
        match self {
            Expert::Bottleneck => {}
            Expert::Convpass(config) => {
                config.use_convolution.get_or_insert(fixed);
            }
            Expert::Conformer(config) => {
                config.input_norm.get_or_insert(if fixed {
                    InputNorm::Applied
                } else {
                    InputNorm::Unused
                });
            }
        }
    }

    /// Checks form and width against a backbone.
    pub(crate) fn validate(
        &self,
        method: &'static str,
        bottleneck: Bottleneck,
        backbone: &AstConfig,
    ) -> Result<(), AdapterError> {
        check_width(method, bottleneck, backbone)?;
        match self {
            Expert::Conformer(config) if !(1..=4096).contains(&config.kernel) => {
                Err(AdapterError::Config {
                    method,
                    field: "kernel",
                    value: config.kernel.to_string(),
                    problem: "must lie between 1 and 4096",
                })
            }
            _ => Ok(()),
        }
    }

    /// N experts of this form under the name `prefix`.
    ///
    /// # Shapes
    /// `shape` = [N, D, R]
    pub(crate) fn bank(
        &self,
        prefix: &str,
        shape: [i64; 3],
        init: AdapterInit,
        parameters: &mut Parameters,
    ) -> ExpertBank {
        match self {
            Expert::Bottleneck => linear_maps(prefix, shape, Inner::Gelu, init, parameters),
            Expert::Convpass(config) => {
                let inner = config.inner(prefix, shape, parameters);
                linear_maps(prefix, shape, inner, init, parameters)
            }
            Expert::Conformer(config) => config.bank(prefix, shape, init, parameters),
        }
    }
}

/// Down- and up-projection as Hugging Face's initialiser fills linear maps.
fn linear_maps(
    prefix: &str,
    [n, d, r]: [i64; 3],
    inner: Inner,
    init: AdapterInit,
    parameters: &mut Parameters,
) -> ExpertBank {
    let up_sigma = match init {
        AdapterInit::Paper => SIGMA,
        AdapterInit::ZeroUp => 0.0,
    };
    ExpertBank {
        down: parameters.normal(format!("{prefix}.down"), &[n, d, r], SIGMA),
        down_bias: parameters.constant(format!("{prefix}.down_bias"), &[n, r], 0.0),
        inner,
        up: parameters.normal(format!("{prefix}.up"), &[n, r, d], up_sigma),
        up_bias: parameters.constant(format!("{prefix}.up_bias"), &[n, d], 0.0),
    }
}

impl ConvpassExpert {
    /// The convolution starts Xavier-uniform with bias 0.
    fn inner(&self, prefix: &str, [n, _, r]: [i64; 3], parameters: &mut Parameters) -> Inner {
        let k = CONVPASS_KERNEL;
        let bound = (6.0 / (2 * r * k) as f64).sqrt();
        let convolution = TokenConvolution {
            weight: parameters.uniform(format!("{prefix}.conv"), &[n, r, r, k], bound),
            bias: parameters.constant(format!("{prefix}.conv_bias"), &[n, r], 0.0),
        };
        Inner::Convpass(Convpass {
            convolution: self.use_convolution.unwrap_or(true).then_some(convolution),
            dropout: CONVPASS_DROPOUT,
        })
    }
}

impl ConformerExpert {
    /// All three convolutions start at U(±1/√fan-in), weights and biases, or
    /// with `zero_up` the last one at 0.
    fn bank(
        &self,
        prefix: &str,
        [n, d, r]: [i64; 3],
        init: AdapterInit,
        parameters: &mut Parameters,
    ) -> ExpertBank {
        let mut part = |name: &str, shape: &[i64], fan_in: i64| {
            let bound = 1.0 / (fan_in as f64).sqrt();
            parameters.uniform(format!("{prefix}.{name}"), shape, bound)
        };
        let k = self.kernel;
        let down = part("down", &[n, d, 2 * r], d);
        let down_bias = part("down_bias", &[n, 2 * r], d);
        let depthwise = part("depthwise", &[n, r, k], k);
        let depthwise_bias = part("depthwise_bias", &[n, r], k);
        let (up, up_bias) = match init {
            AdapterInit::Paper => (part("up", &[n, r, d], r), part("up_bias", &[n, d], r)),
            AdapterInit::ZeroUp => (
                parameters.constant(format!("{prefix}.up"), &[n, r, d], 0.0),
                parameters.constant(format!("{prefix}.up_bias"), &[n, d], 0.0),
            ),
        };
        let inner = Inner::Conformer(Conformer {
            layer_norm: self.layer_norm(prefix, [n, d], parameters),
            depthwise,
            depthwise_bias,
            batch_norm: batch_norm(&format!("{prefix}.batchnorm"), [n, r], parameters),
        });
        ExpertBank {
            down,
            down_bias,
            inner,
            up,
            up_bias,
        }
    }

    fn layer_norm(
        &self,
        prefix: &str,
        shape: [i64; 2],
        parameters: &mut Parameters,
    ) -> Option<LayerNorm> {
        let wanted = self.input_norm.unwrap_or(InputNorm::Applied);
        if wanted == InputNorm::Absent {
            return None;
        }
        let norm = LayerNorm {
            weight: parameters.constant(format!("{prefix}.layernorm.weight"), &shape, 1.0),
            bias: parameters.constant(format!("{prefix}.layernorm.bias"), &shape, 0.0),
        };
        (wanted == InputNorm::Applied).then_some(norm)
    }
}

fn batch_norm(prefix: &str, shape: [i64; 2], parameters: &mut Parameters) -> BatchNorm {
    BatchNorm {
        weight: parameters.constant(format!("{prefix}.weight"), &shape, 1.0),
        bias: parameters.constant(format!("{prefix}.bias"), &shape, 0.0),
        running_mean: parameters.buffer(format!("{prefix}.running_mean"), &shape, 0.0),
        running_var: parameters.buffer(format!("{prefix}.running_var"), &shape, 1.0),
        momentum: MOMENTUM,
    }
}
