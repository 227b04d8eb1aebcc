//! `soft-moa parity` from the command line, on golden folders that are made
//! here: of another size than anyone else's, so that nothing can be built in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
use ast_model::{AstConfig, AstModel, BindOptions, Checkpoint, Pooling, Step, init, tensor_file};
use serde_json::{Value, json};
use tch::{Kind, Tensor, no_grad};
use tempfile::TempDir;

const FRAMES: i64 = 56;
const BINS: i64 = 36;
const CLASSES: i64 = 4;

/// Exit code and everything the program printed.
fn run(golden: &Path) -> (Option<i32>, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
    let output = program.args(["parity", "--golden"]).arg(golden).output();
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    tensor_file::write(path, tensors.iter().map(|(name, t)| (name.as_str(), t))).unwrap();
}

fn backbone() -> Checkpoint {
    let config = AstConfig {
        hidden_size: 24,
        num_attention_heads: 3,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_mel_bins: BINS,
        max_length: FRAMES,
        ..AstConfig::base()
    };
    Checkpoint::random(&config, 11).unwrap()
}

/// One of our tensors as the authors' program would name and split it
/// (mixtures of the configuration Houlsby).
fn authors(name: &str, tensor: &Tensor) -> Vec<(String, Tensor)> {
    if name.starts_with("classification_head.") {
        return vec![(name.to_owned(), tensor.shallow_clone())];
    }
    let (stem, leaf) = name.rsplit_once('.').unwrap();
    let Some((block, place)) = stem.split_once(".moa_") else {
        return vec![(format!("model.{name}"), tensor.shallow_clone())];
    };
    let part = match leaf {
        "phi" => {
            let theirs = format!("model.{block}.moa_{place}.slot_params");
            return vec![(theirs, tensor.shallow_clone())];
        }
        "down" => "linear_downsample.weight",
        "down_bias" => "linear_downsample.bias",
        "up" => "linear_upsample.weight",
        "up_bias" => "linear_upsample.bias",
        other => panic!("{other}"),
    };
    let split = |n: i64| {
        let expert = tensor.select(0, n);
        match part.ends_with("bias") {
            true => expert,
            false => expert.transpose(0, 1),
        }
    };
    let experts = 0..tensor.size()[0];
    experts
        .map(|n| {
            (
                format!("model.{block}.moa_{place}.moa.{n}.{part}"),
                split(n),
            )
        })
        .collect()
}

/// A method's file from our own model's numbers, and its manifest entry without
/// the settings.
fn method_file(
    path: &Path,
    method: Value,
    pooling: Pooling,
    names: fn(&str, &Tensor) -> Vec<(String, Tensor)>,
) -> Value {
    let options = AdaptOptions {
        pooling,
        ..AdaptOptions::new(CLASSES)
    };
    let method: MethodConfig = serde_json::from_value(method).unwrap();
    let model = AdaptedModel::new(&backbone(), &method, &options).unwrap();
    let mut file = BTreeMap::new();
    for (name, tensor) in model.trained() {
        let noise = init::normal(5, name, &tensor.size(), 0.1);
        let _ = no_grad(|| tensor.shallow_clone().g_add_(&noise));
    }
    let input = init::normal(6, "input", &[3, FRAMES, BINS], 1.0);
    let target = Tensor::from_slice(&[0i64, 3, 1]);
    let logits = model.forward(&input, &Step::evaluation()).unwrap();
    let loss = logits.cross_entropy_for_logits(&target);
    loss.backward();
    for (name, tensor) in model.trained() {
        for (kind, value) in [("trainable", tensor.detach()), ("grad", tensor.grad())] {
            for (theirs, value) in names(name, &value) {
                file.insert(format!("{kind}.{theirs}"), value);
            }
        }
    }
    let own = [
        ("input", input),
        ("target", target.to_kind(Kind::Float)),
        ("logits", logits.detach()),
        ("loss", loss.detach()),
    ];
    file.extend(own.map(|(name, tensor)| (name.to_owned(), tensor)));
    write(path, &file);
    let name = path.file_name().unwrap().to_str().unwrap();
    json!({ "file": name, "trainable_parameters": model.counts().all, "method": "ours" })
}

fn ours(name: &str, tensor: &Tensor) -> Vec<(String, Tensor)> {
    vec![(name.to_owned(), tensor.shallow_clone())]
}

