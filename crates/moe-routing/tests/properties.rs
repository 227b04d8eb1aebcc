//! Identities of the routers, on generated sizes.

mod common;

use common::{
    F32, F64, asked, assert_close, bank, dense, expert, expert_choice, indices, noise, relu,
    scalar, sparse, stacked, values,
};
use moe_routing::{
    Gate, Group, MoaLayer, Priority, RouteOptions, Router, RouterMetrics, RouterNorm, SoftRouter,
    SparseConfig, SparseRouter,
};
use proptest::prelude::*;
use tch::{Kind, Tensor};

const ALL: RouteOptions = RouteOptions {
    metrics: true,
    losses: true,
    slots: false,
    train: None,
    mask: None,
};
const NORMS: [RouterNorm; 3] = [RouterNorm::Off, RouterNorm::Coded, RouterNorm::SoftMoe];

fn soft(d: i64, n: i64, p: i64, norm: RouterNorm) -> SoftRouter {
    SoftRouter {
        phi: noise(&[d, n, p], 10.0) * 3.0,
        scale: None,
        norm,
        noise: 0.0,
    }
}

fn layer(router: impl Router + 'static, n: i64, d: i64) -> MoaLayer {
    MoaLayer {
        router: Box::new(router),
        bank: bank(n, d, 3, F64),
    }
}

fn forward(router: impl Router + 'static, n: i64, x: &Tensor) -> Tensor {
    layer(router, n, x.size()[2])
        .forward(x, ALL)
        .expect("fitting shapes")
        .y
}

/// The same mixture through the slots instead of the fused form.
fn by_slots(router: &dyn Router, n: i64, x: &Tensor) -> (Tensor, Tensor) {
    let routing = router.route(x, ALL).expect("fitting shapes");
    let slots = routing.dispatcher.dispatch(x).expect("fitting shapes");
    let y = bank(n, x.size()[2], 3, F64)
        .forward_slots(&slots, None, None)
        .expect("fitting shapes");
    (
        slots,
        routing.dispatcher.combine(&y).expect("fitting shapes"),
    )
}

