//! `cargo xtask parity`: builds the program and lets it compare front end,
//! backbone and methods with golden numbers. Its exit code is passed on: 1 when
//! a number differs.

use crate::cli::ParityArgs;
use crate::paths::Paths;
use crate::{bench, errors, libtorch, process};
use anyhow::{Result, bail};
use std::process::Command;

/// `cargo xtask parity`.
pub fn command(paths: &Paths, args: &ParityArgs) -> Result<()> {
    // Before the program is compiled for it in vain.
    if !args.golden.is_dir() {
        bail!(
            "{} is no folder; name one with frontend/ and models/",
            args.golden.display()
        );
    }
    let mut command = Command::new(bench::build(paths)?);
    command.args(["parity", "--golden"]).arg(&args.golden);
    command.args(["--device", &args.device]);
    libtorch::forget_inherited(&paths.root, &mut command);
    errors::pass_on(process::run(&mut command)?)
}
