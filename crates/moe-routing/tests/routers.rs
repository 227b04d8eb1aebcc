//! Noise, groups and expert choice: what makes routers differ from plain token
//! choice.

mod common;

use common::{
    F32, F64, TRAIN, asked, assert_close, bank, dense, expert_choice, indices, noise, relu, scalar,
    sparse, values,
};
use moe_routing::{
    DenseRouter, ExpertChoiceConfig, ExpertChoiceRouter, Exploration, Group, LossWeights, MoaLayer,
    RouteOptions, Router, RouterMetrics, RouterNorm, RoutingError, SoftRouter, SparseConfig,
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
const TRAINING: RouteOptions = RouteOptions {
    train: Some(TRAIN),
    ..ALL
};

fn explore(exploration: Exploration, k: i64) -> SparseConfig {
    SparseConfig {
        k,
        exploration,
        ..SparseConfig::default()
    }
}

fn metrics(router: &dyn Router, x: &Tensor) -> RouterMetrics {
    let routing = router.route(x, ALL).expect("fitting shapes");
    routing.metrics.expect("asked for")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_expert_takes_its_share_and_the_best_tokens(
        b in 1i64..4, l in 1i64..12, n in 1i64..6, factor in 0.1f64..3.0, sample: bool,
    ) {
        let x = noise(&[b, l, 5], 5.0);
        let group = if sample { Group::Sample } else { Group::Batch };
        let router = expert_choice(n, 5, factor, group);
        let probabilities = dense(n, 5, F64).probabilities(&x).expect("fitting shapes");
        let gates = router.gates(&x).expect("fitting shapes");
        let (groups, tokens) = if sample { (b, l) } else { (1, b * l) };
        let taken = router.config.capacity(tokens, n);
        let shape = [groups, tokens, n];
        let (gates, probabilities) = (gates.view(shape), probabilities.view(shape));
        let counts = gates.gt(0).sum_dim_intlist(1, false, Kind::Int64);
        prop_assert!(indices(&counts).into_iter().all(|count| count == taken));
        // Nothing left out is better than what was taken.
        let left = probabilities.masked_fill(&gates.gt(0), 0.0).amax(1, false);
        let worst = gates.masked_fill(&gates.eq(0.0), 2.0).amin(1, false);
        prop_assert!(scalar(&(worst - left).min()) >= 0.0);
        assert_close(&(&gates * &gates), &(&gates * &probabilities), 1e-15);
    }

    #[test]
    fn an_expert_that_takes_all_tokens_makes_routing_dense(b in 1i64..4, l in 1i64..9, n in 1i64..6) {
        let x = noise(&[b, l, 5], 5.0);
        let gates = expert_choice(n, 5, n as f64, Group::Sample).gates(&x).expect("fitting shapes");
        let all = dense(n, 5, F64).probabilities(&x).expect("fitting shapes");
        assert_close(&gates, &all, 1e-15);
    }

    #[test]
    fn sample_groups_make_clips_independent(
        b in 2i64..4, l in 1i64..9, n in 1i64..5, k in 1i64..5, factor in 0.2f64..1.5,
    ) {
        let x = noise(&[b, l, 5], 5.0);
        let config = SparseConfig {
            capacity_factor: Some(factor),
            group: Group::Sample,
            ..explore(Exploration::None, k.min(n))
        };
        let token_choice = sparse(n, 5, config, F64);
        let capacity = config.capacity(l, n).expect("a limit");
        let assignment = token_choice.assign(&x).expect("fitting shapes");
        let alone = token_choice.assign(&x.narrow(0, 1, 1)).expect("fitting shapes");
        assert_close(&assignment.gates.narrow(0, 1, 1), &alone.gates, 1e-15);
        for clip in 0..b {
            for expert in 0..n {
                let mine = assignment.experts.get(clip).eq(expert);
                let taken = mine.logical_and(&assignment.kept.get(clip)).to_kind(F64).sum(F64);
                prop_assert!(scalar(&taken) as i64 <= capacity);
            }
        }
        let router = expert_choice(n, 5, factor, Group::Sample);
        let alone = router.gates(&x.narrow(0, 1, 1)).expect("fitting shapes");
        assert_close(&router.gates(&x).expect("fitting").narrow(0, 1, 1), &alone, 1e-15);
    }

    #[test]
    fn use_per_clip_is_the_use_of_the_clip_alone(b in 1i64..4, l in 1i64..9, n in 1i64..5) {
        let x = noise(&[b, l, 6], 5.0);
        let soft = SoftRouter { phi: noise(&[6, n, 2], 1.0), scale: None, norm: RouterNorm::Off, noise: 0.0 };
        let routers: [Box<dyn Router>; 5] = [
            Box::new(soft),
            Box::new(dense(n, 6, F64)),
            Box::new(sparse(n, 6, SparseConfig::default(), F64)),
            Box::new(expert_choice(n, 6, 1.0, Group::Sample)),
            Box::new(relu(n, 6, 0.5)),
        ];
        for router in routers {
            let whole = metrics(router.as_ref(), &x);
            prop_assert_eq!(whole.usage_per_clip.len() as i64, b);
            for (clip, usage) in whole.usage_per_clip.iter().enumerate() {
                let alone = metrics(router.as_ref(), &x.narrow(0, clip as i64, 1));
                for (a, b) in usage.iter().zip(&alone.usage) {
                    prop_assert!((a - b).abs() < 1e-12);
                }
            }
        }
    }
}

#[test]
fn noise_and_jitter_act_in_training_only() {
    let x = noise(&[2, 7, 6], 5.0);
    let probabilities = |exploration, options| {
        let router = sparse(4, 6, explore(exploration, 4), F64);
        let routing = router.route(&x, options).expect("fitting shapes");
        routing.dispatcher.gates().expect("gates").shallow_clone()
    };
    let plain = probabilities(Exploration::None, ALL);
    for exploration in [Exploration::Jitter(0.3), Exploration::Noise(1.0)] {
        assert_close(&probabilities(exploration, ALL), &plain, 0.0);
        assert!(scalar(&(probabilities(exploration, TRAINING) - &plain).abs().max()) > 1e-3);
    }
    let jitter = |epsilon| probabilities(Exploration::Jitter(epsilon), TRAINING);
    assert!(scalar(&(jitter(1e-6) - &plain).abs().max()) < 1e-5);
}

#[test]
fn soft_noise_acts_in_training_only() {
    let x = noise(&[2, 7, 6], 5.0);
    let y = |noise_level, options| {
        let layer = MoaLayer {
            router: Box::new(SoftRouter {
                phi: noise(&[6, 3, 2], 1.0),
                scale: None,
                norm: RouterNorm::Off,
                noise: noise_level,
            }),
            bank: bank(3, 6, 2, F64),
        };
        layer.forward(&x, options).expect("fitting shapes").y
    };
    assert_close(&y(1.0, ALL), &y(0.0, ALL), 0.0);
    assert!(scalar(&(y(1.0, TRAINING) - y(0.0, ALL)).abs().max()) > 1e-3);
    let endless = SoftRouter {
        phi: noise(&[6, 3, 2], 1.0),
        scale: None,
        norm: RouterNorm::Off,
        noise: f64::NAN,
    };
    assert!(matches!(
        endless.route(&x, ALL),
        Err(RoutingError::Setting { .. })
    ));
}

/// The load loss as its formula says, expert by expert, with the error function
/// by numerical integration.
#[test]
fn load_loss_is_the_variation_of_the_chances_under_the_noise() {
    let (n, k) = (3, 2);
    let x = noise(&[1, 5, 6], 5.0);
    let router = sparse(n, 6, explore(Exploration::Noise(1.5), k), F64);
    let losses = router.route(&x, TRAINING).expect("fitting").losses;
    let losses = losses.expect("asked for");
    let found = asked(&losses.load);

    let deviation = 1.5 / n as f64;
    let logits = x.linear(&router.weight, Some(&router.bias));
    let noisy = values(&(&logits + noise(&[1, 5, n], "noise".len() as f64) * 2.0 * deviation));
    let logits = values(&logits);
    let normal_cdf = |z: f64| {
        let steps = 20_000;
        let width = (z + 12.0) / steps as f64;
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (0..steps)
            .map(|i| density(-12.0 + (i as f64 + 0.5) * width) * width)
            .sum::<f64>()
    };
    let mut loads = vec![0.0; n as usize];
    for token in 0..5 {
        let row = token * n as usize..(token + 1) * n as usize;
        let mut sorted = noisy[row.clone()].to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for (expert, logit) in logits[row].iter().enumerate() {
            loads[expert] += 1.0 - normal_cdf((sorted[k as usize - 1] - logit) / deviation);
        }
    }
    let mean = loads.iter().sum::<f64>() / n as f64;
    let variance = loads.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n as f64;
    assert!((found - variance / mean.powi(2)).abs() < 1e-6, "{found}");
    assert!(
        router
            .route(&x, ALL)
            .expect("fitting")
            .losses
            .expect("asked")
            .load
            .is_none()
    );
}

#[test]
fn importance_loss_is_zero_for_even_use_and_n_minus_one_for_one_expert() {
    let x = noise(&[2, 5, 6], 1.0);
    let loss = |bias: &[f64]| {
        let router = DenseRouter {
            weight: Tensor::zeros([4, 6], (F64, tch::Device::Cpu)),
            bias: Tensor::from_slice(bias),
        };
        let routing = router.route(&x, ALL).expect("fitting shapes");
        asked(&routing.losses.expect("asked for").importance)
    };
    assert!(loss(&[0.5; 4]).abs() < 1e-12);
    assert!((loss(&[90.0, 0.0, 0.0, 0.0]) - 3.0).abs() < 1e-9);
}

#[test]
fn weighted_losses_leave_out_what_is_missing_or_weighs_nothing() {
    let x = noise(&[2, 5, 6], 1.0);
    let routing = dense(4, 6, F64).route(&x, ALL).expect("fitting shapes");
    let losses = routing.losses.expect("asked for");
    assert!(losses.weighted(&LossWeights::default()).is_none());
    let only = |weights: LossWeights| scalar(&losses.weighted(&weights).expect("a sum"));
    let z = only(LossWeights {
        z: 2.0,
        load: 7.0,
        sparsity: 7.0,
        ..LossWeights::default()
    });
    assert!((z - 2.0 * asked(&losses.z)).abs() < 1e-12);
}

#[test]
fn impossible_settings_are_refused() {
    let x = noise(&[2, 7, 6], 5.0);
    for active in [0.0, 4.0, f64::NAN] {
        let refused = relu(4, 6, active).route(&x, ALL);
        assert!(matches!(refused, Err(RoutingError::Setting { .. })));
    }
    let mut router = relu(4, 6, 1.0);
    router.penalty = noise(&[2], 1.0);
    assert!(matches!(
        router.route(&x, ALL),
        Err(RoutingError::Rank { .. })
    ));
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let refused = expert_choice(4, 6, factor, Group::Batch).route(&x, ALL);
        assert!(matches!(refused, Err(RoutingError::Setting { .. })));
    }
}

