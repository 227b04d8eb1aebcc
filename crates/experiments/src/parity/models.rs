//! `models/`: the backbone and every method on it.
//!
//! `backbone.safetensors` with `backbone.config.json`; `backbone.io.safetensors`
//! holds `input`, `hidden_states.I`, `last_hidden_state`, `pooler_output` and
//! `logits` of the plain AST with its own head. `reference/` and `corrected/`
//! hold a `manifest.json` each and a file a method: what `compat = paper` and
//! `compat = fixed` must give.

use std::path::Path;

use adapters::{Compat, parity};
use anyhow::{Context, Result, ensure};
use ast_model::{AstConfig, AstModel, BindOptions, Checkpoint, LoadOptions, Pooling, tensor_file};
use tch::{Device, Tensor, no_grad};

use super::{Parity, Row, safetensors_in, shown, worst};

/// Largest absolute error of a hidden state and of the head's logits.
const BACKBONE: f64 = 1e-4;

const BEHAVIOURS: [(&str, Compat); 2] =
    [("reference", Compat::Paper), ("corrected", Compat::Fixed)];

/// Compares every file of `models/`.
pub(super) fn run(golden: &Path, device: Device, parity: &mut Parity) -> Result<()> {
    let folder = golden.join("models");
    let Some(files) = safetensors_in(&folder)? else {
        parity.absent.push("models/".into());
        return Ok(());
    };
    let backbone = match load(&folder) {
        Ok(backbone) => backbone,
        Err(error) => {
            let file = "models/backbone.safetensors".to_owned();
            parity
                .rows
                .push(Row::failed(file, "backbone", format!("{error:#}")));
            return Ok(());
        }
    };
    for file in files {
        if file.ends_with("backbone.io.safetensors") {
            parity.rows.push(plain(golden, &file, &backbone, device));
        } else if !file.ends_with("backbone.safetensors") {
            let problem = "is no part of a golden folder; remove it";
            let name = shown(golden, &file);
            parity.rows.push(Row::failed(name, "backbone", problem));
        }
    }
    if !folder.join("backbone.io.safetensors").is_file() {
        parity.absent.push("models/backbone.io.safetensors".into());
    }
    for (name, compat) in BEHAVIOURS {
        let subject = Subject {
            backbone: &backbone,
            compat,
            device,
        };
        methods(golden, name, &subject, parity)?;
    }
    Ok(())
}

fn load(folder: &Path) -> Result<Checkpoint> {
    let options = LoadOptions {
        config: Some(AstConfig::read(&folder.join("backbone.config.json"))?),
        ..LoadOptions::default()
    };
    let (backbone, _) = Checkpoint::load_with(&folder.join("backbone.safetensors"), &options)?;
    Ok(backbone)
}

/// The plain AST.
fn plain(golden: &Path, file: &Path, backbone: &Checkpoint, device: Device) -> Row {
    let name = shown(golden, file);
    match no_grad(|| plain_errors(file, backbone, device)) {
        Err(error) => Row::failed(name, "backbone", format!("{error:#}")),
        Ok((values, logits)) => {
            let mut row = Row {
                file: name,
                what: "backbone".into(),
                values: Some(values),
                logits,
                ..Row::default()
            };
            row.check("hidden states", values, BACKBONE);
            if let Some(logits) = logits {
                row.check("logits", logits, BACKBONE);
            }
            row
        }
    }
}

