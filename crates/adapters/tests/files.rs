//! Adapter folders: the same bits after a reload, whatever was saved; errors
//! that say what to do, never a panic, for everything else.

#[path = "support/small.rs"]
mod small;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use adapters::{AdaptOptions, AdaptedModel, AdapterError, Head, MethodConfig, load, save};
use ast_model::{Checkpoint, Pooling, Step, tensor_file};
use proptest::prelude::*;
use serde_json::{Value, json};
use small::{backbone, description, input, logits, method, methods, options, trained};
use tch::{Kind, Tensor};
use tempfile::TempDir;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Options of models that `method` can have.
fn all_options(method: &MethodConfig, blocks: usize) -> Vec<AdaptOptions> {
    let head = AdaptOptions {
        head: Head::NormLinear,
        pooling: Pooling::Cls,
        ..options()
    };
    let late = AdaptOptions {
        first_block: blocks - 1,
        ..options()
    };
    let mut list = vec![options(), head];
    if !["prompt", "ssf"].contains(&method.name()) {
        list.push(late);
    }
    list
}

#[test]
fn a_reloaded_adapter_gives_the_same_bits_for_every_method_and_size() {
    for (width, blocks) in [(16, 1), (24, 2)] {
        let backbone = backbone(width, blocks);
        for method in methods() {
            for options in all_options(&method, blocks) {
                let model = trained(&backbone, &method, &options);
                let told = description(&method, &backbone, &options);
                let folder = TempDir::new().unwrap();
                let bytes = save(folder.path(), &model, &told).unwrap();
                assert!(bytes > 4 * model.counts().all);
                let (again, found) = load(folder.path(), &backbone, &AdaptOptions::new(1)).unwrap();
                assert_eq!(found, told);
                let name = method.name();
                assert_eq!(
                    logits(&again, &input(6)),
                    logits(&model, &input(6)),
                    "{name}"
                );
                for ((name, ours), (_, theirs)) in again.buffers().iter().zip(model.buffers()) {
                    assert_eq!(ours, theirs, "{name}");
                }
            }
        }
    }
}

fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(folder)
}

/// `examples/adapter_fixture.rs` writes such folders.
#[test]
fn adapters_of_every_format_version_load_and_give_their_logits() {
    let (backbone, _) = Checkpoint::load(&fixtures("golden")).unwrap();
    let linear = fixtures("golden/reference/linear.safetensors");
    let input = tensor_file::read(&linear).unwrap().remove("input").unwrap();
    let mut seen = Vec::new();
    for version in fs::read_dir(fixtures("formats")).unwrap() {
        let version = version.unwrap();
        for folder in fs::read_dir(version.path()).unwrap() {
            let folder = folder.unwrap().path();
            let (model, description) = load(&folder, &backbone, &AdaptOptions::new(1)).unwrap();
            assert_eq!(
                version.file_name().to_str().unwrap(),
                format!("v{}", description.format_version)
            );
            let expected = tensor_file::read(&folder.join("expected.safetensors")).unwrap();
            let input = input.copy();
            if description.mask_padding {
                let _ = input.narrow(1, 32, 32).fill_(-0.5);
            }
            let found = logits(&model, &input);
            let error = small::difference(&found, &expected["logits"]);
            assert!(error < 1e-6, "{}: {error}", folder.display());
            seen.push((description.format_version, description.method.name()));
        }
    }
    seen.sort_unstable();
    let expected = [
        (1, "adapter"),
        (1, "soft-moa"),
        (2, "adapter"),
        // Conformer: running statistics, another head, padding masked.
        (2, "adapter"),
        (2, "lora"),
        (2, "soft-moa"),
        // ReLU routing from the second block on.
        (2, "sparse-moa"),
    ];
    assert_eq!(seen, expected);
}

/// A folder with a saved adapter, and the backbone it belongs to.
struct Saved {
    folder: TempDir,
    backbone: Checkpoint,
}

