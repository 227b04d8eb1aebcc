//! Repository chores: gets libtorch and data sets, runs the tests and the
//! comparison. It compiles in seconds because it knows nothing of libtorch
//! itself; it only starts the programs that do.
#![forbid(unsafe_code)]

mod bench;
mod browser;
mod cli;
mod data;
mod disk;
mod errors;
mod ffmpeg;
mod files;
mod libtorch;
mod lock;
mod parity;
mod paths;
mod peers;
mod pip;
mod process;
mod program;
mod progress;
mod recordings;
mod schedulers;
mod smoke;
mod test;
mod tidy;
mod wheel;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => errors::report(&error),
    }
}

fn run(command: &Command) -> anyhow::Result<()> {
    let paths = paths::Paths::find()?;
    match command {
        Command::Libtorch(args) => libtorch::command(&paths, args),
        Command::Data(args) => data::command(&paths, args),
        Command::BenchAll(args) => bench::command(&paths, args),
        Command::BenchPeers(args) => peers::command(&paths, args),
        Command::Parity(args) => parity::command(&paths, args),
        Command::Test(args) => test::command(&paths, args),
        Command::Tidy => tidy::command(&paths),
    }
}
