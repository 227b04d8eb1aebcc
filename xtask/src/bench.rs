//! `cargo xtask bench-all`: everything from libtorch to the table.

use crate::cli::{BenchArgs, Profile};
use crate::paths::Paths;
use crate::{data, libtorch, process, program};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The backbone of the profiles that can be fetched.
pub const BACKBONE: &str = "dinov2-vit-s";

/// The program that trains, tests and reports.
const PROGRAM: &str = "soft-moa";

/// `cargo xtask bench-all`.
pub fn command(paths: &Paths, args: &BenchArgs) -> Result<()> {
    let mut soft_moa = prepare(paths, args.profile)?;
    soft_moa.args(jobs(args.profile, &args.extra));
    soft_moa.args(&args.extra);
    become_program(soft_moa)
}

/// As many runs at once as fit the machine, unless the user says otherwise. The
/// smoke profile is over before a second process would have started.
fn jobs(profile: Profile, extra: &[String]) -> &'static [&'static str] {
    let said = |word: &String| word == "--jobs" || word.starts_with("--jobs=");
    match profile {
        Profile::Smoke => &[],
        _ if extra.iter().any(said) => &[],
        _ => &["--jobs", "0"],
    }
}

/// Hands over to the program: on Ctrl-C it saves its state, and nothing may
/// give the terminal back before that.
#[cfg(unix)]
fn become_program(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    eprintln!("$ {}", process::shown(&command));
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn become_program(mut command: Command) -> Result<()> {
    crate::errors::pass_on(process::run(&mut command)?)
}

/// Makes sure of all that a profile needs; gives the command that runs it.
pub fn prepare(paths: &Paths, profile: Profile) -> Result<Command> {
    libtorch::ensure(paths)?;
    // The recordings first: should they be out of reach, nothing was compiled
    // in vain. Converting the backbone needs the program.
    for name in needed(profile) {
        fetch(paths, profile, name)?;
    }
    let program = build(paths)?;
    if profile != Profile::Paper {
        fetch(paths, profile, BACKBONE)?;
    }
    let mut command = Command::new(program);
    command
        .current_dir(&paths.root)
        .args(["bench", "--profile", &profile.to_string(), "--out"])
        .arg(output(profile))
        .arg("--cache")
        .arg(&paths.cache);
    libtorch::forget_inherited(&paths.root, &mut command);
    Ok(command)
}

fn fetch(paths: &Paths, profile: Profile, name: &str) -> Result<()> {
    match data::ensure(paths, name) {
        // The smoke profile then makes its own sounds or weights and says so.
        Err(error) if profile == Profile::Smoke => {
            eprintln!("{name} cannot be had, going on without it: {error:#}");
            Ok(())
        }
        Err(error) => {
            let advice = "`cargo xtask bench-all --profile smoke` runs without it";
            Err(error.context(format!("fetching {name} failed ({advice})")))
        }
        Ok(()) => Ok(()),
    }
}

/// Folder of the reports, from the top of the repository.
pub fn output(profile: Profile) -> PathBuf {
    PathBuf::from(format!("target/bench/{profile}"))
}

/// Data sets of a profile. The paper's own cannot be fetched: the program
/// explains what is missing.
fn needed(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Smoke => &["mandarin-tone"],
        Profile::Quick => &["mandarin-tone", "prompt-language"],
        Profile::Paper => &[],
    }
}

/// Whether any profile fetches the data set or backbone `name`.
pub fn needs(name: &str) -> bool {
    let profiles = [Profile::Smoke, Profile::Quick, Profile::Paper];
    name == BACKBONE || profiles.into_iter().any(|p| needed(p).contains(&name))
}

/// Builds the program and gives its place, wherever Cargo's settings put it.
pub fn build(paths: &Paths) -> Result<PathBuf> {
    libtorch::ensure(paths)?;
    let [workspace, examples] = program::AS_FOR_TESTS;
    let selection = [workspace, examples, "--bin", PROGRAM];
    program::build(&paths.root, &selection, PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_writes_into_its_own_folder() {
        assert_eq!(output(Profile::Smoke), PathBuf::from("target/bench/smoke"));
        assert_ne!(output(Profile::Quick), output(Profile::Paper));
    }
}