/// A golden folder of three blocks of width 24 without a front end.
fn golden() -> TempDir {
    let folder = TempDir::new().unwrap();
    let models = folder.path().join("models");
    let corrected = models.join("corrected");
    let backbone = backbone();
    backbone.save(&models).unwrap();
    fs::create_dir(&corrected).unwrap();
    for (from, to) in [
        ("config.json", "backbone.config.json"),
        ("model.safetensors", "backbone.safetensors"),
    ] {
        fs::rename(models.join(from), models.join(to)).unwrap();
    }
    let model = AstModel::bind(&backbone, &BindOptions::frozen()).unwrap();
    let input = init::normal(7, "input", &[2, FRAMES, BINS], 1.0);
    let states = model.hidden_states(&input).unwrap();
    let mut plain: BTreeMap<String, Tensor> = BTreeMap::new();
    let last = model.final_layernorm(&states[3]);
    plain.insert("pooler_output".into(), Pooling::ClsDist.pool(&last));
    plain.insert("last_hidden_state".into(), last);
    plain.insert("input".into(), input);
    for (i, state) in states.into_iter().enumerate() {
        plain.insert(format!("hidden_states.{i}"), state);
    }
    write(&models.join("backbone.io.safetensors"), &plain);

    let soft = json!({
        "method": "soft-moa", "slots": 2,
        "mixture": { "experts": 2, "placement": "houlsby", "bottleneck": { "reduction_rate": 6.0 } },
    });
    let path = corrected.join("soft.safetensors");
    let mut first = method_file(&path, soft, Pooling::All, authors);
    let settings = json!({
        "method": "Soft-MoA", "configuration": "Houlsby", "location": "both", "experts": 2,
        "slots": 2, "normalize": false, "reduction_rate": 6, "expert": "bottleneck",
    });
    let fields = first.as_object_mut().unwrap();
    fields.extend(settings.as_object().unwrap().clone());
    let sparse = json!({
        "method": "sparse-moa", "mixture": { "experts": 3, "bottleneck": { "width": 2 } },
    });
    let path = corrected.join("sparse.safetensors");
    let mut second = method_file(&path, sparse.clone(), Pooling::Cls, ours);
    second["config"] = sparse;
    second["pooling"] = json!("cls");
    let manifest = json!([first, second]).to_string();
    fs::write(corrected.join("manifest.json"), manifest).unwrap();
    folder
}

