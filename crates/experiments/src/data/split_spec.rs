//! The part of a manifest that says how clips are divided.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::manifest::known_group;

/// Most folds of a split.
const MAX_FOLDS: usize = 1000;

/// How clips are divided into parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "protocol", rename_all = "kebab-case", deny_unknown_fields)]
pub enum SplitSpec {
    /// One fold per value of `test_group`: the clips of that value are tested,
    /// all others train. From those, whole values of `validation_group` are
    /// split off for validation.
    LeaveOneGroupOut {
        /// Group whose values are left out in turn, for example `voice`.
        test_group: String,
        /// Group no value of which is both in training and validation.
        validation_group: String,
        /// Share of the values of `validation_group` used for validation,
        /// above 0 and below 1.
        validation_fraction: f64,
        /// Seed of the choice.
        #[serde(default)]
        seed: u64,
    },
    /// The values of `group` are dealt into `folds` buckets; fold i tests
    /// bucket i, validates on bucket i + 1 and trains on the others.
    GroupKFold {
        /// Group no value of which is in two parts, for example `speaker`.
        group: String,
        /// Number of buckets and of folds: 3 to 1000, and no more than `group`
        /// has values.
        folds: usize,
        /// Seed of the deal.
        #[serde(default)]
        seed: u64,
        /// Further test parts made of clips that are never trained on.
        #[serde(default)]
        extra: Vec<ExtraSpec>,
    },
    /// One fold per value of `order`: fold i tests the clips whose value of
    /// `group` is the i-th, validates on those of the value before it (for the
    /// first fold: of the last value) and trains on all others. Meant for data
    /// sets that come with folds, whose runs have an order of their own.
    GroupRotation {
        /// Group whose values take turns, for example `fold`.
        group: String,
        /// Every value of that group once, at least 3, in the order in which
        /// they are tested.
        order: Vec<String>,
    },
    /// Two folds per value of `order`: that value is left out of training, and
    /// of its clips those with the first value of `half` validate and those
    /// with the second are tested; then the reverse. As in IEMOCAP, where a
    /// session is left out and its two speakers change places.
    HalvedRotation {
        /// Group whose values take turns, for example `session`.
        group: String,
        /// Every value of that group once, at least 2, in the order in which
        /// they are left out.
        order: Vec<String>,
        /// Group that halves what is left out, for example `gender`.
        half: String,
        /// Its two values: the one that validates first, then the one that is
        /// tested first.
        halves: [String; 2],
    },
    /// One fold whose parts the data set itself names.
    Parts {
        /// Group that holds the name of the part.
        group: String,
        /// Its values for training.
        train: Vec<String>,
        /// Its values for validation.
        #[serde(default)]
        validation: Vec<String>,
        /// Its values for the test.
        test: Vec<String>,
        /// How to hold out validation clips from training where the data set
        /// names none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold_out: Option<HoldOut>,
    },
    /// One fold with shares of every class, for sounds that come without a
    /// split. Whole groups are dealt where there is a group, so that the
    /// shares are kept as well as groups allow.
    Shares {
        /// Group no value of which is in two parts; every clip alone when left
        /// out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
        /// Share of the clips to validate on, above 0 and below 1.
        validation: f64,
        /// Share of the clips to test on; both together below 1.
        test: f64,
        /// Seed of the deal.
        #[serde(default)]
        seed: u64,
    },
}

/// Validation clips taken from the training part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// Group no value of which is in both; every clip alone when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Share of the training clips of every class, above 0 and below 1.
    pub fraction: f64,
    /// Seed of the deal.
    #[serde(default)]
    pub seed: u64,
}

/// A further test part: clips that stand in no other part. Fold i tests those
/// whose value of the split's `group` falls into bucket i, so that nothing of
/// what they say was trained or validated on, and every one of them is tested
/// in exactly one fold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraSpec {
    /// Name in the results.
    pub name: String,
    /// Group that tells these clips from the others.
    pub group: String,
    /// Values of that group that belong to this part.
    pub values: Vec<String>,
}

