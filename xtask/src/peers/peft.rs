//! Topic `peft`: adapters and merged checkpoints that this project writes,
//! loaded by Hugging Face's own libraries. No speed is measured: logits must be
//! equal.

use super::environment;
use crate::paths::Paths;
use crate::{errors, process, program};
use anyhow::{Context, Result};
use std::process::Command;

/// Packages beside those of the other topics.
const PACKAGES: &str = "peft.txt";

/// Writes the cases, lets Python load them and passes its exit code on.
pub fn run(paths: &Paths) -> Result<()> {
    let python = environment::ensure_with(paths, PACKAGES)?;
    let cases = program::build(&paths.root, &program::AS_FOR_TESTS, "peft_cases")?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    process::check(Command::new(cases).arg(folder.path()))?;
    let script = environment::sources(paths).join("peft_load.py");
    let mut load = Command::new(python);
    // Everything is in the folder: nothing is to be looked for on a network.
    load.arg(script)
        .arg(folder.path())
        .env("HF_HUB_OFFLINE", "1");
    errors::pass_on(process::run(&mut load)?)
}
