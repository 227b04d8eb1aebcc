//! Experts with an inner part: recorded numbers, the plain forms as oracles,
//! gradients, and what training changes.

mod common;

use common::experts::{FORMS, bank_of, linear, plain_expert, stacked, trained};
use common::{F32, F64, TRAIN, assert_close, assert_recorded, dense, fill, noise, scalar, values};
use moe_routing::{
    BatchNorm, Conformer, Convpass, ExpertBank, Inner, LayerNorm, MoaLayer, RouteOptions, Router,
    RouterNorm, RoutingError, SoftRouter, SparseConfig, TokenConvolution, Train,
};
use tch::{Kind, Tensor};

fn x() -> Tensor {
    fill(&[2, 5, 8], F32, |i| (0.37 * i).sin())
}

/// A vector with one expert's axis.
fn vector(length: i64, value: impl Fn(f64) -> f64) -> Tensor {
    fill(&[1, length], F32, value)
}

fn single(wide: i64, inner: Inner, up: impl Fn(f64) -> f64) -> ExpertBank {
    ExpertBank {
        down: linear([wide, 8], |i| 0.2 * (0.5 * i).sin()),
        down_bias: vector(wide, |i| 0.01 * (i + 1.0)),
        inner,
        up: linear([8, 2], up),
        up_bias: vector(8, |i| -0.01 * (i + 1.0)),
    }
}

fn convpass(convolution: bool) -> ExpertBank {
    let convolution = convolution.then(|| TokenConvolution {
        weight: fill(&[1, 2, 2, 3], F32, |i| 0.3 * (0.9 * i).cos()),
        bias: vector(2, |i| 0.02 * (i + 1.0)),
    });
    let inner = Inner::Convpass(Convpass {
        convolution,
        dropout: 0.1,
    });
    single(2, inner, |i| 0.2 * (0.3 * i).cos())
}

fn conformer(layer_norm: Option<LayerNorm>) -> ExpertBank {
    let inner = Inner::Conformer(Conformer {
        layer_norm,
        depthwise: fill(&[1, 2, 4], F32, |i| 0.3 * (0.9 * i).cos()),
        depthwise_bias: vector(2, |i| 0.02 * (i + 1.0)),
        batch_norm: BatchNorm {
            weight: vector(2, |i| 1.0 + 0.2 * i),
            bias: vector(2, |i| 0.1 * i),
            running_mean: vector(2, |_| 0.0),
            running_var: vector(2, |_| 1.0),
            momentum: 0.1,
        },
    });
    single(4, inner, |i| 0.2 * (0.3 * i).cos())
}

#[test]
fn convpass_has_the_recorded_values() {
    let y = |convolution| {
        convpass(convolution)
            .forward_single(&x(), None)
            .expect("fitting shapes")
    };
    assert_recorded(
        &y(false),
        -4.003090,
        0.388215,
        [0.048085, 0.028784, -0.007559, -0.051741],
        &[],
    );
    assert_recorded(
        &y(true),
        -3.647274,
        0.224281,
        [0.022075, 0.003388, -0.023470, -0.052608],
        &[],
    );
}

#[test]
fn conformer_has_the_recorded_values_and_statistics() {
    let bank = conformer(None);
    let step = Train {
        update_statistics: true,
        ..TRAIN
    };
    let y = bank
        .forward_single(&x(), Some(step))
        .expect("fitting shapes");
    assert_recorded(
        &y,
        -5.228215,
        2.073030,
        [0.228932, 0.158168, 0.025165, -0.127109],
        &[],
    );
    let Inner::Conformer(inner) = &bank.inner else {
        panic!("another form")
    };
    let statistics = [
        &inner.batch_norm.running_mean,
        &inner.batch_norm.running_var,
    ];
    for (found, expected) in statistics
        .into_iter()
        .zip([[0.00085003, 0.00422494], [0.90018404, 0.90046138]])
    {
        assert_close(found, &Tensor::from_slice(&expected).view([1, 2]), 1e-7);
    }
    let y = bank.forward_single(&x(), None).expect("fitting shapes");
    assert_recorded(
        &y,
        -3.883978,
        0.277283,
        [0.015519, -0.002550, -0.026716, -0.052028],
        &[],
    );
}

#[test]
fn conformer_with_its_layernorm_has_the_recorded_values() {
    let bank = conformer(Some(LayerNorm {
        weight: vector(8, |i| 1.0 + 0.1 * i),
        bias: vector(8, |i| 0.05 * i),
    }));
    let y = bank
        .forward_single(&x(), Some(TRAIN))
        .expect("fitting shapes");
    assert_recorded(
        &y,
        -5.265385,
        2.078860,
        [0.252938, 0.165238, 0.012830, -0.154541],
        &[],
    );
}

