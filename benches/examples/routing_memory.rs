//! Memory of one training pass of every layer of the `routing` benchmark:
//! `cargo run --release -p benches --example routing_memory` (Linux).
//!
//! Each layer runs in a process of its own. The peak is what the kernel counts
//! as resident (`VmHWM`, set back before the pass) above what was resident
//! before the pass. `none` holds the gradient of the output; what a layer has
//! above it is the layer's own: its output, what it keeps for the backward
//! pass, and its gradients.

#[path = "../benches/layers/mod.rs"]
mod layers;

use std::process::Command;

use layers::{B, D, L, Layer, all, fill, train};

fn main() -> std::io::Result<()> {
    match std::env::args().nth(1) {
        Some(index) => {
            let index = index.parse().unwrap_or(usize::MAX);
            let Some((_, layer)) = all().into_iter().nth(index) else {
                return Err(std::io::Error::other("there is no layer of that number"));
            };
            println!("{}", peak(&layer)?);
            Ok(())
        }
        None => table(),
    }
}

fn table() -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let mut base = 0.0;
    println!("| layer | N | peak, MB | above none, MB |\n|---|---|---|---|");
    for (index, (n, layer)) in all().iter().enumerate() {
        let output = Command::new(&program).arg(index.to_string()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Ok(kib) = text.trim().parse::<f64>() else {
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(std::io::Error::other(message));
        };
        let megabytes = kib * 1024.0 / 1e6;
        if index == 0 {
            base = megabytes;
        }
        let above = megabytes - base;
        println!("| {} | {n} | {megabytes:.1} | {above:.1} |", layer.name);
    }
    Ok(())
}

/// Peak of one training pass above what is resident before it, in KiB.
fn peak(layer: &Layer) -> std::io::Result<i64> {
    // A small pass first, so that libraries have their own buffers.
    let warm = fill(&[1, 4, D], 1.0, 1.0).set_requires_grad(true);
    train(layer, &warm, &fill(&[4 * D], 2.0, 1.0));
    let x = fill(&[B, L, D], 8.0, 1.0).set_requires_grad(true);
    let gradient = fill(&[B * L * D], 9.0, 1.0);
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = status("VmRSS:")?;
    let gradients = train(layer, &x, &gradient);
    let peak = status("VmHWM:")? - before;
    drop(gradients);
    Ok(peak)
}

fn status(field: &str) -> std::io::Result<i64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| std::io::Error::other(format!("no {field} in /proc/self/status")))
}