fn edit_manifest(golden: &Path, from: &str, to: &str) {
    let path = golden.join("models/corrected/manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

/// Adds `change` to the first value of one tensor.
fn edit_tensor(path: &Path, name: &str, change: f64) {
    let mut tensors = tensor_file::read(path).unwrap();
    let changed = tensors[name].copy();
    let _ = changed.flatten(0, -1).get(0).g_add_scalar_(change);
    tensors.insert(name.to_owned(), changed);
    write(path, &tensors);
}

fn assert_fails(golden: &Path, words: &[&str]) {
    let (code, text) = run(golden);
    assert_eq!(code, Some(1), "{text}");
    for word in words {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn a_folder_of_another_size_passes_and_absent_parts_are_said() {
    let golden = golden();
    let (code, text) = run(golden.path());
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "3 of 3 passed",
        "absent: frontend/",
        "absent: models/reference/",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("FAIL"), "{text}");
}

#[test]
fn a_changed_number_fails_and_says_which() {
    let golden = golden();
    let soft = golden.path().join("models/corrected/soft.safetensors");
    let gradient = "grad.model.encoder.layer.1.moa_ffn.moa.1.linear_upsample.weight";
    edit_tensor(&soft, gradient, 0.01);
    assert_fails(
        golden.path(),
        &[
            "2 of 3 passed",
            "FAIL models/corrected/soft.safetensors: gradient of encoder.layer.1.moa_ffn.up off",
        ],
    );
    edit_tensor(&soft, gradient, -0.01);
    edit_tensor(&soft, "logits", 1e-4);
    assert_fails(golden.path(), &["logits off by 1.0e-4, allowed 1e-5"]);
    edit_tensor(&soft, "logits", f64::NAN);
    assert_fails(golden.path(), &["logits off by NaN"]);
    let plain = golden.path().join("models/backbone.io.safetensors");
    edit_tensor(&plain, "hidden_states.2", 1e-3);
    assert_fails(
        golden.path(),
        &["hidden states off by 1.0e-3", "1 of 3 passed"],
    );
}

#[test]
fn an_unknown_method_fails_and_is_not_passed_over() {
    let golden = golden();
    edit_manifest(golden.path(), "\"Soft-MoA\"", "\"Softer-MoA\"");
    assert_fails(
        golden.path(),
        &["2 of 3 passed", "\"Softer-MoA\" is not known"],
    );
}

#[test]
fn settings_counts_and_files_that_do_not_fit_fail() {
    let changes = [
        ("\"slots\":2", "\"slots\":3", "does not give [24, 2, 3]"),
        ("\"slots\":2", "\"slots\":2,\"heat\":1", "\"heat\""),
        (
            "\"trainable_parameters\":",
            "\"trainable_parameters\":9",
            "the manifest says 9",
        ),
        ("\"cls\"", "\"all\"", "logits off"),
        (
            "sparse.safetensors",
            "gone.safetensors",
            "not in manifest.json",
        ),
        ("[", "{", "manifest.json"),
    ];
    for (from, to, word) in changes {
        let golden = golden();
        edit_manifest(golden.path(), from, to);
        assert_fails(golden.path(), &[word]);
    }
}

#[test]
fn a_gradient_too_many_or_too_few_fails() {
    let golden = golden();
    let path = golden.path().join("models/corrected/soft.safetensors");
    let mut tensors = tensor_file::read(&path).unwrap();
    let gradient = tensors.remove("grad.model.layernorm.bias").unwrap();
    write(&path, &tensors);
    assert_fails(golden.path(), &["layernorm.bias should get no gradient"]);
    tensors.insert("grad.model.layernorm.bias".into(), gradient);
    tensors.insert("trainable.extra".into(), Tensor::from_slice(&[1f32]));
    write(&path, &tensors);
    assert_fails(golden.path(), &["values named trainable in the file"]);
}

#[test]
fn a_damaged_file_fails_and_the_others_are_compared_all_the_same() {
    let golden = golden();
    let path = golden.path().join("models/corrected/soft.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert_fails(golden.path(), &["2 of 3 passed", "damaged"]);
    fs::write(golden.path().join("models/backbone.config.json"), "{}").unwrap();
    assert_fails(golden.path(), &["backbone.config.json", "0 of 1 passed"]);
}

#[test]
fn the_front_end_is_compared_too() {
    let golden = TempDir::new().unwrap();
    let frontend = golden.path().join("frontend");
    fs::create_dir(&frontend).unwrap();
    let (code, text) = run(golden.path());
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nothing to compare with"), "{text}");

    let samples: Vec<f32> = (0..3000)
        .map(|n| ((7919 * n) % 1000) as f32 / 1e3)
        .collect();
    let fbank = audio_frontend::Fbank::new(audio_frontend::FbankConfig::default()).unwrap();
    let energies = fbank.compute(&samples).unwrap();
    let energies: Vec<f32> = energies.iter().copied().collect();
    let mut config = audio_frontend::PipelineConfig::default();
    config.ast.max_length = 20;
    let extractor = audio_frontend::Extractor::new(config).unwrap();
    let input = extractor.extract(&samples, 16_000).unwrap();
    let input: Vec<f32> = input.iter().copied().collect();
    let matrix = |values: &[f32]| Tensor::from_slice(values).view([-1, 128]);
    let tensors = [
        ("a.waveform", Tensor::from_slice(&samples)),
        ("a.fbank", matrix(&energies)),
        ("a.ast_input_20", matrix(&input)),
    ];
    let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
    let path = frontend.join("fbank.safetensors");
    write(&path, &tensors.into());
    let (code, text) = run(golden.path());
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("absent: frontend/resample.safetensors"),
        "{text}"
    );
    edit_tensor(&path, "a.fbank", 2e-3);
    assert_fails(golden.path(), &["log-mel off by 2.0e-3"]);
    edit_tensor(&path, "a.fbank", -2e-3);
    edit_tensor(&path, "a.ast_input_20", 2e-3);
    assert_fails(golden.path(), &["AST input off by 2.0e-3"]);
    fs::write(frontend.join("odd.safetensors"), "x").unwrap();
    assert_fails(golden.path(), &["odd.safetensors"]);
}
