//! The choices of a run about its parts: what `compat` decides, each also a
//! flag of its own.

use std::collections::BTreeMap;

use adapters::Compat;
use serde::{Deserialize, Serialize};

use super::manifest::Defaults;
use super::scan::Clip;
use super::split::{Split, rank};

/// What a run validates on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationRule {
    /// Clips of their own, held out from training; the default.
    #[default]
    HeldOut,
    /// The test part, and what would be held out trains too. So the authors'
    /// program does on UrbanSound8K; only a run that takes the last epoch,
    /// whatever its validation says, is fair then.
    TestPart,
}

/// Which K training clips of a class a few-shot run takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FewShotRule {
    /// K drawn with the seed of the run; the default.
    #[default]
    SeededRandom,
    /// The first K in the order of the files, as the authors' program does;
    /// in ESC-50 they all come from one fold.
    First,
}

/// The choices of a run about its parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Protocol {
    /// What it validates on. Default: clips held out from training.
    pub validation: ValidationRule,
    /// Training clips of every class, all when left out. Validation and test
    /// parts stay whole.
    pub few_shot: Option<usize>,
    /// Which these are. Default: drawn with the seed.
    pub few_shot_rule: FewShotRule,
    /// Groups that may stand in two parts although they are kept apart
    /// ([`super::ALWAYS_APART`], `leaks.apart` of the manifest). Default: none.
    pub allow_leaks: Vec<String>,
}

impl Protocol {
    /// What `compat` asks for on a data set with these defaults: `paper`
    /// takes the first K clips, and validates where the paper's authors do.
    pub fn of(compat: Compat, defaults: &Defaults) -> Self {
        match compat {
            Compat::Fixed => Self::default(),
            Compat::Paper => Self {
                validation: defaults.paper_validation.unwrap_or_default(),
                few_shot_rule: FewShotRule::First,
                ..Self::default()
            },
        }
    }

    /// The training part of a run: of every class the first or the drawn K
    /// clips, or all.
    pub fn training_part(&self, train: &[usize], clips: &[Clip], seed: u64) -> Vec<usize> {
        match (self.few_shot, self.few_shot_rule) {
            (None, _) => train.to_vec(),
            (Some(count), FewShotRule::SeededRandom) => per_class(train, clips, count, seed),
            (Some(count), FewShotRule::First) => first_per_class(train, clips, count),
        }
    }
}

impl ValidationRule {
    /// Changes the parts of a fold that was found good.
    pub(super) fn apply(self, split: &mut Split) {
        if self == Self::TestPart {
            split.train.append(&mut split.validation);
            split.train.sort_unstable();
            split.validation.clone_from(&split.test);
        }
    }
}

/// At most `count` clips of each class out of `part`, in ascending order; a
/// hash of `seed` and the clip's name decides which.
pub fn per_class(part: &[usize], clips: &[Clip], count: usize, seed: u64) -> Vec<usize> {
    chosen(part, clips, count, |members| {
        members.sort_by_cached_key(|&index| rank(seed, &clips[index].name()));
    })
}

/// The first `count` clips of each class out of `part`, in ascending order.
pub fn first_per_class(part: &[usize], clips: &[Clip], count: usize) -> Vec<usize> {
    chosen(part, clips, count, |members| members.sort_unstable())
}

fn chosen(
    part: &[usize],
    clips: &[Clip],
    count: usize,
    sort: impl Fn(&mut Vec<usize>),
) -> Vec<usize> {
    let mut by_class: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &index in part {
        by_class.entry(clips[index].label).or_default().push(index);
    }
    let mut chosen = Vec::new();
    for mut members in by_class.into_values() {
        sort(&mut members);
        chosen.extend(members.into_iter().take(count));
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clips(labels: &[usize]) -> Vec<Clip> {
        let clip = |(index, &label): (usize, &usize)| Clip {
            path: format!("{index}.wav").into(),
            relative: format!("{index}.wav"),
            label,
            groups: BTreeMap::new(),
            segment: None,
        };
        labels.iter().enumerate().map(clip).collect()
    }

    fn defaults(paper_validation: Option<ValidationRule>) -> Defaults {
        Defaults {
            max_length: 1,
            batch: 1,
            epochs: 1,
            paper_channels: None,
            paper_validation,
            spec_augment: audio_frontend::SpecAugment::default(),
        }
    }

    #[test]
    fn the_paper_takes_the_first_clips_and_the_repaired_rule_draws_them() {
        let clips = clips(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
        let part: Vec<usize> = (2..16).collect();
        let rule = |compat| Protocol {
            few_shot: Some(2),
            ..Protocol::of(compat, &defaults(None))
        };
        let paper = rule(Compat::Paper);
        assert_eq!(paper.training_part(&part, &clips, 1), [2, 3, 4, 5]);
        assert_eq!(paper.training_part(&part, &clips, 2), [2, 3, 4, 5]);
        let fixed = rule(Compat::Fixed);
        let drawn = |seed| fixed.training_part(&part, &clips, seed);
        assert_eq!(drawn(7), per_class(&part, &clips, 2, 7));
        assert!((0..20).any(|seed| drawn(seed) != drawn(seed + 1)));
        assert!((0..20).all(|seed| drawn(seed).len() == 4));
        let all = Protocol::default().training_part(&part, &clips, 1);
        assert_eq!(all, part);
    }

    #[test]
    fn only_the_paper_validates_on_the_test_part_and_only_where_its_authors_do() {
        let rule = |compat, paper| Protocol::of(compat, &defaults(paper)).validation;
        let test = Some(ValidationRule::TestPart);
        assert_eq!(rule(Compat::Paper, test), ValidationRule::TestPart);
        assert_eq!(rule(Compat::Paper, None), ValidationRule::HeldOut);
        assert_eq!(rule(Compat::Fixed, test), ValidationRule::HeldOut);
    }

    #[test]
    fn validating_on_the_test_part_gives_the_held_out_clips_to_training() {
        let split = Split {
            fold: 0,
            name: String::new(),
            train: vec![0, 3],
            validation: vec![1, 4],
            test: vec![2, 5],
            extra: Vec::new(),
        };
        let mut changed = split.clone();
        ValidationRule::HeldOut.apply(&mut changed);
        assert_eq!(changed, split);
        ValidationRule::TestPart.apply(&mut changed);
        assert_eq!(changed.train, [0, 1, 3, 4]);
        assert_eq!(
            (&changed.validation, &changed.test),
            (&split.test, &split.test)
        );
    }
}
