//! Merging: an adapter folded into plain backbone weights.
//!
//! Exact for every method that changes weights and nothing else: linear probe,
//! full fine-tuning, BitFit, LayerNorm tuning, LoRA (with rsLoRA and DoRA) and
//! SSF. Sums and products are formed in f64 and rounded to f32 once, so logits
//! differ from those of the unmerged model by f32 rounding only.

use std::collections::BTreeMap;
use std::path::Path;

use ast_model::{Checkpoint, Classifier, Pooling};
use tch::{Device, Tensor, no_grad};

use crate::{
    AdaptOptions, AdaptedModel, AdapterDescription, AdapterError, Head, MethodConfig, NoSettings,
    folder,
};

mod fold;

use fold::Weights;

/// Folder of the head inside that of a merged checkpoint.
const HEAD: &str = "head";

/// A backbone that gives with its head alone what backbone and adapter gave.
pub struct Merged {
    /// The changed weights, in the layout of Hugging Face. It has a classifier
    /// where [`Merged::obstacle`] names nothing.
    pub checkpoint: Checkpoint,
    /// The same weights with the adapter's head: a linear probe on
    /// [`checkpoint`](Self::checkpoint).
    pub model: AdaptedModel,
    /// Description of that linear probe.
    pub description: AdapterDescription,
}

/// Folds a trained model into the weights of its backbone.
///
/// `description` is that of the model's folder, `backbone` the checkpoint that
/// it was loaded onto.
///
/// # Errors
/// [`AdapterError::NotMergeable`] for a method that plain weights cannot
/// express, with the reason.
pub fn merge(
    model: &AdaptedModel,
    description: &AdapterDescription,
    backbone: &Checkpoint,
) -> Result<Merged, AdapterError> {
    let method = &description.method;
    let refuse = |reason| {
        let method = method.name();
        Err(AdapterError::NotMergeable { method, reason })
    };
    let mut weights = Weights::new(backbone, model.trained());
    match method {
        // The backbone's own tensors are all that trains.
        MethodConfig::Linear(_)
        | MethodConfig::Full(_)
        | MethodConfig::Bitfit(_)
        | MethodConfig::Layernorm(_) => {}
        MethodConfig::Lora(config) => {
            weights.fold_lora(config.scale(backbone.config.hidden_size))?;
        }
        MethodConfig::Ssf(_) => weights.fold_ssf()?,
        MethodConfig::Adapter(_) => {
            return refuse("between the adapter's two maps stands a function that is not linear");
        }
        MethodConfig::DenseMoa(_) | MethodConfig::SoftMoa(_) | MethodConfig::SparseMoa(_) => {
            return refuse("what the experts add depends on the tokens");
        }
        MethodConfig::Prompt(_) => return refuse("prompts add tokens to the sequence"),
        MethodConfig::Prefix(_) => return refuse("prefixes add keys and values to the attention"),
    }
    let changed = weights.changed;
    let classifier = match obstacle(description) {
        Some(_) => None,
        None => classifier(model, description, backbone.config.layer_norm_eps),
    };
    let checkpoint = backbone.with_tensors(changed, classifier)?;
    let description = AdapterDescription {
        method: MethodConfig::Linear(NoSettings {}),
        backbone_fingerprint: checkpoint.fingerprint(),
        backbone: format!("{}, {} merged into it", description.backbone, method.name()),
        first_block: 0,
        ..description.clone()
    };
    let options = AdaptOptions {
        pooling: description.pooling,
        head: description.head,
        mask_padding: description.mask_padding,
        ..AdaptOptions::new(description.labels.len() as i64)
    };
    let probe = AdaptedModel::new(&checkpoint, &description.method, &options)?;
    copy_head(model, &probe)?;
    Ok(Merged {
        checkpoint,
        model: probe,
        description,
    })
}

impl Merged {
    /// Why Hugging Face's `ASTForAudioClassification` cannot hold the head;
    /// nothing where it can.
    pub fn obstacle(&self) -> Option<&'static str> {
        obstacle(&self.description)
    }

    /// Writes the checkpoint into `folder` in the layout of Hugging Face
    /// (`ASTForAudioClassification` where there is no
    /// [`obstacle`](Self::obstacle), `ASTModel` otherwise) and the linear probe
    /// into `folder/head`, for [`load`](crate::load) onto that checkpoint.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn save(&self, folder: &Path) -> Result<(), AdapterError> {
        self.checkpoint.save(folder)?;
        folder::save(&folder.join(HEAD), &self.model, &self.description)?;
        Ok(())
    }
}

/// What keeps Hugging Face's class from holding a head.
pub(crate) fn obstacle(description: &AdapterDescription) -> Option<&'static str> {
    if description.pooling != Pooling::ClsDist {
        return Some(
            "it pools class and distillation token; train with the pooling cls_dist and the head \
             norm_linear",
        );
    }
    if description.head != Head::NormLinear {
        return Some("it has a LayerNorm before its last map; train with the head norm_linear");
    }
    None
}

/// The head as Hugging Face's class has it.
fn classifier(
    model: &AdaptedModel,
    description: &AdapterDescription,
    layer_norm_eps: f64,
) -> Option<Classifier> {
    let named = |name: &str| {
        let wanted = format!("{}{name}", crate::head::PREFIX);
        let found = model.trained().iter().find(|(name, _)| *name == wanted);
        found.map(|(_, tensor)| tensor.detach().to_device(Device::Cpu).copy())
    };
    Some(Classifier {
        layernorm_weight: named("layernorm.weight")?,
        layernorm_bias: named("layernorm.bias")?,
        dense_weight: named("weight")?,
        dense_bias: named("bias")?,
        layer_norm_eps,
        labels: description.labels.clone(),
    })
}

fn copy_head(from: &AdaptedModel, to: &AdaptedModel) -> Result<(), AdapterError> {
    let theirs: BTreeMap<&str, &Tensor> = from
        .trained()
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    for (name, tensor) in to.trained() {
        if let Some(value) = theirs.get(name.as_str())
            && name.starts_with(crate::head::PREFIX)
        {
            no_grad(|| tensor.shallow_clone().f_copy_(value))?;
        }
    }
    Ok(())
}
