//! Every method of the registry, in several settings, small enough for a
//! backbone of width 16.

use adapters::{Compat, MethodConfig};

/// One method, and which tensors of the backbone it trains.
pub struct Variant {
    pub method: MethodConfig,
    pub backbone: fn(&str) -> bool,
}

fn final_norm(name: &str) -> bool {
    name.starts_with("layernorm.")
}

fn attention_norm(name: &str) -> bool {
    final_norm(name) || name.contains(".layernorm_before.")
}

fn ffn_norm(name: &str) -> bool {
    final_norm(name) || name.contains(".layernorm_after.")
}

fn all_norms(name: &str) -> bool {
    attention_norm(name) || ffn_norm(name)
}

fn biases(name: &str) -> bool {
    name.ends_with("bias") && !name.starts_with("embeddings.")
}

type Row = (&'static str, fn(&str) -> bool);

const ROWS: [Row; 30] = [
    (r#"{"method": "linear"}"#, final_norm),
    (r#"{"method": "full"}"#, |_| true),
    (r#"{"method": "bitfit"}"#, biases),
    (r#"{"method": "layernorm"}"#, all_norms),
    (r#"{"method": "ssf"}"#, final_norm),
    (r#"{"method": "prompt", "prompts": 3}"#, final_norm),
    (
        r#"{"method": "prompt", "prompts": 2, "deep": false, "keep_distillation": true,
            "pooling": "prompts_patches"}"#,
        final_norm,
    ),
    (r#"{"method": "prefix", "tokens": 4}"#, final_norm),
    (
        r#"{"method": "lora", "rank": {"width": 3}, "targets": "qv"}"#,
        final_norm,
    ),
    (
        r#"{"method": "lora", "rank": {"width": 3}, "targets": "all",
            "scaling": "rank_stabilised"}"#,
        final_norm,
    ),
    (
        r#"{"method": "lora", "rank": {"width": 2}, "targets": ["value", "feed_forward_output"],
            "scaling": "alpha_over_rank", "alpha": 2, "dora": true}"#,
        final_norm,
    ),
    (
        r#"{"method": "adapter", "bottleneck": {"width": 3}}"#,
        ffn_norm,
    ),
    (
        r#"{"method": "adapter", "bottleneck": {"width": 3}, "placement": "houlsby",
            "insertion": "sequential", "residual": true}"#,
        all_norms,
    ),
    (
        r#"{"method": "adapter", "bottleneck": {"width": 3}, "placement": "pfeiffer-mhsa",
            "position": "after"}"#,
        attention_norm,
    ),
    (
        r#"{"method": "adapter", "bottleneck": {"width": 3}, "kind": {"convpass": {}}}"#,
        ffn_norm,
    ),
    (
        r#"{"method": "adapter", "bottleneck": {"width": 3},
            "kind": {"conformer": {"kernel": 4}}}"#,
        ffn_norm,
    ),
    (
        r#"{"method": "adapter", "bottleneck": {"width": 2}, "placement": "houlsby",
            "kind": {"conformer": {"kernel": 3, "input_norm": "absent"}}}"#,
        all_norms,
    ),
    (
        r#"{"method": "dense-moa", "mixture": {"bottleneck": {"width": 3}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "dense-moa", "mixture": {"bottleneck": {"width": 3}, "experts": 2,
            "expert": {"conformer": {"kernel": 3}}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "soft-moa", "mixture": {"bottleneck": {"width": 3}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "soft-moa", "slots": 2, "router_norm": "soft_moe",
            "mixture": {"bottleneck": {"width": 3}, "experts": 2, "placement": "houlsby"}}"#,
        all_norms,
    ),
    (
        r#"{"method": "soft-moa", "slots": 3, "mixture": {"bottleneck": {"width": 3},
            "experts": 2, "expert": {"convpass": {}}, "placement": "pfeiffer-ffn"}}"#,
        ffn_norm,
    ),
    (
        r#"{"method": "sparse-moa", "mixture": {"bottleneck": {"width": 3}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "sparse-moa", "routing": {"k": 2},
            "mixture": {"bottleneck": {"width": 3}, "placement": "pfeiffer-ffn"}}"#,
        ffn_norm,
    ),
    (
        r#"{"method": "sparse-moa", "routing": {"k": 2},
            "mixture": {"bottleneck": {"width": 3}, "placement": "houlsby"}}"#,
        all_norms,
    ),
    (
        r#"{"method": "dense-moa", "mixture": {"bottleneck": {"width": 3}, "experts": 2,
            "expert": {"convpass": {}}, "placement": "houlsby"}}"#,
        all_norms,
    ),
    (
        r#"{"method": "soft-moa", "slots": 3, "noise": 0.5, "mixture": {"bottleneck": {"width": 3},
            "experts": 2, "expert": {"conformer": {"kernel": 3}}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "sparse-moa", "importance_weight": 0.1, "load_weight": 0.1, "routing":
            {"k": 2, "capacity_factor": 4.0, "group": "sample", "exploration": {"noise": 1.0}},
            "mixture": {"bottleneck": {"width": 3}, "expert": {"convpass": {}}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "sparse-moa", "router": "expert-choice", "expert_choice":
            {"capacity_factor": 2.0}, "mixture": {"bottleneck": {"width": 3}}}"#,
        attention_norm,
    ),
    (
        r#"{"method": "sparse-moa", "router": "relu", "relu": {"active": 1.5},
            "mixture": {"bottleneck": {"width": 3}, "experts": 4, "placement": "pfeiffer-ffn"}}"#,
        ffn_norm,
    ),
];

/// All of them, with the settings that `compat` decides.
pub fn variants(compat: Compat) -> Vec<Variant> {
    let all: Vec<Variant> = ROWS
        .iter()
        .map(|(json, backbone)| {
            let method: MethodConfig = serde_json::from_str(json).unwrap();
            Variant {
                method: method.with_compat(compat),
                backbone: *backbone,
            }
        })
        .collect();
    for name in MethodConfig::names() {
        let known = all.iter().any(|variant| variant.method.name() == name);
        assert!(known, "{name} needs a row of its own");
    }
    all
}

/// Whether a token's way through the method depends on the order of the tokens.
pub fn looks_along_tokens(method: &MethodConfig) -> bool {
    let json = serde_json::to_string(method).unwrap();
    let over_slots = json.contains("soft-moa");
    !over_slots && (json.contains("conformer") || json.contains("convpass"))
}

/// Whether the method can start at the pretrained function.
pub fn can_start_at_the_probe(method: &MethodConfig) -> bool {
    // A prompt or prefix is a token that takes its share of every softmax,
    // whatever its value, and prompts displace the distillation token.
    !["prompt", "prefix"].contains(&method.name())
}

/// Whether a tensor has no influence on the output in training, so that its
/// gradient is zero but for rounding: a softmax does not see what is added to
/// all keys, nor a BatchNorm what is added to all its inputs.
pub fn has_no_influence(name: &str) -> bool {
    ["key.bias", "key.ssf_shift", ".depthwise_bias"]
        .iter()
        .any(|end| name.ends_with(end))
}
