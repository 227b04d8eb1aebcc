//! Tables of clips: CSV, tab-separated values and JSON lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::error::DataError;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Number of the line it begins in, from 1.
    pub(super) line: usize,
    /// Its values by column; in JSON lines, those that are there and not null.
    values: BTreeMap<String, String>,
    /// Whether a column that is not there is an empty one: JSON objects leave
    /// out what they do not know.
    optional: bool,
}

impl Row {
    /// The value in `column`.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn required(&self, column: &str) -> Result<&str, String> {
        match self.values.get(column) {
            Some(value) => Ok(value),
            None if self.optional => Ok(""),
            None => {
                let known: Vec<&str> = self.values.keys().map(String::as_str).collect();
                Err(format!(
                    "there is no column `{column}`, only {}; rename one, or name another one in the layout",
                    known.join(", ")
                ))
            }
        }
    }

    /// The time in `column`; none where it is empty.
    ///
    /// # Errors
    /// No such column, or no number of seconds.
    pub(super) fn seconds(&self, column: &str) -> Result<Option<f64>, String> {
        let text = self.required(column)?.trim();
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            // Longer than any recording, and NaN, are refused as well.
            Ok(time) if (0.0..1e9).contains(&time) => Ok(Some(time)),
            _ => Err(format!(
                "`{column}` is `{text}`; write a number of seconds, 0 or more"
            )),
        }
    }
}

/// Reads the table at `file`; its ending says in which format it is.
///
/// # Errors
/// The file cannot be read or is no such table; the error names the line.
pub(super) fn read(file: &Path) -> Result<Vec<Row>, DataError> {
    let ending = file.extension().and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    let fault = |(line, message)| DataError::TableFault {
        file: file.to_path_buf(),
        line,
        message,
    };
    let format = match ending.as_str() {
        "csv" => Format::Separated(b','),
        "tsv" => Format::Separated(b'\t'),
        "jsonl" | "ndjson" => Format::JsonLines,
        _ => {
            let message = "is no table this program reads; name it .csv, .tsv, .jsonl or .ndjson";
            return Err(fault((1, message.to_owned())));
        }
    };
    let bytes = std::fs::read(file).map_err(|source| DataError::TableUnreadable {
        file: file.to_path_buf(),
        source,
    })?;
    parse(&bytes, format).map_err(fault)
}

/// All columns that any row has.
pub(super) fn columns(rows: &[Row]) -> BTreeSet<&str> {
    let names = rows.iter().flat_map(|row| row.values.keys());
    names.map(String::as_str).collect()
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Separated(u8),
    JsonLines,
}

/// The rows, or the line at fault and what is wrong with it.
fn parse(bytes: &[u8], format: Format) -> Result<Vec<Row>, (usize, String)> {
    // Spreadsheets write a mark at the beginning.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let rows = match format {
        Format::Separated(delimiter) => separated(bytes, delimiter)?,
        Format::JsonLines => json_lines(bytes)?,
    };
    if rows.is_empty() {
        return Err((1, "there is no row; write one for every clip".to_owned()));
    }
    Ok(rows)
}

fn separated(bytes: &[u8], delimiter: u8) -> Result<Vec<Row>, (usize, String)> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .from_reader(bytes);
    let header = reader.headers().map_err(|error| csv_fault(&error, bytes))?;
    let header = header.clone();
    let mut seen = BTreeSet::new();
    if let Some(twice) = header.iter().find(|name| !seen.insert(*name)) {
        let message = format!("two columns are named `{twice}`; rename one");
        return Err((1, message));
    }
    let mut rows = Vec::new();
    let mut lines = Lines::default();
    for record in reader.records() {
        let record = record.map_err(|error| csv_fault(&error, bytes))?;
        let start = record.position().map_or(0, |position| position.byte());
        let values = header.iter().zip(&record);
        rows.push(Row {
            line: lines.of(bytes, start as usize),
            values: values
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            optional: false,
        });
    }
    Ok(rows)
}

/// Counts lines. The reader's own count is one behind where lines end in CR LF.
#[derive(Default)]
struct Lines {
    counted: usize,
    breaks: usize,
}

impl Lines {
    /// The line, from 1, of the record that begins at byte `start` or, where
    /// that is the rest of a line break, after it. `start` never decreases.
    fn of(&mut self, bytes: &[u8], start: usize) -> usize {
        let rest = bytes.get(start..).unwrap_or_default();
        let skipped = rest.iter().take_while(|byte| b"\r\n".contains(byte));
        let end = (start + skipped.count()).min(bytes.len());
        let new = bytes.get(self.counted..end).unwrap_or_default();
        self.breaks += new.iter().filter(|&&byte| byte == b'\n').count();
        self.counted = end.max(self.counted);
        self.breaks + 1
    }
}

fn csv_fault(error: &csv::Error, bytes: &[u8]) -> (usize, String) {
    let start = error.position().map_or(0, |position| position.byte());
    let line = Lines::default().of(bytes, start as usize);
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!(
            "{len} values where the first line names {expected_len} columns; put values that hold the separator into double quotes"
        ),
        csv::ErrorKind::Utf8 { .. } => "is no UTF-8; save the table as UTF-8".to_owned(),
        _ => format!("{error}; correct the line"),
    };
    (line, message)
}

fn json_lines(bytes: &[u8]) -> Result<Vec<Row>, (usize, String)> {
    let mut rows = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let at = |message: String| (index + 1, message);
        let object: serde_json::Map<String, Value> = serde_json::from_slice(line)
            .map_err(|error| at(format!("{error}; write one JSON object on every line")))?;
        let mut values = BTreeMap::new();
        for (name, value) in object {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                // Lists and objects say nothing about a clip that a group could.
                Value::Array(_) | Value::Object(_) => continue,
            };
            values.insert(name, text);
        }
        rows.push(Row {
            line: index + 1,
            values,
            optional: true,
        });
    }
    Ok(rows)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
