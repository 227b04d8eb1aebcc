//! Every method on a tiny AST whose weights are given by a formula, against
//! the figures that the authors' released program gives with the same weights:
//! width 24, 2 blocks, 3 heads, 36 mel bins, 46 frames, 5 classes, evaluation.
//!
//! The k-th tensor in the bytewise order of the authors' names has the values
//! 0.2 sin(0.7 k + 0.37 i), plus 1 for the scales of LayerNorms and BatchNorms;
//! the input is sin(0.01 i), with i the row-major index.

use std::collections::BTreeMap;

use adapters::parity::authors::{self, Naming};
use adapters::{AdaptOptions, AdaptedModel, Compat, MethodConfig};
use ast_model::{AstConfig, Checkpoint, Step, tensor_file};
use tch::{Device, Kind, Tensor, no_grad};

/// Sum of the logits [2, 5], sum of their squares, and, where known, those of
/// the first clip.
struct Expected(f64, f64, Option<[f64; 5]>);

fn config() -> AstConfig {
    AstConfig {
        hidden_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        intermediate_size: 48,
        num_mel_bins: 36,
        max_length: 46,
        ..AstConfig::base()
    }
}

fn sine(shape: &[i64], offset: f64, step: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let index = Tensor::arange(count, (Kind::Double, Device::Cpu));
    (index * step + offset).sin().reshape(shape)
}

fn is_scale(name: &str) -> bool {
    ["layernorm", "lnorm", "bnorm"]
        .iter()
        .any(|norm| name.contains(norm))
        && name.ends_with("weight")
}

/// Every tensor of the authors' model by name.
fn filled(shapes: &BTreeMap<String, Vec<i64>>) -> BTreeMap<&str, Tensor> {
    let value = |(k, (name, shape)): (usize, (&String, &Vec<i64>))| {
        let wave = sine(shape, 0.7 * k as f64, 0.37) * 0.2;
        let value = if is_scale(name) { wave + 1.0 } else { wave };
        value.to_kind(Kind::Float)
    };
    let names = shapes.keys().map(String::as_str);
    names.zip(shapes.iter().enumerate().map(value)).collect()
}

fn logits(method: &MethodConfig, naming: Naming) -> Tensor {
    let random = Checkpoint::random(&config(), 1).unwrap();
    let options = AdaptOptions::new(5);
    let names = AdaptedModel::new(&random, method, &options).unwrap();
    let mut shapes: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (name, tensor) in random.tensors() {
        shapes.insert(name.clone(), tensor.size());
    }
    for (name, tensor) in names.trained() {
        for part in authors::parts(name, &tensor.size(), naming) {
            shapes.insert(part.name, part.shape);
        }
    }
    let values = filled(&shapes);

    let folder = tempfile::tempdir().unwrap();
    let backbone = random
        .tensors()
        .keys()
        .map(|name| (name.as_str(), &values[name.as_str()]));
    tensor_file::write(&folder.path().join("model.safetensors"), backbone).unwrap();
    let text = serde_json::to_string(&config()).unwrap();
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    let (checkpoint, _) = Checkpoint::load(folder.path()).unwrap();

    let model = AdaptedModel::new(&checkpoint, method, &options).unwrap();
    for (name, tensor) in model.trained() {
        let parts: Vec<Tensor> = authors::parts(name, &tensor.size(), naming)
            .iter()
            .map(|part| values[part.name.as_str()].shallow_clone())
            .collect();
        let value = authors::assemble(name, &tensor.size(), &parts).unwrap();
        no_grad(|| tensor.shallow_clone().copy_(&value));
    }
    let input = sine(&[2, 46, 36], 0.0, 0.01).to_kind(Kind::Float);
    no_grad(|| model.forward(&input, &Step::evaluation())).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() < 1e-4 * expected.abs().max(0.1)
}

fn check(json: &str, compat: Compat, naming: Naming, expected: &Expected) {
    let method: MethodConfig = serde_json::from_str(json).unwrap();
    let found = logits(&method.with_compat(compat), naming).to_kind(Kind::Double);
    let Expected(sum, squares, first) = expected;
    let ours = found.sum(Kind::Double).double_value(&[]);
    assert!(close(ours, *sum), "{json}: sum {ours} instead of {sum}");
    let ours = found.square().sum(Kind::Double).double_value(&[]);
    assert!(
        close(ours, *squares),
        "{json}: squares {ours} instead of {squares}"
    );
    for (class, expected) in first.iter().flatten().enumerate() {
        let ours = found.double_value(&[0, class as i64]);
        assert!(
            close(ours, *expected),
            "{json}: logit {class} {ours} instead of {expected}"
        );
    }
}

