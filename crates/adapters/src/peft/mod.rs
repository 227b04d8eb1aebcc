//! LoRA adapters in the layout that Hugging Face `peft` reads.
//!
//! A folder with `adapter_config.json` and `adapter_model.safetensors`:
//! `PeftModel.from_pretrained(base, folder)` puts the same updates, final
//! LayerNorm and head onto `base`, which is the backbone saved by
//! [`Checkpoint::save`](ast_model::Checkpoint::save) (cut to its blocks, its
//! positions adapted) and loaded by `ASTForAudioClassification` with the
//! adapter's number of labels, or by `ASTModel`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use ast_model::{AstConfig, Projection, tensor_file};
use serde_json::{Value, json};
use tch::Tensor;

use crate::{
    AdaptedModel, AdapterDescription, AdapterError, LoraConfig, LoraScaling, MethodConfig, head,
    late, merge,
};

/// The class of Hugging Face that the adapter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeftBase {
    /// `ASTForAudioClassification`: the head is part of the adapter. Needs the
    /// pooling `cls_dist` and the head `norm_linear`, which are that class's.
    Classifier,
    /// `ASTModel`: updates and final LayerNorm; the head is left out.
    Encoder,
}

/// Prefix of all names: peft's wrapper and the model inside it.
const WRAPPED: &str = "base_model.model.";
/// The backbone inside the classifier.
const INSIDE: &str = "audio_spectrogram_transformer.";

/// Writes a LoRA adapter for `peft` (0.17 or newer).
///
/// `name` is what `base_model_name_or_path` shall say: where users find the
/// backbone.
///
/// # Errors
/// [`AdapterError::NotForPeft`] for another method or a head that the class
/// does not have; otherwise when the folder cannot be written.
pub fn export_peft(
    folder: &Path,
    model: &AdaptedModel,
    description: &AdapterDescription,
    base: PeftBase,
    name: &str,
) -> Result<(), AdapterError> {
    let MethodConfig::Lora(lora) = &description.method else {
        return Err(AdapterError::NotForPeft {
            reason: format!(
                "the method is {}, and of this project's methods peft has LoRA alone",
                description.method.name()
            ),
        });
    };
    if base == PeftBase::Classifier
        && let Some(obstacle) = merge::obstacle(description)
    {
        return Err(AdapterError::NotForPeft {
            reason: format!(
                "ASTForAudioClassification does not have this head: {obstacle}, or export for \
                 ASTModel, without the head"
            ),
        });
    }
    std::fs::create_dir_all(folder).map_err(AdapterError::io(folder))?;
    let tensors: BTreeMap<String, &Tensor> = model
        .trained()
        .iter()
        .filter_map(|(name, tensor)| Some((peft_name(name, base)?, tensor)))
        .collect();
    tensor_file::write(
        &folder.join("adapter_model.safetensors"),
        tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), *tensor)),
    )?;
    let config = config(lora, description.first_block, model.config(), base, name);
    tensor_file::replace(
        &folder.join("adapter_config.json"),
        format!("{config:#}\n").as_bytes(),
    )?;
    Ok(())
}

/// `adapter_config.json`.
fn config(
    lora: &LoraConfig,
    first_block: usize,
    backbone: &AstConfig,
    base: PeftBase,
    name: &str,
) -> Value {
    let rank = lora.rank.width(backbone.hidden_size);
    let scale = lora.scale(backbone.hidden_size);
    // peft computes the factor as alpha / r, or alpha / sqrt(r).
    let stabilised = lora.scaling == LoraScaling::RankStabilised;
    let alpha = match lora.scaling {
        LoraScaling::RankStabilised | LoraScaling::AlphaOverRank => lora.alpha,
        LoraScaling::AlphaOverRate => scale * rank as f64,
    };
    let maps: Vec<Projection> = lora.targets.list().iter().map(|t| t.projection()).collect();
    let blocks = first_block..backbone.num_hidden_layers;
    let kept = match base {
        PeftBase::Classifier => vec!["classifier", "audio_spectrogram_transformer.layernorm"],
        PeftBase::Encoder => vec!["layernorm"],
    };
    let mut config = json!({
        "peft_type": "LORA",
        "task_type": null,
        "base_model_name_or_path": name,
        "inference_mode": true,
        "r": rank,
        "lora_alpha": number(alpha),
        "lora_dropout": 0.0,
        "target_modules": targets(&maps, blocks.clone()),
        "modules_to_save": kept,
        "bias": "none",
        "fan_in_fan_out": false,
        "use_rslora": stabilised,
        "use_dora": lora.dora,
    });
    if first_block > 0 && config["target_modules"].is_array() {
        config["layers_to_transform"] = json!(blocks.collect::<Vec<_>>());
        config["layers_pattern"] = json!("layer");
    }
    config
}

/// The modules, by the ends of their names. `output.dense` would also find the
/// attention's `attention.output.dense`: where that is not wanted, a regular
/// expression says which blocks and modules are.
fn targets(maps: &[Projection], blocks: Range<usize>) -> Value {
    let ambiguous =
        maps.contains(&Projection::FeedForwardOutput) && !maps.contains(&Projection::Output);
    if !ambiguous {
        return maps.iter().map(|map| peft_target(*map)).collect();
    }
    let blocks: Vec<String> = blocks.map(|block| block.to_string()).collect();
    let modules: Vec<String> = maps
        .iter()
        .map(|map| map.module().replace('.', "\\."))
        .collect();
    let (blocks, modules) = (blocks.join("|"), modules.join("|"));
    json!(format!(r".*encoder\.layer\.({blocks})\.({modules})"))
}

/// A whole number as one, because peft declares alpha so.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        return json!(value as i64);
    }
    json!(value)
}

/// The end of a module's name that peft looks for.
fn peft_target(projection: Projection) -> &'static str {
    match projection {
        Projection::Query => "query",
        Projection::Key => "key",
        Projection::Value => "value",
        Projection::Output => "attention.output.dense",
        Projection::Intermediate => "intermediate.dense",
        Projection::FeedForwardOutput => "output.dense",
    }
}

/// Our tensor's name in a peft file; nothing for what is left out.
fn peft_name(ours: &str, base: PeftBase) -> Option<String> {
    let (inside, head_too) = match base {
        PeftBase::Classifier => (INSIDE, true),
        PeftBase::Encoder => ("", false),
    };
    if let Some(part) = ours.strip_prefix(head::PREFIX) {
        let part = match part {
            "weight" | "bias" => format!("dense.{part}"),
            other => other.to_owned(),
        };
        return head_too.then(|| format!("{WRAPPED}classifier.{part}"));
    }
    let ours = match ours.rsplit_once('.') {
        Some((module, "lora_down")) => format!("{module}.lora_A.weight"),
        Some((module, "lora_up")) => format!("{module}.lora_B.weight"),
        Some((module, "dora_magnitude")) => format!("{module}.lora_magnitude_vector"),
        _ if late::is_after_blocks(ours) => ours.to_owned(),
        _ => return None,
    };
    Some(format!("{WRAPPED}{inside}{ours}"))
}