#[test]
fn every_form_equals_its_formula_alone_gated_and_on_slots() {
    let (b, l, d, n, r) = (2, 7, 6, 3, 4);
    let x = noise(&[b, l, d], 20.0);
    let gates = noise(&[b, l, n], 21.0);
    for form in FORMS {
        let bank = bank_of(form, &trained(form, [n, d, r]));
        let gated = bank
            .forward_gated(&x, &gates, None)
            .expect("fitting shapes");
        assert_close(&gated, &stacked(&bank, &x, &gates), 1e-12);

        let slots = x.reshape([1, b * l, d]).expand([n, b * l, d], false);
        let y = bank
            .forward_slots(&slots, Some(b), None)
            .expect("fitting shapes");
        for e in 0..n {
            let plain = plain_expert(&bank, e, &x).reshape([b * l, d]);
            assert_close(&y.get(e), &plain, 1e-12);
        }

        let one = bank_of(form, &trained(form, [1, d, r]));
        let alone = one.forward_single(&x, None).expect("fitting shapes");
        assert_close(&alone, &plain_expert(&one, 0, &x), 1e-12);
    }
}

/// In training, too, all ways through a bank agree: BatchNorm sees the same
/// values. Dropout is drawn for the layout of the hidden units and left out.
#[test]
fn batch_statistics_are_those_of_the_stacked_form() {
    let (b, l, d, n, r) = (2, 7, 6, 3, 4);
    let x = noise(&[b, l, d], 20.0);
    let gates = noise(&[b, l, n], 21.0);
    let form = FORMS[3];
    let all = trained(form, [n, d, r]);
    let y = bank_of(form, &all)
        .forward_gated(&x, &gates, Some(TRAIN))
        .expect("fitting shapes");
    let mut expected = y.zeros_like();
    for e in 0..n {
        let own: Vec<Tensor> = all.iter().map(|t| t.narrow(0, e, 1)).collect();
        let alone = bank_of(form, &own).forward_single(&x, Some(TRAIN));
        expected += alone.expect("fitting shapes") * gates.narrow(2, e, 1);
    }
    assert_close(&y, &expected, 1e-12);
}

#[test]
fn gradients_are_those_of_the_stacked_form() {
    let (b, l, d, n, r) = (2, 7, 6, 3, 4);
    for form in FORMS {
        let mut at = vec![noise(&[b, l, d], 20.0), noise(&[b, l, n], 21.0)];
        at.extend(trained(form, [n, d, r]));
        let weights = noise(&[b, l, d], 22.0);
        let gradients = |f: &dyn Fn(&[Tensor]) -> Tensor| {
            let leaves: Vec<Tensor> = at
                .iter()
                .map(|t| t.copy().set_requires_grad(true))
                .collect();
            Tensor::run_backward(&[(f(&leaves) * &weights).sum(F64)], &leaves, false, false)
        };
        let fused = gradients(&|t| {
            bank_of(form, &t[2..])
                .forward_gated(&t[0], &t[1], None)
                .expect("fitting shapes")
        });
        let plain = gradients(&|t| stacked(&bank_of(form, &t[2..]), &t[0], &t[1]));
        for (a, b) in fused.iter().zip(&plain) {
            assert_close(a, b, 1e-11);
        }
    }
}

#[test]
fn soft_experts_convolve_over_the_slots_of_one_clip() {
    let (b, l, d, n, p, r) = (3, 7, 6, 2, 4, 3);
    let x = noise(&[b, l, d], 20.0);
    for form in FORMS {
        let layer = |x: &Tensor| {
            let layer = MoaLayer {
                router: Box::new(SoftRouter {
                    phi: noise(&[d, n, p], 10.0),
                    scale: None,
                    norm: RouterNorm::Off,
                    noise: 0.0,
                }),
                bank: bank_of(form, &trained(form, [n, d, r])),
            };
            let output = layer.forward(x, RouteOptions::default());
            output.expect("fitting shapes").y
        };
        let alone = layer(&x.narrow(0, 1, 1));
        assert_close(&layer(&x).narrow(0, 1, 1), &alone, 1e-12);
    }
}