impl SplitSpec {
    pub(super) fn validate(&self, groups: &BTreeSet<String>) -> Result<(), String> {
        match self {
            Self::LeaveOneGroupOut {
                test_group,
                validation_group,
                validation_fraction,
                seed: _,
            } => {
                known_group("split.test_group", test_group, groups)?;
                known_group("split.validation_group", validation_group, groups)?;
                share("split.validation_fraction", *validation_fraction)
            }
            Self::GroupKFold {
                group,
                folds,
                seed: _,
                extra,
            } => {
                known_group("split.group", group, groups)?;
                if *folds < 3 {
                    return Err(format!(
                        "`split.folds` is {folds}; training, validation and test need at least 3"
                    ));
                }
                if *folds > MAX_FOLDS {
                    return Err(format!(
                        "`split.folds` is {folds}; every fold is a training of its own, use at most {MAX_FOLDS}"
                    ));
                }
                let mut names = BTreeSet::new();
                for part in extra {
                    known_group("split.extra.group", &part.group, groups)?;
                    if part.values.is_empty() || !names.insert(&part.name) {
                        return Err(format!(
                            "extra part `{}` has no `values` or the name of another one; give it both",
                            part.name
                        ));
                    }
                }
                Ok(())
            }
            Self::GroupRotation { group, order } => {
                known_group("split.group", group, groups)?;
                let mut seen = BTreeSet::new();
                if let Some(twice) = order.iter().find(|value| !seen.insert(*value)) {
                    return Err(format!(
                        "`split.order` has `{twice}` twice; list every value of `{group}` once"
                    ));
                }
                if order.len() < 3 {
                    return Err(format!(
                        "`split.order` has {} values; training, validation and test need at least 3",
                        order.len()
                    ));
                }
                Ok(())
            }
            Self::HalvedRotation {
                group,
                order,
                half,
                halves,
            } => {
                known_group("split.group", group, groups)?;
                known_group("split.half", half, groups)?;
                let distinct: BTreeSet<&String> = order.iter().collect();
                if order.len() < 2 || distinct.len() < order.len() {
                    return Err(format!(
                        "`split.order` must list at least 2 values of `{group}`, each once"
                    ));
                }
                if halves[0] == halves[1] {
                    return Err(format!(
                        "`split.halves` has `{}` twice; write the two values of `{half}`",
                        halves[0]
                    ));
                }
                Ok(())
            }
            Self::Parts {
                group,
                train,
                validation,
                test,
                hold_out,
            } => {
                known_group("split.group", group, groups)?;
                let mut seen = BTreeSet::new();
                let all = train.iter().chain(validation).chain(test);
                if let Some(twice) = all.into_iter().find(|value| !seen.insert(*value)) {
                    return Err(format!(
                        "`split` puts `{twice}` of `{group}` into two parts; name it once"
                    ));
                }
                match (hold_out, validation.is_empty()) {
                    (Some(hold_out), true) => hold_out.validate(groups),
                    (None, false) => Ok(()),
                    (Some(_), false) => Err("`split.validation` names a part, so `split.hold_out` has nothing to do; keep one of them".to_owned()),
                    (None, true) => Err("there is no validation part; name one in `split.validation`, or take it from training with `split.hold_out`".to_owned()),
                }
            }
            Self::Shares {
                group,
                validation,
                test,
                seed: _,
            } => {
                if let Some(group) = group {
                    known_group("split.group", group, groups)?;
                }
                share("split.validation", *validation)?;
                share("split.test", *test)?;
                share("split.validation + split.test", validation + test)
            }
        }
    }
}

impl HoldOut {
    fn validate(&self, groups: &BTreeSet<String>) -> Result<(), String> {
        if let Some(group) = &self.group {
            known_group("split.hold_out.group", group, groups)?;
        }
        share("split.hold_out.fraction", self.fraction)
    }
}

/// Written so that NaN is refused too.
fn share(field: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(format!(
        "`{field}` is {value}; use a number above 0 and below 1"
    ))
}
