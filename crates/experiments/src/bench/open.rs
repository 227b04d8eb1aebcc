//! From a profile to a plan that can be carried out here.

use anyhow::Result;

use super::BenchOptions;
use super::backbone::Backbone;
use super::plan::Plan;
use super::profile::Profile;
use super::tasks::{NotThere, Task, TaskSource};

/// What a profile needs, as far as it is here.
pub(crate) struct Opened {
    /// The backbone, unless it is not to be had.
    pub backbone: Option<Backbone>,
    /// The tasks that are there.
    pub tasks: Vec<Task>,
    /// What is not there, with the way to get it.
    pub missing: Vec<String>,
    /// Those of [`missing`](Self::missing) where something is at fault.
    pub broken: Vec<String>,
}

/// Looks for the backbone and the tasks of a profile.
pub(crate) fn open(profile: &Profile, options: &BenchOptions) -> Opened {
    let mut opened = Opened {
        backbone: None,
        tasks: Vec::new(),
        missing: Vec::new(),
        broken: Vec::new(),
    };
    match Backbone::find(&profile.backbone, &options.cache) {
        Ok(backbone) => opened.backbone = Some(backbone),
        Err(error) => opened.missing.push(format!("{error:#}")),
    }
    let source = TaskSource {
        datasets: &options.datasets,
        cache: &options.cache,
    };
    for spec in &profile.tasks {
        match Task::open(spec, &source, profile.compat) {
            Ok(task) => opened.tasks.push(task),
            Err(error) => {
                if !error.is::<NotThere>() {
                    opened.broken.push(format!("{error:#}"));
                }
                opened.missing.push(format!("{error:#}"));
            }
        }
    }
    opened
}

/// Gives tasks the length that the backbone's positions ask for. Once.
///
/// # Errors
/// A length shorter than a patch.
pub(crate) fn fit(backbone: &Backbone, tasks: &mut [Task]) -> Result<()> {
    for task in tasks {
        let length = &mut task.front_end.ast.max_length;
        *length = backbone
            .input_length(*length)
            .map_err(|error| error.context(task.spec.name.clone()))?;
    }
    Ok(())
}

/// The runs of a profile, and what was measured to choose the precision.
///
/// # Errors
/// As [`Plan::new`], and a precision that cannot be measured on the device.
pub(crate) fn resolve(
    profile: &Profile,
    backbone: &Backbone,
    tasks: &[Task],
    options: &BenchOptions,
) -> Result<(Plan, Option<String>)> {
    let (precision, rates) = profile.precision.resolve(options.device)?;
    let note = rates.map(|rates| {
        format!(
            "Precision auto: {} (products measured at {:.0} GFLOP/s in f32 and {:.0} in bf16).",
            precision.name(),
            rates.f32,
            rates.bf16
        )
    });
    let plan = Plan::new(profile, precision, backbone, tasks, &options.device_name)?;
    Ok((plan, note))
}
