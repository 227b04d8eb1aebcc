//! What a fold must hold to be trained and believed.

use std::collections::BTreeSet;

use super::error::DataError;
use super::leaks;
use super::own_groups::TOGETHER;
use super::scan::Clip;
use super::split::Split;
use super::split_spec::SplitSpec;

/// What to do where clips were dealt by group and too little was left to deal.
fn remedy(spec: &SplitSpec, clips: &[Clip]) -> Option<String> {
    let group = match spec {
        SplitSpec::Shares { group, .. } => group.as_deref()?,
        SplitSpec::Parts { hold_out, .. } => hold_out.as_ref()?.group.as_deref()?,
        _ => return None,
    };
    if group == TOGETHER {
        return Some(
            "clips of one speaker, group, recording or fold are kept together; add clips of others, or allow some of these in two parts with `allow_leaks = [...]` in the settings of the run"
                .to_owned(),
        );
    }
    let values: BTreeSet<&str> = clips.iter().map(|clip| clip.group(group)).collect();
    Some(format!(
        "clips of one {group} ({} of them) are kept together; add clips of others, or allow them in two parts with `allow_leaks = [\"{group}\"]` in the settings of the run",
        values.len()
    ))
}

impl Split {
    /// Refuses a fold that could not be trained or whose result would be too
    /// good to be true.
    ///
    /// # Errors
    /// As [`splits`].
    pub fn check(&self, spec: &SplitSpec, clips: &[Clip], classes: usize) -> Result<(), DataError> {
        for (part, indices) in [
            ("training", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        ] {
            if indices.is_empty() {
                let remedy = remedy(spec, clips).unwrap_or_else(|| {
                    "add clips, or use fewer folds or another fraction in `split`".to_owned()
                });
                return Err(self.fault(format!("the {part} part is empty; {remedy}")));
            }
        }
        if let Some((name, _)) = self.extra.iter().find(|(_, indices)| indices.is_empty()) {
            return Err(self.fault(format!(
                "the extra part `{name}` is empty; correct its `values`, or use fewer folds"
            )));
        }
        let trained: BTreeSet<usize> = self.train.iter().map(|&index| clips[index].label).collect();
        if let Some(class) = (0..classes).find(|class| !trained.contains(class)) {
            let remedy = remedy(spec, clips).unwrap_or_else(|| {
                "add clips of it from more groups, or change `split`".to_owned()
            });
            return Err(DataError::NoTrainingClip {
                fold: self.fold,
                class,
                name: class.to_string(),
                remedy,
            });
        }
        let (train, validation, test) = (
            ("training", &self.train),
            ("validation", &self.validation),
            ("test", &self.test),
        );
        match spec {
            SplitSpec::LeaveOneGroupOut {
                test_group,
                validation_group,
                ..
            } => {
                self.no_leak(clips, test_group, train, test)?;
                self.no_leak(clips, test_group, validation, test)?;
                self.no_leak(clips, validation_group, train, validation)
            }
            SplitSpec::GroupKFold { group, .. } | SplitSpec::GroupRotation { group, .. } => {
                self.no_leak(clips, group, train, test)?;
                self.no_leak(clips, group, validation, test)?;
                self.no_leak(clips, group, train, validation)?;
                for (name, indices) in &self.extra {
                    self.no_leak(clips, group, train, (name, indices))?;
                    self.no_leak(clips, group, validation, (name, indices))?;
                }
                Ok(())
            }
            SplitSpec::HalvedRotation { group, .. } => {
                self.no_leak(clips, group, train, test)?;
                self.no_leak(clips, group, train, validation)
            }
            SplitSpec::Parts {
                group, hold_out, ..
            } => {
                self.no_leak(clips, group, train, test)?;
                self.no_leak(clips, group, validation, test)?;
                let held = hold_out.as_ref().and_then(|spec| spec.group.as_deref());
                held.map_or(Ok(()), |held| self.no_leak(clips, held, train, validation))
            }
            SplitSpec::Shares { group, .. } => {
                let Some(group) = group else { return Ok(()) };
                self.no_leak(clips, group, train, test)?;
                self.no_leak(clips, group, validation, test)?;
                self.no_leak(clips, group, train, validation)
            }
        }
    }

    /// Refuses a value of `group` that stands in both parts; clips without a
    /// value share nothing.
    fn no_leak(
        &self,
        clips: &[Clip],
        group: &str,
        first: (&str, &Vec<usize>),
        second: (&str, &Vec<usize>),
    ) -> Result<(), DataError> {
        leaks::apart(self.fold, clips, group, first, second, &|value| {
            !value.is_empty()
        })
    }

    fn fault(&self, message: String) -> DataError {
        DataError::Split {
            fold: self.fold,
            message,
        }
    }
}
