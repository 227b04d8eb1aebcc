//! Tensors that do not fit together are errors that show both shapes, never
//! panics.

mod common;

use common::{F32, bank, dense, noise, sparse};
use moe_routing::{
    DenseRouter, ExpertBank, Inner, MoaLayer, RouteOptions, Router, RouterNorm, RoutingError,
    SoftRouter, SparseConfig, SparseRouter,
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

fn f32_noise(shape: &[i64]) -> Tensor {
    noise(shape, 1.0).to_kind(F32)
}

fn soft(shape: &[i64]) -> SoftRouter {
    SoftRouter {
        phi: f32_noise(shape),
        scale: None,
        norm: RouterNorm::Off,
        noise: 0.0,
    }
}

fn refusal(router: &dyn Router, x: &Tensor) -> RoutingError {
    router.route(x, ALL).err().expect("an error")
}

#[test]
fn a_message_carries_both_shapes() {
    let error = refusal(&soft(&[9, 3, 2]), &f32_noise(&[2, 5, 8]));
    let message = error.to_string();
    assert!(
        message.contains("[2, 5, 8]") && message.contains("[9, 3, 2]"),
        "{message}"
    );
    assert!(message.contains("phi"), "{message}");

    let message = refusal(&dense(3, 7, F32), &f32_noise(&[2, 5, 8])).to_string();
    assert!(
        message.contains("[2, 5, 8]") && message.contains("[3, 7]"),
        "{message}"
    );

    let message = bank(3, 8, 2, F32)
        .forward_slots(&f32_noise(&[4, 5, 8]), None, None)
        .expect_err("an error")
        .to_string();
    assert!(
        message.contains("[4, 5, 8]") && message.contains("[3, 8, 2]"),
        "{message}"
    );
}

#[test]
fn tokens_must_be_defined_floats_of_rank_three() {
    let router = dense(3, 8, F32);
    assert!(matches!(
        refusal(&router, &Tensor::new()),
        RoutingError::Undefined { .. }
    ));
    assert!(matches!(
        refusal(&router, &f32_noise(&[5, 8])),
        RoutingError::Rank { .. }
    ));
    assert!(matches!(
        refusal(&router, &f32_noise(&[2, 0, 8])),
        RoutingError::Empty { .. }
    ));
    let integers = f32_noise(&[2, 5, 8]).to_kind(Kind::Int64);
    assert!(matches!(
        refusal(&router, &integers),
        RoutingError::Kind { .. }
    ));
}

#[test]
fn routers_of_an_impossible_configuration_refuse() {
    let x = f32_noise(&[2, 5, 8]);
    let config = SparseConfig {
        k: 4,
        ..SparseConfig::default()
    };
    assert!(matches!(
        refusal(&sparse(3, 8, config, F32), &x),
        RoutingError::Chosen { k: 4, experts: 3 }
    ));
    let config = SparseConfig {
        capacity_factor: Some(f64::NAN),
        ..SparseConfig::default()
    };
    assert!(matches!(
        refusal(&sparse(3, 8, config, F32), &x),
        RoutingError::CapacityFactor { .. }
    ));
}

#[test]
fn a_scale_is_one_number_and_needs_a_norm() {
    let x = f32_noise(&[2, 5, 8]);
    let router = |scale: Tensor, norm| SoftRouter {
        phi: f32_noise(&[8, 3, 2]),
        scale: Some(scale),
        norm,
        noise: 0.0,
    };
    assert!(matches!(
        refusal(&router(Tensor::from(1f32), RouterNorm::Off), &x),
        RoutingError::UnusedScale
    ));
    let two = refusal(&router(f32_noise(&[2]), RouterNorm::Coded), &x);
    assert!(
        matches!(
            two,
            RoutingError::Shape {
                tensor: "scale",
                ..
            }
        ),
        "{two}"
    );
    assert!(
        router(f32_noise(&[1]), RouterNorm::Coded)
            .route(&x, ALL)
            .is_ok()
    );
    assert!(
        router(Tensor::from(1f32), RouterNorm::SoftMoe)
            .route(&x, ALL)
            .is_ok()
    );
    assert!(matches!(
        refusal(&router(Tensor::new(), RouterNorm::Coded), &x),
        RoutingError::Undefined { .. }
    ));
}

#[test]
fn dispatchers_refuse_tensors_of_another_batch() {
    let x = f32_noise(&[2, 5, 8]);
    let routers: [Box<dyn Router>; 3] = [
        Box::new(soft(&[8, 3, 2])),
        Box::new(dense(3, 8, F32)),
        Box::new(sparse(3, 8, SparseConfig::default(), F32)),
    ];
    for router in routers {
        let dispatcher = router.route(&x, ALL).expect("fitting shapes").dispatcher;
        let slots = dispatcher.dispatch(&x).expect("the routed tokens");
        assert!(matches!(
            dispatcher.dispatch(&f32_noise(&[5, 2, 8])),
            Err(RoutingError::Shape { .. })
        ));
        assert!(matches!(
            dispatcher.dispatch(&f32_noise(&[10, 8])),
            Err(RoutingError::Rank { .. })
        ));
        let more = Tensor::cat(&[&slots, &slots], 1);
        assert!(matches!(
            dispatcher.combine(&more),
            Err(RoutingError::Shape { .. })
        ));
        assert!(matches!(
            dispatcher.combine(&slots.narrow(0, 0, 2)),
            Err(RoutingError::Shape { .. })
        ));
        // Experts may change the width.
        let narrow = dispatcher
            .combine(&slots.narrow(2, 0, 3))
            .expect("another width");
        assert_eq!(narrow.size(), [2, 5, 3]);
    }
}

#[test]
fn non_finite_tokens_pass_through_without_panic() {
    let x = f32_noise(&[2, 5, 8]) * f64::NAN;
    let config = SparseConfig {
        k: 2,
        capacity_factor: Some(0.5),
        ..SparseConfig::default()
    };
    let routers: [Box<dyn Router>; 3] = [
        Box::new(soft(&[8, 3, 2])),
        Box::new(dense(3, 8, F32)),
        Box::new(sparse(3, 8, config, F32)),
    ];
    for router in routers {
        let layer = MoaLayer {
            router,
            bank: bank(3, 8, 2, F32),
        };
        assert!(
            layer
                .forward(&x, ALL)
                .expect("shapes fit")
                .y
                .isnan()
                .any()
                .int64_value(&[])
                == 1
        );
    }
}

#[test]
fn settings_reject_unknown_fields_and_fill_in_defaults() {
    let config: SparseConfig =
        serde_json::from_str(r#"{"k": 2, "gate": "renorm"}"#).expect("valid settings");
    assert_eq!((config.k, config.capacity_factor), (2, None));
    assert!(serde_json::from_str::<SparseConfig>(r#"{"topk": 2}"#).is_err());
    let norm: RouterNorm = serde_json::from_str(r#""soft_moe""#).expect("a known norm");
    assert_eq!(norm, RouterNorm::SoftMoe);
}

/// Shapes that often, but not always, fit: sizes 0 to 3, mostly of the right rank.
fn shape(rank: usize) -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        6 => prop::collection::vec(1i64..3, rank),
        1 => prop::collection::vec(0i64..4, 0..5),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shapes_give_a_result_or_an_error(
        x in shape(3), phi in shape(3), weight in shape(2), bias in shape(1), k in -1i64..4, factor in -0.5f64..2.0,
        down in shape(3), down_bias in shape(2), up in shape(3), up_bias in shape(2), slots in shape(3), scale in shape(0),
    ) {
        let tokens = f32_noise(&x);
        let config = SparseConfig { k, capacity_factor: Some(factor), ..SparseConfig::default() };
        let fits = |width: i64| x.len() == 3 && !x.contains(&0) && x[2] == width;
        let linear = weight.len() == 2 && !weight.contains(&0) && bias == weight[..1] && fits(weight[1]);
        let soft_fits = phi.len() == 3 && !phi.contains(&0) && fits(phi[0]);
        let valid_k = linear && (1..=weight[0]).contains(&k) && factor > 0.0;
        let one = scale.is_empty() || scale == [1];
        let linear_tensors = || (f32_noise(&weight), f32_noise(&bias));
        let (w, b) = linear_tensors();
        let dense: Box<dyn Router> = Box::new(DenseRouter { weight: w, bias: b });
        let (w, b) = linear_tensors();
        let sparse: Box<dyn Router> = Box::new(SparseRouter { weight: w, bias: b, config });
        let scaled: Box<dyn Router> =
            Box::new(SoftRouter { phi: f32_noise(&phi), scale: Some(f32_noise(&scale)), norm: RouterNorm::Coded, noise: 0.0 });
        let routers = [(dense, linear), (sparse, valid_k), (scaled, soft_fits && one), (Box::new(soft(&phi)), soft_fits)];
        for (router, expected) in routers {
            let routing = router.route(&tokens, ALL);
            prop_assert_eq!(routing.is_ok(), expected);
            let bank = ExpertBank {
                down: f32_noise(&down), down_bias: f32_noise(&down_bias), inner: Inner::Gelu, up: f32_noise(&up), up_bias: f32_noise(&up_bias),
            };
            let _ = bank.forward_slots(&f32_noise(&slots), None, None);
            if let Ok(routing) = routing {
                let _ = routing.dispatcher.dispatch(&f32_noise(&slots));
                let _ = routing.dispatcher.combine(&f32_noise(&slots));
                let _ = bank.apply(routing.dispatcher.as_ref(), &tokens, None);
            }
        }
    }
}
