//! Multiply-adds counted from shapes, against figures worked out by hand for
//! AST-Base with one mixture a block and R = 6.

use adapters::{
    AdapterConfig, Bottleneck, DenseMoaConfig, MethodConfig, MixtureConfig, MultiplyAdds,
    Placement, SoftMoaConfig, multiply_adds,
};
use ast_model::AstConfig;
use serde_json::{Value, json};

fn base(frames: i64) -> AstConfig {
    AstConfig {
        max_length: frames,
        ..AstConfig::base()
    }
}

fn mixture(experts: i64) -> MixtureConfig {
    MixtureConfig {
        experts,
        ..MixtureConfig::default()
    }
}

fn dense(experts: i64) -> MethodConfig {
    MethodConfig::DenseMoa(DenseMoaConfig {
        mixture: mixture(experts),
    })
}

fn soft(experts: i64, slots: i64) -> MethodConfig {
    MethodConfig::SoftMoa(SoftMoaConfig {
        mixture: mixture(experts),
        slots,
        ..SoftMoaConfig::default()
    })
}

fn single(width: i64) -> MethodConfig {
    MethodConfig::Adapter(AdapterConfig {
        bottleneck: Bottleneck::Width(width),
        ..AdapterConfig::default()
    })
}

fn read(value: Value) -> MethodConfig {
    serde_json::from_value(value).unwrap()
}

/// A count in units of 10⁹, with this many decimals.
fn giga(count: u64, decimals: usize) -> String {
    format!("{:.decimals$}", count as f64 / 1e9)
}

#[test]
fn the_lengths_of_the_papers_data_sets_give_the_known_figures() {
    for (frames, backbone, mixtures) in [
        (
            100,
            "9.59",
            ["0.099", "0.022", "0.044", "0.199", "0.044", "0.024"],
        ),
        (
            400,
            "44.08",
            ["0.424", "0.092", "0.183", "0.849", "0.183", "0.104"],
        ),
        (
            500,
            "56.64",
            ["0.533", "0.115", "0.230", "1.066", "0.230", "0.130"],
        ),
        (
            800,
            "97.51",
            ["0.858", "0.185", "0.369", "1.716", "0.369", "0.210"],
        ),
    ] {
        let shape = base(frames);
        let count = |method: MethodConfig| multiply_adds(&shape, &method);
        assert_eq!(giga(count(single(12)).backbone, 2), backbone);
        let stacked = |experts| count(dense(experts)).method_stacked.unwrap();
        let found = [
            stacked(7),
            count(soft(7, 1)).method,
            count(soft(7, 2)).method,
            stacked(14),
            count(soft(14, 1)).method,
            count(single(12)).method,
        ];
        assert_eq!(found.map(|count| giga(count, 3)), mixtures);
    }
}

/// The gates of the fused form act on hidden units too: L N R more.
#[test]
fn fused_and_stacked_dense_differ_by_the_gated_hidden_units() {
    let found = multiply_adds(&base(400), &dense(7));
    let more = found.method - found.method_stacked.unwrap();
    assert_eq!(more, 12 * 470 * 7 * 6);
}

#[test]
fn sparse_counts_the_chosen_experts_and_dense_is_all_of_them() {
    let sparse = |routing: Value| {
        let mut value = json!({ "method": "sparse-moa" });
        value
            .as_object_mut()
            .unwrap()
            .extend(routing.as_object().unwrap().clone());
        multiply_adds(&base(100), &read(value))
    };
    let (l, d, r, n) = (110, 768, 6, 7);
    let chosen = |k: u64| 12 * (l * d * n + k * l * (2 * d * r + d));
    let top = |k: u64| sparse(json!({ "routing": { "k": k } }));
    assert_eq!(top(1).method, chosen(1));
    assert_eq!(top(2).method, chosen(2));
    assert_eq!(sparse(json!({ "router": "relu" })).method, chosen(1));
    assert_eq!(top(7).method, top(7).method_stacked.unwrap());
    assert_eq!(
        top(1).method_stacked,
        multiply_adds(&base(100), &dense(7)).method_stacked
    );
    // Seven experts take ⌈110 / 7⌉ tokens each.
    let by_expert = sparse(json!({ "router": "expert-choice" }));
    assert_eq!(
        by_expert.method - 12 * l * d * n,
        12 * 7 * 16 * (2 * d * r + d)
    );
}

#[test]
fn two_places_cost_twice_as_much() {
    let houlsby = |method: MethodConfig| {
        let mut value = serde_json::to_value(&method).unwrap();
        let holder = match value.get("mixture") {
            Some(_) => &mut value["mixture"],
            None => &mut value,
        };
        holder["placement"] = serde_json::to_value(Placement::Houlsby).unwrap();
        multiply_adds(&base(100), &read(value))
    };
    for method in [single(12), dense(7), soft(7, 2)] {
        let one = multiply_adds(&base(100), &method).method;
        assert_eq!(houlsby(method).method, 2 * one);
    }
}

#[test]
fn methods_that_only_move_weights_add_nothing_and_tokens_cost_what_they_lengthen() {
    let count = |value: Value| multiply_adds(&base(100), &read(value)).method;
    for name in ["linear", "full", "bitfit", "layernorm"] {
        assert_eq!(count(json!({ "method": name })), 0, "{name}");
    }
    let (l, d) = (110u64, 768u64);
    // 25 prompts, one token removed.
    let block = |l: u64| 12 * l * d * d + 2 * l * l * d;
    let prompts = count(json!({ "method": "prompt" }));
    assert_eq!(prompts, 12 * (block(l + 24) - block(l)));
    assert_eq!(count(json!({ "method": "prompt", "deep": false })), prompts);
    assert_eq!(count(json!({ "method": "prefix" })), 12 * l * 24 * d);
    // Queries and values, R = 6.
    assert_eq!(count(json!({ "method": "lora" })), 12 * 2 * l * 6 * 2 * d);
    let conformer = json!({ "method": "adapter", "bottleneck": { "width": 8 },
        "kind": { "conformer": { "kernel": 31 } } });
    assert_eq!(count(conformer), 12 * l * (3 * d * 8 + 31 * 8));
    let convpass = json!({ "method": "adapter", "bottleneck": { "width": 8 },
        "kind": { "convpass": {} } });
    assert_eq!(count(convpass), 12 * l * (2 * d * 8 + 3 * 64));
    assert_eq!(
        count(json!({ "method": "ssf" })),
        12 * l * (7 * d + 4 * d) + 108 * d
    );
}

#[test]
fn counts_survive_being_written() {
    let counts = multiply_adds(&base(100), &dense(7));
    let text = serde_json::to_string(&counts).unwrap();
    assert_eq!(serde_json::from_str::<MultiplyAdds>(&text).unwrap(), counts);
}
