//! Which clips a run trained, validated and tested on: `split.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Hash, Split, SplitSpec, hex};

/// Its name in the folder of a run.
pub(super) const PARTS: &str = "split.json";

/// Most clips an error gives as examples.
const EXAMPLES: usize = 3;

/// The first digits of the hash of each clip's sound by the clip's name, for
/// every part of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// Trained on.
    pub train: BTreeMap<String, String>,
    /// Validated on: they chose the epoch.
    pub validation: BTreeMap<String, String>,
    /// Tested on.
    pub test: BTreeMap<String, String>,
}

/// Names of the parts, as the user gives them.
const NAMES: [&str; 3] = ["train", "validation", "test"];

impl Parts {
    /// The parts of `split`.
    ///
    /// # Errors
    /// A sound that cannot be read.
    pub(super) fn of(dataset: &Dataset, split: &Split) -> Result<Self> {
        let hashes = dataset.hashes()?;
        let part = |indices: &[usize]| -> BTreeMap<String, String> {
            let clip = |&index: &usize| (dataset.clips[index].name(), digits(&hashes[index]));
            indices.iter().map(clip).collect()
        };
        Ok(Parts {
            train: part(&split.train),
            validation: part(&split.validation),
            test: part(&split.test),
        })
    }

    /// Those of the run that made the adapter in `folder`, where it says.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn beside(folder: &Path) -> Result<Option<Self>> {
        let Some(run) = run_of(folder) else {
            return Ok(None);
        };
        let path = run.join(PARTS);
        let Ok(text) = fs::read_to_string(&path) else {
            return Ok(None);
        };
        let read = serde_json::from_str(&text);
        read.map(Some).with_context(|| {
            let path = path.display();
            format!("{path} cannot be read; train again, or leave --part out")
        })
    }

    /// How many of the clips validated or tested on are byte for byte the sound
    /// of a clip trained on.
    pub fn trained_too(&self) -> usize {
        let train: BTreeSet<&String> = self.train.values().collect();
        let others = self.validation.values().chain(self.test.values());
        others.filter(|sound| train.contains(sound)).count()
    }

    fn part(&self, name: &str) -> Result<&BTreeMap<String, String>> {
        match name {
            "train" => Ok(&self.train),
            "validation" => Ok(&self.validation),
            "test" => Ok(&self.test),
            other => bail!("--part {other}: name {}", NAMES.join(", ")),
        }
    }

    /// Leaves of `dataset` the clips of the part `name` alone.
    ///
    /// # Errors
    /// No such part, or one of its clips is not there or another sound now.
    pub fn keep(&self, name: &str, dataset: &mut Dataset) -> Result<()> {
        let part = self.part(name)?;
        let clips = dataset.clips.iter().enumerate();
        let found: BTreeMap<String, usize> = clips.map(|(at, clip)| (clip.name(), at)).collect();
        let missing = part.keys().filter(|name| !found.contains_key(*name));
        refuse(name, part.len(), missing, "are not there any more")?;
        let mut kept: Vec<usize> = part.keys().map(|name| found[name]).collect();
        kept.sort_unstable();
        dataset.keep(&kept);
        let hashes = dataset.hashes()?;
        let clips = dataset.clips.iter().zip(hashes);
        let changed: Vec<String> = clips
            .map(|(clip, hash)| (clip.name(), digits(hash)))
            .filter(|(name, hash)| part.get(name) != Some(hash))
            .map(|(name, _)| name)
            .collect();
        refuse(name, part.len(), changed.iter(), "are other sounds now")
    }

    /// How many of the clips the run has trained on and validated on, whatever
    /// their names are now.
    ///
    /// # Errors
    /// A sound that cannot be read.
    pub fn heard(&self, dataset: &Dataset) -> Result<[usize; 2]> {
        let sounds: Vec<String> = dataset.hashes()?.iter().map(digits).collect();
        let count = |part: &BTreeMap<String, String>| {
            let part: BTreeSet<&String> = part.values().collect();
            sounds.iter().filter(|sound| part.contains(sound)).count()
        };
        Ok([count(&self.train), count(&self.validation)])
    }
}

/// Leaves of `dataset` the clips of the part that the data themselves call
/// `name`, for adapters without a run.
///
/// # Errors
/// No such part, or data without parts.
pub fn keep_named(name: &str, dataset: &mut Dataset) -> Result<()> {
    ensure!(
        NAMES.contains(&name),
        "--part {name}: name {}",
        NAMES.join(", ")
    );
    let SplitSpec::Parts {
        group,
        train,
        validation,
        test,
        ..
    } = &dataset.manifest.split
    else {
        bail!(
            "neither the adapter nor the data say which clips are the {name} part: there is no run \
             with a {PARTS}, and the data name no parts; leave --part out to measure on all clips"
        );
    };
    let values = match name {
        "train" => train,
        "validation" => validation,
        _ => test,
    };
    let listed = |value: &str| values.iter().any(|listed| listed == value);
    let all = 0..dataset.clips.len();
    let kept: Vec<usize> = all
        .filter(|&index| listed(dataset.clips[index].group(group)))
        .collect();
    ensure!(
        !kept.is_empty(),
        "the data name no {name} part ({group}); leave --part out to measure on all clips"
    );
    dataset.keep(&kept);
    Ok(())
}

/// The folder of the run that made the adapter in `folder`.
pub(super) fn run_of(folder: &Path) -> Option<&Path> {
    let runs = [Some(folder), folder.parent()];
    runs.into_iter()
        .flatten()
        .find(|run| run.join(super::run::CONFIG).is_file())
}

fn refuse<'a>(
    part: &str,
    count: usize,
    at_fault: impl Iterator<Item = &'a String>,
    what: &str,
) -> Result<()> {
    let names: Vec<&String> = at_fault.collect();
    let Some(examples) = names
        .get(..names.len().min(EXAMPLES))
        .filter(|e| !e.is_empty())
    else {
        return Ok(());
    };
    let examples: Vec<&str> = examples.iter().map(|name| name.as_str()).collect();
    bail!(
        "{} of the {count} clips of the run's {part} part {what}, for example {}; name the sounds \
         that the run was made with, or leave --part out to measure on all clips",
        names.len(),
        examples.join(", ")
    )
}

/// Enough of a hash to tell sounds apart.
fn digits(hash: &Hash) -> String {
    hex(&hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sounds_under_two_names_are_counted() {
        let part = |clips: &[(&str, &str)]| {
            let clips = clips.iter();
            let clips = clips.map(|(name, sound)| ((*name).to_owned(), (*sound).to_owned()));
            clips.collect::<BTreeMap<_, _>>()
        };
        let parts = Parts {
            train: part(&[("a.wav", "1"), ("b.wav", "2")]),
            validation: part(&[("c.wav", "3"), ("d.wav", "2")]),
            test: part(&[("e.wav", "1"), ("f.wav", "4")]),
        };
        assert_eq!(parts.trained_too(), 2);
        let text = serde_json::to_string(&parts).unwrap();
        assert_eq!(serde_json::from_str::<Parts>(&text).unwrap(), parts);
    }
}
