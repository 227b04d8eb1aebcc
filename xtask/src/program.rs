//! Building a program of the workspace and finding where Cargo put it.

use crate::errors::CheckFailed;
use crate::{libtorch, process};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// With these two flags Cargo chooses the same features as for the tests, so
/// that neither command compiles the libraries of the other again.
pub const AS_FOR_TESTS: [&str; 2] = ["--workspace", "--examples"];

/// Builds what `selection` selects and gives the place of the program `name`
/// among it, wherever Cargo's settings put it.
pub fn build(root: &Path, selection: &[&str], name: &str) -> Result<PathBuf> {
    let mut cargo = libtorch::cargo(root);
    cargo.args(["build", "--release"]).args(selection);
    eprintln!("$ {}", process::shown(&cargo));
    cargo.arg("--message-format=json-render-diagnostics");
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        return Err(CheckFailed(format!("building {name} failed ({})", output.status)).into());
    }
    executable(&String::from_utf8_lossy(&output.stdout), name)
        .with_context(|| format!("cargo named no executable for {name}"))
}

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_is_read_from_cargos_messages() {
        let messages = "not json\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"soft-moa\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"other\"},\"executable\":\"/o\"}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"soft-moa\"},\"executable\":\"/t/soft-moa\"}\n";
        let found = executable(messages, "soft-moa");
        assert_eq!(found, Some(PathBuf::from("/t/soft-moa")));
        assert_eq!(executable("", "soft-moa"), None);
    }
}