impl Saved {
    fn new() -> Self {
        let backbone = backbone(16, 1);
        let method = soft();
        let folder = TempDir::new().unwrap();
        let model = trained(&backbone, &method, &options());
        let told = description(&method, &backbone, &options());
        save(folder.path(), &model, &told).unwrap();
        Saved { folder, backbone }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<AdaptedModel, AdapterError> {
        load(self.folder.path(), &self.backbone, &AdaptOptions::new(1)).map(|(model, _)| model)
    }

    fn error(&self) -> String {
        self.load().err().expect("it loads").to_string()
    }

    /// Changes the description.
    fn describe(&self, change: impl FnOnce(&mut Value)) {
        let text = fs::read(self.at(CONFIG)).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        change(&mut value);
        fs::write(self.at(CONFIG), value.to_string()).unwrap();
    }

    /// Makes it a folder of version 1, whose weights nobody vouches for.
    fn without_digest(self) -> Self {
        self.describe(|value| {
            value["format_version"] = 1.into();
            for field in ["weights_sha256", "head", "first_block"] {
                value.as_object_mut().unwrap().remove(field);
            }
        });
        self
    }

    /// Changes the weights.
    fn reweigh(&self, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
        let mut tensors = tensor_file::read(&self.at(WEIGHTS)).unwrap();
        change(&mut tensors);
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        tensor_file::write(&self.at(WEIGHTS), tensors).unwrap();
    }
}

fn soft() -> MethodConfig {
    let mixture = json!({ "experts": 2, "bottleneck": { "width": 3 } });
    method(json!({ "method": "soft-moa", "mixture": mixture }))
}

#[test]
fn descriptions_that_cannot_be_used_are_refused_with_the_reason() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 10] = [
        (|v| v["format_version"] = 3.into(), "reads versions 1 to 2"),
        (|v| v["format_version"] = "2".into(), "format version 0"),
        (|v| v["novelty"] = 1.into(), "novelty"),
        (|v| v["method"]["slotz"] = 1.into(), "slotz"),
        (|v| v["method"]["method"] = "hard-moa".into(), "hard-moa"),
        (|v| v["labels"] = json!([]), "labels are empty"),
        (|v| v["head"] = "deep".into(), "deep"),
        (|v| v["method"]["slots"] = 0.into(), "slots"),
        (|v| v["first_block"] = 2.into(), "first_block"),
        (|v| v["weights_sha256"] = Value::Null, "weights_sha256"),
    ];
    for (change, word) in changes {
        let saved = Saved::new();
        saved.describe(change);
        let error = saved.error();
        assert!(error.contains(word), "{word}: {error}");
    }
    for text in ["", "null", "[]", "{", "\u{0}"] {
        let saved = Saved::new();
        fs::write(saved.at(CONFIG), text).unwrap();
        assert!(saved.error().contains("adapter description"), "{text:?}");
    }
    fs::remove_file(Saved::new().at(CONFIG)).unwrap();
    let saved = Saved::new();
    fs::remove_file(saved.at(CONFIG)).unwrap();
    assert!(matches!(saved.load(), Err(AdapterError::Io { .. })));
}

#[test]
fn another_backbone_is_named() {
    let mut saved = Saved::new();
    saved.backbone = backbone(16, 2);
    let error = saved.error();
    assert!(
        error.contains("load the backbone it was trained on"),
        "{error}"
    );
}

#[test]
fn weights_of_another_run_are_refused() {
    let saved = Saved::new();
    saved.reweigh(|tensors| {
        let changed = &tensors["layernorm.bias"] + 1e-3;
        tensors.insert("layernorm.bias".into(), changed);
    });
    assert!(matches!(
        saved.load(),
        Err(AdapterError::WrongWeights { .. })
    ));
    fs::remove_file(saved.at(WEIGHTS)).unwrap();
    assert!(matches!(saved.load(), Err(AdapterError::Io { .. })));
}

#[test]
fn tensors_that_do_not_fit_are_named_whatever_vouches_for_them() {
    type Change = fn(&mut BTreeMap<String, Tensor>);
    let name = "encoder.layer.0.moa_mhsa.up";
    let changes: [(Change, &str); 4] = [
        (
            |t| drop(t.remove("encoder.layer.0.moa_mhsa.up")),
            "is missing",
        ),
        (
            |t| {
                drop(t.insert(
                    "encoder.layer.0.moa_mhsa.up".into(),
                    Tensor::zeros([2, 3], tch::kind::FLOAT_CPU),
                ))
            },
            "instead of [2, 3, 16]",
        ),
        (
            |t| {
                let bad = &t["encoder.layer.0.moa_mhsa.up"] * f64::NAN;
                t.insert("encoder.layer.0.moa_mhsa.up".into(), bad);
            },
            "not finite",
        ),
        (
            |t| {
                let extra = t["encoder.layer.0.moa_mhsa.up"].copy();
                t.insert("encoder.layer.0.moa_mhsa.up2".into(), extra);
            },
            "is not part of the method",
        ),
    ];
    for (change, word) in changes {
        let saved = Saved::new().without_digest();
        saved.load().unwrap();
        saved.reweigh(change);
        let error = saved.error();
        assert!(
            error.contains(word) && error.contains(name),
            "{word}: {error}"
        );
    }
}

#[test]
fn weights_of_another_kind_are_refused() {
    let saved = Saved::new().without_digest();
    let tensors = tensor_file::read(&saved.at(WEIGHTS)).unwrap();
    let halves: Vec<(&str, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor.to_kind(Kind::Half)))
        .collect();
    Tensor::write_safetensors(&halves, saved.at(WEIGHTS)).unwrap();
    let error = saved.error();
    assert!(error.contains("of kind Half, not f32"), "{error}");
}

