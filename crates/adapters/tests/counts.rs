//! Exact numbers of trained values, against those counted on the authors'
//! classes (AST-Base, head and final LayerNorm left out).

use adapters::{
    AdaptOptions, AdaptedModel, AdapterConfig, Bottleneck, DenseMoaConfig, MethodConfig,
    MixtureConfig, NoSettings, ParameterCounts, Placement, SoftMoaConfig,
};
use ast_model::{AstConfig, Checkpoint};

/// AST-Base is 12 equal blocks: two of them give a sixth of every count.
const BLOCKS: u64 = 2;

fn backbone() -> Checkpoint {
    let config = AstConfig {
        num_hidden_layers: BLOCKS as usize,
        max_length: 16,
        ..AstConfig::base()
    };
    Checkpoint::random(&config, 1).unwrap()
}

fn count(backbone: &Checkpoint, method: MethodConfig, classes: i64) -> ParameterCounts {
    AdaptedModel::new(backbone, &method, &AdaptOptions::new(classes))
        .unwrap()
        .counts()
}

fn for_twelve_blocks(backbone: &Checkpoint, method: MethodConfig) -> u64 {
    count(backbone, method, 50).paper * 12 / BLOCKS
}

fn mixture(experts: i64, placement: Placement) -> MixtureConfig {
    MixtureConfig {
        experts,
        placement,
        ..MixtureConfig::default()
    }
}

#[test]
fn the_linear_probe_has_head_and_final_layernorm() {
    let backbone = backbone();
    for (classes, expected) in [(10, 9_226), (50, 39_986), (31, 25_375), (35, 28_451)] {
        assert_eq!(
            count(&backbone, MethodConfig::Linear(NoSettings {}), classes).all,
            expected
        );
        assert_eq!(
            count(&backbone, MethodConfig::Linear(NoSettings {}), classes).paper,
            0
        );
    }
}

#[test]
fn single_adapters_have_the_published_counts() {
    let backbone = backbone();
    for (width, pfeiffer, houlsby) in [
        (12, 248_976, 497_952),
        (8, 175_200, 350_400),
        (6, 138_312, 276_624),
        (48, 912_960, 1_825_920),
    ] {
        for (placement, expected) in [
            (Placement::PfeifferFfn, pfeiffer),
            (Placement::Houlsby, houlsby),
        ] {
            let bottleneck = Bottleneck::Width(width);
            let config = AdapterConfig {
                bottleneck,
                placement,
                ..AdapterConfig::default()
            };
            assert_eq!(
                for_twelve_blocks(&backbone, MethodConfig::Adapter(config)),
                expected
            );
        }
    }
}

#[test]
fn mixtures_have_the_published_counts() {
    let backbone = backbone();
    // N, Dense Pfeiffer, Soft Pfeiffer P=1, Soft Pfeiffer P=2, Dense Houlsby, Soft Houlsby P=1
    let table = [
        (2, 276_648, 276_624, 295_056, 553_296, 553_248),
        (7, 922_188, 922_104, 986_616, 1_844_376, 1_844_208),
        (15, 1_955_052, 1_954_872, 2_093_112, 3_910_104, 3_909_744),
    ];
    let dense = |n, placement| {
        for_twelve_blocks(
            &backbone,
            MethodConfig::DenseMoa(DenseMoaConfig {
                mixture: mixture(n, placement),
            }),
        )
    };
    let soft = |n, slots, placement| {
        let mixture = mixture(n, placement);
        for_twelve_blocks(
            &backbone,
            MethodConfig::SoftMoa(SoftMoaConfig {
                mixture,
                slots,
                ..SoftMoaConfig::default()
            }),
        )
    };
    for (n, dense_pf, soft_pf, soft_pf2, dense_ho, soft_ho) in table {
        assert_eq!(dense(n, Placement::PfeifferMhsa), dense_pf);
        assert_eq!(soft(n, 1, Placement::PfeifferMhsa), soft_pf);
        assert_eq!(soft(n, 2, Placement::PfeifferFfn), soft_pf2);
        assert_eq!(dense(n, Placement::Houlsby), dense_ho);
        assert_eq!(soft(n, 1, Placement::Houlsby), soft_ho);
    }
}

fn method(json: &str) -> MethodConfig {
    serde_json::from_str(json).unwrap()
}

/// `shared` values of the count belong to no block.
fn in_twelve_blocks(backbone: &Checkpoint, json: &str, shared: u64) -> u64 {
    (count(backbone, method(json), 50).paper - shared) * 12 / BLOCKS + shared
}

