//! Gradients against central differences in f64, and of the fused forms
//! against the stacked ones.

mod common;

use common::experts::{self, FORMS, trained};
use common::{F64, assert_close, bank, dense, fill, noise, scalar, soft_by_slot, sparse, stacked};
use moe_routing::{
    DenseRouter, ExpertBank, ExpertChoiceConfig, ExpertChoiceRouter, Exploration, Gate, Group,
    Inner, LossWeights, MoaLayer, Priority, ReluConfig, ReluRouter, RouteOptions, Router,
    RouterNorm, SoftRouter, SparseConfig, SparseRouter,
};
use tch::Tensor;

const WANT: RouteOptions = RouteOptions {
    metrics: false,
    losses: true,
    slots: false,
    train: None,
    mask: None,
};
const TRAINING: RouteOptions = RouteOptions {
    train: Some(common::TRAIN),
    ..WANT
};
const WEIGHTS: LossWeights = LossWeights {
    load_balance: 0.3,
    importance: 0.4,
    load: 0.5,
    z: 0.2,
    sparsity: 1.0,
};
const STEP: f64 = 1e-5;

fn leaves(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors
        .iter()
        .map(|t| t.detach().copy().set_requires_grad(true))
        .collect()
}

fn gradients(f: &dyn Fn(&[Tensor]) -> Tensor, at: &[Tensor]) -> Vec<Tensor> {
    let inputs = leaves(at);
    Tensor::run_backward(&[f(&inputs)], &inputs, false, false)
}

#[track_caller]
fn assert_central_differences(f: &dyn Fn(&[Tensor]) -> Tensor, at: &[Tensor]) {
    let analytic = gradients(f, at);
    for (which, gradient) in analytic.iter().enumerate() {
        let flat = gradient.reshape([-1]);
        for i in 0..flat.size()[0] {
            let shifted = |by: f64| {
                let moved: Vec<Tensor> = at.iter().map(Tensor::copy).collect();
                let _ = moved[which].view([-1]).get(i).g_add_scalar_(by);
                scalar(&f(&moved))
            };
            let numeric = (shifted(STEP) - shifted(-STEP)) / (2.0 * STEP);
            let exact = flat.double_value(&[i]);
            let bound = 1e-7 * (1.0 + exact.abs());
            assert!(
                (numeric - exact).abs() < bound,
                "tensor {which}, element {i}: {exact}, numerically {numeric}"
            );
        }
    }
}

/// A scalar that weighs every output differently.
fn probe(y: &Tensor) -> Tensor {
    let weights = noise(&y.size(), 9.0);
    (y * weights).sum(F64)
}

fn bank_of(t: &[Tensor]) -> ExpertBank {
    ExpertBank {
        down: t[0].shallow_clone(),
        down_bias: t[1].shallow_clone(),
        inner: Inner::Gelu,
        up: t[2].shallow_clone(),
        up_bias: t[3].shallow_clone(),
    }
}

fn tensors(bank: ExpertBank) -> Vec<Tensor> {
    vec![bank.down, bank.down_bias, bank.up, bank.up_bias]
}

/// x [2, 3, 4], the bank of 3 experts of width 2, then the router's tensors.
fn point(router: Vec<Tensor>) -> Vec<Tensor> {
    let mut all = vec![noise(&[2, 3, 4], 7.0)];
    all.extend(tensors(bank(3, 4, 2, F64)));
    all.extend(router);
    all
}

fn through_layer(router: impl Router + 'static, t: &[Tensor]) -> Tensor {
    through_layer_in(WANT, router, t)
}

fn through_layer_in(want: RouteOptions, router: impl Router + 'static, t: &[Tensor]) -> Tensor {
    let layer = MoaLayer {
        router: Box::new(router),
        bank: bank_of(&t[1..5]),
    };
    let output = layer.forward(&t[0], want).expect("fitting shapes");
    let y = probe(&output.y);
    match output.losses {
        Some(losses) => y + losses.weighted(&WEIGHTS).expect("losses that count"),
        None => y,
    }
}

