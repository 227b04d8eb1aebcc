//! Sweeps: many runs on one machine or a cluster, without a scheduler of our own.
//!
//! A [`Sweep`] is a folder with a plan in it, one self-contained run a line
//! ([`Entry`]); [`run`] makes one of them, or goes on with it, however often it is
//! asked; [`status`] and [`collect`] read what the runs have left. A local pool of
//! processes ([`pool`]), Slurm and HyperQueue ([`launch`]) start the runs. The
//! layout is that of a benchmark, so that both share runs:
//!
//! ```text
//! SWEEP/
//!   plan.jsonl       one run a line
//!   sweep.json       what the report says beside the runs
//!   runs/ID/         record.json once it is finished; failure.json if it never can be
//!   launch/, logs/   scripts for a batch system, and what the runs said
//!   report.html, …   from `collect`
//! ```

mod differences;
mod entry;
pub mod launch;
mod list;
mod memory;
mod overrides;
mod plan;
pub mod pool;
mod run;
mod settings;
mod status;
mod table;

pub use entry::{Entry, PLAN_FILE, Sweep, entries, folder};
pub use list::{numbers, ranges};
pub use memory::available as available_memory;
pub use overrides::Overrides;
pub use plan::{Planned, plan};
pub use run::{Made, RunOptions, run};
pub use status::{RunStatus, State, Status, Watcher};
pub use table::{lines, table};

use anyhow::Result;

use crate::bench::{self, Store};
use crate::report::{self, Written};

/// Writes the report of what is finished; it says what is not.
///
/// # Errors
/// A file that cannot be written.
pub fn collect(sweep: &Sweep) -> Result<Written> {
    let store = Store::beside_others(&sweep.folder)?;
    let mut context = sweep.context.clone();
    let mut records = Vec::new();
    let mut open = 0;
    for entry in &sweep.entries {
        if let Some(record) = store.read(&entry.id) {
            records.push(record);
        } else if let Some(failure) = store.failure(&entry.id) {
            context.missing.push(failure.reason);
        } else {
            open += 1;
        }
    }
    if open > 0 {
        context.missing.push(format!(
            "{open} of {} runs are not finished; `soft-moa sweep status` says which",
            sweep.entries.len()
        ));
    }
    bench::place(&mut context.studies, &records);
    Ok(report::write(&sweep.folder, &context, &records)?)
}
