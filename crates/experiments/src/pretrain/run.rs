//! Pretraining in a run folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use ast_model::tensor_file::Stored;
use ast_model::{AstConfig, Checkpoint, PreprocessorConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::Device;

use super::card::card;
use super::{Mixture, PretrainConfig, Pretrainer, Source, data};
use crate::atomic;
use crate::backbones;
use crate::data::hex;
use crate::environment::describe;
use crate::run_folder::RunFolder;
use crate::training::{CheckpointPlan, Control, Event, Journal, Runtime, train_learner};

/// The resolved configuration.
const CONFIG: &str = "pretrain.toml";
/// The figures, written last.
const RESULT: &str = "result.json";

/// Seconds between two checkpoints: what a kill loses at most.
const SAVE_SECONDS: f64 = 60.0;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder of the run.
    pub out: PathBuf,
    /// Folder of the manifests.
    pub datasets: PathBuf,
    /// The user's cache.
    pub cache: PathBuf,
    /// Where to compute.
    pub device: Device,
    /// Number format of the backbone's file.
    pub stored: Stored,
}

/// What a run gives: `result.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pretrained {
    /// Folder of the checkpoint.
    pub backbone: PathBuf,
    /// Hash of its weights, as they are in the file.
    pub fingerprint: String,
    /// SHA-256 of its `model.safetensors`.
    pub sha256: String,
    /// Bytes of that file.
    pub bytes: u64,
    /// Number of its values.
    pub parameters: u64,
    /// Epochs made.
    pub epochs: usize,
    /// The epoch whose weights were kept, from 0.
    pub selected_epoch: usize,
    /// Mean loss on the clips held out, of the selected epoch.
    pub validation_loss: f64,
    /// Figures of single losses and label sets on these clips.
    pub validation: BTreeMap<String, f64>,
    /// Seconds of training, validation left out.
    pub training_seconds: f64,
    /// Seconds of the last call that made it, from start to end.
    pub seconds: f64,
    /// The data sets.
    pub sources: Vec<Source>,
}

/// Who wants to know how a run is going.
pub trait Watcher: Sync {
    /// Something worth a line.
    fn note(&self, text: &str);
    /// So many of so many clips of a data set have their features.
    fn features(&self, data: &str, done: usize, total: usize);
    /// Training goes on; says whether it shall.
    fn training(&self, event: &Event) -> Control;
}

/// Makes the run, or goes on with it; a finished one gives its result again.
///
/// # Errors
/// A folder of another run, data sets or checkpoints that are not there, a stop
/// ([`TrainingError::Stopped`](crate::training::TrainingError::Stopped); what was
/// done is saved), or a disk that is full.
pub fn run(config: &PretrainConfig, places: &Places, watcher: &dyn Watcher) -> Result<Pretrained> {
    config.validate()?;
    let begun = Instant::now();
    let folder = RunFolder::open(&places.out)?;
    same_run(config, &places.out)?;
    if let Ok(text) = fs::read_to_string(places.out.join(RESULT)) {
        watcher.note("this run is finished; its result again");
        let place = places.out.join(RESULT);
        return serde_json::from_str(&text)
            .with_context(|| format!("{} cannot be read; remove it", place.display()));
    }
    let start = start(config, &places.cache)?;
    let teacher = teacher(config, &places.cache)?;
    let told = |data: &str, done, total| watcher.features(data, done, total);
    let Mixture {
        clips,
        split,
        sets,
        sources,
    } = data::open(
        &config.tasks,
        config.max_length,
        [&places.datasets, &places.cache],
        places.device,
        &told,
    )?;
    // Only now: a file with a mistake in it must not claim the folder.
    let text = toml::to_string(config)?;
    atomic::replace(&places.out.join(CONFIG), text.as_bytes())
        .with_context(|| format!("cannot write into {}", places.out.display()))?;
    folder.write_json(
        "environment.json",
        &describe(&format!("{:?}", places.device)),
    )?;
    let mut learner = Pretrainer::new(config, &clips, sets, &start, teacher.as_ref())?;
    let store = folder.checkpoints(2)?;
    let runtime = Runtime {
        checkpoints: Some(CheckpointPlan {
            store: &store,
            identity: identity(config, &sources, &start, teacher.as_ref())?,
            every_seconds: SAVE_SECONDS,
        }),
        ..Runtime::default()
    };
    let mut journal = Journal::new(&folder, true);
    let mut unwritten = None;
    let mut observe = |event: Event| {
        if let Event::Epoch(epochs) | Event::Resumed { epochs, .. } = &event
            && let Err(error) = journal.write(epochs)
        {
            unwritten = Some(error);
            return Control::Stop;
        }
        watcher.training(&event)
    };
    let training = &config.training;
    let trained = train_learner(
        &mut learner,
        &clips,
        &split,
        training,
        &runtime,
        &mut observe,
    );
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    let trained = trained?;
    let made = start
        .with_tensors(learner.backbone(), None)?
        .with_preprocessor(preprocessor(&start.config));
    let backbone = places.out.join(&config.name);
    made.save_as(&backbone, places.stored)?;
    let (read, _) = Checkpoint::load(&backbone)?;
    let weights = backbone.join("model.safetensors");
    let bytes = fs::read(&weights).with_context(|| format!("cannot read {}", weights.display()))?;
    let best = trained.history.get(trained.selected);
    let result = Pretrained {
        fingerprint: read.fingerprint(),
        sha256: hex(&Sha256::digest(&bytes)),
        bytes: bytes.len() as u64,
        parameters: read.parameter_count(),
        backbone: backbone.clone(),
        epochs: trained.history.len(),
        selected_epoch: trained.selected,
        validation_loss: best.map_or(0.0, |epoch| epoch.validation_loss),
        validation: best
            .map(|epoch| epoch.validation_parts.clone())
            .unwrap_or_default(),
        training_seconds: trained.history.iter().map(|epoch| epoch.seconds).sum(),
        seconds: begun.elapsed().as_secs_f64(),
        sources,
    };
    let card = card(config, &result, &read.config);
    atomic::replace(&backbone.join("README.md"), card.as_bytes())
        .with_context(|| format!("cannot write into {}", backbone.display()))?;
    folder.write_json(RESULT, &result)?;
    folder.remove_checkpoints()?;
    Ok(result)
}

