//! `cargo xtask bench-peers`: this project and the programs people use today,
//! on the same work in the same minute.
//!
//! A topic has two programs in `benches/peers/`, ours in Rust and the peers'
//! in Python. Both wait for requests (`benches/peers/worker.py` describes
//! them), so that they can be measured in turns.

mod environment;
mod fbank;
mod machine;
mod peft;
mod spread;
mod step;
mod step_report;
mod stubs;
mod worker;

use crate::cli::{PeersArgs, Topic};
use crate::paths::Paths;
use anyhow::Result;

/// `cargo xtask bench-peers`.
pub fn command(paths: &Paths, args: &PeersArgs) -> Result<()> {
    match args.topic {
        Topic::Fbank => fbank::run(paths, args),
        Topic::Peft => peft::run(paths),
        Topic::Step => step::run(paths, args),
    }
}
