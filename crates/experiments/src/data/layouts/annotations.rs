//! Clips told by the lines of text files.

use std::collections::BTreeMap;
use std::path::Path;

use regex::{Captures, Regex};

use super::resolve::Resolver;
use super::{Candidate, Found};
use crate::data::error::DataError;
use crate::data::scan::list_files;
use crate::data::template::Template;

/// A candidate for every line that matches `line` in the text files that match
/// `files`; its sound is where the template `audio` says.
pub(super) fn find(files: &str, line: &str, audio: &str, root: &Path) -> Result<Found, DataError> {
    let mut found = Found {
        candidates: Vec::new(),
        wanted: format!("{files}` with lines `{line}"),
        looked_at: 0,
        example: None,
    };
    // `Manifest::validate` has read all three.
    let (Ok(names), Ok(lines), Ok(audio)) = (
        Regex::new(files),
        Regex::new(line),
        Template::parse("layout.audio", audio),
    ) else {
        return Ok(found);
    };
    let mut resolver = Resolver::default();
    let mut missing = Vec::new();
    let mut rows = 0;
    let listed = list_files(root)?;
    found.looked_at = listed.len();
    found.example = listed.keys().next().cloned();
    for (relative, path) in &listed {
        let Some(of_file) = names.captures(relative) else {
            continue;
        };
        // Comments of annotators are not always UTF-8; what matters is ASCII.
        let bytes = std::fs::read(path).map_err(|source| DataError::TableUnreadable {
            file: path.clone(),
            source,
        })?;
        let text = String::from_utf8_lossy(&bytes);
        for of_line in text.lines().filter_map(|line| lines.captures(line)) {
            rows += 1;
            let mut groups = values(&names, &of_file);
            groups.extend(values(&lines, &of_line));
            let relative = audio.fill(&groups);
            match resolver.resolve(&root.join(&relative)) {
                Ok(path) => found.candidates.push(Candidate {
                    relative: super::segments::relative_to(root, &path),
                    path,
                    groups,
                    segment: None,
                }),
                Err(fault) => missing.push((
                    root.join(&relative),
                    format!("{} {fault}", root.join(&relative).display()),
                )),
            }
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    Err(DataError::BadFiles {
        total: rows,
        files: missing,
    })
}

fn values(expression: &Regex, captures: &Captures<'_>) -> BTreeMap<String, String> {
    let value_of = |name: &str| captures.name(name).map_or("", |value| value.as_str());
    let names = expression.capture_names().flatten();
    names
        .map(|name| (name.to_owned(), value_of(name).to_owned()))
        .collect()
}
