//! Tokens that a mask leaves out are as good as absent.

mod common;

use common::{F64, assert_close, bank, dense, noise, scalar, sparse};
use moe_routing::{
    DenseRouter, ExpertChoiceConfig, ExpertChoiceRouter, Group, MoaLayer, ReluConfig, ReluRouter,
    RouteOptions, Router, RouterNorm, RoutingError, SoftRouter, SparseConfig,
};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

const D: i64 = 6;

/// Every router, with room for all tokens, so that what they decide does not
/// depend on the number of tokens.
fn routers(n: i64) -> Vec<Box<dyn Router>> {
    let soft = |norm| {
        Box::new(SoftRouter {
            phi: noise(&[D, n, 2], 1.0) * 3.0,
            scale: None,
            norm,
            noise: 0.0,
        })
    };
    let DenseRouter { weight, bias } = dense(n, D, F64);
    let relu = ReluRouter {
        weight: weight.shallow_clone(),
        bias: bias.shallow_clone(),
        config: ReluConfig::default(),
        penalty: Tensor::from(1e-8),
        activity: Tensor::from(0.5),
    };
    let config = ExpertChoiceConfig {
        capacity_factor: n as f64,
        group: Group::Sample,
    };
    let expert_choice = ExpertChoiceRouter {
        weight,
        bias,
        config,
    };
    vec![
        soft(RouterNorm::Off),
        soft(RouterNorm::SoftMoe),
        soft(RouterNorm::Coded),
        Box::new(dense(n, D, F64)),
        Box::new(sparse(n, D, SparseConfig::default(), F64)),
        Box::new(relu),
        Box::new(expert_choice),
    ]
}

