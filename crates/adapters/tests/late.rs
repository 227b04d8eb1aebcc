//! Methods that act in the last blocks only: what they make and what they ask
//! of the loss.

#[path = "support/small.rs"]
mod small;

use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
use ast_model::Step;
use serde_json::{Value, json};
use small::{backbone, input, method, options};
use tch::no_grad;

const BLOCKS: usize = 4;

fn late(first_block: usize) -> AdaptOptions {
    AdaptOptions {
        first_block,
        ..options()
    }
}

fn sparse(more: Value) -> MethodConfig {
    let mut value = json!({
        "method": "sparse-moa",
        "mixture": { "experts": 4, "bottleneck": { "width": 3 }, "placement": "houlsby" },
    });
    let object = value.as_object_mut().unwrap();
    object.extend(more.as_object().unwrap().clone());
    method(value)
}

/// What the method adds to the loss of a training step, with routers whose
/// logits are `logit` for every expert and token.
fn asked(method: &MethodConfig, first_block: usize, logit: f64) -> Option<f64> {
    let model = AdaptedModel::new(&backbone(16, BLOCKS), method, &late(first_block)).unwrap();
    no_grad(|| {
        for (name, tensor) in model.trained() {
            let value = match name.rsplit('.').next() {
                Some("router_weight") => 0.0,
                Some("router_bias") => logit,
                _ => continue,
            };
            let _ = tensor.shallow_clone().fill_(value);
        }
    });
    let step = Step::training(3);
    let _ = model.forward(&input(1), &step).unwrap();
    Some(step.take_loss()?.double_value(&[]))
}

#[test]
fn auxiliary_losses_are_means_over_the_mixtures_that_act() {
    // Equal probabilities: load balance 1, z-loss (ln 4 + 0.5)².
    let z = (4f64.ln() + 0.5).powi(2);
    // All four gates open in every layer: λ · Σ N / K · g.
    let relu = json!({ "router": "relu", "relu": { "active": 2.0, "initial_penalty": 0.25 } });
    for (more, expected) in [
        (json!({}), 0.01 + 0.001 * z),
        (json!({ "router": "expert-choice" }), 0.001 * z),
        (relu, 0.25 * 4.0 * (4.0 / 2.0) * 0.5),
    ] {
        let method = sparse(more);
        for first_block in 0..BLOCKS {
            let found = asked(&method, first_block, 0.5).expect("a loss");
            assert!(
                (found - expected).abs() < 1e-5,
                "{method:?} from block {first_block}: {found} instead of {expected}"
            );
        }
        assert_eq!(asked(&method, BLOCKS, 0.5), None);
    }
}

#[test]
fn a_later_start_trains_fewer_values_and_begins_with_the_same() {
    let backbone = backbone(16, BLOCKS);
    for method in small::methods() {
        if ["prompt", "ssf"].contains(&method.name()) {
            continue;
        }
        let whole = AdaptedModel::new(&backbone, &method, &options()).unwrap();
        let part = AdaptedModel::new(&backbone, &method, &late(2)).unwrap();
        for (name, tensor) in part.trained() {
            let same = whole.trained().iter().find(|(other, _)| other == name);
            assert_eq!(&same.expect("trained there too").1, tensor, "{name}");
        }
        let less = part.counts().all < whole.counts().all;
        assert_eq!(less, method.name() != "linear", "{}", method.name());
    }
}