#[test]
fn hyper_parameters_cost_no_memory_before_the_weights_are_known_to_fit() {
    let saved = Saved::new().without_digest();
    // Slot parameters of a gigabyte, which the file does not hold.
    let before = peak_memory();
    if before == 0 {
        eprintln!("only the error is looked at: this system does not tell the peak of memory");
    }
    saved.describe(|value| {
        value["method"]["mixture"]["experts"] = 4096.into();
        value["method"]["slots"] = 4096.into();
    });
    let error = saved.error();
    assert!(error.contains("instead of [4096, 16, 3]"), "{error}");
    assert!(peak_memory() < before + (500 << 20));
}

/// The most memory this process ever held, in bytes; 0 where nobody says.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0, |kilobytes| 1024 * kilobytes.parse::<u64>().unwrap())
}

#[test]
fn a_diverged_model_is_not_saved() {
    let backbone = backbone(16, 1);
    let model = trained(&backbone, &soft(), &options());
    let (_, tensor) = model.trained().last().unwrap();
    let _ = tch::no_grad(|| tensor.shallow_clone().fill_(f64::INFINITY));
    let folder = TempDir::new().unwrap();
    let told = description(&soft(), &backbone, &options());
    let error = save(folder.path(), &model, &told).unwrap_err().to_string();
    assert!(error.contains("lower the learning rate"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The state after a kill at each step of a second save: files of the new
/// adapter are taken from a folder where it was saved whole.
#[test]
fn a_kill_during_a_save_leaves_the_old_adapter_or_the_new_one() {
    let saved = Saved::new();
    let other = Saved::new();
    let changed = other.load().unwrap();
    small::move_tensors(&changed, 99);
    let told = description(&soft(), &other.backbone, &options());
    save(other.folder.path(), &changed, &told).unwrap();
    let (old, new) = (
        logits(&saved.load().unwrap(), &input(1)),
        logits(&changed, &input(1)),
    );
    assert_ne!(old, new);
    let now = || logits(&saved.load().unwrap(), &input(1));

    let copy = |name: &str, to: &str| fs::copy(other.at(name), saved.at(to)).unwrap();
    copy(WEIGHTS, "adapter_model.next.safetensors");
    assert_eq!(now(), old);
    copy(CONFIG, "adapter_config.next.json");
    assert_eq!(now(), old);
    fs::rename(
        saved.at("adapter_model.next.safetensors"),
        saved.at(WEIGHTS),
    )
    .unwrap();
    assert_eq!(now(), new);
    fs::rename(saved.at("adapter_config.next.json"), saved.at(CONFIG)).unwrap();
    assert_eq!(now(), new);
    assert_eq!(fs::read_dir(saved.folder.path()).unwrap().count(), 2);
}

#[test]
fn saving_over_an_adapter_leaves_its_two_files_only() {
    let saved = Saved::new();
    let model = trained(&saved.backbone, &soft(), &options());
    let told = description(&soft(), &saved.backbone, &options());
    fs::write(saved.at("adapter_config.next.json"), "left by a kill").unwrap();
    save(saved.folder.path(), &model, &told).unwrap();
    assert_eq!(fs::read_dir(saved.folder.path()).unwrap().count(), 2);
    saved.load().unwrap();
}

/// Loads a folder whose file has been changed; an adapter that loads all the
/// same must work.
fn loads_or_refuses(saved: &Saved, file: &str, changes: &[(usize, u8)], cut: Option<usize>) {
    let good = fs::read(saved.at(file)).unwrap();
    let mut bytes = good.clone();
    for (at, value) in changes {
        let at = at % bytes.len();
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut % good.len());
    }
    // Not in place: the old file may be mapped.
    fs::remove_file(saved.at(file)).unwrap();
    fs::write(saved.at(file), &bytes).unwrap();
    if let Ok(model) = saved.load() {
        let out = model.forward(&input(1), &Step::evaluation()).unwrap();
        assert_eq!(out.size()[0], 2);
    }
    fs::remove_file(saved.at(file)).unwrap();
    fs::write(saved.at(file), &good).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn changed_bytes_never_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        header in proptest::collection::vec((0usize..600, any::<u8>()), 1..4),
        cut in proptest::option::of(any::<usize>()),
    ) {
        let saved = Saved::new().without_digest();
        loads_or_refuses(&saved, WEIGHTS, &changes, cut);
        loads_or_refuses(&saved, WEIGHTS, &header, None);
        loads_or_refuses(&saved, CONFIG, &changes, cut);
        loads_or_refuses(&saved, CONFIG, &header, None);
    }

    #[test]
    fn no_change_of_the_weights_goes_unnoticed(at in any::<usize>(), value in any::<u8>()) {
        let saved = Saved::new();
        let mut bytes = fs::read(saved.at(WEIGHTS)).unwrap();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != value);
        bytes[at] = value;
        fs::write(saved.at(WEIGHTS), &bytes).unwrap();
        let refused = matches!(saved.load(), Err(AdapterError::WrongWeights { .. }));
        prop_assert!(refused);
    }
}
