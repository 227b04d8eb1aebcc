//! The soft-moa program: experiments and everyday use from the command line.
//!
//! Results go to stdout, everything else to stderr; `cli::exit` says what the
//! exit codes mean.

#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
