//! `cargo xtask tidy`: the repository's own rules.

use crate::data::manifest;
use crate::errors::CheckFailed;
use crate::paths::Paths;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest Rust file.
const MAX_LINES: usize = 450;

/// Larger files are data, not text.
const MAX_TEXT_BYTES: u64 = 2_000_000;

/// Crate roots that may hold `unsafe` (then denied, and allowed where it is
/// explained), each with the reason.
const UNSAFE_ALLOWED: [(&str, &str); 2] = [
    (
        "crates/experiments/src/lib.rs",
        "loads libtorch_cuda.so at run time, sets glibc to keep memory",
    ),
    (
        "crates/packed-linear/src/lib.rs",
        "calls operators of libtorch that tch does not generate",
    ),
];

/// The phrases are put together here so that this file does not hold them.
const FORBIDDEN_IN_RUST: [(&str, &str); 4] = [
    (concat!("to", "do!("), "finish it"),
    (concat!("unimple", "mented!("), "finish it"),
    (concat!("db", "g!("), "remove it"),
    (
        concat!("unsafe ", "impl"),
        "hand plain data to other threads instead",
    ),
];

const HOME_PATHS: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// `cargo xtask tidy`.
pub fn command(paths: &Paths) -> Result<()> {
    let problems = problems(&paths.root)?;
    if problems.is_empty() {
        return Ok(());
    }
    let count = problems.len();
    for problem in problems {
        eprintln!("{problem}");
    }
    Err(CheckFailed(format!("{count} of the repository's rules are broken")).into())
}

fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in tracked_files(root) {
        let path = root.join(&file);
        let size = std::fs::metadata(&path).map_or(0, |data| data.len());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) if size <= MAX_TEXT_BYTES => text,
            _ => continue,
        };
        check_text(&file, &text, &mut problems);
    }
    check_crate_roots(root, &mut problems);
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if std::fs::metadata(root.join(name)).map_or(0, |data| data.len()) == 0 {
            problems.push(format!("{name}: missing or empty"));
        }
    }
    for folder in [root.join("datasets"), root.join("datasets/backbones")] {
        if let Err(error) = manifest::read_all(&folder) {
            problems.push(format!("{error:#}"));
        }
    }
    Ok(problems)
}

/// What git would commit; every file where git is missing.
fn tracked_files(root: &Path) -> Vec<String> {
    let mut git = Command::new("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    match git.current_dir(root).output() {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        _ => walk(root),
    }
}

fn walk(root: &Path) -> Vec<String> {
    let skipped = ["target", ".git", ".cargo"];
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(folder) = waiting.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).into_iter().flatten();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let relative = folder.join(&name);
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !skipped.iter().any(|s| name == *s) => {
                    waiting.push(relative);
                }
                Ok(kind) if kind.is_file() => found.push(relative.to_string_lossy().into_owned()),
                _ => {}
            }
        }
    }
    found
}

fn check_text(file: &str, text: &str, problems: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = HOME_PATHS.into_iter().find(|path| has_path(line, path)) {
            let number = number + 1;
            problems.push(format!(
                "{file}:{number}: holds a path of one machine ({path})"
            ));
        }
    }
    if !file.ends_with(".rs") {
        return;
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!(
            "{file}: {lines} lines; split it ({MAX_LINES} at most)"
        ));
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or(line);
        for (phrase, remedy) in FORBIDDEN_IN_RUST {
            if code.contains(phrase) {
                problems.push(format!("{file}:{}: `{phrase}`: {remedy}", number + 1));
            }
        }
    }
}

/// Whether an absolute path with this start is in the line; the same words in
/// the middle of a longer path or an address are something else.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + start.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~$}".contains(c))
            && after.is_some_and(char::is_alphanumeric)
    })
}

fn check_crate_roots(root: &Path, problems: &mut Vec<String>) {
    let mut crates = vec![root.join("xtask"), root.join("benches")];
    let entries = std::fs::read_dir(root.join("crates")).into_iter().flatten();
    crates.extend(entries.flatten().map(|entry| entry.path()));
    crates.sort();
    for folder in crates {
        for name in ["src/lib.rs", "src/main.rs", "lib.rs"] {
            let path = folder.join(name);
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let shown = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            check_crate_root(&shown, &text, problems);
        }
    }
}

fn check_crate_root(file: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//!") {
        problems.push(format!(
            "{file}: begins without a crate-level doc comment (`//!`)"
        ));
    }
    let allowed = UNSAFE_ALLOWED.iter().any(|(path, _)| *path == file);
    let forbids = text.contains("#![forbid(unsafe_code)]");
    let denies = text.contains("#![deny(unsafe_code)]");
    if !(forbids || allowed && denies) {
        problems.push(format!("{file}: must state #![forbid(unsafe_code)]"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        check_text(file, text, &mut problems);
        problems
    }

    #[test]
    fn paths_of_one_machine_are_found_in_any_text() {
        for start in HOME_PATHS {
            let line = format!("open \"{start}someone/data\"");
            assert_eq!(found("README.md", &line).len(), 1, "{line}");
        }
    }

    #[test]
    fn similar_words_are_no_paths_of_one_machine() {
        let [root, home, ..] = HOME_PATHS;
        for line in [
            format!("crates{root}x"),
            format!("$x{home}y"),
            format!("{home}<you>"),
        ] {
            assert!(found("README.md", &line).is_empty(), "{line}");
        }
    }

    #[test]
    fn unfinished_code_is_found_and_comments_may_speak_of_it() {
        let phrase = FORBIDDEN_IN_RUST[0].0;
        assert_eq!(found("a.rs", &format!("fn f() {{ {phrase}) }}")).len(), 1);
        assert!(found("a.rs", &format!("// no {phrase}) here")).is_empty());
        assert!(found("a.md", phrase).is_empty());
    }

    #[test]
    fn long_files_are_found() {
        assert!(found("a.rs", &"x\n".repeat(MAX_LINES)).is_empty());
        assert_eq!(found("a.rs", &"x\n".repeat(MAX_LINES + 1)).len(), 1);
    }

    #[test]
    fn crate_roots_need_a_doc_and_forbid_unsafe() {
        let check = |file: &str, text: &str| {
            let mut problems = Vec::new();
            check_crate_root(file, text, &mut problems);
            problems.len()
        };
        assert_eq!(check("a", "//! Doc.\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(check("a", "//! Doc.\n#![deny(unsafe_code)]\n"), 1);
        assert_eq!(
            check(UNSAFE_ALLOWED[0].0, "//! Doc.\n#![deny(unsafe_code)]\n"),
            0
        );
        assert_eq!(check("a", "fn main() {}\n"), 2);
    }

    #[test]
    fn without_git_every_file_but_build_output_is_seen() {
        let dir = tempfile::tempdir().expect("tempdir");
        for name in ["src/a.rs", "target/b.rs", "top.md"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, "x").expect("file");
        }
        let mut found = walk(dir.path());
        found.sort();
        assert_eq!(found, ["src/a.rs", "top.md"]);
    }
}
