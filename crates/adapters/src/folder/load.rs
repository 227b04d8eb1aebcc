//! Reading an adapter folder.

use std::collections::BTreeMap;
use std::path::Path;

use ast_model::{Checkpoint, SharedBackbone, tensor_file};
use tch::{Kind, Tensor, no_grad};

use super::AdapterDescription;
use super::stored::{DESCRIPTION, NEXT_DESCRIPTION, Stored, WEIGHTS, digest};
use crate::{AdaptOptions, AdaptedModel, AdapterError, build};

/// Loads an adapter folder onto the backbone it was trained on.
///
/// `options` gives precision, device and patchout; its other fields come from
/// the folder.
///
/// # Errors
/// A missing, damaged or newer file, another backbone, or tensors that do not
/// belong to the described method.
pub fn load(
    folder: &Path,
    backbone: &Checkpoint,
    options: &AdaptOptions,
) -> Result<(AdaptedModel, AdapterDescription), AdapterError> {
    let (description, options, tensors) = read(folder, backbone, options)?;
    let model = AdaptedModel::new(backbone, &description.method, &options)?;
    fill(&model, &tensors)?;
    Ok((model, description))
}

/// As [`load`], on a backbone that other models use too.
///
/// # Errors
/// As [`load`].
pub fn load_beside(
    folder: &Path,
    shared: &SharedBackbone,
) -> Result<(AdaptedModel, AdapterDescription), AdapterError> {
    let options = AdaptOptions::new(1);
    let (description, options, tensors) = read(folder, shared.checkpoint(), &options)?;
    let model = AdaptedModel::beside(shared, &description.method, &options)?;
    fill(&model, &tensors)?;
    Ok((model, description))
}

type Tensors = BTreeMap<String, Tensor>;

/// The description, the options it stands for and tensors that fit both.
fn read(
    folder: &Path,
    backbone: &Checkpoint,
    options: &AdaptOptions,
) -> Result<(AdapterDescription, AdaptOptions, Tensors), AdapterError> {
    let description = describe(folder)?;
    let found = backbone.fingerprint();
    if found != description.backbone_fingerprint {
        return Err(AdapterError::WrongBackbone {
            path: folder.to_owned(),
            expected: description.backbone_fingerprint,
            found,
        });
    }
    let options = AdaptOptions {
        classes: description.labels.len() as i64,
        pooling: description.pooling,
        head: description.head,
        first_block: description.first_block,
        mask_padding: description.mask_padding,
        ..options.clone()
    };
    let plan = build::plan(backbone, &description.method, &options)?;
    let path = folder.join(WEIGHTS);
    let tensors = tensor_file::read(&path)?;
    check(&path, &plan, &tensors)?;
    Ok((description, options, tensors))
}

/// The description of an adapter folder, after a check that the weights are
/// those it was saved with. It says which backbone to load.
///
/// # Errors
/// A missing, damaged or newer description, or weights of another run.
pub fn describe(folder: &Path) -> Result<AdapterDescription, AdapterError> {
    let path = folder.join(WEIGHTS);
    // Left by a save that was killed after it had renamed the weights.
    if let Ok(next) = Stored::read(&folder.join(NEXT_DESCRIPTION))
        && let Some(expected) = next.digest
        && digest(&path)? == expected
    {
        return Ok(next.description);
    }
    let stored = Stored::read(&folder.join(DESCRIPTION))?;
    let Some(expected) = stored.digest else {
        return Ok(stored.description);
    };
    let found = digest(&path)?;
    if found != expected {
        return Err(AdapterError::WrongWeights {
            path,
            expected,
            found,
        });
    }
    Ok(stored.description)
}

/// Fails unless the tensors are those of the plan, in shape and kind, with
/// finite values.
fn check(path: &Path, plan: &[(String, Vec<i64>)], tensors: &Tensors) -> Result<(), AdapterError> {
    let refuse = |name: &str, problem: String| {
        Err(AdapterError::Tensor {
            path: path.to_owned(),
            name: name.to_owned(),
            problem,
        })
    };
    for (name, shape) in plan {
        let Some(tensor) = tensors.get(name) else {
            return refuse(name, "is missing".into());
        };
        if tensor.size() != *shape {
            return refuse(name, format!("is {:?} instead of {shape:?}", tensor.size()));
        }
        if tensor.kind() != Kind::Float {
            return refuse(name, format!("is of kind {:?}, not f32", tensor.kind()));
        }
        if tensor.f_isfinite()?.f_all()?.int64_value(&[]) == 0 {
            return refuse(name, "holds values that are not finite".into());
        }
    }
    let known = |name: &&String| plan.iter().any(|(planned, _)| planned == *name);
    match tensors.keys().find(|name| !known(name)) {
        Some(extra) => refuse(extra, "is not part of the method".into()),
        None => Ok(()),
    }
}

/// Copies the values into a model's trained tensors and buffers.
fn fill(model: &AdaptedModel, tensors: &Tensors) -> Result<(), AdapterError> {
    for (name, tensor) in model.trained().iter().chain(model.buffers()) {
        no_grad(|| tensor.shallow_clone().f_copy_(&tensors[name]))?;
    }
    Ok(())
}
