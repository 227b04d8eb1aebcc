//! `cargo xtask test`: every check, each with its wall time.

use crate::cli::{Profile, TestArgs};
use crate::errors::CheckFailed;
use crate::paths::Paths;
use crate::process::check;
use crate::{bench, data, ffmpeg, libtorch, smoke, tidy};
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A finished step.
struct Step {
    name: &'static str,
    time: Duration,
    passed: bool,
}

/// `cargo xtask test`.
pub fn command(paths: &Paths, args: &TestArgs) -> Result<()> {
    require_component(paths, "fmt", "rustfmt")?;
    require_component(paths, "clippy", "clippy")?;
    let mut steps = Vec::new();
    let result = run_all(paths, args, &mut steps);
    summarise(&steps);
    result?;
    let failed: Vec<&str> = steps.iter().filter(|s| !s.passed).map(|s| s.name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(CheckFailed(format!("failed: {}", failed.join(", "))).into())
}

/// Quick checks are all made even if one fails; after a failed long one the
/// rest would only repeat its errors.
fn run_all(paths: &Paths, args: &TestArgs, steps: &mut Vec<Step>) -> Result<()> {
    let cargo = |words: &[&str]| {
        let mut command = libtorch::cargo(&paths.root);
        command.args(words);
        command
    };
    step(steps, "repository rules", || tidy::command(paths))?;
    step(steps, "format", || {
        check(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    if !step(steps, "libtorch", || libtorch::ensure(paths))? {
        return Ok(());
    }
    let clippy = [
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    if !step(steps, "lints", || check(&mut cargo(&clippy)))? {
        return Ok(());
    }
    step(steps, "backbone", || pretrained_backbone(paths))?;
    let mut tests = cargo(&["test", "--release", "--workspace"]);
    step(steps, "ffmpeg", || encoders(paths, &mut tests))?;
    if !step(steps, "tests", || check(&mut tests))? {
        return Ok(());
    }
    if !args.no_smoke {
        step(steps, "smoke profile", || smoke_profile(paths))?;
    }
    Ok(())
}

/// Runs one step. A failed check is noted; anything else ends the command.
fn step(
    steps: &mut Vec<Step>,
    name: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    eprintln!("== {name}");
    let started = Instant::now();
    let result = work();
    let time = started.elapsed();
    let passed = result.is_ok();
    eprintln!(
        "== {name}: {} in {:.1} s",
        verdict(passed),
        time.as_secs_f64()
    );
    steps.push(Step { name, time, passed });
    match result {
        Err(error) if error.downcast_ref::<CheckFailed>().is_none() => Err(error),
        Err(error) => {
            eprintln!("error: {error:#}");
            Ok(false)
        }
        Ok(()) => Ok(true),
    }
}

/// The pretrained weights are wanted by the test that compares them with ONNX
/// Runtime; without them it is skipped, and this says so.
fn pretrained_backbone(paths: &Paths) -> Result<()> {
    if let Err(error) = data::ensure(paths, bench::BACKBONE) {
        eprintln!("SKIPPED: the comparison with ONNX Runtime, for lack of weights: {error:#}");
    }
    Ok(())
}

/// The tests of audio formats make their files with ffmpeg; without it they
/// are skipped, and this says so. One the user names is left alone.
fn encoders(paths: &Paths, tests: &mut Command) -> Result<()> {
    if std::env::var_os(ffmpeg::VARIABLE).is_some() {
        return Ok(());
    }
    match ffmpeg::ensure(paths) {
        Ok(program) => {
            tests.env(ffmpeg::VARIABLE, program);
        }
        Err(error) => eprintln!("SKIPPED, unless ffmpeg is installed: audio formats: {error:#}"),
    }
    Ok(())
}

fn smoke_profile(paths: &Paths) -> Result<()> {
    // Runs of an earlier test would be taken over, and nothing be tested.
    let earlier = paths.root.join(bench::output(Profile::Smoke));
    if earlier.exists() {
        std::fs::remove_dir_all(&earlier)
            .with_context(|| format!("cannot remove {}", earlier.display()))?;
    }
    let mut soft_moa = bench::prepare(paths, Profile::Smoke)?;
    // Standard output is left to the tests' own closing lines.
    soft_moa.stdout(Stdio::from(std::io::stderr()));
    check(&mut soft_moa)?;
    smoke::check(&paths.root.join(bench::output(Profile::Smoke)))
}

fn require_component(paths: &Paths, subcommand: &str, component: &str) -> Result<()> {
    let mut command: Command = libtorch::cargo(&paths.root);
    let output = command.args([subcommand, "--version"]).output();
    if output.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    bail!("{component} is not installed: run `rustup component add {component}` and try again")
}

fn summarise(steps: &[Step]) {
    eprintln!("== summary");
    for step in steps {
        let seconds = step.time.as_secs_f64();
        eprintln!(
            "{:<18} {:>8.1} s  {}",
            step.name,
            seconds,
            verdict(step.passed)
        );
    }
    let total: f64 = steps.iter().map(|step| step.time.as_secs_f64()).sum();
    eprintln!("{:<18} {total:>8.1} s", "all");
}

fn verdict(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_failed_check_is_noted_and_a_broken_environment_ends_the_run() {
        let mut steps = Vec::new();
        assert!(step(&mut steps, "good", || Ok(())).expect("went on"));
        let failed = || Err(CheckFailed("bad".to_owned()).into());
        assert!(!step(&mut steps, "bad", failed).expect("went on"));
        assert!(step(&mut steps, "broken", || Err(anyhow!("no disk"))).is_err());
        let passed: Vec<bool> = steps.iter().map(|step| step.passed).collect();
        assert_eq!(passed, [true, false, false]);
    }
}
