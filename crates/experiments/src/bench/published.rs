//! Figures that papers print, as data: sets under `published/`, chosen by a
//! profile.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::profile::Profile;
use crate::report::Published;

const BUILT_IN: [(&str, &str); 1] = [("petl-ast", include_str!("../../published/petl-ast.toml"))];

/// One set: tables of figures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    tables: Vec<Table>,
}

/// Figures of one table or curve of a paper.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Paper and table.
    source: String,
    /// What differs from ours; may be left out.
    #[serde(default)]
    setting: String,
    /// Tasks, one a column.
    tasks: Vec<String>,
    rows: Vec<Row>,
}

/// One row: its label and an accuracy in percent for each column.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    label: String,
    accuracy: Vec<f64>,
    /// What differs in this row, beside the table's.
    #[serde(default)]
    setting: String,
}

/// That every name is that of a set.
pub(super) fn check(names: &[String]) -> Result<()> {
    for name in names {
        figures(name)?;
    }
    Ok(())
}

/// All figures of a set.
///
/// # Errors
/// An unknown name; the message lists the known ones.
fn figures(name: &str) -> Result<Vec<Published>> {
    let found = BUILT_IN.into_iter().find(|(known, _)| *known == name);
    let (_, text) = found.with_context(|| {
        let known = BUILT_IN.map(|(name, _)| name).join(", ");
        format!("published: there is no set {name:?}; the sets are {known}")
    })?;
    let set: Set = toml::from_str(text).with_context(|| format!("published figures {name}"))?;
    let mut all = Vec::new();
    for table in &set.tables {
        for row in &table.rows {
            ensure!(
                row.accuracy.len() == table.tasks.len(),
                "published figures {name}: {:?} of {} needs one figure for each of its tasks",
                row.label,
                table.source
            );
            let settings = [table.setting.as_str(), row.setting.as_str()];
            let settings: Vec<&str> = settings.into_iter().filter(|s| !s.is_empty()).collect();
            for (task, &accuracy) in table.tasks.iter().zip(&row.accuracy) {
                all.push(Published {
                    task: task.clone(),
                    label: row.label.clone(),
                    accuracy,
                    source: table.source.clone(),
                    setting: settings.join("; "),
                });
            }
        }
    }
    Ok(all)
}

impl Profile {
    /// The published figures that the profile shows, checked when it was read.
    pub fn published_figures(&self) -> Vec<Published> {
        let sets = self.published.iter().map(|name| figures(name));
        sets.filter_map(Result::ok).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(task: &str, label: &str, source: &str) -> f64 {
        let all = figures("petl-ast").unwrap();
        let found: Vec<f64> = all
            .iter()
            .filter(|f| f.task == task && f.label == label && f.source.contains(source))
            .map(|figure| figure.accuracy)
            .collect();
        assert_eq!(found.len(), 1, "{task} {label} {source}: {found:?}");
        found[0]
    }

    #[test]
    fn figures_are_those_of_the_tables() {
        let table = "Table 1";
        assert_eq!(figure("esc-50", "full", table), 87.48);
        assert_eq!(figure("fluent-speech-commands", "linear", table), 27.52);
        assert_eq!(figure("urbansound8k", "lora", table), 83.83);
        assert_eq!(figure("esc-50", "adapter", table), 88.38);
        let few = figure("speech-commands-v2", "lora, 8 per class", "Table 2");
        assert_eq!(few, 15.2);
        let curve = figure("fluent-speech-commands", "lora R 24", "Figure 2");
        assert_eq!(curve, 90.26);
    }

    #[test]
    fn every_mean_of_a_row_is_the_printed_average_but_the_one_known_to_differ() {
        // Table 1, last column. Full fine-tuning is printed as 90.07, its
        // cells average to 90.60.
        for (label, average) in [
            ("full", 90.60),
            ("linear", 55.77),
            ("bitfit", 79.40),
            ("prompt shallow", 70.04),
            ("prompt deep", 81.99),
            ("prefix", 75.88),
            ("lora", 84.97),
            ("adapter", 84.09),
            ("adapter houlsby", 85.32),
        ] {
            let tasks = [
                "esc-50",
                "urbansound8k",
                "speech-commands-v2",
                "fluent-speech-commands",
            ];
            let cells = tasks.map(|task| figure(task, label, "Table 1"));
            let mean = cells.iter().sum::<f64>() / 4.0;
            assert!((mean - average).abs() < 0.011, "{label}: {mean}");
        }
    }

    /// A figure that has no row beside it would never be shown.
    #[test]
    fn every_figure_belongs_to_a_row_and_task_of_the_paper_profile() {
        let profile = Profile::built_in("paper").unwrap();
        let published = profile.published_figures();
        assert!(published.len() > 100, "{}", published.len());
        for figure in &published {
            let task = profile.tasks.iter().find(|task| task.name == figure.task);
            let cells = profile.cells(task.expect(&figure.task), &[0]);
            assert!(
                cells.iter().any(|cell| cell.label == figure.label),
                "{} has no run for {:?} of {}",
                figure.task,
                figure.label,
                figure.source
            );
            assert!((1.0..100.0).contains(&figure.accuracy));
        }
    }

    #[test]
    fn an_unknown_set_is_an_error_that_lists_the_known() {
        let error = check(&["petl".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("petl-ast"), "{error}");
    }
}
