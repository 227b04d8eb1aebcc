//! Topic `step`: a training step and an evaluation of Soft-MoA on AST-Base,
//! against the same model on the AST of transformers.

use super::environment;
use super::machine::Machine;
use super::spread::Spread;
use super::step_report::{Row, StepReport, Work};
use super::worker::{Timing, Worker};
use crate::cli::PeersArgs;
use crate::errors::CheckFailed;
use crate::paths::Paths;
use crate::{files, program};
use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Frames of a clip and clips of a batch.
const SIZES: [(u32, u32); 2] = [(100, 32), (500, 8)];
const MODES: [&str; 2] = ["train", "evaluate"];
const PRECISIONS: [&str; 2] = ["f32", "bf16"];

/// Largest difference of logits relative to the largest logit.
const TOLERANCES: [f32; 2] = [1e-3, 2e-2];

const NO_PYTHON: &str = "the peer's environment that this command makes is for the processor; \
    name a Python with a CUDA build of torch 2.11, transformers, safetensors and numpy with --python";

/// Measures, prints a table and writes the report.
pub fn run(paths: &Paths, args: &PeersArgs) -> Result<()> {
    let machine = Machine::this();
    let threads = args.threads.unwrap_or(machine.cores);
    let programs = Programs {
        python: match &args.python {
            Some(python) => python.clone(),
            None if args.device == "cpu" => environment::ensure(paths)?,
            None => return Err(CheckFailed(NO_PYTHON.to_owned()).into()),
        },
        script: environment::sources(paths).join("step.py"),
        ours: program::build(&paths.root, &program::AS_FOR_TESTS, "peer-step")?,
        threads,
        device: args.device.clone(),
    };
    let mut report = StepReport {
        machine,
        versions: Value::Null,
        threads,
        device: args.device.clone(),
        rounds: args.rounds,
        seconds_per_turn: args.seconds,
        product_rates: Vec::new(),
        rows: Vec::new(),
    };
    for size in SIZES {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        // Random weights are made and written by a process that ends before
        // anything is measured: their memory is nobody's peak.
        drop(programs.ours(folder.path(), size, PRECISIONS[0])?);
        for mode in MODES {
            // A process of its own for each, so that peaks of memory are its own.
            measure(&programs, folder.path(), size, mode, args, &mut report)?;
        }
    }
    println!("{}", report.table());
    let file = paths.root.join("target/bench/peers/step.json");
    files::write_whole(&file, serde_json::to_string_pretty(&report)?.as_bytes())?;
    println!("{}", file.display());
    Ok(())
}

/// How the two sides are started.
struct Programs {
    python: std::path::PathBuf,
    script: std::path::PathBuf,
    ours: std::path::PathBuf,
    threads: usize,
    device: String,
}

impl Programs {
    fn ours(&self, folder: &Path, (frames, batch): (u32, u32), precision: &str) -> Result<Worker> {
        let mut command = Command::new(&self.ours);
        command.arg(folder);
        command.args([frames, batch].map(|number| number.to_string()));
        command.args([&self.threads.to_string(), precision, &self.device]);
        Worker::start(precision, self.threads, &mut command)
    }

    fn peer(&self, folder: &Path, (frames, batch): (u32, u32)) -> Result<Worker> {
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(folder);
        command.args([frames, batch].map(|number| number.to_string()));
        command.args([&self.threads.to_string(), &self.device]);
        Worker::start("step.py", self.threads, &mut command)
    }
}

/// All programs in turns on one size and mode.
fn measure(
    programs: &Programs,
    folder: &Path,
    size: (u32, u32),
    mode: &str,
    args: &PeersArgs,
    report: &mut StepReport,
) -> Result<()> {
    let mut ours = PRECISIONS
        .iter()
        .map(|precision| programs.ours(folder, size, precision))
        .collect::<Result<Vec<_>>>()?;
    let mut peer = programs.peer(folder, size)?;
    // A process of its own, whose memory counts for no row.
    let mut products = programs.ours(folder, size, PRECISIONS[0])?;
    report.versions = peer.ready.clone();
    if mode == MODES[0] {
        compare(&mut ours, &mut peer, &folder.join("values"))?;
    }
    let mut turns: Vec<Vec<Timing>> = Vec::new();
    for round in 1..=args.rounds {
        eprintln!(
            "{} frames, {mode}: round {round} of {}",
            size.0, args.rounds
        );
        let mut turn = vec![peer.time(mode, args.seconds)?];
        for worker in &mut ours {
            turn.push(worker.time(mode, args.seconds)?);
        }
        let (_, rates) = products.values("rates", &folder.join("values"))?;
        report.product_rates.push(rates);
        turns.push(turn);
    }
    let (frames, batch) = size;
    let names = ["transformers, f32", "ours, f32", "ours, bf16"];
    for (index, name) in names.into_iter().enumerate() {
        let clips = f64::from(batch) * 1e3;
        let rates = turns.iter().map(|turn| clips / turn[index].ms);
        let ratios = turns.iter().map(|turn| turn[0].ms / turn[index].ms);
        report.rows.push(Row {
            work: Work {
                frames,
                batch,
                mode: mode.to_owned(),
            },
            program: name,
            clips_per_second: Spread::of(rates),
            ratio: Spread::of(ratios),
            peak_bytes: turns.iter().filter_map(|turn| turn[index].peak_bytes).max(),
        });
    }
    Ok(())
}

/// Fails when the two sides do not compute the same logits.
fn compare(ours: &mut [Worker], peer: &mut Worker, file: &Path) -> Result<()> {
    let (shape, expected) = peer.values("logits", file)?;
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    for ((worker, tolerance), precision) in ours.iter_mut().zip(TOLERANCES).zip(PRECISIONS) {
        let (found_shape, found) = worker.values("logits", file)?;
        let finite = found.iter().all(|value| value.is_finite());
        let pairs = found.iter().zip(&expected);
        let error = pairs.fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest;
        if found_shape != shape || !finite || error > tolerance {
            return Err(CheckFailed(format!(
                "logits in {precision}: shape {found_shape} and error {error:.1e} against \
                 {shape} of transformers; at most {tolerance:.0e} is expected"
            ))
            .into());
        }
        eprintln!("logits in {precision}: {error:.1e} of the largest away from transformers");
    }
    Ok(())
}
