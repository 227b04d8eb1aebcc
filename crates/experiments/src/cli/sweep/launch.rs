//! `soft-moa sweep launch`.

use std::path::{Path, PathBuf, absolute};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Subcommand;
use experiments::atomic;
use experiments::sweep::{Sweep, Watcher, launch};
use serde_json::json;

use super::{PlaceArguments, PlanArgument, local};
use crate::cli::output::{self, Output};

#[derive(clap::Args)]
pub struct Launch {
    #[command(subcommand)]
    command: With,
}

#[derive(Subcommand)]
enum With {
    /// A pool of processes on this machine.
    Local(local::Local),
    /// An array of Slurm jobs: writes the script.
    Slurm(Slurm),
    /// An array of HyperQueue tasks: writes the script.
    Hyperqueue(Hyperqueue),
}

/// What a task of a batch system gets.
#[derive(clap::Args)]
struct TaskArguments {
    #[command(flatten)]
    plan: PlanArgument,
    /// Runs that a task makes one after the other; more for short runs.
    #[arg(long, value_name = "K", default_value_t = 1)]
    pack: usize,
    /// Processor cores of a task.
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Memory of a task in MiB [default: the plan's estimate].
    #[arg(long, value_name = "MIB")]
    memory: Option<u64>,
    /// Hand the script to the batch system.
    #[arg(long)]
    submit: bool,
    #[command(flatten)]
    places: PlaceArguments,
}

#[derive(clap::Args)]
struct Slurm {
    #[command(flatten)]
    task: TaskArguments,
    /// Time limit of a task, as Slurm writes it. A run that reaches it goes on in
    /// the next one.
    #[arg(long, default_value = "04:00:00")]
    time: String,
    /// Tasks at once at most.
    #[arg(long, value_name = "N")]
    at_once: Option<usize>,
    /// A further option of sbatch, for example --option=--partition=gpu.
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    option: Vec<String>,
}

#[derive(clap::Args)]
struct Hyperqueue {
    #[command(flatten)]
    task: TaskArguments,
    /// The program hq, for --submit.
    #[arg(long, value_name = "PROGRAM", default_value = "hq")]
    hq: PathBuf,
}

pub fn run(arguments: &Launch, output: &Output) -> Result<()> {
    match &arguments.command {
        With::Local(arguments) => local::run(arguments, output),
        With::Slurm(arguments) => {
            let make = |job: &launch::Job| {
                let options = launch::SlurmOptions {
                    time: arguments.time.clone(),
                    at_once: arguments.at_once,
                    more: arguments.option.clone(),
                };
                launch::slurm(job, &options)
            };
            let mut sbatch = Command::new("sbatch");
            script(&arguments.task, output, "slurm.sh", &make, &mut sbatch)
        }
        With::Hyperqueue(arguments) => {
            let mut hq = Command::new(&arguments.hq);
            hq.arg("submit");
            let make = launch::hyperqueue;
            script(&arguments.task, output, "hyperqueue.sh", &make, &mut hq)
        }
    }
}

/// Writes a script for what is not done yet and, if asked, submits it.
fn script(
    arguments: &TaskArguments,
    output: &Output,
    name: &str,
    make: &dyn Fn(&launch::Job) -> String,
    submit: &mut Command,
) -> Result<()> {
    ensure!(
        arguments.pack > 0 && arguments.threads > 0,
        "--pack and --threads must be at least 1"
    );
    let sweep = Sweep::open(&arguments.plan.plan)?;
    let status = Watcher::new(&sweep)?.look();
    let tasks = launch::tasks(&status, arguments.pack);
    if tasks.is_empty() {
        eprintln!("nothing is left to do");
        return Ok(());
    }
    let job = job(arguments, &sweep, tasks)?;
    let path = job.sweep.join("launch").join(name);
    for folder in ["launch", "logs"] {
        let folder = job.sweep.join(folder);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write_script(&path, &make(&job)).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!(
        "{} in {}",
        output::count(job.tasks.len(), "task"),
        path.display()
    );
    if !arguments.submit {
        return output.result(&json!({"script": path}), || path.display().to_string());
    }
    let said = hand_over(submit.arg(&path))?;
    output.result(&json!({"script": path, "said": said}), || said.clone())
}

fn job(arguments: &TaskArguments, sweep: &Sweep, tasks: Vec<usize>) -> Result<launch::Job> {
    let full = |path: &Path| {
        absolute(path).with_context(|| format!("cannot tell the full path of {}", path.display()))
    };
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let memory = sweep.entries.iter().map(|entry| entry.memory_bytes).max();
    let gpu = sweep
        .entries
        .iter()
        .any(|entry| entry.config.device.starts_with("cuda"));
    Ok(launch::Job {
        name: format!("soft-moa-{}", sweep.context.profile),
        program,
        sweep: full(&sweep.folder)?,
        cache: full(&arguments.places.cache.folder()?)?,
        datasets: full(&arguments.places.datasets)?,
        checkpoint_seconds: arguments.places.checkpoint_every,
        pack: arguments.pack,
        threads: arguments.threads,
        memory_mib: arguments
            .memory
            .unwrap_or(memory.unwrap_or(0).div_ceil(1 << 20)),
        gpu,
        tasks,
    })
}

/// Writes a program: some batch systems start it as it is.
fn write_script(path: &Path, text: &str) -> std::io::Result<()> {
    atomic::replace(path, text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What the batch system says to the script.
fn hand_over(submit: &mut Command) -> Result<String> {
    let program = submit.get_program().to_string_lossy().into_owned();
    let output = submit
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {program}; is it installed, and on PATH?"))?;
    if !output.status.success() {
        bail!(
            "{program} refused the script ({}); see above",
            output.status
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
