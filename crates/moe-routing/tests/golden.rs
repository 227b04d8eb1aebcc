//! Numbers recorded from the published program and from Soft MoE's arithmetic,
//! on weights in closed form: width 8, bottleneck 2, 3 experts, 2 slots each.

mod common;

use common::{F32, F64, asked, assert_close, assert_recorded, expert, fill, indices, values};
use moe_routing::{
    DenseRouter, ExpertBank, Gate, Group, Inner, MoaLayer, Priority, RouteOptions, Router,
    RouterNorm, SoftRouter, SparseConfig, SparseRouter,
};
use tch::Tensor;

const ALL: RouteOptions = RouteOptions {
    metrics: true,
    losses: true,
    slots: false,
    train: None,
    mask: None,
};

fn x() -> Tensor {
    fill(&[2, 5, 8], F32, |i| (0.37 * i).sin())
}

/// The experts; the recorded weights are stored [out, in], the bank's [in, out].
fn bank() -> ExpertBank {
    let down = |e: i64| fill(&[2, 8], F32, |i| 0.2 * (0.5 * i + e as f64).sin()).transpose(0, 1);
    let up = |e: i64| fill(&[8, 2], F32, |i| 0.2 * (0.3 * i - e as f64).cos()).transpose(0, 1);
    let per_expert = |f: &dyn Fn(i64) -> Tensor| Tensor::stack(&[f(0), f(1), f(2)], 0).contiguous();
    ExpertBank {
        down: per_expert(&down),
        down_bias: per_expert(&|_| fill(&[2], F32, |i| 0.01 * (i + 1.0))),
        inner: Inner::Gelu,
        up: per_expert(&up),
        up_bias: per_expert(&|_| fill(&[8], F32, |i| -0.01 * (i + 1.0))),
    }
}

fn soft(norm: RouterNorm) -> SoftRouter {
    let phi = fill(&[8, 3, 2], F32, |i| 0.3 * (0.21 * i).cos());
    let scale = (norm != RouterNorm::Off).then(|| Tensor::from(1.5f32));
    SoftRouter {
        phi,
        scale,
        norm,
        noise: 0.0,
    }
}

fn dense() -> DenseRouter {
    DenseRouter {
        weight: fill(&[3, 8], F32, |i| 0.4 * (0.11 * i).sin()),
        bias: fill(&[3], F32, |i| 0.05 * i),
    }
}

fn sparse(config: SparseConfig) -> SparseRouter {
    let DenseRouter { weight, bias } = dense();
    SparseRouter {
        weight,
        bias,
        config,
    }
}

fn choose(k: i64, gate: Gate) -> SparseConfig {
    SparseConfig {
        k,
        gate,
        ..SparseConfig::default()
    }
}

fn mixture(router: impl Router + 'static, x: &Tensor) -> Tensor {
    let layer = MoaLayer {
        router: Box::new(router),
        bank: bank(),
    };
    layer
        .forward(x, RouteOptions::default())
        .expect("fitting shapes")
        .y
}

#[test]
fn one_bottleneck_expert() {
    let first = [0.070384, 0.048124, 0.002066, -0.055193];
    let last = [-0.074689, -0.089029, -0.096722];
    assert_recorded(&expert(&bank(), 0, &x()), -4.076902, 0.510489, first, &last);
    let slots = x().view([1, 10, 8]).expand([3, 10, 8], false);
    let y = bank()
        .forward_slots(&slots, None, None)
        .expect("fitting shapes");
    assert_recorded(&y.get(0), -4.076902, 0.510489, first, &last);
}

#[test]
fn soft_weights() {
    let weights = soft(RouterNorm::Off).weights(&x()).expect("fitting shapes");
    assert_recorded(
        &weights.logits,
        0.297717,
        1.300501,
        [-0.022663, -0.043227, -0.061892, -0.077837],
        &[0.159599, 0.137953, 0.110247],
    );
    assert_recorded(
        &weights.dispatch,
        12.0,
        2.448002,
        [0.197745, 0.194090, 0.190745, 0.187878],
        &[0.223854, 0.220230, 0.215782],
    );
    assert_recorded(
        &weights.combine,
        10.0,
        1.667246,
        [0.173955, 0.170414, 0.167263, 0.164617],
        &[0.167005, 0.163429, 0.158963],
    );
}

#[test]
fn soft_moa_without_normalisation() {
    assert_recorded(
        &mixture(soft(RouterNorm::Off), &x()),
        -3.421983,
        0.202068,
        [-0.005275, -0.014901, -0.026308, -0.039004],
        &[-0.051431, -0.070560, -0.089494],
    );
}

#[test]
fn soft_moa_normalised_as_coded() {
    assert_recorded(
        &mixture(soft(RouterNorm::Coded), &x()),
        -3.474905,
        0.196664,
        [-0.009086, -0.018518, -0.028468, -0.038953],
        &[-0.054449, -0.069824, -0.085260],
    );
}

#[test]
fn soft_moa_normalised_as_soft_moe() {
    assert_recorded(
        &mixture(soft(RouterNorm::SoftMoe), &x()),
        -3.396908,
        0.200086,
        [-0.006225, -0.015749, -0.026759, -0.038900],
        &[-0.050722, -0.070923, -0.090803],
    );
}

/// The variant that also fills the slots with unit tokens is this router on
/// unit tokens: normalising twice changes nothing but 1e-6.
#[test]
fn soft_moe_norm_on_unit_tokens() {
    let x = x();
    let unit = &x / (x.norm_scalaropt_dim(2, -1, true) + 1e-6);
    assert_recorded(
        &mixture(soft(RouterNorm::SoftMoe), &unit),
        -3.494359,
        0.201236,
        [-0.007376, -0.016881, -0.027475, -0.038951],
        &[-0.054986, -0.070061, -0.085116],
    );
}