/// The first `count` of `l` tokens of `b` clips take part.
fn first(b: i64, l: i64, count: i64) -> Tensor {
    let positions = Tensor::arange(l, (Kind::Int64, Device::Cpu));
    positions.lt(count).unsqueeze(0).expand([b, l], false)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_left_out_change_nothing_and_get_nothing(
        b in 1i64..4, kept in 1i64..8, left_out in 1i64..6, n in 2i64..5, slots: bool,
    ) {
        let l = kept + left_out;
        let x = noise(&[b, l, D], 5.0);
        let mask = first(b, l, kept);
        let alone = x.narrow(1, 0, kept);
        for (masked, short) in routers(n).into_iter().zip(routers(n)) {
            let options = RouteOptions { metrics: true, slots, ..RouteOptions::default() };
            let layer = |router| MoaLayer { router, bank: bank(n, D, 2, F64) };
            let want = RouteOptions { mask: Some(&mask), ..options };
            let found = layer(masked).forward(&x, want).expect("fitting shapes");
            let expected = layer(short).forward(&alone, options).expect("fitting shapes");
            assert_close(&found.y.narrow(1, 0, kept), &expected.y, 1e-12);
            prop_assert_eq!(scalar(&found.y.narrow(1, kept, left_out).abs().max()), 0.0);
            let shares = |it: Option<moe_routing::RouterMetrics>| it.expect("asked for").usage;
            for (a, b) in shares(found.metrics).iter().zip(shares(expected.metrics)) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_mask_of_all_tokens_is_no_mask(b in 1i64..3, l in 1i64..8, n in 2i64..5) {
        let x = noise(&[b, l, D], 5.0);
        let all = first(b, l, l);
        for (masked, plain) in routers(n).into_iter().zip(routers(n)) {
            let layer = |router| MoaLayer { router, bank: bank(n, D, 2, F64) };
            let want = RouteOptions { mask: Some(&all), ..RouteOptions::default() };
            let found = layer(masked).forward(&x, want).expect("fitting shapes").y;
            let expected = layer(plain).forward(&x, RouteOptions::default());
            assert_close(&found, &expected.expect("fitting shapes").y, 1e-12);
        }
    }
}

/// One expert with room for two: the tokens left out do not fill its queue.
#[test]
fn tokens_left_out_take_no_place() {
    let x = noise(&[1, 4, D], 5.0);
    let config = SparseConfig {
        capacity_factor: Some(0.5),
        ..SparseConfig::default()
    };
    let mask = Tensor::from_slice(&[0i64, 0, 1, 1]).view([1, 4]);
    let served = |mask: Option<&Tensor>| {
        let want = RouteOptions {
            mask,
            ..RouteOptions::default()
        };
        let routing = sparse(1, D, config, F64).route(&x, want).expect("fitting");
        let gates = routing.dispatcher.gates().expect("gates").gt(0);
        Vec::<bool>::try_from(gates.reshape([-1])).expect("booleans")
    };
    assert_eq!(served(None), [true, true, false, false]);
    assert_eq!(served(Some(&mask)), [false, false, true, true]);
}

#[test]
fn an_expert_does_not_choose_a_token_left_out_while_there_is_another() {
    let x = noise(&[1, 6, D], 5.0);
    let DenseRouter { weight, bias } = dense(2, D, F64);
    let router = ExpertChoiceRouter {
        weight,
        bias,
        config: ExpertChoiceConfig {
            capacity_factor: 1.0,
            group: Group::Sample,
        },
    };
    let mask = Tensor::from_slice(&[1i64, 0, 1, 0, 1, 0]).view([1, 6]);
    let want = RouteOptions {
        mask: Some(&mask),
        ..RouteOptions::default()
    };
    let routing = router.route(&x, want).expect("fitting");
    let gates = routing.dispatcher.gates().expect("gates").gt(0);
    let per_token = gates.sum_dim_intlist(-1, false, Kind::Int64);
    let per_token = Vec::<i64>::try_from(per_token.reshape([-1])).expect("integers");
    // Three tokens for each of two experts, and only three take part.
    assert_eq!(per_token, [2, 0, 2, 0, 2, 0]);
}

#[test]
fn a_mask_of_another_shape_is_an_error_with_both_shapes() {
    let x = noise(&[2, 5, D], 5.0);
    let mask = first(2, 4, 3);
    for router in routers(3) {
        let want = RouteOptions {
            mask: Some(&mask),
            ..RouteOptions::default()
        };
        let error = router.route(&x, want).err().expect("an error");
        assert!(matches!(error, RoutingError::Shape { .. }), "{error}");
        assert!(error.to_string().contains("[2, 4]"), "{error}");
    }
}

/// With room for all tokens, and where they fight for it.
#[test]
fn rates_count_the_tokens_that_take_part() {
    let x = noise(&[2, 8, D], 5.0);
    let mask = first(2, 8, 5);
    let rates = |router: &dyn Router, mask: Option<&Tensor>, x: &Tensor| {
        let want = RouteOptions {
            metrics: true,
            mask,
            ..RouteOptions::default()
        };
        let metrics = router.route(x, want).expect("fitting").metrics;
        let metrics = metrics.expect("asked for");
        (metrics.drop_rate, metrics.experts_per_token)
    };
    for (router, short) in routers(3).iter().zip(routers(3)) {
        let (dropped, experts) = rates(router.as_ref(), Some(&mask), &x);
        let alone = rates(short.as_ref(), None, &x.narrow(1, 0, 5));
        assert!((dropped - alone.0).abs() < 1e-12, "{dropped} {alone:?}");
        assert!((experts - alone.1).abs() < 1e-12, "{experts} {alone:?}");
    }
    // One expert with room for 8 of the 16 tokens, of which 10 take part.
    let config = SparseConfig {
        capacity_factor: Some(0.5),
        ..SparseConfig::default()
    };
    let (dropped, experts) = rates(&sparse(1, D, config, F64), Some(&mask), &x);
    assert!((dropped - 0.2).abs() < 1e-12, "{dropped}");
    assert!((experts - 0.8).abs() < 1e-12, "{experts}");
    // Where no token takes part nothing is dropped.
    let none = first(2, 8, 0);
    let found = rates(&sparse(2, D, config, F64), Some(&none), &x);
    assert_eq!(found, (0.0, 1.0));
}
