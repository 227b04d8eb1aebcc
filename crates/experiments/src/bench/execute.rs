//! One run: build the model, train, test, save.

use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use adapters::{AdaptOptions, AdaptedModel, AdapterDescription, FORMAT_VERSION, Head};
use anyhow::{Context, Result};
use ast_model::Pooling;

use super::plan::Run;
use super::profile::Profile;
use super::progress::Bars;
use super::store::Store;
use super::tasks::Task;
use super::{BenchOptions, STOP};
use crate::data::Split;
use crate::environment::{describe, peak_memory, reset_peak_memory};
use crate::evaluation::evaluate;
use crate::record::{EpochRecord, ExtraTest, PartCounts, RECORD_VERSION, RunRecord};
use crate::training::train;

/// Makes one run and returns its record; the adapter is saved on the way.
///
/// # Errors
/// When training or saving fails, or the user asked to stop.
pub fn execute(
    run: &Run,
    profile: &Profile,
    task: &Task,
    store: &Store,
    options: &BenchOptions,
    bars: &Bars,
) -> Result<RunRecord> {
    reset_peak_memory();
    let start = Instant::now();
    let config = &run.config;
    let ready = task.ready.as_ref().context("the task was not prepared")?;
    let (clips, checkpoint) = (&ready.clips, &ready.checkpoint);
    let split = task.split(config.fold, config.seed)?;
    let model = AdaptedModel::new(
        checkpoint,
        &config.method,
        &AdaptOptions {
            classes: task.dataset.classes() as i64,
            seed: config.training.seed,
            precision: config.precision,
            device: options.device,
            pooling: Pooling::All,
            head: Head::Linear,
            first_block: 0,
            patchout: config.patchout,
        },
    )?;
    let bar = bars.run(run);
    let trained = train(&model, clips, &split, &config.training, &mut |progress| {
        bar.step(&progress);
        !STOP.load(Ordering::Relaxed)
    })?;
    let batch = 2 * config.training.batch;
    let test = evaluate(&model, clips, &split.test, batch)?;
    let extra_tests = split
        .extra
        .iter()
        .map(|(name, part)| {
            let tested = evaluate(&model, clips, part, batch)?;
            Ok(ExtraTest {
                name: name.clone(),
                clips: tested.clips,
                accuracy: tested.accuracy,
            })
        })
        .collect::<Result<_>>()?;
    let description = AdapterDescription {
        format_version: FORMAT_VERSION,
        method: config.method.clone(),
        compat: config.compat,
        backbone_fingerprint: ready.fingerprint.clone(),
        backbone: config.backbone.clone(),
        blocks: checkpoint.config.num_hidden_layers,
        strides: config.strides,
        precision: config.precision,
        max_length: config.max_length as i64,
        positions: config.positions,
        pooling: Pooling::All,
        head: Head::Linear,
        first_block: 0,
        labels: task
            .dataset
            .manifest
            .class_names()
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        features: serde_json::to_value(&config.front_end)?,
    };
    let folder = store.run_folder(&run.id).join("adapter");
    let adapter_bytes = adapters::save(&folder, &model, &description)?;
    let counts = model.counts();
    let seconds_training: f64 = trained.epochs.iter().map(|epoch| epoch.seconds).sum();
    Ok(RunRecord {
        version: RECORD_VERSION,
        id: run.id.clone(),
        profile: profile.name.clone(),
        task: config.task.clone(),
        method: config.label.clone(),
        fold: config.fold,
        seed: config.seed,
        config: serde_json::to_value(config)?,
        compat: config.compat.name().to_owned(),
        precision: config.precision.name().to_owned(),
        backbone: config.backbone.clone(),
        data_source: task.dataset.source().to_owned(),
        classes: task.dataset.classes(),
        majority_share: majority_share(task, &split),
        clips: PartCounts {
            train: split.train.len(),
            validation: split.validation.len(),
            test: split.test.len(),
        },
        trainable_parameters: counts.all,
        trainable_parameters_paper: counts.paper,
        adapter_bytes,
        selected_epoch: trained.selected,
        test_accuracy: test.accuracy,
        extra_tests,
        train_clips_per_second: run.work as f64 / seconds_training.max(1e-9),
        seconds_per_epoch: mean_seconds(&trained.epochs),
        epochs: trained.epochs,
        seconds: start.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory(),
        started_unix: now().saturating_sub(start.elapsed().as_secs()),
        environment: describe(&options.device_name),
    })
}

fn majority_share(task: &Task, split: &Split) -> f64 {
    let counts = task.dataset.class_counts(&split.test);
    let largest = counts.iter().copied().max().unwrap_or(0);
    largest as f64 / counts.iter().sum::<usize>().max(1) as f64
}

fn mean_seconds(epochs: &[EpochRecord]) -> f64 {
    epochs.iter().map(|epoch| epoch.seconds).sum::<f64>() / epochs.len().max(1) as f64
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
