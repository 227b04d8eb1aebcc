//! Inputs in closed form, and the plain loop-over-experts forms that serve as
//! oracles. All numbers come from formulas: no test draws from libtorch's
//! global generator.
#![allow(dead_code)]

pub mod experts;

use moe_routing::{
    DenseRouter, Draws, ExpertBank, ExpertChoiceConfig, ExpertChoiceRouter, Group, Inner,
    ReluConfig, ReluRouter, SparseConfig, SparseRouter, Train,
};
use tch::{Kind, Tensor};

pub const F64: Kind = Kind::Double;
pub const F32: Kind = Kind::Float;

/// A tensor with `value(i)` at the row-major flat index i.
pub fn fill(shape: &[i64], kind: Kind, value: impl Fn(f64) -> f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| value(i as f64)).collect();
    Tensor::from_slice(&values).to_kind(kind).view(shape)
}

/// A pseudo-random closed form in (-1, 1), another one for each seed.
pub fn noise(shape: &[i64], seed: f64) -> Tensor {
    fill(shape, F64, |i| {
        ((i + 1.0) * 12.9898 + seed * 78.233).sin() * 43758.5453 % 1.0
    })
}

pub fn values(t: &Tensor) -> Vec<f64> {
    Vec::try_from(t.detach().to_kind(F64).reshape([-1])).expect("floating-point values")
}

pub fn indices(t: &Tensor) -> Vec<i64> {
    Vec::try_from(t.reshape([-1])).expect("integer values")
}

pub fn scalar(t: &Tensor) -> f64 {
    t.double_value(&[])
}

/// The value of a loss that a router must have.
pub fn asked(loss: &Option<Tensor>) -> f64 {
    scalar(loss.as_ref().expect("a loss of this router"))
}

#[track_caller]
pub fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size());
    let difference = scalar(&(found.to_kind(F64) - expected.to_kind(F64)).abs().max());
    assert!(
        difference <= tolerance,
        "largest difference {difference} > {tolerance}"
    );
}

/// Compares sum, sum of squares, the first four and the last three values, as
/// recorded to six decimals.
#[track_caller]
pub fn assert_recorded(found: &Tensor, sum: f64, squares: f64, first: [f64; 4], last: &[f64]) {
    let v = values(found);
    let near = |a: f64, b: f64, what: &str| {
        assert!(
            (a - b).abs() <= 2e-6 + 2e-6 * b.abs(),
            "{what}: {a} instead of {b}"
        );
    };
    near(v.iter().sum(), sum, "sum");
    near(v.iter().map(|a| a * a).sum(), squares, "sum of squares");
    for i in 0..4 {
        near(v[i], first[i], "first values");
    }
    for (found, expected) in v[v.len() - last.len()..].iter().zip(last) {
        near(*found, *expected, "last values");
    }
}

/// A bank of pseudo-random experts.
pub fn bank(n: i64, d: i64, r: i64, kind: Kind) -> ExpertBank {
    ExpertBank {
        down: noise(&[n, d, r], 1.0).to_kind(kind),
        down_bias: noise(&[n, r], 2.0).to_kind(kind),
        inner: Inner::Gelu,
        up: noise(&[n, r, d], 3.0).to_kind(kind),
        up_bias: noise(&[n, d], 4.0).to_kind(kind),
    }
}

pub fn dense(n: i64, d: i64, kind: Kind) -> DenseRouter {
    DenseRouter {
        weight: noise(&[n, d], 5.0).to_kind(kind),
        bias: noise(&[n], 6.0).to_kind(kind),
    }
}

pub fn sparse(n: i64, d: i64, config: SparseConfig, kind: Kind) -> SparseRouter {
    let DenseRouter { weight, bias } = dense(n, d, kind);
    SparseRouter {
        weight,
        bias,
        config,
    }
}

pub fn expert_choice(n: i64, d: i64, capacity_factor: f64, group: Group) -> ExpertChoiceRouter {
    let DenseRouter { weight, bias } = dense(n, d, F64);
    let config = ExpertChoiceConfig {
        capacity_factor,
        group,
    };
    ExpertChoiceRouter {
        weight,
        bias,
        config,
    }
}

/// Bottleneck expert n as written in the formula, on tokens [.., D].
pub fn expert(bank: &ExpertBank, n: i64, x: &Tensor) -> Tensor {
    let hidden = (x.matmul(&bank.down.get(n)) + bank.down_bias.get(n)).gelu("none");
    hidden.matmul(&bank.up.get(n)) + bank.up_bias.get(n)
}

/// Σₙ gateₙ · expertₙ(x) from the stack [B, L, N, D] of all outputs.
pub fn stacked(bank: &ExpertBank, x: &Tensor, gates: &Tensor) -> Tensor {
    let outputs: Vec<Tensor> = (0..bank.down.size()[0])
        .map(|n| expert(bank, n, x))
        .collect();
    (Tensor::stack(&outputs, 2) * gates.unsqueeze(-1)).sum_dim_intlist(2, false, None::<Kind>)
}

/// Soft mixing, slot by slot, with weights [B, L, N, P].
pub fn soft_by_slot(bank: &ExpertBank, x: &Tensor, dispatch: &Tensor, combine: &Tensor) -> Tensor {
    let (n, p) = (dispatch.size()[2], dispatch.size()[3]);
    let mut y = x.zeros_like();
    for e in 0..n {
        for s in 0..p {
            let weight = |t: &Tensor| t.select(2, e).select(2, s).unsqueeze(-1);
            let slot = (weight(dispatch) * x).sum_dim_intlist(1, true, None::<Kind>);
            y += weight(combine) * expert(bank, e, &slot);
        }
    }
    y
}

/// Draws in closed form: another value for every purpose and place.
pub struct Fixed;

impl Draws for Fixed {
    fn normal(&self, what: &str, shape: &[i64]) -> Tensor {
        noise(shape, what.len() as f64) * 2.0
    }

    fn uniform(&self, what: &str, shape: &[i64]) -> Tensor {
        noise(shape, what.len() as f64).abs()
    }
}

/// A training pass that changes no running statistics.
pub const TRAIN: Train<'static> = Train {
    draws: &Fixed,
    update_statistics: false,
};

/// A ReLU router that shall open `active` gates of a token; λ starts at 0.5.
pub fn relu(n: i64, d: i64, active: f64) -> ReluRouter {
    let DenseRouter { weight, bias } = dense(n, d, F64);
    let config = ReluConfig {
        active,
        initial_penalty: 0.5,
        ..ReluConfig::default()
    };
    ReluRouter {
        weight,
        bias,
        config,
        penalty: Tensor::from(config.initial_penalty),
        activity: Tensor::from(active / n as f64),
    }
}
