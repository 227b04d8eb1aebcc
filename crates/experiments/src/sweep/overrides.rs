//! What a sweep changes about a profile.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::settings::Setting;
use crate::bench::{MethodSpec, Profile, TaskSpec};
use crate::data::toml_error::nearest;

/// Changes of a profile; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Only these tasks.
    pub tasks: Vec<String>,
    /// Only these rows, by label or by the name of their method.
    pub methods: Vec<String>,
    /// These folds on every task.
    pub folds: Option<Vec<usize>>,
    /// These seeds on every task.
    pub seeds: Option<Vec<u64>>,
    /// `KEY=VALUE,…`: a setting of a method (`mixture.experts=2,7,15`), of a row
    /// (`learning_rate=1e-3,5e-3`) or of all tasks (`task.epochs=20`). Every row
    /// becomes a row for each value, with the setting in its label; several
    /// settings give all combinations.
    pub set: Vec<String>,
}

impl Overrides {
    /// The profile with these changes, checked.
    ///
    /// # Errors
    /// A task, row or setting that there is not, with the nearest one; a change that
    /// makes the profile contradict itself.
    pub fn apply(&self, profile: &Profile) -> Result<Profile> {
        if *self == Self::default() {
            return Ok(profile.clone());
        }
        let mut changed = profile.clone();
        self.choose_tasks(&mut changed)?;
        if !self.methods.is_empty() || !self.set.is_empty() {
            self.choose_rows(&mut changed)?;
            self.change_settings(&mut changed)?;
        }
        for study in &mut changed.studies {
            if self.folds.is_some() {
                study.folds = None;
            }
            if self.seeds.is_some() {
                study.seeds = None;
            }
        }
        for task in &mut changed.tasks {
            if let Some(folds) = &self.folds {
                task.folds = Some(folds.clone());
            }
            if let Some(seeds) = &self.seeds {
                task.seeds.clone_from(seeds);
            }
        }
        changed.prune_studies();
        changed.notes.push(self.note());
        changed.validate()?;
        Ok(changed)
    }

    fn choose_tasks(&self, profile: &mut Profile) -> Result<()> {
        let known: Vec<String> = profile.tasks.iter().map(|t| t.name.clone()).collect();
        for name in &self.tasks {
            if !known.contains(name) {
                bail!(
                    "there is no task {name:?} in the profile; {}",
                    hint(name, &known)
                );
            }
        }
        if !self.tasks.is_empty() {
            profile.tasks.retain(|task| self.tasks.contains(&task.name));
        }
        Ok(())
    }

    /// Rows of studies become rows of the tasks that they are about.
    fn choose_rows(&self, profile: &mut Profile) -> Result<()> {
        let used = used(profile);
        let labels: BTreeSet<&String> = used.iter().flatten().collect();
        let rows = profile.methods.iter();
        let rows: Vec<&MethodSpec> = rows.filter(|row| labels.contains(&row.label)).collect();
        let mut chosen = BTreeSet::new();
        for name in &self.methods {
            let labelled = rows.iter().any(|row| row.label == *name);
            let meant = |row: &&&MethodSpec| match labelled {
                true => row.label == *name,
                false => row.config.name() == name.as_str(),
            };
            let found: Vec<String> = rows
                .iter()
                .filter(meant)
                .map(|row| row.label.clone())
                .collect();
            if found.is_empty() {
                let known: Vec<String> = rows.iter().map(|row| row.label.clone()).collect();
                bail!(
                    "there is no row {name:?} on these tasks; {}",
                    hint(name, &known)
                );
            }
            chosen.extend(found);
        }
        if self.methods.is_empty() {
            chosen.extend(rows.iter().map(|row| row.label.clone()));
        }
        for (task, used) in profile.tasks.iter_mut().zip(&used) {
            task.methods.clone_from(used);
            task.methods.retain(|label| chosen.contains(label));
        }
        profile.methods.retain(|row| chosen.contains(&row.label));
        profile.tasks.retain(|task| !task.methods.is_empty());
        Ok(())
    }

    fn change_settings(&self, profile: &mut Profile) -> Result<()> {
        if !self.set.is_empty() {
            // Rows with other settings are no longer those of the profile's tables.
            profile.studies.clear();
        }
        for text in &self.set {
            let setting = Setting::parse(text)?;
            for task in &mut profile.tasks {
                *task = setting.on_task(task)?;
            }
            let mut rows = Vec::new();
            for row in &profile.methods {
                let made = setting.on_row(row)?;
                let labels: Vec<String> = made.iter().map(|row| row.label.clone()).collect();
                for task in &mut profile.tasks {
                    let of_task = std::mem::take(&mut task.methods);
                    task.methods = of_task
                        .into_iter()
                        .flat_map(|label| match label == row.label {
                            true => labels.clone(),
                            false => vec![label],
                        })
                        .collect();
                }
                rows.extend(made);
            }
            profile.methods = rows;
        }
        Ok(())
    }

    /// What was changed, for readers of the report.
    fn note(&self) -> String {
        let mut parts = Vec::new();
        for (name, chosen) in [("tasks", &self.tasks), ("rows", &self.methods)] {
            if !chosen.is_empty() {
                parts.push(format!("{name} {}", chosen.join(", ")));
            }
        }
        if let Some(folds) = &self.folds {
            parts.push(format!("folds {}", listed(folds)));
        }
        if let Some(seeds) = &self.seeds {
            parts.push(format!("seeds {}", listed(seeds)));
        }
        parts.extend(self.set.iter().cloned());
        format!("A sweep over the profile: {}.", parts.join("; "))
    }
}

