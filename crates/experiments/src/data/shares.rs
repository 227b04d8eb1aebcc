//! Shares of every class, dealt by group, for sounds without a split.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Clip;
use super::split::{Split, rank};

/// Training, validation and test.
const PARTS: usize = 3;

/// One fold: of every class about `validation` and `test` of the clips are in
/// these parts, the others train. Groups are taken in the order of a hash of
/// `seed` and their value; each goes to the test part while that lacks half of
/// it or more, else in the same way to validation, else to training.
pub(super) fn shares(
    clips: &[Clip],
    group: Option<&str>,
    [validation, test]: [f64; 2],
    seed: u64,
) -> Split {
    let all: Vec<usize> = (0..clips.len()).collect();
    let [train, validation, test] = deal(&all, clips, group, [0.0, validation, test], seed);
    Split {
        fold: 0,
        name: "a share of every class".to_owned(),
        train,
        validation,
        test,
        extra: Vec::new(),
    }
}

/// `part` without the clips held out, and these.
pub(super) fn hold_out(
    part: &[usize],
    clips: &[Clip],
    group: Option<&str>,
    fraction: f64,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let [train, validation, _] = deal(part, clips, group, [0.0, fraction, 0.0], seed);
    (train, validation)
}

/// The clips of `part`, dealt; the share of training is what is left.
fn deal(
    part: &[usize],
    clips: &[Clip],
    group: Option<&str>,
    share: [f64; PARTS],
    seed: u64,
) -> [Vec<usize>; PARTS] {
    let wanted = targets(part, clips, share);
    let mut given: BTreeMap<usize, [usize; PARTS]> = BTreeMap::new();
    let mut parts: [Vec<usize>; PARTS] = Default::default();
    let mut places: Vec<Vec<Vec<usize>>> = vec![Vec::new(); PARTS];
    for members in in_order(part, clips, group, seed) {
        let class = most_frequent(&members, clips);
        let count = |part: usize, given: &BTreeMap<usize, [usize; PARTS]>| {
            given.get(&class).map_or(0, |given| given[part])
        };
        let of_class = members
            .iter()
            .filter(|&&index| clips[index].label == class)
            .count();
        let lacks = |&part: &usize| {
            let missing = wanted[&class][part].saturating_sub(count(part, &given));
            missing > 0 && 2 * missing >= of_class
        };
        let place = [2, 1].into_iter().find(lacks).unwrap_or(0);
        for &index in &members {
            given.entry(clips[index].label).or_default()[place] += 1;
        }
        places[place].push(members);
    }
    // Groups may all be too large for a share; the smallest is then better
    // than none, as long as training keeps every class.
    for place in [2, 1] {
        if share[place] > 0.0 && places[place].is_empty() {
            let [train, ..] = &places[..] else { continue };
            let spared = (0..train.len()).filter(|&at| keeps_classes(train, at, clips));
            if let Some(at) = spared.min_by_key(|&at| train[at].len()) {
                let moved = places[0].remove(at);
                places[place].push(moved);
            }
        }
    }
    for (part, groups) in parts.iter_mut().zip(places) {
        part.extend(groups.into_iter().flatten());
        part.sort_unstable();
    }
    parts
}

/// Whether every class of `groups` is left without the one at `at`.
fn keeps_classes(groups: &[Vec<usize>], at: usize, clips: &[Clip]) -> bool {
    let others = groups.iter().enumerate().filter(|(other, _)| *other != at);
    let left: BTreeSet<usize> = others
        .flat_map(|(_, members)| members.iter().map(|&index| clips[index].label))
        .collect();
    let mut lost = groups[at].iter().map(|&index| clips[index].label);
    lost.all(|label| left.contains(&label))
}

/// How many clips of every class each part should get: at least one where
/// training keeps one too.
fn targets(part: &[usize], clips: &[Clip], share: [f64; PARTS]) -> BTreeMap<usize, [usize; PARTS]> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for &index in part {
        *counts.entry(clips[index].label).or_default() += 1;
    }
    let target = |count: usize| {
        let mut left = count.saturating_sub(1);
        let mut wanted = [0; PARTS];
        for place in [2, 1] {
            if share[place] > 0.0 {
                let rounded = (count as f64 * share[place]).round() as usize;
                wanted[place] = rounded.max(1).min(left);
                left -= wanted[place];
            }
        }
        wanted
    };
    counts
        .into_iter()
        .map(|(class, count)| (class, target(count)))
        .collect()
}

/// The clips of every group, groups in the order of their hash. Clips without
/// a value are groups of their own.
fn in_order(part: &[usize], clips: &[Clip], group: Option<&str>, seed: u64) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<(Vec<u8>, String), Vec<usize>> = BTreeMap::new();
    for &index in part {
        let value = group.map_or("", |group| clips[index].group(group));
        let value = match value {
            "" => clips[index].name(),
            value => value.to_owned(),
        };
        let key = (rank(seed, &value), value);
        groups.entry(key).or_default().push(index);
    }
    groups.into_values().collect()
}

/// The class most clips of a group have; the first of those with as many.
fn most_frequent(members: &[usize], clips: &[Clip]) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for &index in members {
        *counts.entry(clips[index].label).or_default() += 1;
    }
    let first = |(class, count): (&usize, &usize)| (*count, std::cmp::Reverse(*class));
    let best = counts.iter().max_by_key(|&entry| first(entry));
    best.map_or(0, |(class, _)| *class)
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