const PLAIN: Naming = Naming {
    houlsby: false,
    ablation: false,
    conformer: false,
};
const HOULSBY: Naming = Naming {
    houlsby: true,
    ..PLAIN
};

#[test]
fn the_linear_probe_has_its_figures() {
    let logits = [0.130057, 0.472687, -0.680015, 1.172603, -0.685255];
    let expected = Expected(0.852166, 5.826355, Some(logits));
    let json = r#"{"method": "linear"}"#;
    check(json, Compat::Paper, PLAIN, &expected);
}

#[test]
fn mixtures_have_their_figures_in_both_behaviours() {
    let rows = [
        (
            "soft-moa",
            "pfeiffer-mhsa",
            Compat::Paper,
            1.020448,
            1.049301,
            [-0.364850, 0.518062, -0.262723, 0.413455, 0.195963],
        ),
        (
            "soft-moa",
            "pfeiffer-mhsa",
            Compat::Fixed,
            1.038770,
            0.886753,
            [-0.258701, 0.432118, -0.221865, 0.429514, 0.127638],
        ),
        (
            "soft-moa",
            "pfeiffer-ffn",
            Compat::Paper,
            1.051877,
            0.787495,
            [-0.254386, 0.411418, -0.190773, 0.397031, 0.152107],
        ),
        (
            "soft-moa",
            "houlsby",
            Compat::Fixed,
            1.327666,
            3.931222,
            [0.668343, -0.467678, 0.390177, 0.282420, -0.232802],
        ),
        (
            "dense-moa",
            "pfeiffer-mhsa",
            Compat::Paper,
            1.001229,
            3.166480,
            [-0.874742, 0.830881, -0.287903, 0.143706, 0.682545],
        ),
        (
            "dense-moa",
            "pfeiffer-mhsa",
            Compat::Fixed,
            0.997221,
            3.004779,
            [-0.872985, 0.841636, -0.308056, 0.167423, 0.662130],
        ),
        (
            "dense-moa",
            "pfeiffer-ffn",
            Compat::Fixed,
            0.989301,
            3.030107,
            [-0.881289, 0.865728, -0.340961, 0.199614, 0.639973],
        ),
        (
            "dense-moa",
            "houlsby",
            Compat::Paper,
            1.019383,
            1.310171,
            [-0.516220, 0.628477, -0.300215, 0.367171, 0.312625],
        ),
    ];
    for (method, placement, compat, sum, squares, first) in rows {
        let slots = if method == "soft-moa" {
            r#""slots": 2, "#
        } else {
            ""
        };
        let json = format!(
            r#"{{"method": "{method}", {slots}"mixture": {{"experts": 3,
                "bottleneck": {{"reduction_rate": 8}}, "placement": "{placement}"}}}}"#
        );
        let naming = if placement == "houlsby" {
            HOULSBY
        } else {
            PLAIN
        };
        check(&json, compat, naming, &Expected(sum, squares, Some(first)));
    }
}

