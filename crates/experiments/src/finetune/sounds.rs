//! Sounds as a data set: anyone's own, or those of a manifest.

use std::path::Path;

use adapters::Compat;
use anyhow::{Context, Result, bail, ensure};

use super::RunConfig;
use super::source::Source;
use crate::data::{Dataset, Defaults, Manifest, OwnOptions, Protocol, Split, SplitSpec, TOGETHER};

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
    /// What the manifest says, where there is one.
    pub official: Option<Official>,
}

/// What a data set with a manifest says about runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Official {
    /// The manifest's name, or the path of its file.
    pub manifest: String,
    /// Its settings.
    pub defaults: Defaults,
}

/// The data set that `config` names; see [`Dataset::own`]. `cache` is where
/// `cargo xtask data` notes where data sets lie.
///
/// # Errors
/// Sounds that are not there or make no data set, with what to do; a fold that
/// the data do not have.
pub fn open(config: &RunConfig, cache: &Path) -> Result<Opened> {
    let source = Source::of(config, cache)?;
    let options = options(config, false)?;
    let (dataset, official, labels) = match source {
        Source::Own(data) => {
            let dataset = Dataset::own(&data, &options)?;
            let labels = match data.is_dir() {
                true => "folders".to_owned(),
                false => format!("column {}", options.columns.label),
            };
            (dataset, None, labels)
        }
        Source::Set {
            name,
            manifest,
            root,
        } => {
            let dataset = by_manifest(config, *manifest, &root)?;
            let labels = format!("as the manifest {name} says");
            let defaults = dataset.manifest.defaults.clone();
            let official = Official {
                manifest: name,
                defaults,
            };
            (dataset, Some(official), labels)
        }
    };
    let compat = config.compat.unwrap_or(Compat::Fixed);
    let protocol = Protocol {
        allow_leaks: config.allow_leaks.clone(),
        ..Protocol::of(compat, &dataset.manifest.defaults)
    };
    let mut splits = dataset.splits_for(&protocol)?;
    let fold = config.fold.unwrap_or(0);
    if fold >= splits.len() {
        let (count, name) = (splits.len(), &dataset.manifest.name);
        bail!("{name} can be divided in {count} ways (folds), counted from 0; there is no {fold}");
    }
    let split = splits.swap_remove(fold);
    let clips = dataset.clips.len();
    Ok(Opened {
        layout: Layout {
            labels: format!("{labels} ({clips} clips)"),
            split: words(&dataset.manifest.split, &split),
            caveat: dataset.manifest.caveat.clone(),
        },
        dataset,
        split,
        official,
    })
}

/// The sounds that `config` names, only to be measured: one class will do, and
/// any of the parts.
///
/// # Errors
/// As [`open`].
pub fn measured(config: &RunConfig, cache: &Path) -> Result<Dataset> {
    match Source::of(config, cache)? {
        Source::Own(data) => Ok(Dataset::own(&data, &options(config, true)?)?),
        Source::Set { manifest, root, .. } => by_manifest(config, *manifest, &root),
    }
}

/// Settings for sounds without a manifest.
fn options(config: &RunConfig, measured_only: bool) -> Result<OwnOptions> {
    let mut columns = config.columns()?;
    if let Some(group) = &config.group {
        columns.group.clone_from(group);
    }
    Ok(OwnOptions {
        // The length is chosen from the training clips alone.
        max_length: Some(1),
        validation: config.validation.unwrap_or(0.15),
        test: config.test.unwrap_or(0.15),
        seed: config.seed.unwrap_or(super::plan::SEED),
        columns,
        separator: config.separator.clone(),
        allow_leaks: config.allow_leaks.clone(),
        measured_only,
    })
}

fn by_manifest(config: &RunConfig, manifest: Manifest, root: &Path) -> Result<Dataset> {
    for (key, given) in [
        ("columns", !config.columns.is_empty()),
        ("group", config.group.is_some()),
        ("separator", config.separator.is_some()),
        ("validation", config.validation.is_some()),
        ("test", config.test.is_some()),
    ] {
        ensure!(
            !given,
            "{} has a manifest, which says how its clips are divided; leave `{key}` out, or write \
             manifest = \"none\" to have folders and tables taken as they are",
            manifest.name
        );
    }
    let hint = format!(
        "{} is taken for the data set {}; if it is not, write manifest = \"none\" \
         (--manifest none)",
        root.display(),
        manifest.name
    );
    Dataset::with_manifest(manifest, root).context(hint)
}

/// What decides the parts.
fn words(spec: &SplitSpec, split: &Split) -> String {
    match spec {
        SplitSpec::Shares {
            group,
            validation,
            test,
            ..
        } => {
            let within = match group {
                Some(group) if group == TOGETHER => {
                    ", no speaker, group or recording in two parts".to_owned()
                }
                Some(group) => format!(", no {group} in two parts"),
                None => String::new(),
            };
            format!(
                "{:.0} % to validate on, {:.0} % to test on, of every class{within}",
                100.0 * validation,
                100.0 * test
            )
        }
        SplitSpec::Parts { group, test, .. } if group == "fold" => {
            let tested = test.join(", ");
            format!("fold {tested} is tested, a share of the other one validates")
        }
        SplitSpec::Parts { group, .. } => format!("as {group} says"),
        SplitSpec::GroupRotation { .. } => {
            let tested = &split.name;
            format!("{tested} is tested, the one before it validates")
        }
        _ => format!("{} is tested", split.name),
    }
}
