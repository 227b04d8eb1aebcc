//! Texts with places for the values of groups: `Session{session}/{name}.wav`.

use std::collections::{BTreeMap, BTreeSet};

/// A text cut into what stands there and the groups in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(String),
}

impl Template {
    /// Reads `text`; `field` only serves the error message.
    pub(super) fn parse(field: &str, text: &str) -> Result<Self, String> {
        let fault = || format!("`{field}` is `{text}`; write groups as {{name}}");
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(open);
            let name = after.strip_prefix('{').ok_or_else(fault)?;
            let (name, after) = name.split_once('}').ok_or_else(fault)?;
            if name.is_empty() || name.contains('{') {
                return Err(fault());
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Group(name.to_owned()));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    /// Refuses groups that are not among `groups`.
    pub(super) fn needs(&self, field: &str, groups: &BTreeSet<String>) -> Result<(), String> {
        for piece in &self.pieces {
            if let Piece::Group(name) = piece {
                super::manifest::known_group(field, name, groups)?;
            }
        }
        Ok(())
    }

    /// The text with the values of `groups`; groups that are not there are
    /// empty.
    pub(super) fn fill(&self, groups: &BTreeMap<String, String>) -> String {
        let value = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Group(name) => groups.get(name).cloned().unwrap_or_default(),
        };
        self.pieces.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_filled_in_and_everything_else_stays() {
        let template = Template::parse("audio", "S{session}/{name}.wav").expect("good");
        let groups = [("session", "5"), ("name", "a_b")];
        let groups = groups.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(template.fill(&groups.into()), "S5/a_b.wav");
        let plain = Template::parse("audio", "plain").expect("good");
        assert_eq!(plain.fill(&BTreeMap::new()), "plain");
    }

    #[test]
    fn braces_that_are_no_groups_are_refused() {
        for bad in ["{", "a}", "{}", "{a{b}}", "{a"] {
            let error = Template::parse("audio", bad).expect_err(bad);
            assert!(error.contains("`audio`"), "{error}");
        }
    }
}
