//! Expert use as a watched pass shows it.

#[path = "support/small.rs"]
mod small;

use adapters::MethodConfig;
use ast_model::Step;
use serde_json::json;
use tch::{Kind, Tensor};

/// Every kind of router, with N = 3 experts, two a block.
fn mixtures() -> Vec<MethodConfig> {
    let mixture = json!({ "experts": 3, "bottleneck": { "width": 3 }, "placement": "houlsby" });
    let sparse = |extra: serde_json::Value| {
        let mut value = json!({ "method": "sparse-moa", "mixture": mixture.clone() });
        let object = value.as_object_mut().unwrap();
        object.extend(extra.as_object().unwrap().clone());
        value
    };
    [
        json!({ "method": "soft-moa", "slots": 2, "mixture": mixture.clone() }),
        json!({ "method": "soft-moa", "router_norm": "coded", "mixture": mixture.clone() }),
        json!({ "method": "dense-moa", "mixture": mixture.clone() }),
        sparse(json!({ "routing": { "k": 2, "capacity_factor": 0.75 } })),
        sparse(json!({ "router": "expert-choice" })),
        sparse(json!({ "router": "relu" })),
    ]
    .into_iter()
    .map(small::method)
    .collect()
}

fn largest(t: &Tensor) -> f64 {
    t.abs().max().double_value(&[])
}

#[test]
fn every_mixture_shows_its_use_and_the_scores_are_those_of_a_plain_pass() {
    let backbone = small::backbone(16, 2);
    let input = small::input(5);
    for method in mixtures() {
        let model = small::trained(&backbone, &method, &small::options());
        let (logits, uses) = model.forward_watched(&input).unwrap();
        let plain = model.forward(&input, &Step::evaluation()).unwrap();
        assert_eq!(largest(&(logits - plain)), 0.0);
        let names: Vec<&str> = uses.iter().map(|used| used.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "encoder.layer.0.moa_mhsa",
                "encoder.layer.0.moa_ffn",
                "encoder.layer.1.moa_mhsa",
                "encoder.layer.1.moa_ffn",
            ]
        );
        let tokens = model.config().tokens();
        for (index, used) in uses.iter().enumerate() {
            assert_eq!(used.block, index / 2);
            assert_eq!(used.shares.size(), [2, tokens, 3]);
            assert!(!used.shares.requires_grad());
            for clip in &used.usage_per_clip {
                let sum: f64 = clip.iter().sum();
                assert!((sum - 1.0).abs() < 1e-6 || sum == 0.0, "{method:?}: {sum}");
            }
            // A token's shares sum to 1, or are 0 where no expert saw it.
            let sums = used.shares.sum_dim_intlist(-1, false, Kind::Double);
            let off = (&sums * (&sums - 1.0)).abs().max().double_value(&[]);
            assert!(off < 1e-6, "{method:?}: {off}");
        }
    }
}

/// Soft and dense: the use of a clip is the mean of its tokens' shares.
#[test]
fn use_and_shares_agree_where_every_token_counts_the_same() {
    let backbone = small::backbone(16, 1);
    for method in mixtures().into_iter().take(3) {
        let model = small::trained(&backbone, &method, &small::options());
        let (_, uses) = model.forward_watched(&small::input(6)).unwrap();
        let means = uses[0].shares.mean_dim(1, false, Kind::Double);
        let flat: Vec<f64> = uses[0].usage_per_clip.concat();
        let difference = means.reshape([-1]) - Tensor::from_slice(&flat);
        assert!(largest(&difference) < 1e-6);
        assert_eq!(uses[0].drop_rate, 0.0);
    }
}

#[test]
fn a_method_without_experts_has_nothing_to_show() {
    let backbone = small::backbone(16, 1);
    let method = MethodConfig::named("linear").unwrap();
    let model = small::trained(&backbone, &method, &small::options());
    let (logits, uses) = model.forward_watched(&small::input(7)).unwrap();
    assert_eq!(logits.size(), [2, 3]);
    assert!(uses.is_empty());
}
