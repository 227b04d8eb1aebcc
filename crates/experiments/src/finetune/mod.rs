//! `soft-moa train`: from anyone's sounds to an adapter folder.
//!
//! A [`RunConfig`] says what is wanted; whatever it leaves open is chosen from
//! the sounds and the backbone ([`Plan::resolve`]). [`run`] then trains in a
//! run folder, from which an interrupted run goes on.
//!
//! ```text
//! RUN/
//!   run.toml        the resolved configuration, good for --config
//!   found.json      what was found: backbone, sounds, parts
//!   metrics.jsonl   a line an epoch
//!   result.json     the figures on the test part, written last
//!   adapter/        the adapter folder
//! ```

mod config;
mod lengths;
mod plan;
mod run;
mod sounds;

pub use config::RunConfig;
pub use plan::{Found, Plan};
pub use run::{RunResult, Watcher, run};
pub use sounds::{Layout, Opened, open};
