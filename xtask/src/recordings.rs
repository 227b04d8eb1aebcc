//! Real recordings for the tests that read them.

use anyhow::{Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;

/// Tests find the folder of the recordings through this variable.
pub const VARIABLE: &str = "SOFT_MOA_TEST_DATA";

/// The data sets that tests look for there, and a file of each.
const SETS: [(&str, &str); 2] = [
    ("ESC-50", "meta/esc50.csv"),
    ("speech-commands-12", "metadata.csv"),
];

/// Why not all tests of recordings can be made, with the folder in `named`.
///
/// # Errors
/// What is named is no folder. Tests that quietly did without it would pass
/// untested.
pub fn lacking(named: Option<OsString>) -> Result<Option<String>> {
    let Some(folder) = named.map(PathBuf::from) else {
        let names = SETS.map(|(name, _)| name).join(" and ");
        return Ok(Some(format!(
            "no real recordings are read: set {VARIABLE} to a folder with {names}"
        )));
    };
    if !folder.is_dir() {
        bail!(
            "{VARIABLE} is `{}`, which is no folder: set it to the full path of one, or unset it",
            folder.display()
        );
    }
    let missing = |(name, file): &(&'static str, &str)| {
        let there = folder.join(name).join(file).is_file();
        (!there).then_some(*name)
    };
    let missing: Vec<&str> = SETS.iter().filter_map(missing).collect();
    let place = folder.display();
    Ok((!missing.is_empty()).then(|| format!("no {} in {place}", missing.join(" and no "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named() {
        let lacking = |folder: PathBuf| lacking(Some(folder.into_os_string()));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().to_path_buf();
        let both = lacking(place.clone()).expect("a folder").expect("lacking");
        assert!(
            both.starts_with("no ESC-50 and no speech-commands-12 in"),
            "{both}"
        );
        std::fs::create_dir_all(place.join("ESC-50/meta")).expect("a folder");
        std::fs::write(place.join("ESC-50/meta/esc50.csv"), "").expect("a file");
        let one = lacking(place.clone()).expect("a folder").expect("lacking");
        assert!(one.starts_with("no speech-commands-12 in"), "{one}");
        std::fs::create_dir(place.join("speech-commands-12")).expect("a folder");
        std::fs::write(place.join("speech-commands-12/metadata.csv"), "").expect("a file");
        assert_eq!(lacking(place.clone()).expect("a folder"), None);
        assert!(lacking(place.join("nowhere")).is_err());
        let unset = super::lacking(None).expect("unset").expect("lacking");
        assert!(unset.contains(VARIABLE), "{unset}");
    }
}
