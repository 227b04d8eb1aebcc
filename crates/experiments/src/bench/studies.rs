//! The tables and curves of a profile, and the runs they need.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::profile::{Profile, TaskSpec, all_distinct};
use super::rows::{MethodSpec, SHARED, Usual};
use crate::record::RunRecord;
use crate::report::{Study, StudyRow};

/// The axis whose values are taken from the finished runs: everything that
/// trains, head and final LayerNorm left out.
const PARAMETERS: &str = "trained parameters";

/// One table or curve, as written in a profile.
///
/// Its rows are compared with each other, so they must share every setting
/// that it is not about: `positions`, `train_clips_per_class` and `epochs`, and
/// where [`varies`](Self::varies) is given, all else too. A profile that breaks
/// this is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudySpec {
    /// Lower-case letters, digits and hyphens.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What it shows and what was left out.
    #[serde(default)]
    pub note: String,
    /// Names of tasks; all when left out.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Label of the horizontal axis of a curve. `trained parameters` takes its
    /// values from the runs.
    pub axis: Option<String>,
    /// Folds of its rows; the task's when left out.
    pub folds: Option<Vec<usize>>,
    /// Seeds of its rows; the task's when left out.
    pub seeds: Option<Vec<u64>>,
    /// Dotted paths of the settings in which rows of one series may differ.
    #[serde(default)]
    pub varies: Vec<String>,
    /// The rows: labels, or points `{ label, x, series }`.
    #[serde(default, rename = "rows")]
    pub(super) written: Vec<RowName>,
    /// Rows that differ from others in one setting; they need no entry under
    /// `methods`.
    #[serde(default)]
    pub(super) curves: Vec<CurveSpec>,
    /// All rows, those of the curves included.
    #[serde(skip)]
    pub rows: Vec<StudyRow>,
}

/// A row of a study as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a row must be a label, or { label, x, series } with x and series optional"
)]
pub(super) enum RowName {
    /// Its label.
    Label(String),
    /// A point of a curve.
    Point(StudyRow),
}

/// For each row in `like` one row per value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CurveSpec {
    /// Labels of the rows that are varied; each gives a series.
    like: Vec<String>,
    /// Dotted path of the setting.
    set: String,
    /// Its values, numbers for a curve. One that the row has already stands
    /// for that row.
    values: Vec<Value>,
    /// Labels of the rows, with `{like}` and `{value}`.
    label: String,
}

/// One run of a task: a row with a seed and a fold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// The seed.
    pub seed: u64,
    /// Index of the fold.
    pub fold: usize,
    /// Label of the row.
    pub label: String,
}

impl StudySpec {
    /// Fills in `rows`, and adds the rows of the curves to `methods`.
    pub(super) fn expand(&mut self, methods: &mut Vec<MethodSpec>, usual: Usual) -> Result<()> {
        self.rows = self
            .written
            .iter()
            .map(|row| match row {
                RowName::Point(point) => point.clone(),
                RowName::Label(label) => StudyRow {
                    label: label.clone(),
                    ..StudyRow::default()
                },
            })
            .collect();
        for curve in &self.curves {
            for like in &curve.like {
                for value in &curve.values {
                    self.rows.push(curve.row(like, value, methods, usual)?);
                }
            }
        }
        self.validate(methods)
    }