#[test]
fn conformer_and_convpass_adapters_have_the_published_counts() {
    let backbone = backbone();
    // R, kernel, Pfeiffer, Houlsby
    let table = [(8, 31, 270_720, 541_440), (8, 8, 268_512, 537_024)];
    for (width, kernel, pfeiffer, houlsby) in table {
        for (placement, expected) in [("pfeiffer-ffn", pfeiffer), ("houlsby", houlsby)] {
            // The LayerNorm counts whether its result is used or not.
            for norm in ["applied", "unused"] {
                let json = format!(
                    r#"{{"method": "adapter", "bottleneck": {{"width": {width}}},
                        "placement": "{placement}", "kind": {{"conformer":
                        {{"kernel": {kernel}, "input_norm": "{norm}"}}}}}}"#
                );
                assert_eq!(in_twelve_blocks(&backbone, &json, 0), expected);
            }
        }
    }
    // 2 D R + R + D for the linear maps, 3 R² + R for the convolution, 2 D for
    // the LayerNorm.
    let expected = 12 * (2 * 768 * 6 + 6 + 768 + 3 * 36 + 6 + 1536);
    for used in ["true", "false"] {
        let json = format!(
            r#"{{"method": "adapter", "bottleneck": {{"width": 6}},
                "kind": {{"convpass": {{"use_convolution": {used}}}}}}}"#
        );
        assert_eq!(in_twelve_blocks(&backbone, &json, 0), expected);
    }
    let json = r#"{"method": "soft-moa", "slots": 2, "mixture": {"expert": {"convpass": {}}}}"#;
    assert_eq!(in_twelve_blocks(&backbone, json, 0), 996_192);
    let json = r#"{"method": "soft-moa", "router_norm": "coded"}"#;
    assert_eq!(in_twelve_blocks(&backbone, json, 0), 922_116);
}

#[test]
fn lora_has_the_published_counts_for_every_set_of_maps() {
    let backbone = backbone();
    let table = [
        ("qv", 6, 221_184),
        ("q", 12, 221_184),
        ("qk", 12, 442_368),
        ("qv", 12, 442_368),
        ("qkvo", 12, 884_736),
        // R (D + 4 D) for either map of the feed-forward sub-layer.
        ("ffn", 12, 12 * 2 * 12 * 5 * 768),
    ];
    for (targets, rank, expected) in table {
        let json =
            format!(r#"{{"method": "lora", "targets": "{targets}", "rank": {{"width": {rank}}}}}"#);
        assert_eq!(in_twelve_blocks(&backbone, &json, 0), expected);
        // rsLoRA adds nothing, DoRA one value for each row of each matrix.
        let scaled = json.replace("}}", r#"}, "scaling": "rank_stabilised"}"#);
        assert_eq!(in_twelve_blocks(&backbone, &scaled, 0), expected);
    }
    let json = r#"{"method": "lora", "dora": true}"#;
    let expected = 221_184 + 12 * 2 * 768;
    assert_eq!(in_twelve_blocks(&backbone, json, 0), expected);
}

#[test]
fn prompts_prefixes_and_tuned_vectors_have_the_published_counts() {
    let backbone = backbone();
    let shallow = r#"{"method": "prompt", "prompts": 300, "deep": false}"#;
    let final_bias = 768;
    let patches = 2 * 768;
    for (json, shared, expected) in [
        (r#"{"method": "prompt"}"#, 0, 230_400),
        (shallow, 230_400, 230_400),
        (r#"{"method": "prefix"}"#, 0, 221_184),
        (r#"{"method": "bitfit"}"#, final_bias, 102_144),
        (r#"{"method": "layernorm"}"#, 0, 12 * 4 * 768),
        (r#"{"method": "ssf"}"#, patches, 12 * 22 * 768 + patches),
    ] {
        assert_eq!(
            in_twelve_blocks(&backbone, json, shared),
            expected,
            "{json}"
        );
    }
}

#[test]
fn full_fine_tuning_has_the_published_count() {
    // Fluent Speech Commands: 400 frames, 31 classes.
    let blocks = |num_hidden_layers: usize| {
        let config = AstConfig {
            num_hidden_layers,
            max_length: 400,
            ..AstConfig::base()
        };
        let backbone = Checkpoint::random(&config, 1).unwrap();
        count(&backbone, MethodConfig::Full(NoSettings {}), 31).all
    };
    let (none, one) = (blocks(0), blocks(1));
    assert_eq!(none + 12 * (one - none), 85_639_711);
}
