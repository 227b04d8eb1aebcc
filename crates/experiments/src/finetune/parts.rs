//! Training, validation and test clips of anyone's sounds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};

use crate::data::{Clip, Split};

/// What decides the parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Group no value of which is in two parts; every clip is one of its own
    /// without it.
    pub group: Option<String>,
    /// Group whose values name the parts, and the values of each: training,
    /// validation, test. Without it shares are dealt.
    pub named: Option<(String, [Vec<String>; 3])>,
    /// Share of the clips to validate on, where the parts are not named.
    pub validation: f64,
    /// Share of the clips to test on, where the parts are not named.
    pub test: f64,
    /// Seed of the deal.
    pub seed: u64,
}

impl Rule {
    /// The parts of `clips`.
    ///
    /// # Errors
    /// Named parts that divide a group.
    pub fn split(&self, clips: &[Clip]) -> Result<Split> {
        let all: Vec<usize> = (0..clips.len()).collect();
        let [train, validation, test] = match &self.named {
            None => self.deal(&all, clips, [self.validation, self.test]),
            Some((group, values)) => {
                let part = |index: usize| -> Vec<usize> {
                    let value = |&clip: &usize| values[index].contains(&value(&clips[clip], group));
                    all.iter().copied().filter(value).collect()
                };
                let parts = [part(0), part(1), part(2)];
                self.check(clips, &parts)?;
                match parts {
                    [train, held, test] if held.is_empty() => {
                        let [train, held, _] = self.deal(&train, clips, [self.validation, 0.0]);
                        [train, held, test]
                    }
                    parts => parts,
                }
            }
        };
        Ok(Split {
            fold: 0,
            name: "the parts of the sounds".to_owned(),
            train,
            validation,
            test,
            extra: Vec::new(),
        })
    }

    /// Fails when a value of the group is in two parts.
    fn check(&self, clips: &[Clip], parts: &[Vec<usize>; 3]) -> Result<()> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        let values = parts.each_ref().map(|part| {
            let value = |&clip: &usize| value(&clips[clip], group);
            part.iter().map(value).collect::<BTreeSet<String>>()
        });
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let both: Vec<&String> = values[one].intersection(&values[other]).take(3).collect();
            ensure!(
                both.is_empty(),
                "{group} {both:?} is in two parts, so that results would look better than they \
                 are; move its clips into one, or name another --group"
            );
        }
        Ok(())
    }

    /// Whole groups in the order of a hash of seed and name: to the test part
    /// while that lacks at least half of the group's clips of its main class,
    /// else so to validation, else to training.
    fn deal(&self, part: &[usize], clips: &[Clip], shares: [f64; 2]) -> [Vec<usize>; 3] {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for &index in part {
            let clip = &clips[index];
            *counts.entry(clip.label).or_default() += 1;
            let name = match &self.group {
                Some(group) => value(clip, group),
                None => clip.relative.clone(),
            };
            groups.entry(name).or_default().push(index);
        }
        let mut order: Vec<(String, Vec<usize>)> = groups.into_iter().collect();
        order.sort_by_cached_key(|(name, _)| rank(self.seed, name));
        let mut given: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut parts: [Vec<usize>; 3] = Default::default();
        for (_, members) in order {
            let class = main_class(&members, clips);
            let own = members.iter().filter(|&&m| clips[m].label == class).count();
            let lacks = |place: &usize| {
                let wanted = target(counts[&class], shares[place - 1]);
                let has = given.get(&(class, *place)).copied().unwrap_or(0);
                wanted > has && 2 * (wanted - has) >= own
            };
            let place = [2, 1].into_iter().find(lacks).unwrap_or(0);
            for &member in &members {
                *given.entry((clips[member].label, place)).or_default() += 1;
            }
            parts[place].extend(members);
        }
        for part in &mut parts {
            part.sort_unstable();
        }
        parts
    }
}

/// Clips of a class with `count` clips that a share is: at least one where
/// three parts can have one each.
fn target(count: usize, share: f64) -> usize {
    let wanted = (count as f64 * share).round() as usize;
    match share > 0.0 && count >= 3 {
        true => wanted.max(1),
        false => 0,
    }
}

fn main_class(members: &[usize], clips: &[Clip]) -> usize {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for &member in members {
        *counts.entry(clips[member].label).or_default() += 1;
    }
    let largest = counts
        .into_iter()
        .max_by_key(|&(class, count)| (count, std::cmp::Reverse(class)));
    largest.map_or(0, |(class, _)| class)
}

fn value(clip: &Clip, group: &str) -> String {
    clip.groups.get(group).cloned().unwrap_or_default()
}

fn rank(seed: u64, name: &str) -> Vec<u8> {
    let hash = Sha256::new().chain_update(seed.to_le_bytes());
    hash.chain_update(name).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clips(labels: &[(usize, usize)]) -> Vec<Clip> {
        let clip = |(index, &(label, speaker)): (usize, &(usize, usize))| Clip {
            path: format!("{index}.wav").into(),
            relative: format!("{index}.wav"),
            label,
            groups: [("speaker".to_owned(), speaker.to_string())].into(),
        };
        labels.iter().enumerate().map(clip).collect()
    }

    fn rule(group: Option<&str>, seed: u64) -> Rule {
        Rule {
            group: group.map(str::to_owned),
            named: None,
            validation: 0.15,
            test: 0.15,
            seed,
        }
    }

    #[test]
    fn every_class_has_its_share_in_every_part() {
        let labels: Vec<(usize, usize)> = (0..120).map(|i| (usize::from(i >= 100), i)).collect();
        let clips = clips(&labels);
        let split = rule(None, 3).split(&clips).unwrap();
        let of = |part: &[usize], class: usize| {
            part.iter().filter(|&&i| clips[i].label == class).count()
        };
        assert_eq!([of(&split.test, 0), of(&split.test, 1)], [15, 3]);
        assert_eq!(
            [of(&split.validation, 0), of(&split.validation, 1)],
            [15, 3]
        );
        assert_eq!([of(&split.train, 0), of(&split.train, 1)], [70, 14]);
        assert_ne!(split, rule(None, 4).split(&clips).unwrap());
    }

    #[test]
    fn named_parts_are_taken_and_may_not_divide_a_group() {
        let clips = clips(&[(0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3)]);
        let one = |value: &str| vec![value.to_owned()];
        let named = |rule: Rule| Rule {
            named: Some(("speaker".to_owned(), [one("1"), one("2"), one("3")])),
            ..rule
        };
        let split = named(rule(Some("speaker"), 1)).split(&clips).unwrap();
        assert_eq!(
            (split.train, split.validation, split.test),
            (vec![0, 1], vec![2, 3], vec![4, 5])
        );
        let mut mixed = clips;
        for clip in &mut mixed {
            clip.groups.insert("room".to_owned(), "a".to_owned());
        }
        let error = named(rule(Some("room"), 1)).split(&mixed).unwrap_err();
        assert!(error.to_string().contains("is in two parts"), "{error}");
    }

    proptest! {
        #[test]
        fn parts_are_all_clips_once_and_divide_no_group(
            labels in prop::collection::vec((0usize..3, 0usize..12), 1..80),
            seed in 0u64..50,
        ) {
            let clips = clips(&labels);
            let split = rule(Some("speaker"), seed).split(&clips).unwrap();
            let parts = [&split.train, &split.validation, &split.test];
            let mut all: Vec<usize> = parts.into_iter().flatten().copied().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..clips.len()).collect::<Vec<_>>());
            prop_assert!(rule(Some("speaker"), seed)
                .check(&clips, &[split.train, split.validation, split.test])
                .is_ok());
        }
    }
}
