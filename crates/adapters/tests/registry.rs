//! A method is a folder in `src/methods`, lines in the registry and a page
//! under `docs/methods`: none may be missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use adapters::MethodConfig;
use ast_model::AstConfig;

/// What mixtures share; no method of its own.
const SHARED: &str = "mixture";

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn names() -> BTreeSet<String> {
    MethodConfig::names()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_folder_of_methods_is_in_the_registry_and_the_other_way_round() {
    let folders: BTreeSet<String> = entries(&crate_folder().join("src/methods"))
        .iter()
        .filter(|path| path.is_dir())
        .map(|path| stem(path).replace('_', "-"))
        .filter(|name| name != SHARED)
        .collect();
    assert_eq!(folders, names());
}

#[test]
fn every_method_has_a_name_of_its_own_that_is_read_back() {
    let all = MethodConfig::names();
    assert_eq!(names().len(), all.len());
    for name in all {
        let config = MethodConfig::named(name).unwrap();
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["method"], name);
        assert_eq!(
            serde_json::from_value::<MethodConfig>(json).unwrap(),
            config
        );
        config.validate(&AstConfig::base()).unwrap();
    }
}

#[test]
fn every_method_has_a_page_whose_examples_are_its_own_configurations() {
    let folder = crate_folder().join("../../docs/methods");
    let pages: BTreeSet<String> = entries(&folder).iter().map(|path| stem(path)).collect();
    assert_eq!(pages, names());
    for name in names() {
        let text = fs::read_to_string(folder.join(format!("{name}.md"))).unwrap();
        for heading in [
            "## What trains",
            "## Settings",
            "## When to use it",
            "## Source",
        ] {
            assert!(text.contains(heading), "{name}: {heading} is missing");
        }
        let examples: Vec<&str> = text
            .split("```json\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap())
            .collect();
        assert!(!examples.is_empty(), "{name}: no example");
        for example in examples {
            let config: MethodConfig = serde_json::from_str(example).unwrap();
            assert_eq!(config.name(), name);
            config.validate(&AstConfig::base()).unwrap();
        }
    }
}

#[test]
fn every_quirk_has_a_row() {
    let path = crate_folder().join("../../docs/compat.md");
    let text = fs::read_to_string(path).unwrap();
    for quirk in 1..=30 {
        let rows = text
            .lines()
            .filter(|line| line.starts_with(&format!("| Q{quirk} |")));
        assert_eq!(rows.count(), 1, "Q{quirk}");
    }
}
