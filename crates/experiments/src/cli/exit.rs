//! How the program ends.
//!
//! | Code | Meaning |
//! |-|-|
//! | 0 | fine |
//! | 1 | numbers differ (`parity`) |
//! | 2 | something the user can mend; the message says what |
//! | 75 | saved after SIGTERM; the same command goes on |
//! | 130 | stopped by the user |

use std::io;
use std::process::ExitCode;

use experiments::signals;
use experiments::training::TrainingError;

/// What `parity` found to differ.
#[derive(Debug, thiserror::Error)]
#[error("{0} golden files differ or cannot be compared; the lines that begin with FAIL say how")]
pub struct Different(pub usize);

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
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    if was_stopped(&error) {
        eprintln!("stopped; give the same command again to go on where it ended");
        let asked = signals::requested();
        return ExitCode::from(asked.map_or(signals::INTERRUPTED, |asked| asked.exit_code()));
    }
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

/// Other errors are shown even where the user asked to stop as well.
fn was_stopped(error: &anyhow::Error) -> bool {
    let stopped = |cause: &TrainingError| matches!(cause, TrainingError::Stopped);
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref())
        .any(stopped)
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