/// The same through the slots, which any kind of expert uses.
fn through_slots(router: impl Router, t: &[Tensor]) -> Tensor {
    let routing = router.route(&t[0], WANT).expect("fitting shapes");
    let slots = routing.dispatcher.dispatch(&t[0]).expect("fitting shapes");
    let outputs = bank_of(&t[1..5])
        .forward_slots(&slots, None, None)
        .expect("fitting shapes");
    probe(
        &routing
            .dispatcher
            .combine(&outputs)
            .expect("fitting shapes"),
    )
}

fn sparse_of(t: &[Tensor], config: SparseConfig) -> SparseRouter {
    SparseRouter {
        weight: t[5].shallow_clone(),
        bias: t[6].shallow_clone(),
        config,
    }
}

fn dense_of(t: &[Tensor]) -> DenseRouter {
    DenseRouter {
        weight: t[5].shallow_clone(),
        bias: t[6].shallow_clone(),
    }
}

fn token_choice_point() -> Vec<Tensor> {
    let DenseRouter { weight, bias } = dense(3, 4, F64);
    point(vec![weight, bias])
}

#[test]
fn soft_gradients_in_every_norm() {
    for norm in [RouterNorm::Off, RouterNorm::Coded, RouterNorm::SoftMoe] {
        let mut router = vec![noise(&[4, 3, 2], 8.0)];
        if norm != RouterNorm::Off {
            router.push(Tensor::from(1.3));
        }
        let f = |t: &[Tensor]| {
            let scale = t.get(6).map(Tensor::shallow_clone);
            through_layer(
                SoftRouter {
                    phi: t[5].shallow_clone(),
                    scale,
                    norm,
                    noise: 0.0,
                },
                t,
            )
        };
        assert_central_differences(&f, &point(router));
    }
}

#[test]
fn dense_gradients() {
    assert_central_differences(&|t| through_layer(dense_of(t), t), &token_choice_point());
    assert_central_differences(&|t| through_slots(dense_of(t), t), &token_choice_point());
}

#[test]
fn sparse_gradients() {
    for (k, gate, capacity_factor, priority) in [
        (1, Gate::Raw, None, Priority::Position),
        (2, Gate::Renorm, None, Priority::Position),
        (2, Gate::Raw, Some(0.7), Priority::Position),
        (2, Gate::Renorm, Some(0.7), Priority::Score),
    ] {
        let config = SparseConfig {
            k,
            gate,
            capacity_factor,
            priority,
            ..SparseConfig::default()
        };
        assert_central_differences(
            &|t| through_layer(sparse_of(t, config), t),
            &token_choice_point(),
        );
        assert_central_differences(
            &|t| through_slots(sparse_of(t, config), t),
            &token_choice_point(),
        );
    }
}

#[test]
fn sparse_gradients_with_noise_and_all_losses() {
    for exploration in [Exploration::Noise(0.4), Exploration::Jitter(0.2)] {
        let config = SparseConfig {
            k: 2,
            exploration,
            group: Group::Sample,
            ..SparseConfig::default()
        };
        let f = |t: &[Tensor]| through_layer_in(TRAINING, sparse_of(t, config), t);
        assert_central_differences(&f, &token_choice_point());
    }
}

#[test]
fn expert_choice_and_relu_gradients() {
    let expert_choice = |t: &[Tensor]| ExpertChoiceRouter {
        weight: t[5].shallow_clone(),
        bias: t[6].shallow_clone(),
        config: ExpertChoiceConfig::default(),
    };
    let relu = |t: &[Tensor]| ReluRouter {
        weight: t[5].shallow_clone(),
        bias: t[6].shallow_clone(),
        config: ReluConfig::default(),
        penalty: Tensor::from(0.5),
        activity: Tensor::from(1.0 / 3.0),
    };
    let point = token_choice_point();
    assert_central_differences(&|t| through_layer(expert_choice(t), t), &point);
    assert_central_differences(&|t| through_slots(expert_choice(t), t), &point);
    assert_central_differences(&|t| through_layer(relu(t), t), &point);
    assert_central_differences(&|t| through_slots(relu(t), t), &point);
}

