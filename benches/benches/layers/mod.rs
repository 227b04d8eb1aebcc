//! The layers that are timed and whose memory is measured, on tokens of the
//! size of a batch of ESC-50 clips.

use moe_routing::{
    BatchNorm, Conformer, Convpass, DenseRouter, ExpertBank, ExpertChoiceConfig,
    ExpertChoiceRouter, Inner, MoaLayer, ReluConfig, ReluRouter, RouteOptions, Router, RouterNorm,
    SoftRouter, SparseConfig, SparseRouter, TokenConvolution,
};
use tch::{Kind, Tensor};

pub const B: i64 = 8;
pub const L: i64 = 590;
pub const D: i64 = 768;
pub const R: i64 = 6;

/// One layer: its parameters and its output for given tokens.
pub struct Layer {
    pub name: &'static str,
    pub parameters: Vec<Tensor>,
    pub forward: Box<dyn Fn(&Tensor) -> Tensor>,
}

pub fn fill(shape: &[i64], seed: f32, size: f32) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| size * ((i % 9973) as f32 * 0.7 + seed).sin())
        .collect();
    Tensor::from_slice(&values).view(shape)
}

/// A forward and a backward pass with gradients of the tokens and of every
/// parameter, as inside a backbone.
pub fn train(layer: &Layer, x: &Tensor, gradient: &Tensor) -> Vec<Tensor> {
    let y = (layer.forward)(x);
    let mut inputs = vec![x.shallow_clone()];
    inputs.extend(layer.parameters.iter().map(Tensor::shallow_clone));
    let weighted = y.reshape([-1]).dot(gradient);
    Tensor::run_backward(&[weighted], &inputs, false, false)
}

fn leaf(shape: &[i64], seed: f32) -> Tensor {
    fill(shape, seed, 0.05).set_requires_grad(true)
}

fn shared(tensors: &[&Tensor]) -> Vec<Tensor> {
    tensors.iter().map(|t| t.shallow_clone()).collect()
}

/// N experts with the given inner part, whose down-projection makes `wide`
/// hidden units each.
fn bank_with(n: i64, r: i64, wide: i64, inner: Inner) -> ExpertBank {
    ExpertBank {
        down: leaf(&[n, D, wide], 1.0),
        down_bias: leaf(&[n, wide], 2.0),
        inner,
        up: leaf(&[n, r, D], 3.0),
        up_bias: leaf(&[n, D], 4.0),
    }
}

fn bank(n: i64) -> ExpertBank {
    bank_with(n, R, R, Inner::Gelu)
}

fn bank_parameters(bank: &ExpertBank) -> Vec<Tensor> {
    let mut all = shared(&[&bank.down, &bank.down_bias, &bank.up, &bank.up_bias]);
    match &bank.inner {
        Inner::Convpass(Convpass {
            convolution: Some(convolution),
            ..
        }) => all.extend(shared(&[&convolution.weight, &convolution.bias])),
        Inner::Conformer(conformer) => {
            let norm = &conformer.batch_norm;
            all.extend(shared(&[&conformer.depthwise, &conformer.depthwise_bias]));
            all.extend(shared(&[&norm.weight, &norm.bias]));
        }
        _ => {}
    }
    all
}

fn mixture(
    name: &'static str,
    bank: ExpertBank,
    router: Box<dyn Router>,
    mut parameters: Vec<Tensor>,
) -> Layer {
    parameters.extend(bank_parameters(&bank));
    let layer = MoaLayer { router, bank };
    let forward = move |x: &Tensor| {
        layer
            .forward(x, RouteOptions::default())
            .expect("fitting shapes")
            .y
    };
    Layer {
        name,
        parameters,
        forward: Box::new(forward),
    }
}

pub fn soft(name: &'static str, n: i64, norm: RouterNorm) -> Layer {
    let phi = leaf(&[D, n, 1], 5.0);
    let parameters = vec![phi.shallow_clone()];
    let router = SoftRouter {
        phi,
        scale: None,
        norm,
        noise: 0.0,
    };
    mixture(name, bank(n), Box::new(router), parameters)
}

fn dense_router(n: i64) -> (DenseRouter, Vec<Tensor>) {
    let router = DenseRouter {
        weight: leaf(&[n, D], 6.0),
        bias: leaf(&[n], 7.0),
    };
    let parameters = shared(&[&router.weight, &router.bias]);
    (router, parameters)
}

pub fn dense(n: i64) -> Layer {
    let (router, parameters) = dense_router(n);
    mixture("dense", bank(n), Box::new(router), parameters)
}

pub fn dense_convpass(n: i64) -> Layer {
    let (router, parameters) = dense_router(n);
    let inner = Inner::Convpass(Convpass {
        convolution: Some(TokenConvolution {
            weight: leaf(&[n, R, R, 3], 10.0),
            bias: leaf(&[n, R], 11.0),
        }),
        dropout: 0.0,
    });
    let bank = bank_with(n, R, R, inner);
    mixture("dense convpass", bank, Box::new(router), parameters)
}

