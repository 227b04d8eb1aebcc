//! A profile with one run in it.

use adapters::Compat;
use ast_model::{Patchout, Precision, PrecisionChoice};
use serde::{Deserialize, Serialize};

use super::plan::Run;
use super::profile::{BackboneSpec, Profile, TaskSpec};
use super::rows::MethodSpec;
use crate::optimiser::AdamWConfig;

/// What a profile says about one of its runs, as plain data: with the data and the
/// weights that it names it gives the run's configuration again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Single {
    /// Name of the profile.
    pub profile: String,
    /// Which behaviour of the authors' program.
    pub compat: Compat,
    /// Number format of the frozen matrices; what `auto` was resolved to.
    pub precision: Precision,
    /// See [`Profile::activation_checkpointing`].
    pub activation_checkpointing: bool,
    /// Patches dropped in training steps.
    pub patchout: Patchout,
    /// The frozen backbone.
    pub backbone: BackboneSpec,
    /// The optimiser.
    pub adamw: AdamWConfig,
    /// The task, with one fold, one seed and one row.
    pub task: TaskSpec,
    /// The row.
    pub row: MethodSpec,
}

impl Single {
    /// What `profile` says about `run`; `None` where it is not one of its runs.
    pub(crate) fn of(profile: &Profile, run: &Run) -> Option<Self> {
        let config = &run.config;
        let named = |task: &&TaskSpec| task.name == config.task;
        let task = profile.tasks.iter().find(named)?;
        Some(Single {
            profile: profile.name.clone(),
            compat: profile.compat,
            precision: config.precision,
            activation_checkpointing: profile.activation_checkpointing,
            patchout: profile.patchout,
            backbone: profile.backbone.clone(),
            adamw: profile.adamw.clone(),
            task: TaskSpec {
                folds: Some(vec![config.fold]),
                seeds: vec![config.seed],
                methods: vec![config.label.clone()],
                ..task.clone()
            },
            row: profile.method(&config.label)?.clone(),
        })
    }

    /// The profile that has this run and no other.
    pub(crate) fn profile(&self) -> Profile {
        Profile {
            name: self.profile.clone(),
            title: String::new(),
            notes: Vec::new(),
            compat: self.compat,
            precision: match self.precision {
                Precision::F32 => PrecisionChoice::F32,
                Precision::Bf16 => PrecisionChoice::Bf16,
            },
            activation_checkpointing: self.activation_checkpointing,
            patchout: self.patchout,
            backbone: self.backbone.clone(),
            adamw: self.adamw.clone(),
            tasks: vec![self.task.clone()],
            written: Vec::new(),
            studies: Vec::new(),
            published: Vec::new(),
            methods: vec![self.row.clone()],
        }
    }
}
