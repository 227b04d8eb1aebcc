//! Ctrl-C and SIGTERM as a wish that a running computation can ask for.
//!
//! The first Ctrl-C asks to save and stop, the second ends the process at once
//! with [`INTERRUPTED`]. SIGTERM, which batch systems send before they kill,
//! asks to save and stop too; a second one changes nothing, since a batch system
//! kills on its own. What is done about a wish is up to the program.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Exit code of a program that Ctrl-C stopped: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Exit code of a program that SIGTERM stopped after it had saved its state:
/// EX_TEMPFAIL of sysexits.h, which batch systems take as "start me again".
pub const TRY_AGAIN: u8 = 75;

/// Why the process should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl StopRequest {
    /// The exit code of a program that saved its state and stopped.
    pub fn exit_code(self) -> u8 {
        match self {
            StopRequest::Interrupt => INTERRUPTED,
            StopRequest::Terminate => TRY_AGAIN,
        }
    }
}

static REQUEST: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Listens from now on, for the whole process. Calling it again does nothing.
///
/// # Errors
/// When the system does not let signals be handled.
pub fn listen() -> io::Result<()> {
    let mut fresh = false;
    let request = REQUEST.get_or_init(|| {
        fresh = true;
        Arc::default()
    });
    if !fresh {
        return Ok(());
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    // Handlers run in the order they are registered: the second Ctrl-C finds
    // what the first has set.
    let code = i32::from(INTERRUPTED);
    flag::register_conditional_shutdown(SIGINT, code, Arc::clone(&interrupted))?;
    flag::register(SIGINT, interrupted)?;
    for (signal, number) in [(SIGINT, 1), (SIGTERM, 2)] {
        flag::register_usize(signal, Arc::clone(request), number)?;
    }
    Ok(())
}

/// What was asked for last since [`listen`]; nothing without it.
pub fn requested() -> Option<StopRequest> {
    match REQUEST.get()?.load(Ordering::Relaxed) {
        0 => None,
        1 => Some(StopRequest::Interrupt),
        _ => Some(StopRequest::Terminate),
    }
}