    fn validate(&self, methods: &[MethodSpec]) -> Result<()> {
        let slug = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !self.name.is_empty() && self.name.chars().all(slug),
            "name must be lower-case letters, digits and hyphens"
        );
        ensure!(!self.rows.is_empty(), "rows: a study needs at least one");
        let (folds, seeds) = (self.folds.as_deref(), self.seeds.as_deref());
        ensure!(
            folds != Some(&[]) && seeds != Some(&[]),
            "folds and seeds must name at least one, or be left out"
        );
        ensure!(
            folds.is_none_or(all_distinct) && seeds.is_none_or(all_distinct),
            "a fold or seed stands twice; remove one"
        );
        let placed = |row: &StudyRow| row.x.is_some();
        let parameters = self.axis.as_deref() == Some(PARAMETERS);
        ensure!(
            self.axis.is_some() == self.rows.iter().any(placed) || parameters,
            "axis: a study with an axis needs rows with x, and rows with x need an axis"
        );
        ensure!(
            self.rows.iter().all(|row| row.x.is_none_or(f64::is_finite)),
            "rows: x must be a number"
        );
        let mut seen = BTreeSet::new();
        for row in &self.rows {
            ensure!(
                seen.insert((&row.label, &row.series)),
                "rows: {:?} stands twice",
                row.label
            );
        }
        self.check_shared(methods)
    }

    /// That rows differ in nothing but what the study is about.
    fn check_shared(&self, methods: &[MethodSpec]) -> Result<()> {
        let mut specs = Vec::new();
        for row in &self.rows {
            let found = methods.iter().find(|method| method.label == row.label);
            let found =
                found.with_context(|| format!("rows: no method has the label {:?}", row.label))?;
            specs.push((row, found.settings()?));
        }
        let curves = self.curves.iter().map(|curve| &curve.set);
        let varied: Vec<&String> = self.varies.iter().chain(curves).collect();
        for (i, (a, ours)) in specs.iter().enumerate() {
            for (b, theirs) in &specs[..i] {
                let strict = !varied.is_empty() && a.series == b.series;
                for path in differences(ours, theirs) {
                    let bound = strict || SHARED.contains(&path.as_str());
                    ensure!(
                        !bound || varied.iter().any(|varied| covers(varied, &path)),
                        "rows {:?} and {:?} differ in {path}, which is not what this study \
                         varies: leave one out, or name the setting under `varies`",
                        b.label,
                        a.label
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether it has runs on a task.
    pub fn covers(&self, task: &str) -> bool {
        self.tasks.is_empty() || self.tasks.iter().any(|name| name == task)
    }
}

impl CurveSpec {
    /// One point, whose row joins `methods` unless it stands there under this
    /// or another label.
    fn row(
        &self,
        like: &str,
        value: &Value,
        methods: &mut Vec<MethodSpec>,
        usual: Usual,
    ) -> Result<StudyRow> {
        let base = methods.iter().find(|method| method.label == like);
        let base = base.with_context(|| format!("curves: no method has the label {like:?}"))?;
        let mut row = base.with(&self.set, value)?;
        let same = std::iter::once(base).chain(methods.iter());
        let known = same.into_iter().find(|known| known.same_run(&row, usual));
        if let Some(known) = known {
            row.label.clone_from(&known.label);
        } else {
            let text = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            row.label = self.label.replace("{like}", like).replace("{value}", &text);
            ensure!(
                methods.iter().all(|method| method.label != row.label),
                "curves: {:?} is the label of another row; give `label` more words",
                row.label
            );
            methods.push(row.clone());
        }
        Ok(StudyRow {
            label: row.label,
            x: value.as_f64(),
            series: Some(like.to_owned()),
        })
    }
}

/// Paths at which two rows differ.
fn differences(a: &BTreeMap<String, Value>, b: &BTreeMap<String, Value>) -> Vec<String> {
    let paths: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let get = |of: &BTreeMap<String, Value>, path: &str| of.get(path).cloned().unwrap_or_default();
    let different = paths
        .into_iter()
        .filter(|path| get(a, path) != get(b, path));
    different.cloned().collect()
}

/// Whether `path` is the setting `varied` or a part of it, or of its parent
/// that takes another form with it.
fn covers(varied: &str, path: &str) -> bool {
    let inside = |outer: &str, inner: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    inside(varied, path) || inside(path, varied)
}

impl Profile {
    /// The runs of a task with these folds, each once: the task's own rows in
    /// every fold and seed first, then what the studies add, in their order.
    pub fn cells(&self, task: &TaskSpec, folds: &[usize]) -> Vec<Cell> {
        let mut cells = Vec::new();
        let mut known = BTreeSet::new();
        let mut add = |seeds: &[u64], folds: &[usize], labels: &[&String]| {
            for &seed in seeds {
                for &fold in folds {
                    for &label in labels {
                        let cell = Cell {
                            seed,
                            fold,
                            label: label.clone(),
                        };
                        if known.insert(cell.clone()) {
                            cells.push(cell);
                        }
                    }
                }
            }
        };
        add(&task.seeds, folds, &task.methods.iter().collect::<Vec<_>>());
        for study in self.studies.iter().filter(|study| study.covers(&task.name)) {
            let labels: Vec<&String> = study.rows.iter().map(|row| &row.label).collect();
            let seeds = study.seeds.as_ref().unwrap_or(&task.seeds);
            add(seeds, study.folds.as_deref().unwrap_or(folds), &labels);
        }
        cells
    }

    /// Takes out of the studies what a changed profile no longer has: rows,
    /// tasks, seeds and folds. A study without rows or tasks goes; one without
    /// a seed or fold of its own takes the tasks'.
    pub fn prune_studies(&mut self) {
        let (methods, tasks) = (&self.methods, &self.tasks);
        self.studies.retain_mut(|study| {
            let everywhere = study.tasks.is_empty();
            study
                .tasks
                .retain(|name| tasks.iter().any(|task| task.name == *name));
            if study.tasks.is_empty() && !everywhere {
                return false;
            }
            let known = |label: &str| methods.iter().any(|method| method.label == label);
            study.rows.retain(|row| known(&row.label));
            let covered = || {
                tasks
                    .iter()
                    .filter(|task| everywhere || study.tasks.contains(&task.name))
            };
            let seeds = study.seeds.take().map(|mut seeds| {
                seeds.retain(|seed| covered().all(|task| task.seeds.contains(seed)));
                seeds
            });
            let in_task = |task: &TaskSpec, fold: &usize| {
                task.folds.as_ref().is_none_or(|folds| folds.contains(fold))
            };
            let folds = study.folds.take().map(|mut folds| {
                folds.retain(|fold| covered().all(|task| in_task(task, fold)));
                folds
            });
            study.seeds = seeds.filter(|seeds| !seeds.is_empty());
            study.folds = folds.filter(|folds| !folds.is_empty());
            !study.rows.is_empty()
        });
    }

    /// The studies as the report takes them. Where the axis is `trained
    /// parameters` the finished runs give the values.
    pub fn report_studies(&self, records: &[RunRecord]) -> Vec<Study> {
        let plain = |study: &StudySpec| Study {
            name: study.name.clone(),
            title: study.title.clone(),
            note: study.note.clone(),
            tasks: study.tasks.clone(),
            axis: study.axis.clone(),
            rows: study.rows.clone(),
        };
        let mut studies: Vec<Study> = self.studies.iter().map(plain).collect();
        place(&mut studies, records);
        studies
    }
}

/// Takes the places on the axis `trained parameters` from the finished runs.
pub(crate) fn place(studies: &mut [Study], records: &[RunRecord]) {
    let parameters = |label: &str| {
        let found = records.iter().find(|record| record.method == label);
        found.map(|record| record.trainable_parameters_paper as f64)
    };
    let placed = |study: &&mut Study| study.axis.as_deref() == Some(PARAMETERS);
    for study in studies.iter_mut().filter(placed) {
        for row in &mut study.rows {
            row.x = parameters(&row.label);
        }
    }
}

#[cfg(test)]
mod tests;