/// Largest errors of hidden states and pooled output, and of the head's logits
/// where there is a head.
fn plain_errors(file: &Path, backbone: &Checkpoint, device: Device) -> Result<(f64, Option<f64>)> {
    let mut golden = tensor_file::read(file)?;
    let input = golden.remove("input").context("input is missing")?;
    let options = BindOptions {
        device,
        ..BindOptions::frozen()
    };
    let model = AstModel::bind(backbone, &options)?;
    let states = model.hidden_states(&input.to_device(device))?;
    let last = model.final_layernorm(states.last().unwrap_or(&input));
    // The head of the checkpoint and the numbers compared with are on the CPU.
    let last = last.to_device(Device::Cpu);
    let pooled = Pooling::ClsDist.pool(&last);
    let (mut values, mut logits) = (0.0, None);
    ensure!(
        golden.contains_key("last_hidden_state"),
        "last_hidden_state is missing"
    );
    for (name, theirs) in &golden {
        let ours = match name.as_str() {
            "last_hidden_state" => last.shallow_clone(),
            "pooler_output" => pooled.shallow_clone(),
            "logits" => {
                let head = backbone
                    .classifier()
                    .context("there are logits, and the backbone has no classifier")?;
                let ours = head.forward(&pooled)?;
                logits = Some(difference(name, &ours, theirs)?);
                continue;
            }
            _ => {
                let index = name.strip_prefix("hidden_states.");
                let index = index.and_then(|index| index.parse::<usize>().ok());
                let state = index.and_then(|index| states.get(index));
                state
                    .with_context(|| format!("the backbone has no {name}"))?
                    .shallow_clone()
            }
        };
        values = worst(values, difference(name, &ours, theirs)?);
    }
    Ok((values, logits))
}

fn difference(name: &str, ours: &Tensor, theirs: &Tensor) -> Result<f64> {
    let (ours_size, size) = (ours.size(), theirs.size());
    ensure!(
        ours_size == size && ours.numel() > 0,
        "{name} has the shape {size:?}, ours {ours_size:?}"
    );
    let ours = ours.to_device(Device::Cpu);
    Ok(ours.f_sub(theirs)?.f_abs()?.f_max()?.double_value(&[]))
}

/// What the files of a behaviour are compared with.
struct Subject<'a> {
    backbone: &'a Checkpoint,
    compat: Compat,
    device: Device,
}

/// Every method of one behaviour.
fn methods(golden: &Path, behaviour: &str, subject: &Subject, parity: &mut Parity) -> Result<()> {
    let folder = golden.join("models").join(behaviour);
    let Some(files) = safetensors_in(&folder)? else {
        parity.absent.push(format!("models/{behaviour}/"));
        return Ok(());
    };
    let manifest = folder.join("manifest.json");
    let entries = match parity::read_manifest(&manifest) {
        Ok(entries) => entries,
        Err(error) => {
            let name = shown(golden, &manifest);
            parity
                .rows
                .push(Row::failed(name, "manifest", error.to_string()));
            return Ok(());
        }
    };
    for entry in &entries {
        let row = method(golden, &folder, entry, subject);
        parity.rows.push(row);
    }
    for file in files {
        let listed = entries.iter().any(|entry| folder.join(&entry.file) == file);
        if !listed {
            let problem = "is not in manifest.json; add it or remove the file";
            let name = shown(golden, &file);
            parity.rows.push(Row::failed(name, "?", problem));
        }
    }
    Ok(())
}

/// One file of one method.
fn method(golden: &Path, folder: &Path, entry: &parity::GoldenEntry, subject: &Subject) -> Row {
    let Subject {
        backbone,
        compat,
        device,
    } = *subject;
    let path = folder.join(&entry.file);
    let name = shown(golden, &path);
    let (method, pooling) = match entry.method(compat) {
        Ok(method) => method,
        Err(problem) => return Row::failed(name, &entry.method, problem),
    };
    let outcome = match parity::compare(&path, backbone, &method, pooling, device) {
        Ok(outcome) => outcome,
        Err(error) => return Row::failed(name, method.name(), error.to_string()),
    };
    let mut row = Row {
        file: name,
        what: method.name().to_owned(),
        logits: Some(outcome.logits),
        loss: Some(outcome.loss),
        gradients: Some(outcome.gradients),
        trained: Some(outcome.trained),
        problems: outcome.problems,
        ..Row::default()
    };
    if outcome.trained != entry.trainable_parameters {
        row.problems.push(format!(
            "{} trained values, the manifest says {}",
            outcome.trained, entry.trainable_parameters
        ));
    }
    row
}
