//! Clips that several groups tie together: two clips of one speaker, or of one
//! recording, or of a speaker who is heard in the recording of the other.

use std::collections::{BTreeMap, BTreeSet};

use super::Dataset;
use super::split_spec::SplitSpec;

/// The group that says which clips are tied together.
pub(crate) const TOGETHER: &str = "together";

/// Deals by what `groups` tie together where there are several of them and
/// enough is left to deal: the clips get a group of their own for that. Else
/// the split stays as it is, and the check of leaks names what is in the way.
pub(super) fn connect(dataset: &mut Dataset, groups: &[String]) {
    if groups.len() < 2 {
        return;
    }
    let (dealt, parts) = match &dataset.manifest.split {
        SplitSpec::Shares { .. } => ((0..dataset.clips.len()).collect(), 3),
        SplitSpec::Parts {
            group,
            train,
            hold_out: Some(_),
            ..
        } => (of_values(dataset, group, train), 2),
        _ => return,
    };
    let tied = tied(dataset, &dealt, groups);
    let distinct: BTreeSet<usize> = tied.iter().copied().collect();
    if distinct.len() < parts {
        return;
    }
    for (&index, &first) in dealt.iter().zip(&tied) {
        let name = dataset.clips[first].name();
        let groups = &mut dataset.clips[index].groups;
        groups.insert(TOGETHER.to_owned(), name);
    }
    match &mut dataset.manifest.split {
        SplitSpec::Shares { group, .. } => *group = Some(TOGETHER.to_owned()),
        SplitSpec::Parts {
            hold_out: Some(hold_out),
            ..
        } => hold_out.group = Some(TOGETHER.to_owned()),
        _ => {}
    }
}

fn of_values(dataset: &Dataset, group: &str, values: &[String]) -> Vec<usize> {
    let listed = |index: &usize| {
        let value = dataset.clips[*index].group(group);
        values.iter().any(|listed| listed == value)
    };
    (0..dataset.clips.len()).filter(listed).collect()
}

/// For each of the clips `dealt` the first one that it is tied to, over any
/// number of others.
fn tied(dataset: &Dataset, dealt: &[usize], groups: &[String]) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..dealt.len()).collect();
    for group in groups {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (position, &index) in dealt.iter().enumerate() {
            let value = dataset.clips[index].group(group);
            if value.is_empty() {
                continue; // it belongs to nobody
            }
            let other = *first.entry(value).or_insert(position);
            let (a, b) = (root(&mut parent, other), root(&mut parent, position));
            // The smaller one leads, so that it is the first in the end.
            parent[a.max(b)] = a.min(b);
        }
    }
    (0..dealt.len())
        .map(|position| dealt[root(&mut parent, position)])
        .collect()
}

/// The first of the clips that `position` is tied to so far; shortens the way
/// for the next time.
fn root(parent: &mut [usize], mut position: usize) -> usize {
    while parent[position] != position {
        parent[position] = parent[parent[position]];
        position = parent[position];
    }
    position
}

#[cfg(test)]
#[path = "own_groups_tests.rs"]
mod tests;
