//! From clips to training, validation and test parts.
//!
//! Groups are dealt out in the order of a hash of seed and group value, or
//! take turns in the order of the manifest, so a split depends on which groups
//! there are and on the manifest, never on the order of the clips or on the
//! seed of a run.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::error::DataError;
use super::scan::Clip;
use super::shares::{hold_out, shares};
use super::split_spec::{ExtraSpec, HoldOut, SplitSpec};

/// The parts of one fold, as ascending indices into the list of clips.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Split {
    /// Index of the fold, from 0.
    pub fold: usize,
    /// What the fold tests, for example `voice 3`.
    pub name: String,
    /// Clips to train on.
    pub train: Vec<usize>,
    /// Clips to select an epoch on.
    pub validation: Vec<usize>,
    /// Clips to report.
    pub test: Vec<usize>,
    /// Further test parts by name.
    pub extra: Vec<(String, Vec<usize>)>,
}

/// All folds of the protocol `spec` over `clips` of `classes` classes.
///
/// # Errors
/// A part would be empty, a class would have no training clip, a group would
/// leak from one part into another, or a clip has a group value that the
/// protocol does not list.
pub fn splits(spec: &SplitSpec, clips: &[Clip], classes: usize) -> Result<Vec<Split>, DataError> {
    let folds = match spec {
        SplitSpec::LeaveOneGroupOut {
            test_group,
            validation_group,
            validation_fraction,
            seed,
        } => leave_one_group_out(
            clips,
            test_group,
            validation_group,
            *validation_fraction,
            *seed,
        ),
        SplitSpec::GroupKFold {
            group,
            folds,
            seed,
            extra,
        } => group_k_fold(clips, group, *folds, *seed, extra)?,
        SplitSpec::GroupRotation { group, order } => group_rotation(clips, group, order)?,
        SplitSpec::HalvedRotation {
            group,
            order,
            half,
            halves,
        } => halved_rotation(clips, group, order, half, halves)?,
        SplitSpec::Parts {
            group,
            train,
            validation,
            test,
            hold_out,
        } => vec![parts(
            clips,
            group,
            [train, validation, test],
            hold_out.as_ref(),
        )?],
        SplitSpec::Shares {
            group,
            validation,
            test,
            seed,
        } => vec![shares(clips, group.as_deref(), [*validation, *test], *seed)],
    };
    let single = matches!(spec, SplitSpec::Parts { .. } | SplitSpec::Shares { .. });
    if folds.len() < 2 && !single {
        return Err(DataError::Split {
            fold: 0,
            message: "there is only one group to leave out; the protocol needs at least 2"
                .to_owned(),
        });
    }
    for fold in &folds {
        fold.check(spec, clips, classes)?;
    }
    Ok(folds)
}

fn leave_one_group_out(
    clips: &[Clip],
    test_group: &str,
    validation_group: &str,
    fraction: f64,
    seed: u64,
) -> Vec<Split> {
    let all: Vec<usize> = (0..clips.len()).collect();
    let values: BTreeSet<&str> = clips.iter().map(|clip| clip.group(test_group)).collect();
    let fold_of = |(fold, value): (usize, &str)| {
        let (test, rest): (Vec<usize>, Vec<usize>) = all
            .iter()
            .partition(|&&index| clips[index].group(test_group) == value);
        let dealt = deal(&rest, clips, validation_group, seed);
        let held_out = share(dealt.len(), fraction);
        let in_validation = |index: &usize| dealt[clips[*index].group(validation_group)] < held_out;
        let (validation, train) = rest.iter().partition(|index| in_validation(index));
        Split {
            fold,
            name: format!("{test_group} {value}"),
            train,
            validation,
            test,
            extra: Vec::new(),
        }
    };
    values.into_iter().enumerate().map(fold_of).collect()
}

fn group_k_fold(
    clips: &[Clip],
    group: &str,
    folds: usize,
    seed: u64,
    extra: &[ExtraSpec],
) -> Result<Vec<Split>, DataError> {
    let all: Vec<usize> = (0..clips.len()).collect();
    let dealt = deal(&all, clips, group, seed);
    // Before anything of that size is made: the number is the manifest's own.
    if folds > dealt.len() {
        return Err(DataError::Split {
            fold: dealt.len(),
            message: format!(
                "{folds} folds, but the clips have only {} values of {group}; add clips, or use fewer folds in `split.folds`",
                dealt.len()
            ),
        });
    }
    let bucket = |index: usize| dealt[clips[index].group(group)] % folds;
    let is_extra = |index: usize| extra.iter().any(|part| belongs(part, &clips[index]));
    let pick = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        all.iter().copied().filter(|&index| wanted(index)).collect()
    };
    let fold_of = |fold: usize| {
        let main = |index: usize| !is_extra(index);
        let held_out = (fold + 1) % folds;
        Split {
            fold,
            name: format!("{group} fold {fold}"),
            train: pick(&|index| main(index) && bucket(index) != fold && bucket(index) != held_out),
            validation: pick(&|index| main(index) && bucket(index) == held_out),
            test: pick(&|index| main(index) && bucket(index) == fold),
            extra: extra
                .iter()
                .map(|part| {
                    let wanted =
                        |index: usize| belongs(part, &clips[index]) && bucket(index) == fold;
                    (part.name.clone(), pick(&wanted))
                })
                .collect(),
        }
    };
    Ok((0..folds).map(fold_of).collect())
}

