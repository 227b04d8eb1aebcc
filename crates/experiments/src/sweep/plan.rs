//! From a profile to a plan.

use anyhow::{Context, Result, bail};

use super::entry::{Entry, Sweep};
use super::memory;
use crate::bench::{self, BenchOptions, Profile, Single, Task};

/// A sweep that was planned, and what it lacks.
#[derive(Debug)]
pub struct Planned {
    /// The sweep; not yet on the disk.
    pub sweep: Sweep,
    /// What a profile names that is not here, with the way to get it.
    pub missing: Vec<String>,
    /// Those of [`missing`](Self::missing) where something is at fault.
    pub broken: Vec<String>,
}

/// Plans all runs of a profile whose data and backbone are here, in the order of
/// the benchmark. `options.out` becomes the folder of the sweep.
///
/// Fingerprints of sounds and weights and the number format are settled now: a run
/// is the same wherever it is made, or refused.
///
/// # Errors
/// When nothing of the profile is here, or a setting contradicts another.
pub fn plan(profile: &Profile, options: &BenchOptions) -> Result<Planned> {
    let mut opened = bench::open(profile, options);
    let Some(backbone) = &opened.backbone else {
        bail!(
            "nothing can be planned:\n  - {}",
            opened.missing.join("\n  - ")
        );
    };
    if opened.tasks.is_empty() {
        bail!(
            "nothing can be planned:\n  - {}",
            opened.missing.join("\n  - ")
        );
    }
    bench::fit(backbone, &mut opened.tasks)?;
    let (plan, note) = bench::resolve(profile, backbone, &opened.tasks, options)?;
    let mut context =
        bench::report_context(profile, options, &opened.tasks, opened.missing.clone());
    context.notes.extend(backbone.note());
    context.notes.extend(profile.notes.iter().cloned());
    context.notes.extend(note);
    let fit = |task: &Task| backbone.fitted(task.front_end.ast.max_length);
    let fitted: Vec<_> = opened.tasks.iter().map(fit).collect();
    let mut entries = Vec::new();
    for run in plan.runs {
        let task = &opened.tasks[run.task];
        let fitted = fitted[run.task].to(run.config.positions)?;
        let memory = memory::estimate(&fitted.checkpoint, &run.config, task.dataset.clips.len());
        let own = Single::of(profile, &run).context("a run belongs to its profile")?;
        entries.push(Entry::new(run.id, run.work, memory, own, run.config));
    }
    Ok(Planned {
        sweep: Sweep {
            folder: options.out.clone(),
            entries,
            context,
        },
        missing: opened.missing,
        broken: opened.broken,
    })
}