#[test]
fn slots_in_no_order_are_refused_by_experts_that_look_along_them() {
    let slots = noise(&[3, 4, 6], 1.0);
    for form in FORMS {
        let bank = bank_of(form, &trained(form, [3, 6, 2]));
        let unordered = bank.forward_slots(&slots, None, None);
        if bank.inner.looks_along_tokens() {
            assert!(matches!(unordered, Err(RoutingError::NoSequence { .. })));
            let uneven = bank.forward_slots(&slots, Some(3), None);
            assert!(matches!(uneven, Err(RoutingError::NoSequence { .. })));
        } else {
            assert!(unordered.is_ok());
        }
        let several = bank.forward_single(&slots, None);
        assert!(matches!(
            several,
            Err(RoutingError::NotSingle { experts: 3 })
        ));
    }
}

#[test]
fn sparse_routing_works_with_every_form_and_only_chosen_experts_speak() {
    let (n, d) = (3, 6);
    let x = noise(&[2, 7, d], 20.0);
    for form in FORMS {
        let router = common::sparse(n, d, SparseConfig::default(), F64);
        let routing = router.route(&x, RouteOptions::default()).expect("fitting");
        let gates = routing.dispatcher.gates().expect("gates").shallow_clone();
        let bank = bank_of(form, &trained(form, [n, d, 2]));
        let y = bank
            .apply(routing.dispatcher.as_ref(), &x, None)
            .expect("fitting shapes");
        assert_close(&y, &stacked(&bank, &x, &gates), 1e-12);
    }
}

#[test]
fn running_statistics_move_only_when_asked() {
    let bank = conformer(None);
    let Inner::Conformer(inner) = &bank.inner else {
        panic!("another form")
    };
    let before = inner.batch_norm.running_mean.copy();
    let _ = bank.forward_single(&x(), None).expect("fitting shapes");
    let _ = bank
        .forward_single(&x(), Some(TRAIN))
        .expect("fitting shapes");
    assert_eq!(inner.batch_norm.running_mean, before);
    let step = Train {
        update_statistics: true,
        ..TRAIN
    };
    let graph = bank
        .forward_single(&(x() * 2.0), Some(step))
        .expect("fitting");
    assert_ne!(inner.batch_norm.running_mean, before);
    assert!(!inner.batch_norm.running_mean.requires_grad());
    drop(graph);
}

#[test]
fn a_second_pass_before_the_gradients_of_the_first_is_allowed() {
    let bank = conformer(None);
    let _ = bank.down.set_requires_grad(true);
    let step = Train {
        update_statistics: true,
        ..TRAIN
    };
    let first = bank
        .forward_single(&x(), Some(step))
        .expect("fitting shapes");
    let second = bank
        .forward_single(&x(), Some(step))
        .expect("fitting shapes");
    (first + second).sum(F32).backward();
    assert!(scalar(&bank.down.grad().abs().max()) > 0.0);
}

#[test]
fn dropout_acts_in_training_and_keeps_the_mean() {
    let bank = convpass(false);
    let y = |train| values(&bank.forward_single(&x(), train).expect("fitting shapes"));
    assert_eq!(y(None), y(None));
    assert_eq!(y(Some(TRAIN)), y(Some(TRAIN)));
    assert_ne!(y(Some(TRAIN)), y(None));

    let wide = ExpertBank {
        down: Tensor::ones([1, 1, 4000], (Kind::Float, tch::Device::Cpu)),
        down_bias: Tensor::zeros([1, 4000], (Kind::Float, tch::Device::Cpu)),
        inner: Inner::Convpass(Convpass {
            convolution: None,
            dropout: 0.1,
        }),
        up: Tensor::full([1, 4000, 1], 1.0 / 4000.0, (Kind::Float, tch::Device::Cpu)),
        up_bias: Tensor::zeros([1, 1], (Kind::Float, tch::Device::Cpu)),
    };
    let one = Tensor::ones([1, 1, 1], (Kind::Float, tch::Device::Cpu));
    let mean = |train| scalar(&wide.forward_single(&one, train).expect("fitting shapes"));
    let (dropped, full) = (mean(Some(TRAIN)), mean(None));
    assert!((dropped / full - 1.0).abs() < 0.03, "{dropped} {full}");
}

#[test]
fn half_precision_tokens_meet_f32_experts() {
    let bank = conformer(None);
    let half = x().to_kind(Kind::BFloat16);
    let y = bank.forward_single(&half, None).expect("fitting shapes");
    assert_eq!(y.kind(), Kind::BFloat16);
    let full = bank
        .forward_single(&half.to_kind(F32), None)
        .expect("fitting");
    assert_close(&y, &full.to_kind(Kind::BFloat16), 0.0);
    let gates = dense(1, 8, F32)
        .probabilities(&half)
        .expect("fitting shapes");
    let gated = bank
        .forward_gated(&half, &gates, None)
        .expect("fitting shapes");
    assert_close(&gated, &y, 1e-2);
}
