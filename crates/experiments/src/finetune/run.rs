//! Training in a run folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use adapters::{AdaptOptions, AdaptedModel, AdapterDescription, Compat, FORMAT_VERSION};
use anyhow::{Context, Result, bail};
use audio_frontend::Extractor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::parts::{PARTS, run_of};
use super::{Found, Parts, Plan, RunConfig};
use crate::atomic;
use crate::clips::Clips;
use crate::data::{FeatureOptions, Stop, hex};
use crate::environment::describe;
use crate::evaluation::measure_while;
use crate::metrics::Metrics;
use crate::predictor::Task;
use crate::run_folder::RunFolder;
use crate::training::{
    CheckpointPlan, Control, Event, Journal, Runtime, TrainingError, train_with,
};

/// The resolved configuration.
pub(super) const CONFIG: &str = "run.toml";
/// What was found.
const FOUND: &str = "found.json";
/// The figures, written last.
const RESULT: &str = "result.json";

/// Seconds between two checkpoints: what a kill loses at most.
const SAVE_SECONDS: f64 = 30.0;

/// What a run gives: `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Folder of the run.
    pub out: PathBuf,
    /// Folder of the adapter.
    pub adapter: PathBuf,
    /// Names of the classes, in the order of the figures.
    pub labels: Vec<String>,
    /// Values that train.
    pub trained_values: u64,
    /// The same as the papers count, without head and final LayerNorm; not in
    /// results of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_values_paper: Option<u64>,
    /// Epochs made.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 0.
    pub selected_epoch: usize,
    /// Figures on the test part.
    pub test: Metrics,
    /// Share of the clips in the largest class of the test part, or with the most
    /// frequent set of classes: what guessing scores.
    pub majority_share: f64,
}

/// Who wants to know how a run is going.
pub trait Watcher: Sync {
    /// Something worth a line.
    fn note(&self, text: &str);
    /// So many of so many clips have their features.
    fn features(&self, done: usize, total: usize);
    /// So many of so many clips are tested.
    fn testing(&self, done: usize, total: usize);
    /// Whether the user asked to stop; asked while sounds are read and clips are
    /// tested, from any thread. It must not change its mind.
    fn stops(&self) -> bool;
    /// Training goes on; says whether it shall.
    fn training(&self, event: &Event) -> Control;
}

