//! Every method against the single adapter, over the folds and seeds they share.

use std::collections::BTreeMap;

use serde_json::Value;

use super::summary::{Row, setting};
use crate::record::RunRecord;
use crate::statistics::{self, PairedTest};

/// The method every other one is compared with.
pub const BASELINE: &str = "adapter";

/// Below this corrected p-value a difference is called one.
pub const SIGNIFICANCE: f64 = 0.05;

/// What a comparison allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The row is the single adapter itself.
    Baseline,
    /// No run of the adapter shares a fold and a seed with the row.
    NoPartner,
    /// Fewer than three pairs, or differences without any spread.
    Untested,
    /// The corrected p-value is not below [`SIGNIFICANCE`].
    WithinNoise,
    /// Higher than the adapter.
    Higher,
    /// Lower than the adapter.
    Lower,
}

impl Reading {
    /// The reading in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Baseline => "the reference",
            Self::NoPartner => "no common run",
            Self::Untested => "too few runs to test",
            Self::WithinNoise => "within the noise",
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

impl Row<'_> {
    /// What the paired comparison allows to say.
    pub fn reading(&self) -> Reading {
        self.reading_with(self.p_holm)
    }

    /// The same with a p-value that is corrected for another number of
    /// comparisons.
    pub fn reading_with(&self, p_holm: Option<f64>) -> Reading {
        let Some(test) = self.against_adapter else {
            return match self.reference {
                true => Reading::Baseline,
                false => Reading::NoPartner,
            };
        };
        match p_holm {
            None => Reading::Untested,
            Some(p) if p >= SIGNIFICANCE => Reading::WithinNoise,
            Some(_) if test.difference.mean > 0.0 => Reading::Higher,
            Some(_) => Reading::Lower,
        }
    }
}

/// Fills in the comparison of each row of a task.
pub fn compare_with_adapter(rows: &mut [Row]) {
    let references: Vec<Option<usize>> = (0..rows.len()).map(|i| reference(rows, i)).collect();
    let test = |(i, reference): (usize, &Option<usize>)| {
        let reference = reference.filter(|reference| *reference != i)?;
        paired(&rows[i], &rows[reference])
    };
    let tests: Vec<Option<PairedTest>> = references.iter().enumerate().map(test).collect();
    for (i, test) in tests.into_iter().enumerate() {
        rows[i].against_adapter = test;
        rows[i].reference = references[i] == Some(i);
    }
    correct(rows);
}

/// Index of the adapter that the row `i` is compared with: the row
/// [`BASELINE`], or, for a row under other conditions, one that is configured
/// like it and shares them.
fn reference(rows: &[Row], i: usize) -> Option<usize> {
    let run = |i: usize| rows[i].members[0];
    let same = |other: &usize| setting(run(*other)) == setting(run(i));
    let mut all = 0..rows.len();
    let main = all.find(|other| rows[*other].method == BASELINE && same(other))?;
    if conditions(run(main)) == conditions(run(i)) {
        return Some(main);
    }
    let like_main = |other: &usize| run(*other).config["method"] == run(main).config["method"];
    let there = |other: &usize| conditions(run(*other)) == conditions(run(i));
    let mut all = 0..rows.len();
    all.find(|other| same(other) && there(other) && like_main(other))
}

/// What two runs must share beside their setting for a comparison of methods;
/// rates and epochs belong to a method's own recipe.
fn conditions(run: &RunRecord) -> [&Value; 2] {
    [
        &run.config["positions"],
        &run.config["train_clips_per_class"],
    ]
}

/// Holm's correction among the comparisons with one and the same adapter row.
fn correct(rows: &mut [Row]) {
    let mut settings: BTreeMap<[String; 4], Vec<usize>> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        if row.against_adapter.is_some_and(|test| test.p.is_some()) {
            let (a, b, c, d) = setting(row.members[0]);
            let key = [a, b, c, d].map(str::to_owned);
            settings.entry(key).or_default().push(i);
        }
    }
    for members in settings.into_values() {
        let p = |i: &usize| rows[*i].against_adapter.and_then(|test| test.p);
        let raw: Vec<f64> = members.iter().filter_map(p).collect();
        for (i, corrected) in members.iter().zip(statistics::holm(&raw)) {
            rows[*i].p_holm = Some(corrected);
        }
    }
}

/// The paired test over common (fold, seed); repeats of one are averaged.
fn paired(row: &Row, adapter: &Row) -> Option<PairedTest> {
    let ours = by_fold_and_seed(&row.members);
    let theirs = by_fold_and_seed(&adapter.members);
    let (a, b): (Vec<f64>, Vec<f64>) = ours
        .iter()
        .filter_map(|(key, a)| Some((*a, *theirs.get(key)?)))
        .unzip();
    statistics::paired_test(&a, &b)
}

fn by_fold_and_seed(runs: &[&RunRecord]) -> BTreeMap<(usize, u64), f64> {
    let mut groups: BTreeMap<(usize, u64), Vec<f64>> = BTreeMap::new();
    for run in runs {
        let group = groups.entry((run.fold, run.seed)).or_default();
        group.push(run.test_accuracy);
    }
    groups
        .into_iter()
        .filter_map(|(key, values)| Some((key, statistics::mean(&values)?)))
        .collect()
}
