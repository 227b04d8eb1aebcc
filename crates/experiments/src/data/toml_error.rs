//! Turns an error of the TOML reader into one that names the file, the line
//! and, for an unknown field, the known field spelled most like it.

use std::path::Path;

use super::error::DataError;

/// Words for `error`, which reading `text` from `file` gave.
pub(super) fn explain(error: &toml::de::Error, text: &str, file: &Path) -> DataError {
    let line = error.span().map(|span| line_of(text, span.start));
    let message = error.message();
    match unknown_field(message) {
        Some((field, known)) => DataError::UnknownField {
            file: file.to_path_buf(),
            line,
            nearest: nearest(&field, &known),
            field,
        },
        None => DataError::ManifestSyntax {
            file: file.to_path_buf(),
            line,
            message: message.to_owned(),
        },
    }
}

/// Number of the line, from 1, that holds byte `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The field and the known fields in serde's message "unknown field `a`,
/// expected one of `b`, `c`". serde hands them out in no other way.
pub(crate) fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.trim().strip_prefix("unknown field ")?;
    let mut quoted = rest.split('`').skip(1).step_by(2).map(str::to_owned);
    let field = quoted.next()?;
    Some((field, quoted.collect()))
}

/// The known field spelled most like `field`.
pub(crate) fn nearest(field: &str, known: &[String]) -> Option<String> {
    let best = known.iter().min_by_key(|name| edit_distance(field, name))?;
    Some(best.clone())
}

/// Levenshtein distance: insertions, deletions and replacements of characters.
pub(super) fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_single_character_changes() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("max_lenght", "max_length"), 2);
        assert_eq!(edit_distance("same", "same"), 0);
    }

    #[test]
    fn a_line_is_counted_from_one() {
        assert_eq!(line_of("a\nb\nc", 0), 1);
        assert_eq!(line_of("a\nb\nc", 2), 2);
        assert_eq!(line_of("a\nb\nc", 99), 3);
    }
}
