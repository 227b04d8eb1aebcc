//! `soft-moa parity`.

use std::path::PathBuf;

use anyhow::Result;
use experiments::{device, parity};
use serde_json::json;

use super::exit::Different;
use super::output::Output;

#[derive(clap::Args)]
pub struct Parity {
    /// Folder with frontend/ and models/.
    #[arg(long, value_name = "DIR")]
    golden: PathBuf,
    /// Where the models compute: cpu, cuda or cuda:INDEX.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// Prints the comparison; an error when something differs.
pub fn run(arguments: &Parity, output: &Output) -> Result<()> {
    let found = parity::run(&arguments.golden, device::choose(&arguments.device)?)?;
    let row = |row: &parity::Row| {
        json!({
            "file": row.file, "what": row.what, "values": row.values, "logits": row.logits,
            "loss": row.loss, "gradients": row.gradients, "trained": row.trained,
            "problems": row.problems,
        })
    };
    let rows: Vec<_> = found.rows.iter().map(row).collect();
    output.result(&json!({ "rows": rows, "absent": found.absent }), || {
        found.report()
    })?;
    match found.failures() {
        0 => Ok(()),
        failures => Err(Different(failures).into()),
    }
}
