//! Every method against the single adapter, over the folds and seeds they share.

use std::collections::BTreeMap;

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
            return match self.method == BASELINE {
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
    let tests: Vec<Option<PairedTest>> = rows
        .iter()
        .map(|row| {
            let same = |other: &&Row| setting(other.members[0]) == setting(row.members[0]);
            let adapter = rows
                .iter()
                .find(|other| other.method == BASELINE && same(other))?;
            paired(row, adapter)
        })
        .collect();
    for (row, test) in rows.iter_mut().zip(tests) {
        row.against_adapter = test;
    }
    correct(rows);
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
    if row.method == adapter.method {
        return None;
    }
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
