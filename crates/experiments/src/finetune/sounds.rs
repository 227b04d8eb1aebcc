//! Anyone's sounds as a data set: a folder per class, or a table.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::RunConfig;
use crate::data::{Columns, Dataset, OwnOptions, Split, SplitSpec};

/// How the sounds lie, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What the labels are taken from.
    pub labels: String,
    /// What decides the parts.
    pub split: String,
    /// What a reader of the results must know; may be empty.
    pub caveat: String,
}

/// Anyone's sounds, ready to be trained on.
#[derive(Debug)]
pub struct Opened {
    /// The clips.
    pub dataset: Dataset,
    /// Their parts.
    pub split: Split,
    /// How the sounds were understood.
    pub layout: Layout,
}

/// The data set that `config.data` is; see [`Dataset::own`].
///
/// # Errors
/// Sounds that are not there or make no data set, with what to do; a fold that
/// the data do not have.
pub fn open(config: &RunConfig) -> Result<Opened> {
    let data = config
        .data
        .as_deref()
        .context("there is nothing to train on; name sounds with --data")?;
    ensure!(
        data.exists(),
        "there is no {}; check the path",
        data.display()
    );
    let usual = Columns::default();
    let options = OwnOptions {
        // The length is chosen from the training clips alone.
        max_length: Some(1),
        validation: config.validation.unwrap_or(0.15),
        test: config.test.unwrap_or(0.15),
        seed: config.seed.unwrap_or(super::plan::SEED),
        columns: Columns {
            group: config.group.clone().unwrap_or(usual.group),
            ..Columns::default()
        },
    };
    let dataset = Dataset::own(data, &options)?;
    let mut splits = dataset.splits()?;
    let fold = config.fold.unwrap_or(0);
    if fold >= splits.len() {
        let (count, data) = (splits.len(), data.display());
        bail!("{data} has {count} folds, counted from 0; there is no fold {fold}");
    }
    let split = splits.swap_remove(fold);
    let clips = dataset.clips.len();
    let labels = match data.is_dir() {
        true => format!("folders ({clips} clips)"),
        false => format!("column label ({clips} clips)"),
    };
    Ok(Opened {
        layout: Layout {
            labels,
            split: words(&dataset.manifest.split, fold),
            caveat: dataset.manifest.caveat.clone(),
        },
        dataset,
        split,
    })
}

/// What decides the parts.
fn words(split: &SplitSpec, fold: usize) -> String {
    match split {
        SplitSpec::Shares {
            group,
            validation,
            test,
            ..
        } => {
            let within = match group {
                Some(group) => format!(", no {group} in two parts"),
                None => String::new(),
            };
            format!(
                "{:.0} % to validate on, {:.0} % to test on, of every class{within}",
                100.0 * validation,
                100.0 * test
            )
        }
        SplitSpec::Parts { group, .. } => format!("as {group} says"),
        SplitSpec::GroupRotation { group, order } => {
            let tested = order.get(fold).map_or("", String::as_str);
            format!("{group} {tested} is tested, the one before it validates")
        }
        _ => "as the sounds say".to_owned(),
    }
}

/// Where a path leads, for records of runs.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
