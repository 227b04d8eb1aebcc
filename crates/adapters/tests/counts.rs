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

/// N; Dense, and Soft with P = 1, 2, 4, as Pfeiffer; the same as Houlsby.
const MIXTURES: [(i64, [u64; 4], [u64; 4]); 7] = [
    (
        2,
        [276_648, 276_624, 295_056, 331_920],
        [553_296, 553_248, 590_112, 663_840],
    ),
    (
        3,
        [405_756, 405_720, 433_368, 488_664],
        [811_512, 811_440, 866_736, 977_328],
    ),
    (
        5,
        [663_972, 663_912, 709_992, 802_152],
        [1_327_944, 1_327_824, 1_419_984, 1_604_304],
    ),
    (
        7,
        [922_188, 922_104, 986_616, 1_115_640],
        [1_844_376, 1_844_208, 1_973_232, 2_231_280],
    ),
    (
        10,
        [1_309_512, 1_309_392, 1_401_552, 1_585_872],
        [2_619_024, 2_618_784, 2_803_104, 3_171_744],
    ),
    (
        14,
        [1_825_944, 1_825_776, 1_954_800, 2_212_848],
        [3_651_888, 3_651_552, 3_909_600, 4_425_696],
    ),
    (
        15,
        [1_955_052, 1_954_872, 2_093_112, 2_369_592],
        [3_910_104, 3_909_744, 4_186_224, 4_739_184],
    ),
];

#[test]
fn mixtures_have_the_published_counts_and_train_head_and_final_layernorm_besides() {
    let backbone = backbone();
    let [head, final_norm] = [50 * 768 + 50, 2 * 768];
    for (n, pfeiffer, houlsby) in MIXTURES {
        for (placement, expected) in [
            (Placement::PfeifferMhsa, pfeiffer),
            (Placement::PfeifferFfn, pfeiffer),
            (Placement::Houlsby, houlsby),
        ] {
            let mixture = mixture(n, placement);
            let dense = MethodConfig::DenseMoa(DenseMoaConfig {
                mixture: mixture.clone(),
            });
            let soft = [1, 2, 4].map(|slots| {
                MethodConfig::SoftMoa(SoftMoaConfig {
                    mixture: mixture.clone(),
                    slots,
                    ..SoftMoaConfig::default()
                })
            });
            for (method, expected) in std::iter::once(dense).chain(soft).zip(expected) {
                let counts = count(&backbone, method, 50);
                assert_eq!(counts.paper * 12 / BLOCKS, expected);
                assert_eq!(counts.all, counts.paper + head + final_norm);
            }
        }
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

/// AST-Base, 50 classes: the rows of docs/methods.md that are not counted above,
/// and the column "all" of every row.
#[test]
fn the_table_of_the_methods_has_both_counts() {
    let backbone = backbone();
    let [head, final_norm, final_bias] = [50 * 768 + 50, 2 * 768, 768];
    let adapter = |kind: &str, width: i64, placement: &str| {
        format!(
            r#"{{"method": "adapter", "bottleneck": {{"width": {width}}},
                "placement": "{placement}", "kind": {kind}}}"#
        )
    };
    let conformer = |kernel: i64| format!(r#"{{"conformer": {{"kernel": {kernel}}}}}"#);
    let simple = |name: &str| format!(r#"{{"method": "{name}"}}"#);
    let shallow = r#"{"method": "prompt", "prompts": 300, "deep": false}"#;
    let plain = r#""bottleneck""#;
    let (pfeiffer, houlsby) = ("pfeiffer-ffn", "houlsby");
    // Values that belong to no block, the authors' count, all.
    let rows = [
        (simple("bitfit"), final_bias, 102_144, 140_594),
        (shallow.to_owned(), 230_400, 230_400, 270_386),
        (simple("prompt"), 0, 230_400, 270_386),
        (simple("prefix"), 0, 221_184, 261_170),
        (simple("lora"), 0, 221_184, 261_170),
        (adapter(plain, 12, pfeiffer), 0, 248_976, 288_962),
        (adapter(plain, 12, houlsby), 0, 497_952, 537_938),
        (adapter(&conformer(31), 8, pfeiffer), 0, 270_720, 310_706),
        (adapter(&conformer(31), 8, houlsby), 0, 541_440, 581_426),
        (adapter(&conformer(8), 8, pfeiffer), 0, 268_512, 308_498),
        (adapter(&conformer(8), 8, houlsby), 0, 537_024, 577_010),
        (simple("layernorm"), 0, 36_864, 76_850),
        (simple("ssf"), 2 * 768, 204_288, 244_274),
        (simple("dense-moa"), 0, 922_188, 962_174),
        (simple("soft-moa"), 0, 922_104, 962_090),
        (simple("sparse-moa"), 0, 922_188, 962_174),
    ];
    for (json, shared, paper, all) in rows {
        let counts = count(&backbone, method(&json), 50);
        assert_eq!(in_twelve_blocks(&backbone, &json, shared), paper, "{json}");
        let common = counts.all - counts.paper;
        assert_eq!(paper + common, all, "{json}");
        // BitFit counts the bias of the final LayerNorm as its own.
        let bias_only = json.contains("bitfit");
        let expected = if bias_only { head } else { head + final_norm };
        assert_eq!(common, expected, "{json}");
    }
}

/// Routers of Sparse-MoA have the values of Dense-MoA's; the penalty of ReLU
/// routing is a buffer and none of them.
#[test]
fn sparse_mixtures_train_as_many_values_as_dense_ones() {
    let backbone = backbone();
    for (n, pfeiffer, houlsby) in MIXTURES {
        for (placement, [expected, ..]) in [("pfeiffer-mhsa", pfeiffer), ("houlsby", houlsby)] {
            for router in ["token-choice", "expert-choice", "relu"] {
                let json = format!(
                    r#"{{"method": "sparse-moa", "router": "{router}",
                        "mixture": {{"experts": {n}, "placement": "{placement}"}}}}"#
                );
                assert_eq!(in_twelve_blocks(&backbone, &json, 0), expected, "{json}");
            }
        }
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
    // Head and final LayerNorm are 25,375 of them, as in the linear probe.
    let head = count(&backbone(), MethodConfig::Linear(NoSettings {}), 31).all;
    assert_eq!(none + 12 * (one - none) - head, 85_614_336);
}
