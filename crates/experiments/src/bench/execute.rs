//! One run: build the model, train, test, save.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use adapters::{
    AdaptOptions, AdaptedModel, AdapterDescription, FORMAT_VERSION, MethodConfig, MultiplyAdds,
    multiply_adds,
};
use anyhow::{Context, Result};
use ast_model::AstConfig;

use super::BenchOptions;
use super::plan::{Run, RunConfig};
use super::profile::Profile;
use super::progress::Bars;
use super::tasks::Task;
use crate::clips::Clips;
use crate::data::Split;
use crate::environment::{describe, peak_memory, reset_peak_memory};
use crate::evaluation::evaluate;
use crate::expert_use::{Example, Watch, measure_use};
use crate::record::{EpochRecord, ExtraTest, PartCounts, RECORD_VERSION, RunRecord};
use crate::run_folder::RunFolder;
use crate::signals;
use crate::training::{CheckpointPlan, Control, Event, Journal, Runtime, Trained, train_with};

/// Classes of which a clip is shown patch by patch.
const EXAMPLES: usize = 4;

const OTHER_THREADS: &str = "the run goes on with another number of threads than it began with; \
     its figures may differ in the last digits from those of an undisturbed run";

/// Makes one run and returns its record; the adapter is saved on the way.
///
/// # Errors
/// When training or saving fails, or the user asked to stop.
pub fn execute(
    run: &Run,
    profile: &Profile,
    task: &Task,
    folder: &RunFolder,
    options: &BenchOptions,
    bars: &Bars,
) -> Result<RunRecord> {
    reset_peak_memory();
    let start = Instant::now();
    let config = &run.config;
    let ready = task.ready.as_ref().context("the task was not prepared")?;
    let clips = &ready.clips;
    let backbone = ready.backbone.to(config.positions)?;
    let checkpoint = &backbone.checkpoint;
    let few_shot = config.train_clips_per_class;
    let split = task.split(config.fold, config.seed, few_shot)?;
    let model = AdaptedModel::new(
        checkpoint,
        &config.method,
        &AdaptOptions {
            classes: task.dataset.classes() as i64,
            seed: config.training.seed,
            precision: config.precision,
            device: options.device,
            pooling: config.pooling,
            head: config.head,
            first_block: config.first_block,
            patchout: config.patchout,
            mask_padding: config.mask_padding,
        },
    )?;
    let trained = train_run(run, &model, clips, &split, folder, options, bars)?;
    let batch = 2 * config.training.batch;
    let watch = Watch {
        classes: task.dataset.classes(),
        drops: matches!(config.method, MethodConfig::SparseMoa(_)),
        examples: &examples(task, &split.test),
    };
    let (test, expert_use) = measure_use(&model, clips, &split.test, batch, watch)?;
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
    let names = task.dataset.manifest.class_names();
    let class_names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let description = AdapterDescription {
        format_version: FORMAT_VERSION,
        method: config.method.clone(),
        compat: config.compat,
        backbone_fingerprint: backbone.fingerprint.clone(),
        backbone: config.backbone.clone(),
        blocks: checkpoint.config.num_hidden_layers,
        strides: config.strides,
        precision: config.precision,
        max_length: config.max_length as i64,
        positions: config.positions,
        pooling: config.pooling,
        head: config.head,
        first_block: config.first_block,
        mask_padding: config.mask_padding,
        labels: class_names.clone(),
        features: serde_json::to_value(&config.front_end)?,
    };
    let adapter_bytes = adapters::save(&folder.path().join("adapter"), &model, &description)?;
    let counts = model.counts();
    let steps = split.train.len().div_ceil(config.training.batch);
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
        class_names,
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
        test_macro_f1: test.macro_f1,
        test_calibration_error: test.calibration_error.unwrap_or(0.0),
        confusion: test.confusion.unwrap_or_default(),
        extra_tests,
        train_clips_per_second: run.work as f64 / seconds_training.max(1e-9),
        seconds_per_epoch: mean_seconds(&trained.epochs),
        seconds_per_step: mean_seconds(&trained.epochs) / steps.max(1) as f64,
        multiply_adds: counted(&checkpoint.config, config),
        expert_use,
        epochs: trained.epochs,
        seconds: start.elapsed().as_secs_f64(),
        peak_memory_bytes: peak_memory(),
        started_unix: now().saturating_sub(start.elapsed().as_secs()),
        environment: describe(&options.device_name),
    })
}

/// Multiply-adds of a run's model: blocks before the first have no module.
fn counted(backbone: &AstConfig, config: &RunConfig) -> MultiplyAdds {
    let mut adapted = backbone.clone();
    adapted.num_hidden_layers -= config.first_block.min(backbone.num_hidden_layers);
    MultiplyAdds {
        backbone: multiply_adds(backbone, &config.method).backbone,
        ..multiply_adds(&adapted, &config.method)
    }
}

/// Trains the model of a run, from the start or from its last checkpoint.
fn train_run(
    run: &Run,
    model: &AdaptedModel,
    clips: &Clips,
    split: &Split,
    folder: &RunFolder,
    options: &BenchOptions,
    bars: &Bars,
) -> Result<Trained> {
    let bar = bars.run(run);
    let store = folder.checkpoints(1)?;
    let runtime = Runtime {
        checkpoints: Some(CheckpointPlan {
            store: &store,
            identity: run.id.clone(),
            every_seconds: options.checkpoint_seconds,
        }),
        ..Runtime::default()
    };
    let mut journal = Journal::new(folder, false);
    let mut unwritten = None;
    let mut stopping = false;
    let mut observe = |event: Event| {
        match event {
            Event::Step(progress) => bar.step(&progress),
            Event::Epoch(epochs) => unwritten = journal.write(epochs).err(),
            Event::Resumed {
                epochs,
                other_threads,
                skipped,
                ..
            } => {
                skipped.iter().for_each(|line| bars.say(line));
                if other_threads {
                    bars.say(OTHER_THREADS);
                }
                unwritten = journal.write(epochs).err();
            }
            _ => {}
        }
        if signals::requested().is_some() && !stopping {
            stopping = true;
            bars.say("stopping; Ctrl-C once more to stop at once");
        }
        if stopping || unwritten.is_some() {
            return Control::Stop;
        }
        Control::Continue
    };
    let config = &run.config.training;
    let trained = train_with(model, clips, split, config, &runtime, &mut observe);
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    Ok(trained?)
}

/// The first test clip of each of the first classes, to be shown patch by patch.
fn examples(task: &Task, test: &[usize]) -> Vec<Example> {
    let clips = &task.dataset.clips;
    (0..task.dataset.classes().min(EXAMPLES))
        .filter_map(|class| {
            let found = test.iter().find(|&&index| clips[index].label == class);
            found.map(|&index| Example {
                index,
                name: clips[index].name(),
            })
        })
        .collect()
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
