//! What the tables and curves of a report are about: plain data beside the
//! runs, from the profile.

use serde::{Deserialize, Serialize};

/// One table or curve of the report: some rows on some tasks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Short name of lower-case letters, digits and hyphens, for files and
    /// links.
    pub name: String,
    /// Heading.
    pub title: String,
    /// What it shows and what was left out; may be empty.
    pub note: String,
    /// Names of the tasks it covers, as in
    /// [`RunRecord::task`](crate::record::RunRecord::task); empty for all.
    pub tasks: Vec<String>,
    /// Label of the horizontal axis where rows are points of a curve, for
    /// example `experts N`; `None` for a table alone.
    pub axis: Option<String>,
    /// The rows in display order.
    pub rows: Vec<StudyRow>,
}

/// One row of a study.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyRow {
    /// Label of the runs, as in
    /// [`RunRecord::method`](crate::record::RunRecord::method). One row may
    /// stand in several studies; its runs are made once.
    pub label: String,
    /// Place on the axis, where the study has one.
    pub x: Option<f64>,
    /// The curve that the point belongs to, for example `soft-moa`.
    pub series: Option<String>,
}

/// A figure that a paper prints.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Name of the task, as in
    /// [`RunRecord::task`](crate::record::RunRecord::task).
    pub task: String,
    /// Label of the row it is to be compared with, as in
    /// [`RunRecord::method`](crate::record::RunRecord::method).
    pub label: String,
    /// Accuracy in percent.
    pub accuracy: f64,
    /// Paper and table, or figure.
    pub source: String,
    /// What differs from our run; empty where nothing is known to.
    #[serde(default)]
    pub setting: String,
}