/// Labels of the rows of every task, those of its studies included, each once.
fn used(profile: &Profile) -> Vec<Vec<String>> {
    let of_task = |task: &TaskSpec| {
        let mut labels = task.methods.clone();
        let studies = profile.studies.iter();
        for study in studies.filter(|study| study.covers(&task.name)) {
            for row in &study.rows {
                if !labels.contains(&row.label) {
                    labels.push(row.label.clone());
                }
            }
        }
        labels
    };
    profile.tasks.iter().map(of_task).collect()
}

fn listed<T: ToString>(values: &[T]) -> String {
    values
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn hint(name: &str, known: &[String]) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => "nothing is left to choose from".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(methods: &[&str], set: &[&str]) -> Overrides {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Overrides {
            methods: own(methods),
            set: own(set),
            ..Overrides::default()
        }
    }

    fn labels(over: &Overrides) -> Vec<String> {
        let profile = over.apply(&Profile::built_in("smoke").unwrap()).unwrap();
        assert_eq!(
            profile.tasks[0].methods,
            profile
                .methods
                .iter()
                .map(|row| row.label.clone())
                .collect::<Vec<_>>()
        );
        profile.tasks[0].methods.clone()
    }

    fn refusal(over: &Overrides) -> String {
        let error = over.apply(&Profile::built_in("smoke").unwrap());
        format!("{:#}", error.unwrap_err())
    }

    #[test]
    fn nothing_changes_nothing() {
        let profile = Profile::built_in("quick").unwrap();
        assert_eq!(Overrides::default().apply(&profile).unwrap(), profile);
    }

    #[test]
    fn a_setting_with_several_values_makes_a_row_for_each() {
        let one = over(&["soft-moa"], &["mixture.experts=2,7"]);
        assert_eq!(
            labels(&one),
            ["soft-moa mixture.experts=2", "soft-moa mixture.experts=7"]
        );
        let profile = one.apply(&Profile::built_in("smoke").unwrap()).unwrap();
        let configs: Vec<String> = profile
            .methods
            .iter()
            .map(|row| serde_json::to_string(&row.config).unwrap())
            .collect();
        assert!(configs[0].contains("\"experts\":2"), "{configs:?}");
        assert!(configs[1].contains("\"experts\":7"), "{configs:?}");
        let both = over(
            &["soft-moa"],
            &["mixture.experts=2,7", "learning_rate=1e-3,5e-3"],
        );
        assert_eq!(labels(&both).len(), 4);
    }

    #[test]
    fn rows_are_chosen_by_label_or_method() {
        assert_eq!(labels(&over(&["adapter"], &[])), ["adapter"]);
        assert_eq!(
            labels(&over(&["sparse-moa", "linear"], &[])),
            ["linear", "sparse-moa top-1", "sparse-moa top-2"]
        );
    }

    #[test]
    fn folds_seeds_and_settings_of_tasks_reach_every_task() {
        let overrides = Overrides {
            folds: Some(vec![0, 1]),
            seeds: Some(vec![5]),
            set: vec!["task.epochs=9".to_owned()],
            ..Overrides::default()
        };
        let changed = overrides
            .apply(&Profile::built_in("quick").unwrap())
            .unwrap();
        for task in &changed.tasks {
            assert_eq!(task.folds.as_deref(), Some(&[0, 1][..]));
            assert_eq!((task.seeds.as_slice(), task.epochs), (&[5][..], Some(9)));
        }
    }

    #[test]
    fn a_slip_of_the_pen_names_the_nearest_name() {
        for (overrides, nearest) in [
            (over(&["soft-mao"], &[]), "soft-moa"),
            (
                over(&["soft-moa"], &["mixture.exprts=2"]),
                "mixture.experts",
            ),
            (over(&["soft-moa"], &["mixtur.experts=2"]), "mixture"),
            (over(&["soft-moa"], &["learning_rat=2"]), "learning_rate"),
            (over(&[], &["task.epoch=2"]), "task.epochs"),
        ] {
            let message = refusal(&overrides);
            let hint = format!("did you mean `{nearest}");
            let quoted = format!("did you mean {nearest:?}");
            assert!(
                message.contains(&hint) || message.contains(&quoted),
                "{message}"
            );
        }
        let tasks = Overrides {
            tasks: vec!["mandarin-tones".to_owned()],
            ..Overrides::default()
        };
        assert!(refusal(&tasks).contains("\"mandarin-tone\""));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for set in [
            "mixture.experts",
            "=3",
            "mixture.experts=",
            "task.epochs=1,2",
            "task.seeds=[1]",
        ] {
            assert!(!refusal(&over(&["soft-moa"], &[set])).is_empty(), "{set}");
        }
        assert!(refusal(&over(&["soft-moa"], &["mixture.experts=many"])).contains("mixture"));
    }

    #[test]
    fn values_may_hold_commas_in_brackets_and_quotes() {
        let setting = Setting::parse("task.validation={ a = [1, 2] }").unwrap();
        let debug = format!("{setting:?}");
        assert!(debug.contains("a = [1, 2]"), "{debug}");
    }
}