/// In training, with dropout drawn once and BatchNorm over the batch.
#[test]
fn gradients_of_experts_with_a_convolution() {
    for form in FORMS {
        let mut at = vec![noise(&[2, 3, 4], 7.0), noise(&[2, 3, 2], 8.0)];
        at.extend(trained(form, [2, 4, 2]));
        let f = |t: &[Tensor]| {
            let bank = experts::bank_of(form, &t[2..]);
            let gated = bank.forward_gated(&t[0], &t[1], Some(common::TRAIN));
            let slots = t[0].reshape([1, 6, 4]).expand([2, 6, 4], false);
            let by_slots = bank.forward_slots(&slots, Some(2), Some(common::TRAIN));
            probe(&gated.expect("fitting shapes")) + probe(&by_slots.expect("fitting shapes"))
        };
        assert_central_differences(&f, &at);
    }
}

#[test]
fn top_1_teaches_the_router_with_raw_gates_only() {
    let router_gradient = |gate| {
        let config = SparseConfig {
            k: 1,
            gate,
            ..SparseConfig::default()
        };
        let f = |t: &[Tensor]| through_slots(sparse_of(t, config), t);
        scalar(&gradients(&f, &token_choice_point())[5].abs().max())
    };
    assert!(router_gradient(Gate::Raw) > 1e-2);
    assert!(router_gradient(Gate::Renorm) < 1e-12);
}

#[test]
fn fused_dense_has_the_values_and_gradients_of_the_stack() {
    let point = vec![noise(&[2, 9, 16], 1.0), noise(&[2, 9, 5], 2.0)];
    let point: Vec<Tensor> = point
        .into_iter()
        .chain(tensors(bank(5, 16, 3, F64)))
        .collect();
    let fused = |t: &[Tensor]| {
        bank_of(&t[2..])
            .forward_gated(&t[0], &t[1], None)
            .expect("fitting shapes")
    };
    let plain = |t: &[Tensor]| stacked(&bank_of(&t[2..]), &t[0], &t[1]);
    assert_close(&fused(&point), &plain(&point), 1e-12);
    let of_fused = gradients(&|t| probe(&fused(t)), &point);
    let of_stack = gradients(&|t| probe(&plain(t)), &point);
    for (a, b) in of_fused.iter().zip(&of_stack) {
        assert_close(a, b, 1e-11);
    }
}

/// 120 experts of width 3 are past the size from which tokens are moved.
#[test]
fn moving_tokens_has_the_values_and_gradients_of_gating_all_experts() {
    let (n, d, r) = (120, 6, 3);
    let config = SparseConfig {
        capacity_factor: Some(3.0),
        ..SparseConfig::default()
    };
    let router = sparse(n, d, config, F64);
    let mut at = vec![noise(&[2, 9, d], 1.0), router.weight, router.bias];
    at.extend(tensors(bank(n, d, r, F64)));
    let run = |t: &[Tensor], moved: bool| {
        let router = SparseRouter {
            weight: t[1].shallow_clone(),
            bias: t[2].shallow_clone(),
            config,
        };
        let dispatcher = router.route(&t[0], WANT).expect("fitting").dispatcher;
        let bank = bank_of(&t[3..]);
        let y = match (moved, dispatcher.gates()) {
            (false, Some(gates)) => bank.forward_gated(&t[0], gates, None),
            _ => bank.apply(dispatcher.as_ref(), &t[0], None),
        };
        y.expect("fitting shapes")
    };
    assert_close(&run(&at, true), &run(&at, false), 1e-12);
    let moved = gradients(&|t| probe(&run(t, true)), &at);
    let gated = gradients(&|t| probe(&run(t, false)), &at);
    for (a, b) in moved.iter().zip(&gated) {
        assert_close(a, b, 1e-11);
    }
}

