//! `soft-moa inspect`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use experiments::inspect;

use super::output::{self, Output};
use super::places::CacheArgument;

#[derive(clap::Args)]
pub struct Inspect {
    /// An adapter, checkpoint, run, feature cache, sound, folder of sounds, manifest or table.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    cache: CacheArgument,
}

/// Prints what each path is; fails if something is wrong with one.
pub fn run(arguments: &Inspect, output: &Output) -> Result<()> {
    let cache = arguments.cache.folder()?;
    let mut problems = 0;
    for path in &arguments.paths {
        let report = inspect::inspect(path, &cache)?;
        problems += report.problems.len();
        output.result(&report, || report.text())?;
    }
    match problems {
        0 => Ok(()),
        _ => bail!("{}, listed above", output::count(problems, "problem")),
    }
}