#[test]
fn adapters_have_their_figures_in_every_insertion() {
    let parallel = [0.765687, -0.783314, 0.832724, -0.158913, 0.079544];
    let added = [0.387046, -0.315170, 0.410613, 0.094957, 0.067413];
    let rows = [
        (
            "pfeiffer-ffn",
            "parallel",
            false,
            1.537836,
            6.707810,
            Some(parallel),
        ),
        (
            "pfeiffer-ffn",
            "parallel",
            true,
            1.351501,
            2.800229,
            Some(added),
        ),
        ("pfeiffer-ffn", "sequential", true, 1.569430, 7.773616, None),
        (
            "pfeiffer-ffn",
            "sequential",
            false,
            1.415656,
            7.710133,
            None,
        ),
        ("houlsby", "parallel", false, 1.447694, 5.816718, None),
        ("houlsby", "parallel", true, 1.220372, 2.167752, None),
        ("houlsby", "sequential", true, 1.462289, 6.406826, None),
        ("houlsby", "sequential", false, 1.270615, 2.691536, None),
    ];
    for (placement, insertion, residual, sum, squares, first) in rows {
        let json = format!(
            r#"{{"method": "adapter", "bottleneck": {{"reduction_rate": 8}},
                "placement": "{placement}", "insertion": "{insertion}", "residual": {residual}}}"#
        );
        check(&json, Compat::Paper, PLAIN, &Expected(sum, squares, first));
    }
    let conformer = [-1.808349, 1.885055, -1.157445, 0.576871, 0.811165];
    let expected = Expected(0.613095, 16.710851, Some(conformer));
    let json = r#"{"method": "adapter", "bottleneck": {"reduction_rate": 8},
        "kind": {"conformer": {"kernel": 5}}}"#;
    let naming = Naming {
        conformer: true,
        ..PLAIN
    };
    check(json, Compat::Paper, naming, &expected);
}

#[test]
fn the_ablation_of_places_has_its_figures() {
    let naming = Naming {
        ablation: true,
        ..PLAIN
    };
    let rows = [
        ("pfeiffer-mhsa", "parallel", "before", 1.510201, 6.013147),
        ("pfeiffer-mhsa", "parallel", "after", 1.565217, 7.748669),
        ("pfeiffer-mhsa", "sequential", "before", 1.507090, 5.925629),
        ("pfeiffer-mhsa", "sequential", "after", 1.565217, 7.748669),
        ("pfeiffer-ffn", "parallel", "before", 1.537835, 6.707809),
        ("pfeiffer-ffn", "parallel", "after", 1.569430, 7.773615),
        ("pfeiffer-ffn", "sequential", "before", 1.544100, 6.716919),
        ("pfeiffer-ffn", "sequential", "after", 1.569430, 7.773615),
    ];
    for (placement, insertion, position, sum, squares) in rows {
        let json = format!(
            r#"{{"method": "adapter", "bottleneck": {{"reduction_rate": 8}},
                "placement": "{placement}", "insertion": "{insertion}",
                "position": "{position}"}}"#
        );
        check(&json, Compat::Paper, naming, &Expected(sum, squares, None));
    }
    // Repaired, sequential insertion after the sub-layer is that of the main
    // class without residual.
    let json = r#"{"method": "adapter", "bottleneck": {"reduction_rate": 8},
        "insertion": "sequential", "position": "after"}"#;
    let expected = Expected(1.415656, 7.710133, None);
    check(json, Compat::Fixed, PLAIN, &expected);
}

#[test]
fn lora_and_prefixes_have_their_figures() {
    let json = r#"{"method": "lora", "rank": {"reduction_rate": 8}, "alpha": 4}"#;
    let first = [0.263387, -0.340533, 0.577654, -0.165401, 0.345712];
    let expected = Expected(1.453108, 3.505496, Some(first));
    check(json, Compat::Paper, PLAIN, &expected);
    let json = r#"{"method": "prefix", "tokens": 4}"#;
    let first = [-1.566166, 1.070950, -0.007112, -0.576650, 1.633913];
    let expected = Expected(1.144839, 10.895247, Some(first));
    check(json, Compat::Paper, PLAIN, &expected);
}

#[test]
fn prompts_have_their_figures_in_every_pooling() {
    let rows = [
        ("all", (0.707682, 7.002313), (0.840579, 5.982853)),
        ("cls", (0.560697, 11.910650), (0.757120, 8.975942)),
        ("prompts", (0.726762, 10.076337), (0.790108, 8.880752)),
        ("patches", (0.715160, 7.160242), (0.860151, 5.257584)),
        (
            "prompts_patches",
            (0.717480, 6.750680),
            (0.846143, 5.821535),
        ),
    ];
    for (pooling, deep, shallow) in rows {
        for (is_deep, (sum, squares)) in [(true, deep), (false, shallow)] {
            let json = format!(
                r#"{{"method": "prompt", "prompts": 3, "deep": {is_deep},
                    "pooling": "{pooling}"}}"#
            );
            check(&json, Compat::Paper, PLAIN, &Expected(sum, squares, None));
        }
    }
}