/// With noise, in training: decision and slots in one step, and one by one.
#[test]
fn soft_slots_filled_with_the_decision_have_the_values_and_gradients_of_dispatch() {
    let mut at = vec![noise(&[2, 9, 16], 1.0), noise(&[16, 5, 2], 2.0)];
    at.extend(tensors(bank(5, 16, 3, F64)));
    let run = |t: &[Tensor], together: bool| {
        let router = SoftRouter {
            phi: t[1].shallow_clone(),
            scale: None,
            norm: RouterNorm::Off,
            noise: 0.3,
        };
        let want = RouteOptions {
            slots: together,
            ..TRAINING
        };
        let routing = router.route(&t[0], want).expect("fitting shapes");
        assert_eq!(routing.slots.is_some(), together);
        let slots = match routing.slots {
            Some(slots) => slots,
            None => routing.dispatcher.dispatch(&t[0]).expect("fitting shapes"),
        };
        let outputs = bank_of(&t[2..]).forward_slots(&slots, Some(2), None);
        let combined = routing
            .dispatcher
            .combine(&outputs.expect("fitting shapes"));
        combined.expect("fitting shapes")
    };
    assert_close(&run(&at, true), &run(&at, false), 1e-13);
    let together = gradients(&|t| probe(&run(t, true)), &at);
    let apart = gradients(&|t| probe(&run(t, false)), &at);
    for (a, b) in together.iter().zip(&apart) {
        assert_close(a, b, 1e-12);
    }
}

#[test]
fn soft_products_have_the_values_and_gradients_of_the_loop_over_slots() {
    let mut point = vec![noise(&[2, 9, 16], 1.0), noise(&[16, 5, 2], 2.0)];
    point.extend(tensors(bank(5, 16, 3, F64)));
    let router = |t: &[Tensor]| SoftRouter {
        phi: t[1].shallow_clone(),
        scale: None,
        norm: RouterNorm::Off,
        noise: 0.0,
    };
    let product = |t: &[Tensor]| {
        let layer = MoaLayer {
            router: Box::new(router(t)),
            bank: bank_of(&t[2..]),
        };
        layer.forward(&t[0], WANT).expect("fitting shapes").y
    };
    let looped = |t: &[Tensor]| {
        let weights = router(t).weights(&t[0]).expect("fitting shapes");
        soft_by_slot(
            &bank_of(&t[2..]),
            &t[0],
            &weights.dispatch,
            &weights.combine,
        )
    };
    assert_close(&product(&point), &looped(&point), 1e-12);
    let of_product = gradients(&|t| probe(&product(t)), &point);
    let of_loop = gradients(&|t| probe(&looped(t)), &point);
    for (a, b) in of_product.iter().zip(&of_loop) {
        assert_close(a, b, 1e-11);
    }
}

/// A padded frame can be exactly zero; its norm has no derivative there.
#[test]
fn a_zero_token_gives_finite_values_and_gradients() {
    for norm in [RouterNorm::Off, RouterNorm::Coded, RouterNorm::SoftMoe] {
        let f = |t: &[Tensor]| {
            through_layer(
                SoftRouter {
                    phi: t[5].shallow_clone(),
                    scale: None,
                    norm,
                    noise: 0.0,
                },
                t,
            )
        };
        let mut at = point(vec![noise(&[4, 3, 2], 8.0)]);
        at[0] = fill(&[2, 3, 4], F64, |i| if i < 4.0 { 0.0 } else { i.sin() });
        for gradient in gradients(&f, &at) {
            assert_eq!(
                scalar(&gradient.isfinite().to_kind(F64).min()),
                1.0,
                "{norm:?}"
            );
        }
    }
}

#[test]
fn balance_loss_has_no_gradient_through_the_counts() {
    // One token, one expert: f is 1, so the loss is N · P of the chosen one.
    let router = sparse(3, 4, SparseConfig::default(), F64);
    let x = noise(&[1, 1, 4], 3.0).set_requires_grad(true);
    let losses = router
        .route(&x, WANT)
        .expect("fitting shapes")
        .losses
        .expect("asked for");
    let largest = dense(3, 4, F64)
        .probabilities(&x)
        .expect("fitting shapes")
        .max()
        * 3.0;
    let of = |loss: &Tensor| Tensor::run_backward(&[loss], &[&x], false, false).remove(0);
    let loss = losses.load_balance.expect("a loss of this router");
    assert_close(&of(&loss), &of(&largest), 1e-12);
}
