//! `cargo xtask test`: every check, each with its wall time.

use crate::cli::{Profile, TestArgs};
use crate::errors::CheckFailed;
use crate::paths::Paths;
use crate::pip::Pip;
use crate::process::check;
use crate::{bench, browser, data, disk, ffmpeg, libtorch, recordings, schedulers, smoke, tidy};
use anyhow::{Context, Result, bail};
use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A finished step.
struct Step {
    name: &'static str,
    time: Duration,
    verdict: Verdict,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// What it is for could not be checked, for this reason.
    Skipped(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed => f.write_str("FAILED"),
            Self::Skipped(reason) => write!(f, "SKIPPED: {reason}"),
        }
    }
}

/// A step ends with this error where something is lacking that only makes the
/// checks fewer: the summary has to say so.
#[derive(Debug)]
struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// `cargo xtask test`.
pub fn command(paths: &Paths, args: &TestArgs) -> Result<()> {
    require_component(paths, "fmt", "rustfmt")?;
    require_component(paths, "clippy", "clippy")?;
    let mut steps = Vec::new();
    let result = run_all(paths, args, &mut steps);
    summarise(&steps);
    result?;
    let failed = steps.iter().filter(|step| step.verdict == Verdict::Failed);
    let failed: Vec<&str> = failed.map(|step| step.name).collect();
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
    let mut tests = cargo(&["test", "--release", "--workspace", "--no-fail-fast"]);
    step(steps, "ffmpeg", || encoders(paths, &mut tests))?;
    step(steps, "hyperqueue", || hyperqueue(paths, &mut tests))?;
    step(steps, "slurm", || slurm(&mut tests))?;
    step(steps, "browser", report_reader)?;
    step(steps, "real recordings", || real_recordings(&mut tests))?;
    step(steps, "full disk", small_disk)?;
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
    if !step(steps, "tests", || check(&mut tests))? {
        return Ok(());
    }
    if !args.no_smoke {
        step(steps, "smoke profile", || smoke_profile(paths))?;
    }
    Ok(())
}

/// Runs one step and says whether to go on. A failed check and a skipped one are
/// noted; any other error ends the command.
fn step(
    steps: &mut Vec<Step>,
    name: &'static str,
    work: impl FnOnce() -> Result<()>,
) -> Result<bool> {
    eprintln!("== {name}");
    let started = Instant::now();
    let result = work();
    let time = started.elapsed();
    let verdict = match &result {
        Ok(()) => Verdict::Passed,
        Err(error) => match error.downcast_ref::<Skipped>() {
            Some(Skipped(reason)) => Verdict::Skipped(reason.clone()),
            None => Verdict::Failed,
        },
    };
    eprintln!("== {name}: {verdict} in {:.1} s", time.as_secs_f64());
    let goes_on = verdict != Verdict::Failed;
    steps.push(Step {
        name,
        time,
        verdict,
    });
    match result {
        Err(error) if !goes_on && error.downcast_ref::<CheckFailed>().is_none() => Err(error),
        Err(error) if !goes_on => {
            eprintln!("error: {error:#}");
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// The pretrained weights are wanted by the test that compares them with ONNX
/// Runtime; without them it is skipped, and the summary says so.
fn pretrained_backbone(paths: &Paths) -> Result<()> {
    data::ensure(paths, bench::BACKBONE).map_err(|error| {
        let reason = format!("no comparison with ONNX Runtime, for lack of weights: {error:#}");
        Skipped(reason).into()
    })
}

/// The tests of audio formats make their files with ffmpeg; without it they
/// are skipped, and the summary says so. One that the user names must be there.
fn encoders(paths: &Paths, tests: &mut Command) -> Result<()> {
    if let Some(program) = ffmpeg::named(std::env::var_os(ffmpeg::VARIABLE))? {
        tests.env(ffmpeg::VARIABLE, program);
        return Ok(());
    }
    let error = match ffmpeg::ensure(paths) {
        Ok(program) => {
            tests.env(ffmpeg::VARIABLE, program);
            return Ok(());
        }
        Err(error) => error,
    };
    if let Some(program) = ffmpeg::installed() {
        eprintln!("testing with {}: {error:#}", program.display());
        return Ok(());
    }
    // A network may be down; a machine without pip has to be put right.
    Pip::find()?;
    let reason = format!("audio formats are not compared with other decoders: {error:#}");
    Err(Skipped(reason).into())
}

/// A sweep with a worker that is killed, in a real HyperQueue. A package that the
/// user names must be there.
fn hyperqueue(paths: &Paths, tests: &mut Command) -> Result<()> {
    let skipped = |reason| Err(Skipped(format!("no sweep runs in HyperQueue: {reason}")).into());
    if let Some(reason) = schedulers::no_network() {
        return skipped(reason);
    }
    let named = std::env::var_os(schedulers::HYPERQUEUE_VARIABLE);
    let by_user = named.is_some();
    match schedulers::hyperqueue(paths, named) {
        Ok(folder) => {
            tests.env(schedulers::HYPERQUEUE_VARIABLE, folder);
            Ok(())
        }
        Err(error) if by_user => Err(error),
        Err(error) => skipped(format!("{error:#}")),
    }
}

/// A sweep whose job is stopped and whose node is lost, in a real Slurm.
fn slurm(tests: &mut Command) -> Result<()> {
    match schedulers::no_network().or_else(schedulers::no_slurm) {
        Some(reason) => Err(Skipped(format!("no sweep runs in Slurm: {reason}")).into()),
        None => {
            tests.env(schedulers::SLURM_VARIABLE, "1");
            Ok(())
        }
    }
}

/// The report is opened in a browser; without one its scripts are not tested,
/// and the summary says so.
fn report_reader() -> Result<()> {
    if browser::find(std::env::var_os(browser::VARIABLE))?.is_some() {
        return Ok(());
    }
    let reason = format!(
        "the report is not opened in a browser: install chromium, or set {} to one",
        browser::VARIABLE
    );
    Err(Skipped(reason).into())
}

/// Layouts and splits of real data sets, where the user has them.
fn real_recordings(tests: &mut Command) -> Result<()> {
    let named = std::env::var_os(recordings::VARIABLE);
    let lacking = recordings::lacking(named.clone())?;
    // Tests run in the folders of their crates.
    if let Some(folder) = named {
        tests.env(recordings::VARIABLE, std::path::absolute(folder)?);
    }
    match lacking {
        Some(reason) => Err(Skipped(reason).into()),
        None => Ok(()),
    }
}

/// Benchmarks on a disk that is full, which is a small one made for that.
fn small_disk() -> Result<()> {
    match disk::no_small_disk() {
        Some(reason) => Err(Skipped(format!("no disk is filled: {reason}")).into()),
        None => Ok(()),
    }
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
        eprintln!("{:<18} {:>8.1} s  {}", step.name, seconds, step.verdict);
    }
    let total: f64 = steps.iter().map(|step| step.time.as_secs_f64()).sum();
    eprintln!("{:<18} {total:>8.1} s", "all");
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
        let verdicts: Vec<_> = steps.iter().map(|step| step.verdict.clone()).collect();
        let expected = [Verdict::Passed, Verdict::Failed, Verdict::Failed];
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_skipped_step_is_not_a_passed_one_and_the_run_goes_on() {
        let mut steps = Vec::new();
        let skipped = || Err(Skipped("no network".to_owned()).into());
        assert!(step(&mut steps, "formats", skipped).expect("went on"));
        assert_eq!(steps[0].verdict.to_string(), "SKIPPED: no network");
    }
}
