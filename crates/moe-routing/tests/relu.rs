//! ReLU routing: the penalty and what moves it.

mod common;

use common::{F64, Fixed, TRAIN, asked, assert_close, bank, noise, relu, scalar, stacked, values};
use moe_routing::{MoaLayer, RouteOptions, Router, Train};
use tch::{Kind, Tensor};

const ALL: RouteOptions = RouteOptions {
    metrics: true,
    losses: true,
    slots: false,
    train: None,
    mask: None,
};
const TRAINING: RouteOptions = RouteOptions {
    train: Some(TRAIN),
    ..ALL
};
const STEP: RouteOptions = RouteOptions {
    train: Some(Train {
        draws: &Fixed,
        update_statistics: true,
    }),
    ..ALL
};

/// λ stays a number after any time on the wrong side of the target, and comes
/// back: neither 0 nor infinity can be multiplied away from.
#[test]
fn the_penalty_of_relu_routing_survives_a_thousand_steps_on_one_side() {
    let mut router = relu(4, 6, 1.0);
    for kept in [&mut router.penalty, &mut router.activity] {
        *kept = kept.to_kind(Kind::Float);
    }
    let x = noise(&[2, 5, 6], 1.0);
    for (bias, far, back) in [(-100.0, 1e-20, 100.0), (100.0, 1e10, -100.0)] {
        router.bias = Tensor::full([4], bias, (F64, tch::Device::Cpu));
        for _ in 0..1000 {
            router.route(&x, STEP).expect("fitting shapes");
        }
        let reached = scalar(&router.penalty);
        assert!((reached / far - 1.0).abs() < 1e-3, "{reached}");
        router.bias = Tensor::full([4], back, (F64, tch::Device::Cpu));
        for _ in 0..20 {
            router.route(&x, STEP).expect("fitting shapes");
        }
        let returned = scalar(&router.penalty) / reached;
        assert!(
            if back > 0.0 {
                returned > 10.0
            } else {
                returned < 0.1
            },
            "{returned}"
        );
    }
}

#[test]
fn relu_gates_work_with_the_fused_bank() {
    let x = noise(&[2, 7, 6], 5.0);
    let router = relu(4, 6, 1.0);
    let gates = router.gates(&x).expect("fitting shapes");
    assert!(scalar(&gates.eq(0.0).to_kind(F64).mean(F64)) > 0.2);
    let layer = MoaLayer {
        router: Box::new(router),
        bank: bank(4, 6, 2, F64),
    };
    let y = layer.forward(&x, ALL).expect("fitting shapes").y;
    assert_close(&y, &stacked(&layer.bank, &x, &gates), 1e-12);
}

#[test]
fn relu_penalty_is_the_weighted_l1_norm() {
    let (n, active) = (4, 1.5);
    let x = noise(&[2, 7, 6], 5.0);
    let router = relu(n, 6, active);
    let routing = router.route(&x, ALL).expect("fitting shapes");
    let found = asked(&routing.losses.expect("asked for").sparsity);
    let gates = values(&router.gates(&x).expect("fitting shapes"));
    let tokens = gates.len() / n as usize;
    let mut expected = 0.0;
    for expert in 0..n as usize {
        let own: Vec<f64> = gates
            .iter()
            .skip(expert)
            .step_by(n as usize)
            .copied()
            .collect();
        let busy = own.iter().filter(|g| **g > 0.0).count() as f64 / tokens as f64;
        let mean = own.iter().sum::<f64>() / tokens as f64;
        expected += busy * n as f64 / active * mean;
    }
    assert!((found - 0.5 * expected).abs() < 1e-12, "{found} {expected}");
}

#[test]
fn relu_penalty_grows_while_gates_are_too_dense_and_shrinks_when_too_sparse() {
    let x = noise(&[2, 7, 6], 5.0);
    for (active, factor) in [(0.1, 1.2), (3.9, 1.0 / 1.2)] {
        let router = relu(4, 6, active);
        let _ = router.route(&x, STEP).expect("fitting shapes");
        // The first step only looks; what it saw moves λ at the second.
        assert!((scalar(&router.penalty) - 0.5).abs() < 1e-12);
        let _ = router.route(&x, STEP).expect("fitting shapes");
        assert!((scalar(&router.penalty) - 0.5 * factor).abs() < 1e-12);
        // Evaluation and a repeated pass leave it alone.
        let _ = router.route(&x, ALL).expect("fitting shapes");
        let _ = router.route(&x, TRAINING).expect("fitting shapes");
        assert!((scalar(&router.penalty) - 0.5 * factor).abs() < 1e-12);
    }
}

/// A few hundred steps of plain gradient descent on the penalty alone.
#[test]
fn relu_penalty_reaches_its_target() {
    let (n, d, active) = (6, 8, 2.0);
    let x = noise(&[2, 40, d], 5.0);
    let mut router = relu(n, d, active);
    router.penalty = Tensor::from(1e-3);
    let leaves = [&router.weight, &router.bias].map(|t| t.set_requires_grad(true));
    let mut late = Vec::new();
    for step in 0..600 {
        let routing = router.route(&x, STEP).expect("fitting shapes");
        // A task that wants all gates open pulls against the penalty.
        let gates = routing.dispatcher.gates().expect("gates").shallow_clone();
        let task = (gates - 1.0).square().mean(F64);
        let loss = task + routing.losses.expect("asked for").sparsity.expect("relu");
        let slopes = Tensor::run_backward(&[loss], &leaves, false, false);
        for (leaf, slope) in leaves.iter().zip(slopes) {
            let _ = tch::no_grad(|| leaf.shallow_clone().g_add_(&(slope * -0.05)));
        }
        if step >= 400 {
            let routing = router.route(&x, ALL).expect("fitting shapes");
            late.push(routing.metrics.expect("asked for").experts_per_token);
        }
    }
    let mean = late.iter().sum::<f64>() / late.len() as f64;
    assert!((mean - active).abs() < 0.5, "{mean} active experts");
}
