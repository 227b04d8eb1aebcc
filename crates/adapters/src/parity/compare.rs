//! One golden file against our model with the same weights.

use std::collections::BTreeMap;
use std::path::Path;

use ast_model::{Checkpoint, Pooling, Step, tensor_file};
use tch::{Device, Kind, Reduction, Tensor, no_grad};

use super::authors::{self, Naming};
use super::{GRADIENT_TOLERANCE, LOGITS_TOLERANCE, SMALLEST_GRADIENT};
use crate::{AdaptOptions, AdaptedModel, AdapterError, MethodConfig};

/// How far a model is from a golden file.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Largest absolute error of the logits.
    pub logits: f64,
    /// Absolute error of the loss.
    pub loss: f64,
    /// Largest error of a gradient, relative to its tensor's largest value
    /// (at least [`SMALLEST_GRADIENT`]).
    pub gradients: f64,
    /// Number of trained values.
    pub trained: u64,
    /// What is wrong, one sentence each; empty when everything agrees.
    pub problems: Vec<String>,
}

impl Outcome {
    /// Whether everything agrees within the tolerances.
    pub fn passed(&self) -> bool {
        self.problems.is_empty()
    }

    fn check(&mut self, what: &str, error: f64, allowed: f64) {
        if error.is_nan() || error > allowed {
            self.problems
                .push(format!("{what} off by {error:.1e}, allowed {allowed:.0e}"));
        }
    }
}

type Tensors = BTreeMap<String, Tensor>;

/// Runs `method` with the weights of a golden file and compares logits, loss,
/// the set of trained tensors, buffers and every gradient, all computed on
/// `device`.
///
/// # Errors
/// A file that cannot be read, lacks `input`, `target`, `logits`, `loss` or a
/// trained tensor, or does not fit the backbone. Numbers that differ are no
/// errors but [`Outcome::problems`].
pub fn compare(
    path: &Path,
    backbone: &Checkpoint,
    method: &MethodConfig,
    pooling: Pooling,
    device: Device,
) -> Result<Outcome, AdapterError> {
    let golden: Tensors = tensor_file::read(path)?
        .into_iter()
        .map(|(name, tensor)| (name, tensor.to_device(device)))
        .collect();
    let refuse = |name: &str, problem: &str| AdapterError::Golden {
        path: path.to_owned(),
        name: name.to_owned(),
        problem: problem.to_owned(),
    };
    let get = |name: &str| golden.get(name).ok_or_else(|| refuse(name, "is missing"));
    let (input, target) = (get("input")?, get("target")?.to_kind(Kind::Int64));
    let (logits, loss) = (get("logits")?, get("loss")?);
    let [batch, classes] = logits.size()[..] else {
        return Err(refuse("logits", "is not [B, C]"));
    };
    if target.size() != [batch] || loss.numel() != 1 || input.size().first() != Some(&batch) {
        return Err(refuse(
            "target",
            "does not fit the batch of input and logits",
        ));
    }
    let options = AdaptOptions {
        pooling,
        device,
        ..AdaptOptions::new(classes)
    };
    let model = AdaptedModel::new(backbone, method, &options)?;
    let mut outcome = Outcome {
        logits: 0.0,
        loss: 0.0,
        gradients: 0.0,
        trained: model.counts().all,
        problems: Vec::new(),
    };
    take_values(&golden, &model, &refuse, &mut outcome)?;

    let found = model.forward(input, &Step::evaluation())?;
    let found_loss =
        found.f_cross_entropy_loss(&target, None::<&Tensor>, Reduction::Mean, -100, 0.0)?;
    outcome.logits = largest_difference(&found, logits)?;
    outcome.check("logits", outcome.logits, LOGITS_TOLERANCE);
    outcome.loss = largest_difference(&found_loss, &loss.reshape([0i64; 0].as_slice()))?;
    outcome.check("loss", outcome.loss, LOGITS_TOLERANCE);
    found_loss.f_backward()?;
    compare_gradients(&golden, &model, &mut outcome)?;
    Ok(outcome)
}

