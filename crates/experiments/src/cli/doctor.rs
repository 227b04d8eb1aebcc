//! `soft-moa doctor`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use experiments::doctor::{self, Places, Status};

use super::output::{self, Output};
use super::places::CacheArgument;

#[derive(clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    cache: CacheArgument,
    /// Folder of the data set manifests.
    #[arg(long, default_value = "datasets")]
    datasets: PathBuf,
}

/// Prints a line a check; fails only if something is broken.
pub fn run(arguments: &Doctor, output: &Output) -> Result<()> {
    let checks = doctor::examine(&Places {
        cache: arguments.cache.folder()?,
        datasets: arguments.datasets.clone(),
    });
    let width = checks.iter().map(|check| check.name.len()).max();
    let width = width.unwrap_or(0);
    for check in &checks {
        output.result(check, || {
            let word = match check.status {
                Status::Ok => "ok",
                Status::Missing => "missing",
                Status::Broken => "BROKEN",
            };
            let (name, found) = (&check.name, &check.found);
            let mut line = format!("{word:8}{name:width$}  {found}");
            if !check.remedy.is_empty() {
                line += &format!("\n{:8}{:width$}  -> {}", "", "", check.remedy);
            }
            line
        })?;
    }
    let broken = checks.iter().filter(|check| check.status == Status::Broken);
    match broken.count() {
        0 => Ok(()),
        broken => bail!("{}, marked BROKEN above", output::count(broken, "check")),
    }
}
