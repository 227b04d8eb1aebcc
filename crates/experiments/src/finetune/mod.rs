//! `soft-moa train`: from anyone's sounds to an adapter folder.
//!
//! A [`RunConfig`] says what is wanted; whatever it leaves open is chosen from
//! the sounds and the backbone ([`Plan::resolve`]). [`run`] then trains in a
//! run folder, from which an interrupted run goes on.
//!
//! ```text
//! RUN/
//!   run.toml        the resolved configuration, good for --config
//!   found.json      what was found: backbone, sounds, classes
//!   split.json      the clips of every part, by name
//!   metrics.jsonl   a line an epoch
//!   tensorboard/    the same as event files, where asked for
//!   result.json     the figures on the test part, written last
//!   adapter/        the adapter folder
//! ```

mod config;
mod layers;
mod lengths;
mod parts;
mod plan;
mod run;
mod sounds;
mod source;

pub use config::RunConfig;
pub use parts::{Parts, keep_named};
pub use plan::{Found, Plan};
pub use run::{RunResult, Watcher, configuration, run};
pub use sounds::{Layout, Official, Opened, measured, open};