/// Makes the run of `plan` in the folder `out`, or goes on with it; a finished
/// one gives its result again.
///
/// # Errors
/// A folder of another run, sounds that cannot be read, a stop
/// ([`TrainingError::Stopped`](crate::training::TrainingError::Stopped); what
/// was done is saved), or a disk that is full.
pub fn run(plan: &Plan, out: &Path, cache: &Path, watcher: &dyn Watcher) -> Result<RunResult> {
    let folder = RunFolder::open(out)?;
    same_run(plan, out)?;
    if let Ok(text) = fs::read_to_string(out.join(RESULT)) {
        watcher.note("this run is finished; its result again");
        // A kill just after the result was written leaves them.
        folder.remove_checkpoints()?;
        return serde_json::from_str(&text)
            .with_context(|| format!("{} cannot be read; remove it", out.join(RESULT).display()));
    }
    let text = toml::to_string(&plan.config)?;
    atomic::replace(&out.join(CONFIG), text.as_bytes())
        .with_context(|| format!("cannot write into {}", out.display()))?;
    folder.write_json(FOUND, &plan.found)?;
    let parts = Parts::of(&plan.dataset, &plan.split)?;
    folder.write_json(PARTS, &parts)?;
    if parts.trained_too() > 0 {
        watcher.note(&format!(
            "{} of the clips to validate and test on are byte for byte clips that are trained on; \
             results are too good, so remove one of each",
            parts.trained_too()
        ));
    }
    folder.write_json("environment.json", &describe(&format!("{:?}", plan.device)))?;
    let clips = features(plan, cache, watcher)?;
    let model = AdaptedModel::new(
        &plan.checkpoint,
        &plan.method,
        &AdaptOptions {
            classes: plan.found.labels.len() as i64,
            seed: plan.training.seed,
            precision: plan.precision,
            device: plan.device,
            pooling: plan.config.pooling.unwrap_or_default(),
            head: plan.config.head.unwrap_or_default(),
            first_block: plan.config.first_block.unwrap_or_default(),
            patchout: plan.config.patchout.unwrap_or_default(),
            mask_padding: plan.config.mask_padding.unwrap_or_default(),
        },
    )?;
    let store = folder.checkpoints(plan.config.keep_checkpoints.unwrap_or(2))?;
    let runtime = Runtime {
        checkpoints: Some(CheckpointPlan {
            store: &store,
            identity: identity(plan)?,
            every_seconds: SAVE_SECONDS,
        }),
        ..Runtime::default()
    };
    let mut journal = Journal::new(&folder, plan.config.tensorboard.unwrap_or_default());
    let mut failed = None;
    let trained = train_with(
        &model,
        &clips,
        &plan.split,
        &plan.training,
        &runtime,
        &mut |event| {
            if let Event::Epoch(epochs) | Event::Resumed { epochs, .. } = &event
                && let Err(error) = journal.write(epochs)
            {
                failed = Some(error);
                return Control::Stop;
            }
            watcher.training(&event)
        },
    );
    if let Some(error) = failed {
        return Err(error.into());
    }
    let trained = trained?;
    let part = &plan.split.test;
    let (batch, objective) = (plan.training.validation_batch(), plan.training.objective);
    let mut go_on = |done: usize| {
        watcher.testing(done, part.len());
        !watcher.stops()
    };
    let tested = measure_while(&model, &clips, part, batch, objective, &mut go_on)?;
    let (_, test) = tested.ok_or(TrainingError::Stopped)?;
    let adapter = out.join("adapter");
    Task { objective }.write(&adapter)?;
    adapters::save(&adapter, &model, &description(plan)?)?;
    let result = RunResult {
        out: out.to_owned(),
        adapter,
        labels: plan.found.labels.clone(),
        trained_values: model.counts().all,
        trained_values_paper: Some(model.counts().paper),
        epochs: trained.epochs.len(),
        selected_epoch: trained.selected,
        test,
        majority_share: majority_share(plan),
    };
    folder.write_json(RESULT, &result)?;
    folder.remove_checkpoints()?;
    Ok(result)
}

/// Fails when the folder holds a run that differs in more than the place of its
/// sounds and backbone.
fn same_run(plan: &Plan, out: &Path) -> Result<()> {
    let path = out.join(CONFIG);
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let refuse = |differ: &[String]| -> Result<()> {
        bail!(
            "{} is the folder of a run with other settings ({}); choose another --out, or remove it",
            out.display(),
            differ.join(", ")
        )
    };
    let Ok(stored) = RunConfig::parse(&text) else {
        return refuse(&[format!("{CONFIG} cannot be read")]);
    };
    let tables = [
        Table::try_from(comparable(&stored))?,
        Table::try_from(comparable(&plan.config))?,
    ];
    let mut differ = Vec::new();
    differences("", &tables[0], &tables[1], &mut differ);
    if let Ok(text) = fs::read_to_string(out.join(FOUND))
        && let Ok(found) = serde_json::from_str::<Found>(&text)
    {
        if found.sounds_fingerprint != plan.found.sounds_fingerprint {
            differ.push("the sounds".to_owned());
        }
        if found.backbone_fingerprint != plan.found.backbone_fingerprint {
            differ.push("the weights of the backbone".to_owned());
        }
    }
    if differ.is_empty() {
        return Ok(());
    }
    refuse(&differ)
}

/// The resolved configuration of the run that made the adapter in `folder`,
/// where there is one that can be read.
pub fn configuration(folder: &Path) -> Option<RunConfig> {
    RunConfig::load(&run_of(folder)?.join(CONFIG)).ok()
}

/// Without the places of things, which may move, and what changes no figure.
fn comparable(config: &RunConfig) -> RunConfig {
    RunConfig {
        data: None,
        manifest: None,
        backbone: None,
        tensorboard: None,
        keep_checkpoints: None,
        ..config.clone()
    }
}

