//! Trains Soft-MoA on random features with checkpoints, prefetch and a journal,
//! and says where the time goes.
//!
//! ```text
//! cargo run --release -p experiments --example train_synthetic -- FOLDER [base|small] [WORKERS]
//! ```
//!
//! Stop it with Ctrl-C and start it again: it goes on where it was.

use std::path::PathBuf;

use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
use anyhow::{Context, Result};
use ast_model::{AstConfig, Checkpoint};
use experiments::clips::Clips;
use experiments::data::Split;
use experiments::run_folder::RunFolder;
use experiments::signals;
use experiments::training::{
    CheckpointPlan, Control, Event, Journal, Runtime, TrainingConfig, train_with,
};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("name a folder for the run")?);
    let base = arguments.next().is_some_and(|size| size == "base");
    let workers = arguments.next().map_or(Ok(1), |text| text.parse())?;
    signals::listen()?;

    let (frames, count, batch) = if base { (500, 12, 4) } else { (200, 96, 16) };
    let mut shape = AstConfig {
        max_length: frames as i64,
        ..AstConfig::base()
    };
    if !base {
        shape.hidden_size = 192;
        shape.num_hidden_layers = 6;
        shape.num_attention_heads = 3;
        shape.intermediate_size = 768;
    }
    let backbone = Checkpoint::random(&shape, 1)?;
    let method = MethodConfig::named("soft-moa")?;
    let model = AdaptedModel::new(&backbone, &method, &AdaptOptions::new(4))?;
    let features = (0..count * frames * 128).map(|i| (i as f32 * 0.37).sin());
    let labels = (0..count as i64).map(|clip| clip % 4).collect();
    let clips = Clips::new(features.collect(), labels, [frames, 128], tch::Device::Cpu)
        .context("as many features as labels")?;
    let split = Split {
        fold: 0,
        name: "synthetic".to_owned(),
        train: (0..count).collect(),
        validation: (0..batch).collect(),
        test: Vec::new(),
        extra: Vec::new(),
    };
    let mut config = TrainingConfig::new(2, batch, 5e-3, 1);
    config.augmentation.spec_augment = audio_frontend::SpecAugment::authors();

    let run = RunFolder::open(&folder)?;
    let store = run.checkpoints(2)?;
    let runtime = Runtime {
        checkpoints: Some(CheckpointPlan {
            store: &store,
            identity: "train_synthetic".to_owned(),
            every_seconds: 30.0,
        }),
        workers,
        ..Runtime::default()
    };
    let mut journal = Journal::new(&run, true);
    let mut unwritten = None;
    let mut observe = |event: Event| {
        match event {
            Event::Epoch(epochs) | Event::Resumed { epochs, .. } => {
                unwritten = journal.write(epochs).err();
            }
            Event::Step(progress) => {
                eprintln!("{} of {} clips", progress.clips, progress.total);
            }
            _ => {}
        }
        if signals::requested().is_some() || unwritten.is_some() {
            return Control::Stop;
        }
        Control::Continue
    };
    let trained = train_with(&model, &clips, &split, &config, &runtime, &mut observe);
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    let trained = trained?;
    for epoch in &trained.history {
        println!(
            "epoch {}: {:.2} s, {:.2} clips/s, waited {:.4} s for batches",
            epoch.epoch, epoch.seconds, epoch.clips_per_second, epoch.waiting_seconds
        );
    }
    println!("waiting: {:.3} %", 100.0 * trained.waiting_share);
    Ok(())
}
