//! `soft-moa sweep plan`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use experiments::bench::{BenchOptions, Profile};
use experiments::device;
use experiments::sweep::{self, Overrides, PLAN_FILE};
use serde_json::json;
use tch::Device;

use super::super::output::{self, Output};
use super::super::places::CacheArgument;
use crate::cli::bench;

#[derive(clap::Args)]
pub struct Plan {
    /// Built-in profile: smoke, quick or paper.
    #[arg(long, required_unless_present = "profile_file")]
    profile: Option<String>,
    /// A profile of your own in TOML, instead of a built-in one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    profile_file: Option<PathBuf>,
    /// Folder of the sweep; that of a benchmark shares its runs.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only these tasks.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    task: Vec<String>,
    /// Only these rows of the table, by label or by method.
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    method: Vec<String>,
    /// These seeds, for example 1,2,3.
    #[arg(long, value_name = "LIST")]
    seeds: Option<String>,
    /// These folds, for example 0-4.
    #[arg(long, value_name = "LIST")]
    folds: Option<String>,
    /// A setting of every row's method (mixture.experts=2,7,15), of the rows
    /// (learning_rate=1e-3,5e-3) or of the tasks (task.epochs=20); several values
    /// make a row each.
    #[arg(long, value_name = "KEY=VALUE,…")]
    set: Vec<String>,
    /// Where the runs are made: cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    cache: CacheArgument,
    /// Folder of the data set manifests.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
    /// Replace another plan in the folder.
    #[arg(long)]
    force: bool,
}

/// Writes the plan and prints it, a line a run.
pub fn run(arguments: &Plan, output: &Output) -> Result<()> {
    let name = arguments.profile.as_deref().unwrap_or_default();
    let profile = bench::profile(name, arguments.profile_file.as_deref())?;
    let profile = overrides(arguments)?.apply(&profile)?;
    let (device, device_name) = planned_device(&arguments.device, &profile)?;
    let planned = sweep::plan(
        &profile,
        &BenchOptions {
            out: arguments.out.clone(),
            cache: arguments.cache.folder()?,
            datasets: arguments.datasets.clone(),
            device,
            device_name,
            command: format!("soft-moa sweep collect --plan {}", arguments.out.display()),
            checkpoint_seconds: 0.0,
        },
    )?;
    planned.sweep.write(arguments.force)?;
    for (index, entry) in planned.sweep.entries.iter().enumerate() {
        let value = json!({"index": index, "id": entry.id, "run": entry.title()});
        output.result(&value, || {
            format!("{index:>5}  {}  {}", entry.id, entry.title())
        })?;
    }
    for missing in &planned.missing {
        eprintln!("left out: {missing}");
    }
    let path = arguments.out.join(PLAN_FILE);
    let runs = output::count(planned.sweep.entries.len(), "run");
    eprintln!("{runs} in {}", path.display());
    Ok(())
}

fn overrides(arguments: &Plan) -> Result<Overrides> {
    let list = |text: &Option<String>| text.as_deref().map(sweep::numbers).transpose();
    let folds = list(&arguments.folds)?;
    Ok(Overrides {
        tasks: arguments.task.clone(),
        methods: arguments.method.clone(),
        folds: folds.map(|folds| folds.into_iter().map(|fold| fold as usize).collect()),
        seeds: list(&arguments.seeds)?,
        set: arguments.set.clone(),
    })
}

/// The device of the runs. A plan for GPUs may be made on a machine without one,
/// unless something has to be measured on it.
fn planned_device(name: &str, profile: &Profile) -> Result<(Device, String)> {
    let index = match name {
        "cpu" => return Ok((Device::Cpu, name.to_owned())),
        "cuda" => Some(0),
        _ => name
            .strip_prefix("cuda:")
            .and_then(|index| index.parse().ok()),
    };
    let Some(index) = index else {
        bail!("{name} is no device; use cpu, cuda or cuda:INDEX");
    };
    if profile.precision == ast_model::PrecisionChoice::Auto {
        device::choose(name)?;
    }
    Ok((Device::Cuda(index), format!("cuda:{index}")))
}