#[test]
fn router_probabilities() {
    assert_recorded(
        &dense().probabilities(&x()).expect("fitting shapes"),
        10.0,
        3.681948,
        [0.155873, 0.486296, 0.357831, 0.486623],
        &[0.155864, 0.338896, 0.505239],
    );
}

#[test]
fn dense_moa() {
    assert_recorded(
        &mixture(dense(), &x()),
        -3.065417,
        0.428847,
        [0.030945, 0.043563, 0.033977, 0.002042],
        &[-0.050690, -0.104905, -0.146926],
    );
}

#[test]
fn sparse_moa_top_1() {
    let raw = mixture(sparse(choose(1, Gate::Raw)), &x());
    assert_recorded(
        &raw,
        -1.351308,
        0.121661,
        [0.023663, 0.027931, 0.019045, -0.001590],
        &[-0.007375, -0.039510, -0.070198],
    );
    assert_close(&mixture(sparse(choose(1, Gate::Auto)), &x()), &raw, 0.0);
    assert_recorded(
        &mixture(sparse(choose(1, Gate::Renorm)), &x()),
        -2.955105,
        0.579687,
        [0.048659, 0.057437, 0.039164, -0.003271],
        &[-0.014598, -0.078201, -0.138940],
    );
}

#[test]
fn sparse_moa_top_2() {
    assert_recorded(
        &mixture(sparse(choose(2, Gate::Raw)), &x()),
        -2.296295,
        0.304316,
        [0.019974, 0.036062, 0.033655, 0.010645],
        &[-0.039049, -0.091028, -0.131851],
    );
    let renormalised = mixture(sparse(choose(2, Gate::Renorm)), &x());
    assert_recorded(
        &renormalised,
        -2.935381,
        0.496254,
        [0.023662, 0.042721, 0.039870, 0.012611],
        &[-0.046259, -0.107836, -0.156196],
    );
    assert_close(
        &mixture(sparse(choose(2, Gate::Auto)), &x()),
        &renormalised,
        0.0,
    );
}

#[test]
fn first_choices_and_their_counts() {
    let router = sparse(choose(1, Gate::Raw));
    let assignment = router.assign(&x()).expect("fitting shapes");
    assert_eq!(indices(&assignment.experts), [1, 0, 1, 2, 1, 2, 0, 2, 0, 2]);
    let metrics = router
        .route(&x(), ALL)
        .expect("fitting shapes")
        .metrics
        .expect("asked for");
    assert_eq!(metrics.usage, [0.3, 0.3, 0.4]);
    assert_eq!(metrics.drop_rate, 0.0);
}

/// The recorded losses for K = 2 count each token twice; ours divides by K.
#[test]
fn auxiliary_losses() {
    for (k, whole, per_sample) in [(1, 1.006773, 1.044699), (2, 2.008662, 1.993499)] {
        let router = sparse(choose(k, Gate::Raw));
        let losses = |x: &Tensor| {
            router
                .route(x, ALL)
                .expect("fitting shapes")
                .losses
                .expect("asked for")
        };
        let balance = |x: &Tensor| asked(&losses(x).load_balance) * k as f64;
        assert!((balance(&x()) - whole).abs() < 3e-6);
        let mean = (balance(&x().narrow(0, 0, 1)) + balance(&x().narrow(0, 1, 1))) / 2.0;
        assert!((mean - per_sample).abs() < 3e-6, "{mean}");
        let by_sample = sparse(SparseConfig {
            group: Group::Sample,
            ..choose(k, Gate::Raw)
        });
        let routing = by_sample.route(&x(), ALL).expect("fitting shapes");
        let loss = asked(&routing.losses.expect("asked for").load_balance) * k as f64;
        assert!((loss - per_sample).abs() < 3e-6, "{loss}");
        assert!((asked(&losses(&x()).z) - 2.622386).abs() < 3e-6);
    }
}

#[test]
fn capacity_drops_the_last_token_of_a_full_expert() {
    let limited = |factor| {
        let config = SparseConfig {
            capacity_factor: Some(factor),
            priority: Priority::Position,
            ..choose(1, Gate::Raw)
        };
        (config, sparse(config))
    };
    let (config, router) = limited(1.0);
    assert_eq!(config.capacity(10, 3), Some(4));
    let kept = router.assign(&x()).expect("fitting shapes").kept;
    assert_eq!(values(&kept), [1.0; 10]);

    let (config, router) = limited(0.75);
    assert_eq!(config.capacity(10, 3), Some(3));
    let kept = router.assign(&x()).expect("fitting shapes").kept;
    assert_eq!(
        values(&kept),
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    );
    let metrics = router
        .route(&x(), ALL)
        .expect("fitting shapes")
        .metrics
        .expect("asked for");
    assert!((metrics.drop_rate - 0.1).abs() < 1e-12);

    let free = mixture(sparse(choose(1, Gate::Raw)), &x()).view([10, 8]);
    let limited = mixture(router, &x()).view([10, 8]);
    assert_close(&limited.narrow(0, 0, 9), &free.narrow(0, 0, 9), 0.0);
    assert_eq!(values(&limited.get(9)), [0.0; 8]);
    assert_eq!(limited.kind(), F32);
    assert_ne!(values(&free.get(9).to_kind(F64)), [0.0; 8]);
}
