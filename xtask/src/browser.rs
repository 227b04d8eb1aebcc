//! A browser for the tests that open the report.

use crate::process;
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;

/// Tests find the browser through this variable.
pub const VARIABLE: &str = "SOFT_MOA_BROWSER";

/// Programs that understand Chromium's options.
const NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];

/// The browser that the user names in `named`, or the first one on PATH.
///
/// # Errors
/// There is no such program. Tests that quietly did without it would pass
/// untested.
pub fn find(named: Option<OsString>) -> Result<Option<PathBuf>> {
    let Some(named) = named.map(PathBuf::from) else {
        let mut names = NAMES.iter();
        return Ok(names.find_map(|name| process::find_program(name.as_ref())));
    };
    if !named.is_file() {
        bail!(
            "{VARIABLE} is `{}`, which is no file: set it to the full path of a Chromium or \
             Chrome, or unset it",
            named.display()
        );
    }
    Ok(Some(std::path::absolute(&named)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_browser_must_be_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("chromium");
        let error = find(Some(program.clone().into())).expect_err("nothing is there");
        assert!(error.to_string().contains("unset it"), "{error}");
        std::fs::write(&program, "").expect("it can be written");
        let found = find(Some(program.clone().into())).expect("it is there");
        assert_eq!(found, Some(program));
    }
}
