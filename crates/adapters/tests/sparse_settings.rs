//! Settings of Sparse-MoA: old descriptions, and what is refused.

use adapters::{MethodConfig, SparseMoaConfig, SparseRouting};
use ast_model::AstConfig;

fn config(json: &str) -> SparseMoaConfig {
    serde_json::from_str(json).unwrap()
}

fn refusal(json: &str) -> String {
    let refused = config(json).validate(&AstConfig::base()).unwrap_err();
    refused.to_string()
}

/// As written before there were other routers than token choice.
#[test]
fn old_descriptions_still_load_and_mean_token_choice() {
    let json = r#"{"method": "sparse-moa", "mixture": {"experts": 5, "bottleneck":
        {"reduction_rate": 128.0}, "placement": "pfeiffer-mhsa", "add_twice": null, "init": null},
        "routing": {"k": 2, "gate": "auto", "capacity_factor": 1.25, "priority": "score"},
        "load_balance_weight": 0.01, "z_loss_weight": 0.001}"#;
    let method: MethodConfig = serde_json::from_str(json).unwrap();
    let MethodConfig::SparseMoa(read) = &method else {
        panic!("another method")
    };
    assert_eq!(read.router, SparseRouting::TokenChoice);
    // And what uses nothing new is written as before.
    let written = serde_json::to_value(&method).unwrap();
    let before: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(written, before);
}

#[test]
fn every_router_has_a_name_in_the_settings() {
    for (json, router) in [
        (r#"{"router": "token-choice"}"#, SparseRouting::TokenChoice),
        (
            r#"{"router": "expert-choice"}"#,
            SparseRouting::ExpertChoice,
        ),
        (r#"{"router": "relu"}"#, SparseRouting::Relu),
    ] {
        let config = config(json);
        assert_eq!(config.router, router);
        config.validate(&AstConfig::base()).unwrap();
    }
}

#[test]
fn settings_of_a_router_that_is_not_chosen_are_refused() {
    for (json, field) in [
        (r#"{"router": "relu", "routing": {"k": 2}}"#, "routing"),
        (
            r#"{"router": "expert-choice", "relu": {"active": 2.0}}"#,
            "relu",
        ),
        (
            r#"{"expert_choice": {"capacity_factor": 2.0}}"#,
            "expert_choice",
        ),
    ] {
        let message = refusal(json);
        assert!(
            message.contains(field) && message.contains("another router"),
            "{message}"
        );
    }
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    for (json, field) in [
        (r#"{"router": "relu", "relu": {"active": 7.0}}"#, "relu"),
        (r#"{"router": "relu", "relu": {"growth": 1.0}}"#, "relu"),
        (
            r#"{"router": "expert-choice", "expert_choice": {"capacity_factor": 0.0}}"#,
            "expert_choice",
        ),
        (
            r#"{"routing": {"exploration": {"jitter": 1.5}}}"#,
            "routing",
        ),
        (r#"{"load_weight": 0.005}"#, "load_weight"),
        (r#"{"importance_weight": -1.0}"#, "importance_weight"),
    ] {
        let message = refusal(json);
        assert!(message.contains(field), "{message}");
    }
    let noisy = r#"{"load_weight": 0.005, "routing": {"exploration": {"noise": 1.0}}}"#;
    config(noisy).validate(&AstConfig::base()).unwrap();
}