/// Copies the file's trained tensors and buffers into the model.
fn take_values(
    golden: &Tensors,
    model: &AdaptedModel,
    refuse: &dyn Fn(&str, &str) -> AdapterError,
    outcome: &mut Outcome,
) -> Result<(), AdapterError> {
    let lists = [("trainable", model.trained()), ("buffer", model.buffers())];
    for (kind, tensors) in lists {
        let mut values = 0;
        for (ours, tensor) in tensors {
            let wanted = format!("{kind}.{ours}");
            let shape = tensor.size();
            let theirs = lookup(golden, kind, ours, &shape).ok_or_else(|| {
                refuse(&wanted, &format!("is missing or does not give {shape:?}"))
            })?;
            if theirs.size() != tensor.size() {
                let problem = format!("is {:?} where {:?} fits", theirs.size(), tensor.size());
                return Err(refuse(&wanted, &problem));
            }
            no_grad(|| tensor.shallow_clone().f_copy_(&theirs))?;
            values += tensor.numel();
        }
        let stored = stored_values(golden, kind);
        if stored != values {
            outcome.problems.push(format!(
                "{stored} values named {kind} in the file, {values} in the method"
            ));
        }
    }
    Ok(())
}

/// The golden tensor, gradient or buffer (`kind`) that belongs to one of our
/// names: under our own name, or put together from the authors'.
fn lookup(golden: &Tensors, kind: &str, ours: &str, shape: &[i64]) -> Option<Tensor> {
    // The authors' prompt-tuned model has no `model.` before its names.
    let direct = |name: &str| {
        let names = [format!("{kind}.{name}"), format!("{kind}.model.{name}")];
        let found = names.iter().find_map(|name| golden.get(name));
        found.map(Tensor::shallow_clone)
    };
    if let Some(found) = direct(ours) {
        return Some(found);
    }
    let naming = Naming {
        houlsby: golden.keys().any(|key| key.contains(".moa_ffn.")),
        conformer: golden.keys().any(|key| key.contains(".pwise_conv1.")),
        ablation: golden.keys().any(|key| key.contains(".adapter_module.")),
    };
    let parts = authors::parts(ours, shape, naming);
    let parts: Option<Vec<Tensor>> = parts
        .iter()
        .map(|part| direct(&part.name).filter(|found| found.size() == part.shape))
        .collect();
    authors::assemble(ours, shape, &parts?)
}

/// How many values the file has of a kind. A count of batches is no statistic.
fn stored_values(golden: &Tensors, kind: &str) -> usize {
    golden
        .iter()
        .filter(|(name, _)| name.starts_with(&format!("{kind}.")))
        .filter(|(name, _)| !name.ends_with(".num_batches_tracked"))
        .map(|(_, tensor)| tensor.numel())
        .sum()
}

fn compare_gradients(
    golden: &Tensors,
    model: &AdaptedModel,
    outcome: &mut Outcome,
) -> Result<(), AdapterError> {
    for (ours, tensor) in model.trained() {
        let found = tensor.grad();
        match (
            lookup(golden, "grad", ours, &tensor.size()),
            found.defined(),
        ) {
            (None, false) => {}
            (None, true) => outcome
                .problems
                .push(format!("{ours} should get no gradient")),
            (Some(_), false) => outcome.problems.push(format!("{ours} gets no gradient")),
            (Some(theirs), true) => {
                let scale = largest(&theirs)? + SMALLEST_GRADIENT;
                let error = largest_difference(&found, &theirs)? / scale;
                outcome.gradients = worst(outcome.gradients, error);
                outcome.check(&format!("gradient of {ours}"), error, GRADIENT_TOLERANCE);
            }
        }
    }
    Ok(())
}

/// Largest absolute difference; infinite where the shapes differ.
fn largest_difference(found: &Tensor, expected: &Tensor) -> Result<f64, AdapterError> {
    if found.size() != expected.size() {
        return Ok(f64::INFINITY);
    }
    largest(&found.f_sub(expected)?)
}

/// Largest absolute value.
fn largest(x: &Tensor) -> Result<f64, AdapterError> {
    if x.numel() == 0 {
        return Ok(0.0);
    }
    Ok(x.f_abs()?.f_max()?.double_value(&[]))
}

/// The larger of two, NaN if one is.
fn worst(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}
