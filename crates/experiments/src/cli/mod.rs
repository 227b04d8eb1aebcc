//! Arguments, and which function each command is.

mod bench;
mod convert;
mod doctor;
mod embed;
mod eval;
mod exit;
mod fetch;
mod inspect;
mod live;
mod output;
mod parity;
mod places;
mod predict;
mod pretrain;
mod settings;
mod sounds;
mod stats;
mod sweep;
mod train;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use output::Output;

/// Fine-tune Audio Spectrogram Transformers with mixtures of adapters.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Print results as JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Train an adapter on a folder of sounds.
    Train(train::Train),
    /// Train a backbone of your own on several data sets.
    Pretrain(pretrain::Pretrain),
    /// Measure an adapter on labelled sounds.
    Eval(eval::Eval),
    /// Say which sounds files, folders or standard input hold.
    Predict(predict::Predict),
    /// Turn sounds into vectors for other programs.
    Embed(embed::Embed),
    /// Fetch a checkpoint from the Hugging Face hub into the cache.
    Fetch(fetch::Fetch),
    /// Say what a file or folder is, and what is wrong with it.
    Inspect(inspect::Inspect),
    /// Check this machine: libtorch, GPU, speed, caches, data sets.
    Doctor(doctor::Doctor),
    /// Run a profile of the comparison and write tables and plots.
    Bench(bench::Bench),
    /// Plan, run and watch many runs, on one machine or a cluster.
    Sweep(sweep::Sweep),
    /// Compute mean and standard deviation of recordings, to normalise with.
    Stats(stats::Stats),
    /// Fold an adapter into the weights of its backbone.
    Merge(convert::Convert),
    /// Write a LoRA adapter as Hugging Face peft reads it.
    ExportPeft(convert::ExportPeft),
    /// Compare front end, backbone and methods with golden numbers.
    Parity(parity::Parity),
    /// Turn the ONNX file of a DINOv2 ViT-S/14 into an AST-Small checkpoint.
    ConvertDinov2(convert::ConvertDinov2),
}

/// Runs the program with the arguments it was started with.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    experiments::device::keep_memory();
    let output = Output::new(arguments.json);
    exit::code(run(&arguments.command, &output))
}

fn run(command: &Command, output: &Output) -> Result<()> {
    match command {
        Command::Train(arguments) => train::run(arguments, output),
        Command::Pretrain(arguments) => pretrain::run(arguments, output),
        Command::Eval(arguments) => eval::run(arguments, output),
        Command::Predict(arguments) => predict::run(arguments, output),
        Command::Embed(arguments) => embed::run(arguments, output),
        Command::Fetch(arguments) => fetch::run(arguments, output),
        Command::Inspect(arguments) => inspect::run(arguments, output),
        Command::Doctor(arguments) => doctor::run(arguments, output),
        Command::Bench(arguments) => bench::run(arguments, output),
        Command::Sweep(arguments) => sweep::run(arguments, output),
        Command::Stats(arguments) => stats::run(arguments, output),
        Command::Merge(arguments) => convert::merge(arguments, output),
        Command::ExportPeft(arguments) => convert::export_peft(arguments, output),
        Command::Parity(arguments) => parity::run(arguments, output),
        Command::ConvertDinov2(arguments) => convert::dinov2(arguments, output),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_arguments_contradict_each_other() {
        Arguments::command().debug_assert();
    }
}
