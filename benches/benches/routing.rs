//! Routers with a bottleneck bank at the size of one block of an Audio
//! Spectrogram Transformer: B 8, L 590, D 768, R 6, N 7 and 15.
//!
//! `forward` runs without gradients; `train` is a forward and a backward pass
//! with gradients of the tokens and of every parameter, as inside a backbone.
//! `adapter` is one bottleneck adapter on the same tokens, and
//! `dense stacked` the Dense-MoA that keeps all N outputs [B, L, N, D]. `none`
//! passes the tokens on: what a `train` pass costs without any layer.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use moe_routing::{
    DenseRouter, ExpertBank, Inner, MoaLayer, RouteOptions, Router, RouterNorm, SoftRouter,
    SparseConfig, SparseRouter,
};
use std::hint::black_box;
use tch::{Kind, Tensor, no_grad};

const B: i64 = 8;
const L: i64 = 590;
const D: i64 = 768;
const R: i64 = 6;

/// One layer: its parameters and its output for given tokens.
struct Layer {
    name: &'static str,
    parameters: Vec<Tensor>,
    forward: Box<dyn Fn(&Tensor) -> Tensor>,
}

fn fill(shape: &[i64], seed: f32, size: f32) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| size * ((i % 9973) as f32 * 0.7 + seed).sin())
        .collect();
    Tensor::from_slice(&values).view(shape)
}

fn leaf(shape: &[i64], seed: f32) -> Tensor {
    fill(shape, seed, 0.05).set_requires_grad(true)
}

fn bank(n: i64) -> ExpertBank {
    ExpertBank {
        down: leaf(&[n, D, R], 1.0),
        down_bias: leaf(&[n, R], 2.0),
        inner: Inner::Gelu,
        up: leaf(&[n, R, D], 3.0),
        up_bias: leaf(&[n, D], 4.0),
    }
}

fn bank_parameters(bank: &ExpertBank) -> Vec<Tensor> {
    [&bank.down, &bank.down_bias, &bank.up, &bank.up_bias]
        .map(Tensor::shallow_clone)
        .into()
}

fn mixture(
    name: &'static str,
    n: i64,
    router: Box<dyn Router>,
    mut parameters: Vec<Tensor>,
) -> Layer {
    let layer = MoaLayer {
        router,
        bank: bank(n),
    };
    parameters.extend(bank_parameters(&layer.bank));
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

fn soft(name: &'static str, n: i64, norm: RouterNorm) -> Layer {
    let phi = leaf(&[D, n, 1], 5.0);
    let parameters = vec![phi.shallow_clone()];
    mixture(
        name,
        n,
        Box::new(SoftRouter {
            phi,
            scale: None,
            norm,
            noise: 0.0,
        }),
        parameters,
    )
}

fn dense_router(n: i64) -> (DenseRouter, Vec<Tensor>) {
    let router = DenseRouter {
        weight: leaf(&[n, D], 6.0),
        bias: leaf(&[n], 7.0),
    };
    let parameters = vec![router.weight.shallow_clone(), router.bias.shallow_clone()];
    (router, parameters)
}

fn dense(n: i64) -> Layer {
    let (router, parameters) = dense_router(n);
    mixture("dense", n, Box::new(router), parameters)
}

fn sparse(name: &'static str, n: i64, k: i64, capacity_factor: Option<f64>) -> Layer {
    let (DenseRouter { weight, bias }, parameters) = dense_router(n);
    let config = SparseConfig {
        k,
        capacity_factor,
        ..SparseConfig::default()
    };
    mixture(
        name,
        n,
        Box::new(SparseRouter {
            weight,
            bias,
            config,
        }),
        parameters,
    )
}

fn dense_stacked(n: i64) -> Layer {
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

fn none() -> Layer {
    Layer {
        name: "none",
        parameters: Vec::new(),
        forward: Box::new(Tensor::shallow_clone),
    }
}

fn adapter() -> Layer {
    let parameters = vec![
        leaf(&[R, D], 1.0),
        leaf(&[R], 2.0),
        leaf(&[D, R], 3.0),
        leaf(&[D], 4.0),
    ];
    let [down, down_bias, up, up_bias] = [0, 1, 2, 3].map(|i| parameters[i].shallow_clone());
    let forward = move |x: &Tensor| {
        x.linear(&down, Some(&down_bias))
            .gelu("none")
            .linear(&up, Some(&up_bias))
    };
    Layer {
        name: "adapter",
        parameters,
        forward: Box::new(forward),
    }
}

fn measure(c: &mut Criterion, pass: &str, layers: &[(i64, Layer)], run: impl Fn(&Layer)) {
    let mut group = c.benchmark_group(format!("routing/{pass}"));
    group
        .sample_size(20)
        .throughput(Throughput::Elements((B * L) as u64));
    for (n, layer) in layers {
        let id = BenchmarkId::new(layer.name, format!("N{n}"));
        group.bench_with_input(id, layer, |b, layer| b.iter(|| run(layer)));
    }
    group.finish();
}

fn routing(c: &mut Criterion) {
    let mut layers = vec![(1, none()), (1, adapter())];
    for n in [7, 15] {
        layers.extend([
            (n, soft("soft", n, RouterNorm::Off)),
            (n, soft("soft coded", n, RouterNorm::Coded)),
            (n, soft("soft soft_moe", n, RouterNorm::SoftMoe)),
            (n, dense(n)),
            (n, dense_stacked(n)),
            (n, sparse("sparse top-1", n, 1, None)),
            (n, sparse("sparse top-2", n, 2, None)),
            (n, sparse("sparse top-2 capacity 1.25", n, 2, Some(1.25))),
        ]);
    }
    let x = fill(&[B, L, D], 8.0, 1.0);
    measure(c, "forward", &layers, |layer| {
        let _ = black_box(no_grad(|| (layer.forward)(&x)));
    });
    let x = x.set_requires_grad(true);
    let gradient = fill(&[B * L * D], 9.0, 1.0);
    measure(c, "train", &layers, |layer| {
        let y = (layer.forward)(&x);
        let mut inputs = vec![x.shallow_clone()];
        inputs.extend(layer.parameters.iter().map(Tensor::shallow_clone));
        let weighted = y.reshape([-1]).dot(&gradient);
        black_box(Tensor::run_backward(&[weighted], &inputs, false, false));
    });
}

criterion_group!(benches, routing);
criterion_main!(benches);
