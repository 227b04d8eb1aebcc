//! Clips told by their names, and text files that list some of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex::Regex;

use super::{Candidate, Found};
use crate::data::error::DataError;
use crate::data::layout::ListFile;
use crate::data::scan::stem;

/// Most names an error gives as examples.
const EXAMPLES: usize = 3;

/// Every file whose relative path matches `pattern`.
pub(super) fn find(pattern: &str, files: &BTreeMap<String, PathBuf>) -> Found {
    let mut candidates = Vec::new();
    // `Manifest::validate` has compiled it.
    if let Ok(expression) = Regex::new(pattern) {
        for (relative, path) in files {
            let Some(captures) = expression.captures(relative) else {
                continue;
            };
            let value_of = |name: &str| captures.name(name).map_or("", |value| value.as_str());
            let names = expression.capture_names().flatten();
            candidates.push(Candidate {
                relative: relative.clone(),
                path: path.clone(),
                groups: names
                    .map(|name| (name.to_owned(), value_of(name).to_owned()))
                    .collect(),
                segment: None,
            });
        }
    }
    Found {
        candidates,
        wanted: pattern.to_owned(),
        looked_at: files.len(),
        example: files.keys().next().cloned(),
    }
}

/// The value of every listed clip by the stem of its path.
pub(super) fn read_lists(
    root: &Path,
    lists: &[ListFile],
    files: &BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, String>, DataError> {
    let stems: BTreeSet<&str> = files.keys().map(|path| stem(path)).collect();
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    let mut missing = Vec::new();
    for list in lists {
        let path = root.join(&list.file);
        let text = std::fs::read_to_string(&path).map_err(|source| DataError::TableUnreadable {
            file: path.clone(),
            source,
        })?;
        for (number, line) in text.lines().enumerate() {
            let entry = line.trim();
            let entry = entry.strip_prefix("./").unwrap_or(entry).replace('\\', "/");
            if entry.is_empty() {
                continue;
            }
            if !stems.contains(stem(&entry)) {
                missing.push(entry);
                continue;
            }
            let before = listed.insert(stem(&entry).to_owned(), list.value.clone());
            if before.is_some_and(|before| before != list.value) {
                return Err(DataError::TableFault {
                    file: path,
                    line: number + 1,
                    message: format!(
                        "`{entry}` stands in another list too; keep it in one of them"
                    ),
                });
            }
        }
        if !missing.is_empty() {
            let shown: Vec<&str> = missing.iter().take(EXAMPLES).map(String::as_str).collect();
            return Err(DataError::ListedMissing {
                list: path,
                root: root.to_path_buf(),
                count: missing.len(),
                examples: shown.join(", "),
            });
        }
    }
    Ok(listed)
}
