//! N experts of one form with their initial values, one tensor per parameter.

use moe_routing::{BatchNorm, Conformer, Convpass, ExpertBank, Inner, LayerNorm, TokenConvolution};
use tch::Tensor;

use super::{ConformerConfig, ConvpassConfig, Expert, InputNorm};
use crate::AdapterInit;
use crate::parameters::{Parameters, SIGMA};

/// Width of convpass's kernel.
const CONVPASS_KERNEL: i64 = 3;

/// Creates tensors whose names begin with `prefix`.
struct Maker<'a> {
    prefix: &'a str,
    /// [N, D, R]
    shape: [i64; 3],
    init: AdapterInit,
    parameters: &'a mut Parameters,
}

/// N experts under the name `prefix`. Initial values as the authors' runs had
/// them; with `zero_up` the up-projection and its bias are 0.
///
/// # Shapes
/// `shape` = [N, D, R]
pub(crate) fn bank(
    prefix: &str,
    expert: &Expert,
    shape: [i64; 3],
    init: AdapterInit,
    parameters: &mut Parameters,
) -> ExpertBank {
    let mut maker = Maker {
        prefix,
        shape,
        init,
        parameters,
    };
    match expert {
        Expert::Bottleneck => maker.linear_maps(Inner::Gelu),
        Expert::Convpass(config) => {
            let inner = maker.convpass(config);
            maker.linear_maps(inner)
        }
        Expert::Conformer(config) => maker.conformer(config),
    }
}

impl Maker<'_> {
    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }

    fn constant(&mut self, part: &str, shape: &[i64], value: f64) -> Tensor {
        let name = self.name(part);
        self.parameters.constant(name, shape, value)
    }

    fn uniform(&mut self, part: &str, shape: &[i64], bound: f64) -> Tensor {
        let name = self.name(part);
        self.parameters.uniform(name, shape, bound)
    }

    fn normal(&mut self, part: &str, shape: &[i64], sigma: f64) -> Tensor {
        let name = self.name(part);
        self.parameters.normal(name, shape, sigma)
    }

    /// Linear maps from N(0, 0.02²), biases 0.
    fn linear_maps(&mut self, inner: Inner) -> ExpertBank {
        let [n, d, r] = self.shape;
        let up_sigma = match self.init {
            AdapterInit::Paper => SIGMA,
            AdapterInit::ZeroUp => 0.0,
        };
        ExpertBank {
            down: self.normal("down", &[n, d, r], SIGMA),
            down_bias: self.constant("down_bias", &[n, r], 0.0),
            inner,
            up: self.normal("up", &[n, r, d], up_sigma),
            up_bias: self.constant("up_bias", &[n, d], 0.0),
        }
    }

    /// The kernel Xavier-uniform, its bias 0.
    fn convpass(&mut self, config: &ConvpassConfig) -> Inner {
        let ([n, _, r], k) = (self.shape, CONVPASS_KERNEL);
        let bound = (6.0 / (2 * r * k) as f64).sqrt();
        let convolution = TokenConvolution {
            weight: self.uniform("conv", &[n, r, r, k], bound),
            bias: self.constant("conv_bias", &[n, r], 0.0),
        };
        let used = !config.as_coded.unwrap_or(false);
        Inner::Convpass(Convpass {
            convolution: used.then_some(convolution),
            dropout: config.dropout,
        })
    }

    /// The three convolutions U(±1/√fan-in), weights and biases.
    fn conformer(&mut self, config: &ConformerConfig) -> ExpertBank {
        let ([n, d, r], k) = (self.shape, config.kernel);
        let bound = |fan_in: i64| 1.0 / (fan_in as f64).sqrt();
        let up_bound = match self.init {
            AdapterInit::Paper => bound(r),
            AdapterInit::ZeroUp => 0.0,
        };
        let input_norm = config.input_norm.unwrap_or(InputNorm::Apply);
        let layer_norm = (input_norm != InputNorm::Absent).then(|| LayerNorm {
            weight: self.constant("layernorm.weight", &[n, d], 1.0),
            bias: self.constant("layernorm.bias", &[n, d], 0.0),
        });
        let down = self.uniform("down", &[n, d, 2 * r], bound(d));
        let down_bias = self.uniform("down_bias", &[n, 2 * r], bound(d));
        let inner = Inner::Conformer(Conformer {
            layer_norm: layer_norm.filter(|_| input_norm == InputNorm::Apply),
            depthwise: self.uniform("depthwise", &[n, r, k], bound(k)),
            depthwise_bias: self.uniform("depthwise_bias", &[n, r], bound(k)),
            batch_norm: self.batch_norm(),
        });
        ExpertBank {
            down,
            down_bias,
            inner,
            up: self.uniform("up", &[n, r, d], up_bound),
            up_bias: self.uniform("up_bias", &[n, d], up_bound),
        }
    }

    fn batch_norm(&mut self) -> BatchNorm {
        let [n, _, r] = self.shape;
        let (mean, var) = (
            self.name("batchnorm.running_mean"),
            self.name("batchnorm.running_var"),
        );
        BatchNorm {
            weight: self.constant("batchnorm.weight", &[n, r], 1.0),
            bias: self.constant("batchnorm.bias", &[n, r], 0.0),
            running_mean: self.parameters.buffer(mean, &[n, r], 0.0),
            running_var: self.parameters.buffer(var, &[n, r], 1.0),
            momentum: 0.1,
        }
    }
}