/// The checkpoint or the random weights that training starts from, for the
/// length of the clips.
fn start(config: &PretrainConfig, cache: &Path) -> Result<Checkpoint> {
    let start = &config.start;
    let whole = match (&start.checkpoint, &start.shape) {
        (Some(name), _) => backbones::load(name, cache)?.1,
        (None, Some(shape)) => {
            let shape = AstConfig {
                max_length: config.max_length as i64,
                ..shape.clone()
            };
            Checkpoint::random(&shape, config.training.seed)?
        }
        (None, None) => bail!("start: name a checkpoint or a shape"),
    };
    let blocks = start.blocks.unwrap_or(whole.config.num_hidden_layers);
    let own = [whole.config.frequency_stride, whole.config.time_stride];
    let strides = start.strides.unwrap_or(own);
    let positions = start.positions.unwrap_or_default();
    let cut = whole.first_blocks(blocks)?;
    let fitted = cut.with_grid(config.max_length as i64, strides, positions)?;
    let shape = &fitted.config;
    let apart = shape.frequency_stride >= shape.patch_size && shape.time_stride >= shape.patch_size;
    if config
        .masked
        .as_ref()
        .is_some_and(|masked| masked.weight > 0.0)
        && !apart
    {
        bail!(
            "masked: patches of {} overlap at strides {:?}, so hidden ones could be copied from \
             their neighbours; set start.strides to {} or more along both axes",
            shape.patch_size,
            [shape.frequency_stride, shape.time_stride],
            shape.patch_size
        );
    }
    Ok(fitted)
}

fn teacher(config: &PretrainConfig, cache: &Path) -> Result<Option<Checkpoint>> {
    let Some(distil) = config.distil.as_ref().filter(|distil| distil.weight > 0.0) else {
        return Ok(None);
    };
    let (_, whole) = backbones::load(&distil.teacher, cache)?;
    let blocks = distil.blocks.unwrap_or(whole.config.num_hidden_layers);
    Ok(Some(whole.first_blocks(blocks)?))
}

/// What the front end did for these clips.
fn preprocessor(shape: &AstConfig) -> PreprocessorConfig {
    PreprocessorConfig {
        num_mel_bins: shape.num_mel_bins,
        max_length: shape.max_length,
        ..PreprocessorConfig::default()
    }
}

/// Fails when the folder holds a run with other settings.
fn same_run(config: &PretrainConfig, out: &Path) -> Result<()> {
    let path = out.join(CONFIG);
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    if toml::from_str::<PretrainConfig>(&text).is_ok_and(|stored| stored == *config) {
        return Ok(());
    }
    bail!(
        "{} is the folder of a run with other settings (compare {CONFIG} there); choose another \
         --out, or remove it",
        out.display()
    )
}

/// Hash of what decides the result beside training settings and parts.
fn identity(
    config: &PretrainConfig,
    sources: &[Source],
    start: &Checkpoint,
    teacher: Option<&Checkpoint>,
) -> Result<String> {
    let parts = (
        config,
        sources,
        start.fingerprint(),
        teacher.map(Checkpoint::fingerprint),
    );
    Ok(hex(&Sha256::digest(serde_json::to_vec(&parts)?)))
}