#[test]
fn drop_rates_and_experts_per_token_count_what_happened() {
    let x = noise(&[2, 8, 6], 5.0);
    let router = expert_choice(4, 6, 1.0, Group::Sample);
    let gates = router.gates(&x).expect("fitting shapes");
    let seen = values(&gates.gt(0).sum_dim_intlist(-1, false, F64));
    let found = metrics(&router, &x);
    let unseen = seen.iter().filter(|count| **count == 0.0).count() as f64 / seen.len() as f64;
    assert!((found.drop_rate - unseen).abs() < 1e-12);
    assert!((found.experts_per_token - 1.0).abs() < 1e-12);
    assert_eq!(metrics(&dense(4, 6, F64), &x).experts_per_token, 4.0);
    let two = sparse(4, 6, explore(Exploration::None, 2), F64);
    assert_eq!(metrics(&two, &x).experts_per_token, 2.0);
}

#[test]
fn half_precision_tokens_are_routed_in_f32() {
    let half = noise(&[2, 7, 6], 5.0).to_kind(Kind::BFloat16);
    let single = half.to_kind(F32);
    let DenseRouter { weight, bias } = dense(4, 6, F32);
    let config = explore(Exploration::Jitter(0.1), 2);
    let routers: [Box<dyn Router>; 2] = [
        Box::new(ExpertChoiceRouter {
            weight,
            bias,
            config: ExpertChoiceConfig::default(),
        }),
        Box::new(sparse(4, 6, config, F32)),
    ];
    for router in routers {
        let layer = MoaLayer {
            router,
            bank: bank(4, 6, 2, F32),
        };
        let y = layer.forward(&half, TRAINING).expect("fitting shapes").y;
        assert_eq!(y.kind(), Kind::BFloat16);
        let full = layer.forward(&single, TRAINING).expect("fitting shapes").y;
        assert_close(&y, &full.to_kind(Kind::BFloat16), 0.0);
    }
}