/// The masked evaluation of all experts, token by token, from an assignment.
fn masked(router: &SparseRouter, n: i64, x: &Tensor) -> Tensor {
    let a = router.assign(x).expect("fitting shapes");
    let size = x.size();
    let mut gates = vec![0.0; (size[0] * size[1] * n) as usize];
    let k = router.config.k as usize;
    for (i, (e, g)) in indices(&a.experts)
        .into_iter()
        .zip(values(&a.gates))
        .enumerate()
    {
        gates[(i / k) * n as usize + e as usize] = g;
    }
    stacked(
        &bank(n, size[2], 3, F64),
        x,
        &Tensor::from_slice(&gates).view([size[0], size[1], n]),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn soft_weights_are_convex(b in 1i64..4, l in 1i64..9, d in 1i64..9, n in 1i64..6, p in 1i64..4, which in 0usize..3) {
        let weights = soft(d, n, p, NORMS[which]).weights(&noise(&[b, l, d], 1.0)).expect("fitting shapes");
        let over_tokens = weights.dispatch.sum_dim_intlist(1, false, None::<Kind>);
        let over_slots = weights.combine.sum_dim_intlist([2, 3].as_slice(), false, None::<Kind>);
        assert_close(&over_tokens, &over_tokens.ones_like(), 1e-12);
        assert_close(&over_slots, &over_slots.ones_like(), 1e-12);
        prop_assert!(scalar(&weights.dispatch.min()) >= 0.0);
        prop_assert!(scalar(&weights.combine.min()) >= 0.0);
    }

    #[test]
    fn choosing_all_experts_equals_dense(b in 1i64..4, l in 1i64..9, d in 1i64..9, n in 1i64..7) {
        let x = noise(&[b, l, d], 2.0);
        let config = SparseConfig { k: n, gate: Gate::Raw, ..SparseConfig::default() };
        assert_close(&forward(sparse(n, d, config, F64), n, &x), &forward(dense(n, d, F64), n, &x), 1e-12);
        // All gates sum to one already, so renormalising changes nothing.
        let config = SparseConfig { gate: Gate::Renorm, ..config };
        assert_close(&forward(sparse(n, d, config, F64), n, &x), &forward(dense(n, d, F64), n, &x), 1e-12);
    }

    #[test]
    fn one_expert_equals_the_single_adapter(b in 1i64..4, l in 1i64..9, d in 1i64..9) {
        let x = noise(&[b, l, d], 3.0);
        let single = expert(&bank(1, d, 3, F64), 0, &x);
        assert_close(&forward(dense(1, d, F64), 1, &x), &single, 1e-12);
        assert_close(&forward(sparse(1, d, SparseConfig::default(), F64), 1, &x), &single, 1e-12);
        for group in [Group::Sample, Group::Batch] {
            assert_close(&forward(expert_choice(1, d, 1.0, group), 1, &x), &single, 1e-12);
        }
    }

    #[test]
    fn one_soft_expert_sends_its_slot_to_all_tokens(b in 1i64..4, l in 1i64..9, d in 1i64..9) {
        let x = noise(&[b, l, d], 3.0);
        let router = soft(d, 1, 1, RouterNorm::Off);
        let weights = router.weights(&x).expect("fitting shapes").dispatch.view([b, l, 1]);
        let slot = (weights * &x).sum_dim_intlist(1, true, None::<Kind>);
        let expected = expert(&bank(1, d, 3, F64), 0, &slot).expand([b, l, d], false);
        assert_close(&forward(router, 1, &x), &expected, 1e-12);
    }

    #[test]
    fn fused_and_slots_agree(b in 1i64..4, l in 1i64..9, d in 1i64..9, n in 1i64..7, k in 1i64..7, factor in 0.1f64..2.0, score: bool) {
        let x = noise(&[b, l, d], 4.0);
        let router = dense(n, d, F64);
        let gates = router.probabilities(&x).expect("fitting shapes");
        let expected = stacked(&bank(n, d, 3, F64), &x, &gates);
        assert_close(&by_slots(&router, n, &x).1, &expected, 1e-12);
        assert_close(&forward(router, n, &x), &expected, 1e-12);

        let priority = if score { Priority::Score } else { Priority::Position };
        let capacity_factor = (factor < 1.5).then_some(factor);
        let config = SparseConfig { k: k.min(n), gate: Gate::Auto, capacity_factor, priority, ..SparseConfig::default() };
        let router = sparse(n, d, config, F64);
        let expected = masked(&router, n, &x);
        assert_close(&by_slots(&router, n, &x).1, &expected, 1e-12);
        assert_close(&forward(router, n, &x), &expected, 1e-12);
    }

    #[test]
    fn capacity_is_never_exceeded(b in 1i64..4, l in 1i64..12, n in 1i64..6, k in 1i64..6, factor in 0.05f64..3.0, score: bool) {
        let (d, k) = (5, k.min(n));
        let priority = if score { Priority::Score } else { Priority::Position };
        let config = SparseConfig { k, gate: Gate::Auto, capacity_factor: Some(factor), priority, ..SparseConfig::default() };
        let router = sparse(n, d, config, F64);
        let x = noise(&[b, l, d], 5.0);
        let capacity = config.capacity(b * l, n).expect("a limit") as usize;
        let a = router.assign(&x).expect("fitting shapes");
        let mut wanted = vec![0usize; n as usize];
        let mut taken = vec![0usize; n as usize];
        for (e, kept) in indices(&a.experts).into_iter().zip(values(&a.kept)) {
            wanted[e as usize] += 1;
            taken[e as usize] += kept as usize;
        }
        // Full to the brim, or everyone found room.
        for (w, t) in wanted.iter().zip(&taken) {
            prop_assert_eq!(*t, (*w).min(capacity));
        }
        let (slots, _) = by_slots(&router, n, &x);
        prop_assert!(slots.size()[1] as usize <= capacity);
        let dropped = 1.0 - taken.iter().sum::<usize>() as f64 / wanted.iter().sum::<usize>() as f64;
        let metrics = router.route(&x, ALL).expect("fitting shapes").metrics.expect("asked for");
        prop_assert!((metrics.drop_rate - dropped).abs() < 1e-12);
    }

    #[test]
    fn full_experts_prefer_first_choices_and_high_scores(l in 2i64..12, n in 2i64..5, factor in 0.1f64..0.9) {
        let d = 5;
        let config = SparseConfig { k: 2, gate: Gate::Raw, capacity_factor: Some(factor), priority: Priority::Score, ..SparseConfig::default() };
        let router = sparse(n, d, config, F64);
        let x = noise(&[1, l, d], 6.0);
        let a = router.assign(&x).expect("fitting shapes");
        let best = values(&dense(n, d, F64).probabilities(&x).expect("fitting shapes").amax(-1, false));
        let (experts, kept) = (indices(&a.experts), values(&a.kept));
        let rank = |i: usize| (i % 2, -best[i / 2]);
        for i in 0..experts.len() {
            for j in 0..experts.len() {
                if experts[i] == experts[j] && kept[i] == 1.0 && kept[j] == 0.0 {
                    prop_assert!(rank(i) < rank(j), "choice {i} kept before {j}");
                }
            }
        }
    }

    #[test]
    fn permuting_tokens_permutes_outputs(
        order in (2usize..9).prop_flat_map(|l| Just((0..l as i64).collect::<Vec<i64>>()).prop_shuffle()),
        n in 1i64..6, p in 1i64..3, k in 1i64..6, factor in 0.2f64..2.0, sample: bool,
    ) {
        let d = 6;
        // No two tokens are alike, so that no expert has to choose between equals.
        let x = noise(&[2, order.len() as i64, d], 7.0);
        let order = Tensor::from_slice(&order);
        let moved = |t: &Tensor| t.index_select(1, &order);
        let holds = |y: &dyn Fn(&Tensor) -> Tensor| assert_close(&y(&moved(&x)), &moved(&y(&x)), 1e-12);
        for norm in NORMS {
            holds(&|x| forward(soft(d, n, p, norm), n, x));
        }
        holds(&|x| forward(dense(n, d, F64), n, x));
        let config = SparseConfig { k: k.min(n), ..SparseConfig::default() };
        holds(&|x| forward(sparse(n, d, config, F64), n, x));
        holds(&|x| forward(relu(n, d, 0.5 * n as f64), n, x));
        // A single expert finds all tokens equal, and has to choose by position.
        prop_assume!(n > 1);
        let group = if sample { Group::Sample } else { Group::Batch };
        holds(&|x| forward(expert_choice(n, d, factor, group), n, x));
        // With a capacity only where the score decides who comes first.
        let scored = SparseConfig { priority: Priority::Score, capacity_factor: Some(factor), ..config };
        holds(&|x| forward(sparse(n, d, scored, F64), n, x));
    }

    #[test]
    fn balanced_and_uniform_routing_have_loss_exactly_one(
        n in 1i64..9, rounds in 1i64..5, b in 1i64..4, d in 1i64..5, single: bool, sample: bool,
    ) {
        let kind = if single { F32 } else { F64 };
        let eps = if single { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let group = if sample { Group::Sample } else { Group::Batch };
        let config = SparseConfig { group, ..SparseConfig::default() };
        let loss = |weight: Tensor, config: SparseConfig, x: &Tensor| {
            let bias = Tensor::zeros([n], (kind, tch::Device::Cpu));
            let router = SparseRouter { weight, bias, config };
            let losses = router.route(x, ALL).expect("fitting shapes").losses;
            asked(&losses.expect("asked for").load_balance)
        };
        // Tokens that are unit vectors in turn: every expert is chosen as often.
        let eye = Tensor::eye(n, (kind, tch::Device::Cpu));
        let turns = eye.repeat([b, rounds, 1]);
        let balanced = loss(eye.shallow_clone(), config, &turns);
        prop_assert!((balanced - 1.0).abs() <= 8.0 * eps, "balanced: {balanced}");
        // A router that cannot tell the experts apart, whomever the ties choose.
        let x = noise(&[b, rounds, d], 12.0).to_kind(kind);
        for k in 1..=n {
            let zero = Tensor::zeros([n, d], (kind, tch::Device::Cpu));
            let uniform = loss(zero, SparseConfig { k, ..config }, &x);
            prop_assert!((uniform - 1.0).abs() <= 8.0 * eps, "uniform, k = {k}: {uniform}");
        }
    }

    #[test]
    fn samples_do_not_see_each_other(b in 2i64..5, l in 1i64..6, n in 1i64..5) {
        let d = 6;
        let x = noise(&[b, l, d], 8.0);
        let y = forward(soft(d, n, 2, RouterNorm::SoftMoe), n, &x);
        let alone = forward(soft(d, n, 2, RouterNorm::SoftMoe), n, &x.narrow(0, 1, 1));
        assert_close(&y.narrow(0, 1, 1), &alone, 1e-12);
    }

    #[test]
    fn scaling_tokens_does_not_change_normalised_weights(factor in 0.5f64..50.0) {
        let x = noise(&[2, 5, 6], 9.0);
        for norm in [RouterNorm::Coded, RouterNorm::SoftMoe] {
            let weights = |x: &Tensor| soft(6, 3, 2, norm).weights(x).expect("fitting shapes");
            assert_close(&weights(&(&x * factor)).dispatch, &weights(&x).dispatch, 1e-5);
        }
    }

    #[test]
    fn shares_sum_to_one(l in 1i64..9, n in 1i64..6, k in 1i64..6) {
        let x = noise(&[2, l, 6], 11.0);
        let config = SparseConfig { k: k.min(n), ..SparseConfig::default() };
        let routers: [Box<dyn Router>; 3] = [
            Box::new(soft(6, n, 2, RouterNorm::Off)),
            Box::new(dense(n, 6, F64)),
            Box::new(sparse(n, 6, config, F64)),
        ];
        for router in routers {
            let metrics = router.route(&x, ALL).expect("fitting shapes").metrics.expect("asked for");
            prop_assert_eq!(metrics.usage.len(), n as usize);
            prop_assert!((metrics.usage.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            prop_assert!((-1e-12..=1.0 + 1e-12).contains(&metrics.entropy));
            prop_assert!((1.0 - 1e-12..=n as f64 + 1e-12).contains(&metrics.max_over_mean));
            prop_assert!(metrics.variation >= 0.0);
        }
    }
}

/// Tokens that are unit vectors in turn, each preferring its own expert equally.
#[test]
fn balanced_routing_has_loss_exactly_one() {
    for kind in [F32, F64] {
        let x = Tensor::eye(4, (kind, tch::Device::Cpu)).repeat([2, 3, 1]);
        let router = SparseRouter {
            weight: Tensor::eye(4, (kind, tch::Device::Cpu)),
            bias: Tensor::zeros([4], (kind, tch::Device::Cpu)),
            config: SparseConfig::default(),
        };
        let routing = router.route(&x, ALL).expect("fitting shapes");
        let loss = asked(&routing.losses.expect("asked for").load_balance);
        assert!(
            (loss - 1.0).abs() <= if kind == F32 { 2e-7 } else { 1e-15 },
            "{loss}"
        );
        let metrics = routing.metrics.expect("asked for");
        assert_eq!(metrics.usage, [0.25; 4]);
        assert_eq!((metrics.max_over_mean, metrics.variation), (1.0, 0.0));
        assert!((metrics.entropy - 1.0).abs() < 1e-15);
    }
}

#[test]
fn experts_that_nobody_used_give_zeros_and_no_quotients_of_zero() {
    for n in [1, 4] {
        let metrics = RouterMetrics::from_usage(vec![0.0; n]);
        let figures = [metrics.entropy, metrics.max_over_mean, metrics.variation];
        assert_eq!(figures, [0.0; 3]);
    }
}

#[test]
fn collapsed_routing_has_the_largest_loss() {
    let zeros = |shape: &[i64]| Tensor::zeros(shape, (F64, tch::Device::Cpu));
    let bias = Tensor::from_slice(&[60.0, 0.0, 0.0, 0.0]);
    let router = SparseRouter {
        weight: zeros(&[4, 6]),
        bias,
        config: SparseConfig::default(),
    };
    let routing = router
        .route(&noise(&[2, 5, 6], 1.0), ALL)
        .expect("fitting shapes");
    assert!((asked(&routing.losses.expect("asked for").load_balance) - 4.0).abs() < 1e-12);
    let metrics = routing.metrics.expect("asked for");
    assert_eq!(metrics.usage, [1.0, 0.0, 0.0, 0.0]);
    assert_eq!((metrics.entropy, metrics.max_over_mean), (0.0, 4.0));
}

#[test]
fn dense_load_balance_is_one_and_gives_no_gradient() {
    let x = noise(&[2, 5, 6], 1.0).set_requires_grad(true);
    let losses = dense(4, 6, F64)
        .route(&x, ALL)
        .expect("fitting shapes")
        .losses
        .expect("asked for");
    assert!((asked(&losses.load_balance) - 1.0).abs() < 1e-12);
    let gradient = Tensor::run_backward(
        &[&losses.load_balance.expect("a loss")],
        &[&x],
        false,
        false,
    )
    .remove(0);
    assert!(scalar(&gradient.abs().max()) < 1e-12);
}

#[test]
fn soft_extremes_are_those_of_the_weights() {
    let x = noise(&[2, 5, 6], 1.0);
    let router = soft(6, 3, 2, RouterNorm::Coded);
    let weights = router.weights(&x).expect("fitting shapes");
    let metrics = router
        .route(&x, ALL)
        .expect("fitting shapes")
        .metrics
        .expect("asked for");
    let extremes = metrics.extremes.expect("soft routing");
    let mean = |t: Tensor| scalar(&t.mean(F64));
    assert!((extremes.dispatch_max - mean(weights.dispatch.amax(1, false))).abs() < 1e-12);
    assert!((extremes.dispatch_min - mean(weights.dispatch.amin(1, false))).abs() < 1e-12);
    assert!(
        (extremes.combine_max - mean(weights.combine.amax([2, 3].as_slice(), false))).abs() < 1e-12
    );
    assert!(
        (extremes.combine_min - mean(weights.combine.amin([2, 3].as_slice(), false))).abs() < 1e-12
    );
}

#[test]
fn half_precision_tokens_are_routed_in_f32() {
    let x = noise(&[2, 5, 6], 1.0).to_kind(Kind::BFloat16);
    let single = x.to_kind(F32);
    let config = SparseConfig {
        k: 2,
        capacity_factor: Some(1.0),
        ..SparseConfig::default()
    };
    let routers: [Box<dyn Router>; 3] = [
        Box::new(SoftRouter {
            phi: noise(&[6, 3, 2], 1.0).to_kind(F32),
            scale: None,
            norm: RouterNorm::SoftMoe,
            noise: 0.0,
        }),
        Box::new(dense(3, 6, F32)),
        Box::new(sparse(3, 6, config, F32)),
    ];
    for router in routers {
        let layer = MoaLayer {
            router,
            bank: bank(3, 6, 3, F32),
        };
        let half = layer.forward(&x, ALL).expect("fitting shapes").y;
        assert_eq!(half.kind(), Kind::BFloat16);
        let full = layer.forward(&single, ALL).expect("fitting shapes").y;
        assert_close(&half, &full.to_kind(Kind::BFloat16), 0.0);
    }
}

#[test]
fn nothing_is_measured_unless_asked_for() {
    let x = noise(&[2, 5, 6], 1.0);
    let routing = dense(3, 6, F64)
        .route(&x, RouteOptions::default())
        .expect("fitting shapes");
    assert!(routing.metrics.is_none() && routing.losses.is_none());
    let routing = soft(6, 3, 1, RouterNorm::Off)
        .route(&x, ALL)
        .expect("fitting shapes");
    assert!(routing.metrics.is_some() && routing.losses.is_none());
}
