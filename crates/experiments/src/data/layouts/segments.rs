//! Clips told by the rows of tables.

use std::collections::BTreeMap;
use std::path::Path;

use super::resolve::Resolver;
use super::{Candidate, Found};
use crate::data::error::DataError;
use crate::data::layout::{LayoutSpec, TableFile};
use crate::data::scan::Segment;
use crate::data::table::{self, Row};

/// A candidate for every row.
pub(super) fn find(layout: &LayoutSpec, root: &Path) -> Result<Found, DataError> {
    let mut found = Found {
        candidates: Vec::new(),
        wanted: String::new(),
        looked_at: 0,
        example: None,
    };
    let LayoutSpec::Table { tables, folder, .. } = layout else {
        return Ok(found);
    };
    let names: Vec<&str> = tables.iter().map(|table| table.file.as_str()).collect();
    found.wanted = format!("a row of {}", names.join(", "));
    let mut resolver = Resolver::default();
    let mut seen = BTreeMap::new();
    let mut missing = Vec::new();
    for (number, table) in tables.iter().enumerate() {
        let file = root.join(&table.file);
        let rows = table::read(&file)?;
        found.looked_at += rows.len();
        for row in rows {
            let fault = |message: String| DataError::TableFault {
                file: file.clone(),
                line: row.line,
                message,
            };
            let (path, segment) = place(layout, &row).map_err(&fault)?;
            let wanted = root.join(folder).join(path.replace('\\', "/"));
            let path = match resolver.resolve(&wanted) {
                Ok(path) => path,
                Err(reason) => {
                    let text = format!(
                        "{} (line {} of {}) {reason}",
                        wanted.display(),
                        row.line,
                        table.file
                    );
                    missing.push((wanted, text));
                    continue;
                }
            };
            let relative = relative_to(root, &path);
            let times = [
                segment.map(|segment| segment.start.to_bits()),
                segment.and_then(|segment| segment.end).map(f64::to_bits),
            ];
            let before = seen.insert((relative.clone(), times), (number, row.line));
            if let Some((other, line)) = before {
                return Err(fault(format!(
                    "{relative} stands twice with the same times (first in line {line} of {}); remove one",
                    tables[other].file
                )));
            }
            let mut groups = groups(layout, table, &row).map_err(&fault)?;
            if has_times(layout) {
                // Pieces of one recording are kept together.
                groups.insert("file".to_owned(), relative.clone());
            }
            found.candidates.push(Candidate {
                relative,
                path,
                groups,
                segment,
            });
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    Err(DataError::BadFiles {
        total: found.looked_at,
        files: missing,
    })
}

fn has_times(layout: &LayoutSpec) -> bool {
    let LayoutSpec::Table { start, end, .. } = layout else {
        return false;
    };
    start.is_some() || end.is_some()
}

/// Path and times of a row.
fn place(layout: &LayoutSpec, row: &Row) -> Result<(String, Option<Segment>), String> {
    let LayoutSpec::Table {
        path, start, end, ..
    } = layout
    else {
        return Ok((String::new(), None));
    };
    let file = row.required(path)?;
    if file.is_empty() {
        return Err(format!(
            "the column `{path}` is empty; write the path of the sound file"
        ));
    }
    let time = |column: &Option<String>| column.as_ref().map_or(Ok(None), |c| row.seconds(c));
    let (start, end) = (time(start)?, time(end)?);
    if start.is_none() && end.is_none() {
        return Ok((file.to_owned(), None));
    }
    let start = start.unwrap_or(0.0);
    if end.is_some_and(|end| end <= start) {
        return Err(format!(
            "the clip begins at {start} s and ends at {} s; it must end later",
            end.unwrap_or_default()
        ));
    }
    Ok((file.to_owned(), Some(Segment { start, end })))
}

fn groups(
    layout: &LayoutSpec,
    table: &TableFile,
    row: &Row,
) -> Result<BTreeMap<String, String>, String> {
    let mut groups = table.set.clone();
    if let LayoutSpec::Table { columns, .. } = layout {
        for (group, column) in columns {
            groups.insert(group.clone(), row.required(column)?.to_owned());
        }
    }
    Ok(groups)
}

/// `path` below `root` with forward slashes; all of it where it lies elsewhere.
pub(super) fn relative_to(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    relative.to_string_lossy().replace('\\', "/")
}