fn group_rotation(clips: &[Clip], group: &str, order: &[String]) -> Result<Vec<Split>, DataError> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, clip) in clips.iter().enumerate() {
        let value = clip.group(group);
        if !order.iter().any(|listed| listed == value) {
            return Err(unlisted(clip, group, "`split.order`"));
        }
        members.entry(value).or_default().push(index);
    }
    let fold_of = |(fold, tested): (usize, &String)| {
        let Some(test) = members.get(tested.as_str()) else {
            return Err(DataError::Split {
                fold,
                message: format!(
                    "no clip has {group} `{tested}`; fetch the missing clips, or take the value out of `split.order`"
                ),
            });
        };
        let held_out = &order[(fold + order.len() - 1) % order.len()];
        let train = (0..clips.len()).filter(|&index| {
            let value = clips[index].group(group);
            value != tested && value != held_out
        });
        Ok(Split {
            fold,
            name: format!("{group} {tested}"),
            train: train.collect(),
            validation: members.get(held_out.as_str()).cloned().unwrap_or_default(),
            test: test.clone(),
            extra: Vec::new(),
        })
    };
    order.iter().enumerate().map(fold_of).collect()
}

fn halved_rotation(
    clips: &[Clip],
    group: &str,
    order: &[String],
    half: &str,
    halves: &[String; 2],
) -> Result<Vec<Split>, DataError> {
    if let Some(clip) = clips.iter().find(|clip| {
        !order.iter().any(|value| value == clip.group(group))
            || !halves.iter().any(|value| value == clip.group(half))
    }) {
        let listed = order.iter().any(|value| value == clip.group(group));
        return Err(match listed {
            true => unlisted(clip, half, "`split.halves`"),
            false => unlisted(clip, group, "`split.order`"),
        });
    }
    let pick = |wanted: &dyn Fn(&Clip) -> bool| -> Vec<usize> {
        let all = 0..clips.len();
        all.filter(|&index| wanted(&clips[index])).collect()
    };
    let mut folds = Vec::with_capacity(2 * order.len());
    for left_out in order {
        for (validated, tested) in [(0, 1), (1, 0)] {
            let of = |half_value: &str| {
                pick(&|clip| clip.group(group) == left_out && clip.group(half) == half_value)
            };
            folds.push(Split {
                fold: folds.len(),
                name: format!("{group} {left_out}, {half} {}", halves[tested]),
                train: pick(&|clip| clip.group(group) != left_out),
                validation: of(&halves[validated]),
                test: of(&halves[tested]),
                extra: Vec::new(),
            });
        }
    }
    Ok(folds)
}

fn parts(
    clips: &[Clip],
    group: &str,
    values: [&[String]; 3],
    held_out: Option<&HoldOut>,
) -> Result<Split, DataError> {
    let mut parts: [Vec<usize>; 3] = Default::default();
    for (index, clip) in clips.iter().enumerate() {
        let value = clip.group(group);
        let part = values
            .iter()
            .position(|values| values.iter().any(|listed| listed == value));
        match part {
            Some(part) => parts[part].push(index),
            None => {
                let lists = "`split.train`, `split.validation` or `split.test`";
                return Err(unlisted(clip, group, lists));
            }
        }
    }
    let [mut train, mut validation, test] = parts;
    if let Some(spec) = held_out {
        (train, validation) = hold_out(
            &train,
            clips,
            spec.group.as_deref(),
            spec.fraction,
            spec.seed,
        );
    }
    Ok(Split {
        fold: 0,
        name: "the parts of the data set".to_owned(),
        train,
        validation,
        test,
        extra: Vec::new(),
    })
}

fn unlisted(clip: &Clip, group: &str, list: &'static str) -> DataError {
    DataError::UnlistedGroup {
        list,
        file: clip.path.clone(),
        group: group.to_owned(),
        value: clip.group(group).to_owned(),
    }
}

fn belongs(part: &ExtraSpec, clip: &Clip) -> bool {
    part.values
        .iter()
        .any(|value| value == clip.group(&part.group))
}

/// Position of every value of `group` among `indices` in the order of its hash.
fn deal<'a>(
    indices: &[usize],
    clips: &'a [Clip],
    group: &str,
    seed: u64,
) -> BTreeMap<&'a str, usize> {
    let values: BTreeSet<&str> = indices
        .iter()
        .map(|&index| clips[index].group(group))
        .collect();
    let mut values: Vec<&str> = values.into_iter().collect();
    values.sort_by_cached_key(|value| rank(seed, value));
    values
        .into_iter()
        .enumerate()
        .map(|(position, value)| (value, position))
        .collect()
}

pub(super) fn rank(seed: u64, value: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(value.as_bytes());
    hash.finalize().to_vec()
}

/// `fraction` of `count`, rounded, but at least one on either side.
fn share(count: usize, fraction: f64) -> usize {
    let wanted = (count as f64 * fraction).round() as usize;
    wanted.clamp(1, count.saturating_sub(1).max(1))
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
