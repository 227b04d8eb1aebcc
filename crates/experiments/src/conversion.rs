//! Adapter folders turned into what other programs read: `soft-moa merge` and
//! `soft-moa export-peft`.

use std::path::Path;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, PeftBase, export_peft, load, merge,
};
use anyhow::{Context, Result, ensure};
use ast_model::Checkpoint;

/// Folds an adapter into its backbone's weights and writes the checkpoint into
/// the folder `out`; returns what to tell the user.
///
/// # Errors
/// An adapter or a backbone that cannot be read, a method that plain weights
/// cannot express, or a folder that is not empty.
pub fn merge_into(adapter: &Path, backbone: &Path, out: &Path) -> Result<String> {
    must_be_new(out)?;
    let Opened {
        model,
        description,
        checkpoint,
    } = open(adapter, backbone)?;
    let merged = merge(&model, &description, &checkpoint)?;
    merged.save(out)?;
    let head = match merged.obstacle() {
        None => "ASTForAudioClassification reads it, head included".to_owned(),
        Some(obstacle) => format!(
            "ASTModel reads it; the head is in {}, because ASTForAudioClassification has none \
             like it ({obstacle})",
            out.join("head").display()
        ),
    };
    Ok(format!(
        "{}: {} merged into {}. {head}",
        out.display(),
        description.method.name(),
        description.backbone
    ))
}

/// Writes a LoRA adapter as `peft` reads it, and the backbone it belongs to
/// beside it in `out/backbone`; returns what to tell the user.
///
/// # Errors
/// As [`merge_into`], and an adapter that peft has no form for.
pub fn peft_into(adapter: &Path, backbone: &Path, out: &Path, base: PeftBase) -> Result<String> {
    must_be_new(out)?;
    let Opened {
        model,
        description,
        checkpoint,
    } = open(adapter, backbone)?;
    let place = out.join("backbone");
    let base_name = place.to_string_lossy();
    export_peft(out, &model, &description, base, &base_name)?;
    checkpoint
        .save(&place)
        .with_context(|| format!("cannot write {}", place.display()))?;
    let class = match base {
        PeftBase::Classifier => format!(
            "ASTForAudioClassification.from_pretrained(\"{base_name}\", num_labels={})",
            description.labels.len()
        ),
        PeftBase::Encoder => format!("ASTModel.from_pretrained(\"{base_name}\")"),
    };
    Ok(format!(
        "PeftModel.from_pretrained({class}, \"{}\")",
        out.display()
    ))
}

/// An adapter on its backbone.
struct Opened {
    model: AdaptedModel,
    description: AdapterDescription,
    checkpoint: Checkpoint,
}

/// Loads an adapter onto the checkpoint in `backbone`, cut and adapted as the
/// adapter's description says.
fn open(adapter: &Path, backbone: &Path) -> Result<Opened> {
    let told = adapters::describe(adapter)?;
    let (full, _) = Checkpoint::load(backbone)?;
    let checkpoint =
        full.first_blocks(told.blocks)?
            .with_grid(told.max_length, told.strides, told.positions)?;
    let (model, description) = load(adapter, &checkpoint, &AdaptOptions::new(1))?;
    Ok(Opened {
        model,
        description,
        checkpoint,
    })
}

fn must_be_new(out: &Path) -> Result<()> {
    let empty = match out.read_dir() {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !out.exists(),
    };
    ensure!(
        empty,
        "{} is there already and not empty; name a new folder",
        out.display()
    );
    Ok(())
}
