//! Nobody is heard in two parts: what must not be shared, and the check.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::manifest::known_group;
use super::scan::Clip;
use super::split::Split;

/// Groups that must not stand in two parts of a split wherever clips have them:
/// who speaks, the recording a clip was cut from, the fold it came with, and
/// what the maker of a data set calls its groups.
pub const ALWAYS_APART: [&str; 5] = ["speaker", "source", "file", "fold", "group"];

/// What must not stand in two parts of a split, beside [`ALWAYS_APART`] and the
/// groups of the split itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakSpec {
    /// Further groups to keep apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<String>,
    /// Known exceptions, which the split of the data set has to live with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<AllowedLeak>,
}

/// A group that may stand in two parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedLeak {
    /// The group.
    pub group: String,
    /// The values that may; every value when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl LeakSpec {
    /// Whether nothing is asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self, groups: &BTreeSet<String>) -> Result<(), String> {
        for group in &self.apart {
            known_group("leaks.apart", group, groups)?;
        }
        for allowed in &self.allow {
            known_group("leaks.allow.group", &allowed.group, groups)?;
        }
        Ok(())
    }

    /// The groups to look at.
    fn groups(&self) -> BTreeSet<&str> {
        let asked = self.apart.iter().map(String::as_str);
        ALWAYS_APART.into_iter().chain(asked).collect()
    }

    fn allows(&self, group: &str, value: &str) -> bool {
        self.allow.iter().any(|allowed| {
            let named = || allowed.values.iter().any(|named| named == value);
            allowed.group == group && (allowed.values.is_empty() || named())
        })
    }
}

/// Refuses a split that has a value of one of the groups in two of its parts.
/// Groups named in `allowed` are not looked at; clips whose value is "" belong
/// to no group.
///
/// # Errors
/// [`DataError::GroupLeak`] with examples.
pub(super) fn check(
    split: &Split,
    clips: &[Clip],
    spec: &LeakSpec,
    allowed: &[String],
) -> Result<(), DataError> {
    let mut parts = vec![
        ("training", &split.train),
        ("validation", &split.validation),
        ("test", &split.test),
    ];
    parts.extend(split.extra.iter().map(|(name, part)| (name.as_str(), part)));
    for group in spec.groups() {
        if allowed.iter().any(|allowed| allowed == group) {
            continue;
        }
        let own = |value: &str| !value.is_empty() && !spec.allows(group, value);
        for (position, &first) in parts.iter().enumerate() {
            for &second in &parts[position + 1..] {
                // Further test parts are tests as well: what they share with
                // the test part was not trained on.
                if position >= 2 {
                    continue;
                }
                apart(split.fold, clips, group, first, second, &own)?;
            }
        }
    }
    Ok(())
}

/// Refuses a value of `group` that stands in both parts and for which `own`
/// holds.
pub(super) fn apart(
    fold: usize,
    clips: &[Clip],
    group: &str,
    (first, a): (&str, &Vec<usize>),
    (second, b): (&str, &Vec<usize>),
    own: &dyn Fn(&str) -> bool,
) -> Result<(), DataError> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for &index in a {
        if let Some(value) = clips[index].groups.get(group) {
            seen.entry(value).or_insert(index);
        }
    }
    if seen.is_empty() {
        return Ok(());
    }
    let mut shared: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for &index in b {
        let value = clips[index].group(group);
        if let Some(&other) = seen.get(value)
            && own(value)
        {
            shared.entry(value).or_insert((other, index));
        }
    }
    let Some((_, &(one, two))) = shared.first_key_value() else {
        return Ok(());
    };
    Err(DataError::GroupLeak {
        fold,
        group: group.to_owned(),
        values: shared.keys().map(|value| (*value).to_owned()).collect(),
        first: first.to_owned(),
        second: second.to_owned(),
        examples: Box::new([clips[one].name(), clips[two].name()]),
    })
}

#[cfg(test)]
#[path = "leaks_tests.rs"]
mod tests;