/// Names of the keys that two tables differ in, with both values.
fn differences(place: &str, old: &Table, new: &Table, found: &mut Vec<String>) {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(old)), Some(Value::Table(new))) => {
                differences(&format!("{place}{key}."), old, new, found);
            }
            (old, new) if old != new => {
                let word = |value: Option<&Value>| value.map_or("unset".into(), Value::to_string);
                let (old, new) = (word(old), word(new));
                found.push(format!("{place}{key} was {old}, is {new}"));
            }
            _ => {}
        }
    }
}

/// Features of all clips, from the cache where they are there.
fn features(plan: &Plan, cache: &Path, watcher: &dyn Watcher) -> Result<Clips> {
    let extractor = Extractor::new(plan.front_end.clone())?;
    let progress = |done, total| watcher.features(done, total);
    let folder = cache.join("features");
    let stops = || watcher.stops();
    let options = FeatureOptions {
        cache: Some(&folder),
        format: plan.config.features.unwrap_or_default(),
        stop: Stop::new(&stops),
    };
    let (features, usage) = plan.dataset.features(&extractor, options, &progress)?;
    if let Some(note) = usage.note() {
        watcher.note(note);
    }
    let labels = plan.dataset.clips.iter().map(|clip| clip.label as i64);
    let clips = Clips::from_features(features, labels.collect(), plan.device)
        .context("the features do not belong to the clips; remove them from the cache")?;
    let clips = clips
        .with_fbank(plan.front_end.fbank.clone())
        .with_ast(plan.front_end.ast.clone());
    let Some(targets) = plan.dataset.multi_hot() else {
        return Ok(clips);
    };
    let several = clips.with_multi_hot(targets, plan.dataset.classes());
    several.context("the labels do not belong to the clips")
}

/// Hash of what decides the result beside training settings and parts.
fn identity(plan: &Plan) -> Result<String> {
    let mut hash = Sha256::new();
    for part in [
        &plan.found.sounds_fingerprint,
        &plan.found.backbone_fingerprint,
        &serde_json::to_string(&plan.method)?,
        &serde_json::to_string(&plan.front_end)?,
    ] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(hex(&hash.finalize()))
}

fn description(plan: &Plan) -> Result<AdapterDescription> {
    let config = &plan.checkpoint.config;
    Ok(AdapterDescription {
        format_version: FORMAT_VERSION,
        method: plan.method.clone(),
        compat: plan.config.compat.unwrap_or(Compat::Fixed),
        backbone_fingerprint: plan.found.backbone_fingerprint.clone(),
        backbone: plan.backbone.clone(),
        blocks: config.num_hidden_layers,
        strides: [config.frequency_stride, config.time_stride],
        precision: plan.precision,
        max_length: plan
            .config
            .max_length
            .map_or(config.max_length, |frames| frames as i64),
        positions: plan.config.positions.unwrap_or_default(),
        pooling: plan.config.pooling.unwrap_or_default(),
        head: plan.config.head.unwrap_or_default(),
        first_block: plan.config.first_block.unwrap_or_default(),
        mask_padding: plan.config.mask_padding.unwrap_or_default(),
        labels: plan.found.labels.clone(),
        features: serde_json::to_value(&plan.front_end)?,
    })
}

fn majority_share(plan: &Plan) -> f64 {
    if let Some(targets) = plan.dataset.multi_hot() {
        let classes = plan.dataset.classes();
        let mut counts: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
        for &index in &plan.split.test {
            let own = &targets[index * classes..][..classes];
            let own = own.iter().map(|&value| value > 0.5).collect();
            *counts.entry(own).or_default() += 1;
        }
        let largest = counts.values().copied().max().unwrap_or(0);
        return largest as f64 / plan.split.test.len().max(1) as f64;
    }
    let counts = plan.dataset.class_counts(&plan.split.test);
    let largest = counts.iter().copied().max().unwrap_or(0);
    largest as f64 / counts.iter().sum::<usize>().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_the_keys_and_both_values() {
        let table = |text: &str| toml::from_str::<Table>(text).unwrap();
        let (old, new) = (
            table("a = 1\n[t]\nb = 2"),
            table("a = 1\nc = 4\n[t]\nb = 3"),
        );
        let mut found = Vec::new();
        differences("", &old, &new, &mut found);
        assert_eq!(found, ["c was unset, is 4", "t.b was 2, is 3"]);
    }
}
