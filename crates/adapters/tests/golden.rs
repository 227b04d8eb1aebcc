//! Every method against numbers from the authors' released program (folder
//! `reference`, which `compat = paper` must give) and from the same program
//! with the paper's arithmetic (folder `corrected`, `compat = fixed`), on a
//! tiny AST with random weights: width 32, 2 blocks, reduction rate 8, 64
//! frames, 5 classes. A file holds input, target, logits, loss, every trained
//! tensor and its gradient, in evaluation mode.

mod support;

use adapters::{
    AdapterConfig, Bottleneck, Compat, ConformerExpert, DenseMoaConfig, Expert, Insertion,
    MethodConfig, MixtureConfig, NoSettings, Placement, SoftMoaConfig,
};
use moe_routing::RouterNorm;
use support::check;

const WIDTH: Bottleneck = Bottleneck::ReductionRate(8.0);

fn mixture(experts: i64, placement: Placement) -> MixtureConfig {
    MixtureConfig {
        experts,
        bottleneck: WIDTH,
        placement,
        ..MixtureConfig::default()
    }
}

const PLACES: [(&str, Placement); 3] = [
    ("pfeiffer.mhsa", Placement::PfeifferMhsa),
    ("pfeiffer.ffn", Placement::PfeifferFfn),
    ("houlsby.mhsa", Placement::Houlsby),
];

const BOTH: [(&str, Compat); 2] = [("reference", Compat::Paper), ("corrected", Compat::Fixed)];

#[test]
fn linear_probe_and_full_fine_tuning_match() {
    check("reference", "linear", &MethodConfig::Linear(NoSettings {}));
    check("reference", "full_ft", &MethodConfig::Full(NoSettings {}));
}

#[test]
fn bitfit_prompts_prefixes_and_lora_match() {
    let method = |json: &str| {
        let method: MethodConfig = serde_json::from_str(json).unwrap();
        method.with_compat(Compat::Paper)
    };
    for (name, json) in [
        ("bitfit", r#"{"method": "bitfit"}"#),
        (
            "prompt.shallow.5",
            r#"{"method": "prompt", "prompts": 5, "deep": false}"#,
        ),
        ("prompt.deep.5", r#"{"method": "prompt", "prompts": 5}"#),
        ("prefix.6", r#"{"method": "prefix", "tokens": 6}"#),
        (
            "lora.qv",
            r#"{"method": "lora", "rank": {"reduction_rate": 8}}"#,
        ),
    ] {
        check("reference", name, &method(json));
    }
}

#[test]
fn adapters_match_in_every_form_place_and_insertion() {
    let conformer = ConformerExpert {
        kernel: 5,
        ..ConformerExpert::default()
    };
    let kinds = [
        ("bottleneck", Expert::Bottleneck),
        ("conformer", Expert::Conformer(conformer)),
    ];
    let places = [
        ("pfeiffer", Placement::PfeifferFfn),
        ("houlsby", Placement::Houlsby),
    ];
    let insertions = [
        ("parallel", Insertion::Parallel),
        ("sequential", Insertion::Sequential),
    ];
    for (form, kind) in kinds {
        for (place, placement) in places {
            for (order, insertion) in insertions {
                for (mark, residual) in [("res", true), ("nores", false)] {
                    let config = AdapterConfig {
                        kind,
                        bottleneck: WIDTH,
                        placement,
                        insertion,
                        residual: Some(residual),
                        ..AdapterConfig::default()
                    };
                    let name = format!("adapter.{place}.{order}.{mark}.{form}");
                    let method = MethodConfig::Adapter(config).with_compat(Compat::Paper);
                    check("reference", &name, &method);
                }
            }
        }
    }
}

#[test]
fn dense_moa_matches_in_both_behaviours() {
    for (folder, compat) in BOTH {
        for (place, placement) in PLACES {
            let config = DenseMoaConfig {
                mixture: mixture(4, placement),
            };
            let method = MethodConfig::DenseMoa(config).with_compat(compat);
            check(folder, &format!("dense_moa.{place}.n4"), &method);
        }
    }
}

#[test]
fn soft_moa_matches_in_both_behaviours_with_and_without_normalisation() {
    for (folder, compat) in BOTH {
        let normalised = match compat {
            Compat::Paper => RouterNorm::Coded,
            Compat::Fixed => RouterNorm::SoftMoe,
        };
        for (place, placement) in PLACES {
            let variants = [
                ("n4.p1", 4, 1, RouterNorm::Off),
                ("n3.p2", 3, 2, RouterNorm::Off),
                ("n4.p1.norm", 4, 1, normalised),
            ];
            for (mark, experts, slots, router_norm) in variants {
                let mixture = mixture(experts, placement);
                let config = SoftMoaConfig {
                    mixture,
                    slots,
                    router_norm,
                    ..SoftMoaConfig::default()
                };
                let method = MethodConfig::SoftMoa(config).with_compat(compat);
                check(folder, &format!("soft_moa.{place}.{mark}"), &method);
            }
        }
    }
}
