//! How the program ends.
//!
//! | Code | Meaning |
//! |-|-|
//! | 0 | fine |
//! | 1 | numbers differ (`parity`) |
//! | 2 | something the user can mend; the message says what |
//! | 3 | a run of a sweep can never succeed: its loss is no number (`sweep`) |
//! | 75 | saved after SIGTERM, or another process makes the run; the same command goes on |
//! | 130 | stopped by the user |

use std::io;
use std::process::ExitCode;

use experiments::data::DataError;
use experiments::training::TrainingError;
use experiments::{signals, sweep};

use super::output::say;

/// What `parity` found to differ.
#[derive(Debug, thiserror::Error)]
#[error("{0} golden files differ or cannot be compared; the lines that begin with FAIL say how")]
pub struct Different(pub usize);

/// Runs that can never succeed.
#[derive(Debug, thiserror::Error)]
#[error("runs diverged; `sweep run --retry-failed` tries one again:\n  - {0}")]
pub struct Diverged(pub String);

/// Runs that other processes make.
#[derive(Debug, thiserror::Error)]
#[error("other processes make these runs; try again later: {0}")]
pub struct Locked(pub String);

/// The exit code of a result; says to stderr what went wrong.
pub fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if is_closed_pipe(&error) {
        // Whoever read the results has seen enough, as in `… | head`.
        return ExitCode::SUCCESS;
    }
    if error.is::<Different>() {
        say(format_args!("error: {error}"));
        return ExitCode::FAILURE;
    }
    if error.is::<Diverged>() {
        say(format_args!("error: {error}"));
        return ExitCode::from(sweep::pool::FAILED);
    }
    if error.is::<Locked>() {
        say(&error);
        return ExitCode::from(signals::TRY_AGAIN);
    }
    if was_stopped(&error) {
        say(stopped(&error));
        let asked = signals::requested();
        return ExitCode::from(asked.map_or(signals::INTERRUPTED, |asked| asked.exit_code()));
    }
    say(format_args!("error: {error:#}"));
    ExitCode::from(2)
}

/// Other errors are shown even where the user asked to stop as well.
fn was_stopped(error: &anyhow::Error) -> bool {
    let in_training = |cause: &TrainingError| matches!(cause, TrainingError::Stopped);
    let mut trained = error.chain().filter_map(|cause| cause.downcast_ref());
    trained.any(in_training) || while_reading(error)
}

/// Whether sounds were read when the user asked to stop.
fn while_reading(error: &anyhow::Error) -> bool {
    let stopped = |cause: &DataError| matches!(cause, DataError::Stopped);
    let mut read = error.chain().filter_map(|cause| cause.downcast_ref());
    read.any(stopped)
}

fn stopped(error: &anyhow::Error) -> &'static str {
    match while_reading(error) {
        true => {
            "stopped while sounds were read, of which nothing is kept; give the same command again"
        }
        false => "stopped; give the same command again to go on where it ended",
    }
}

/// Only errors of [`Output`](super::output::Output) are marked so: a pipe that
/// the program reads from never breaks this way.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref())
        .any(broken)
}