fn conformer(n: i64) -> Inner {
    let zeros = || Tensor::zeros([n, R], (Kind::Float, tch::Device::Cpu));
    Inner::Conformer(Conformer {
        layer_norm: None,
        depthwise: leaf(&[n, R, 31], 10.0),
        depthwise_bias: leaf(&[n, R], 11.0),
        batch_norm: BatchNorm {
            weight: leaf(&[n, R], 12.0),
            bias: leaf(&[n, R], 13.0),
            running_mean: zeros(),
            running_var: zeros() + 1.0,
            momentum: 0.1,
        },
    })
}

pub fn dense_conformer(n: i64) -> Layer {
    let (router, parameters) = dense_router(n);
    let bank = bank_with(n, R, 2 * R, conformer(n));
    mixture("dense conformer", bank, Box::new(router), parameters)
}

pub fn sparse(name: &'static str, n: i64, k: i64, capacity_factor: Option<f64>) -> Layer {
    let (DenseRouter { weight, bias }, parameters) = dense_router(n);
    let config = SparseConfig {
        k,
        capacity_factor,
        ..SparseConfig::default()
    };
    let router = SparseRouter {
        weight,
        bias,
        config,
    };
    mixture(name, bank(n), Box::new(router), parameters)
}

pub fn expert_choice(n: i64) -> Layer {
    let (DenseRouter { weight, bias }, parameters) = dense_router(n);
    let router = ExpertChoiceRouter {
        weight,
        bias,
        config: ExpertChoiceConfig::default(),
    };
    mixture("expert choice", bank(n), Box::new(router), parameters)
}

pub fn relu(n: i64) -> Layer {
    let (DenseRouter { weight, bias }, parameters) = dense_router(n);
    let config = ReluConfig::default();
    let router = ReluRouter {
        weight,
        bias,
        penalty: Tensor::from(config.initial_penalty),
        activity: Tensor::from(config.active / n as f64),
        config,
    };
    mixture("relu", bank(n), Box::new(router), parameters)
}

/// Dense-MoA that keeps all N outputs [B, L, N, D].
pub fn dense_stacked(n: i64) -> Layer {
    let (router, mut parameters) = dense_router(n);
    let bank = bank(n);
    parameters.extend(bank_parameters(&bank));
    let forward = move |x: &Tensor| {
        let gates = router.probabilities(x).expect("fitting shapes");
        let expert = |e: i64| {
            let hidden = (x.matmul(&bank.down.get(e)) + bank.down_bias.get(e)).gelu("none");
            hidden.matmul(&bank.up.get(e)) + bank.up_bias.get(e)
        };
        let outputs = Tensor::stack(&(0..n).map(expert).collect::<Vec<_>>(), 2);
        (outputs * gates.unsqueeze(-1)).sum_dim_intlist(2, false, None::<Kind>)
    };
    Layer {
        name: "dense stacked",
        parameters,
        forward: Box::new(forward),
    }
}

/// Passes the tokens on: what a training pass costs without any layer.
pub fn none() -> Layer {
    Layer {
        name: "none",
        parameters: Vec::new(),
        forward: Box::new(Tensor::shallow_clone),
    }
}

/// One bottleneck adapter as two linear maps with a GELU between them.
pub fn adapter(name: &'static str, r: i64) -> Layer {
    let parameters = vec![
        leaf(&[r, D], 1.0),
        leaf(&[r], 2.0),
        leaf(&[D, r], 3.0),
        leaf(&[D], 4.0),
    ];
    let [down, down_bias, up, up_bias] = [0, 1, 2, 3].map(|i| parameters[i].shallow_clone());
    let forward = move |x: &Tensor| {
        x.linear(&down, Some(&down_bias))
            .gelu("none")
            .linear(&up, Some(&up_bias))
    };
    Layer {
        name,
        parameters,
        forward: Box::new(forward),
    }
}

/// The same adapter as a bank of one expert.
pub fn single(name: &'static str, wide: i64, inner: Inner) -> Layer {
    let bank = bank_with(1, R, wide, inner);
    let parameters = bank_parameters(&bank);
    let forward = move |x: &Tensor| bank.forward_single(x, None).expect("fitting shapes");
    Layer {
        name,
        parameters,
        forward: Box::new(forward),
    }
}

/// Every layer with its number of experts.
pub fn all() -> Vec<(i64, Layer)> {
    let mut layers = vec![
        (1, none()),
        (1, adapter("adapter", R)),
        (1, adapter("adapter of width 12", 12)),
        (1, single("bank of one", R, Inner::Gelu)),
        (1, single("bank of one conformer", 2 * R, conformer(1))),
    ];
    for n in [7, 15] {
        layers.extend([
            (n, soft("soft", n, RouterNorm::Off)),
            (n, soft("soft coded", n, RouterNorm::Coded)),
            (n, soft("soft soft_moe", n, RouterNorm::SoftMoe)),
            (n, dense(n)),
            (n, dense_stacked(n)),
            (n, dense_convpass(n)),
            (n, dense_conformer(n)),
            (n, sparse("sparse top-1", n, 1, None)),
            (n, sparse("sparse top-2", n, 2, None)),
            (n, sparse("sparse top-2 capacity 1.25", n, 2, Some(1.25))),
            (n, expert_choice(n)),
            (n, relu(n)),
        ]);
    }
    layers
}
