//! Scripts for batch systems. They start `soft-moa sweep run` and nothing else: what
//! is done, goes on or is locked is the runs' own business.

mod hyperqueue;
mod slurm;

use std::path::PathBuf;

pub use hyperqueue::script as hyperqueue;
pub use slurm::{SlurmOptions, script as slurm};

use super::status::{State, Status};

/// What every task of a batch system does.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Name in the queue.
    pub name: String,
    /// The program `soft-moa`, as a full path.
    pub program: PathBuf,
    /// Folder of the sweep, as a full path.
    pub sweep: PathBuf,
    /// The user's cache, as a full path.
    pub cache: PathBuf,
    /// Folder of the manifests, as a full path.
    pub datasets: PathBuf,
    /// Seconds between checkpoints.
    pub checkpoint_seconds: f64,
    /// Runs that a task makes, one after the other.
    pub pack: usize,
    /// Threads of a task.
    pub threads: usize,
    /// Memory of a task in MiB.
    pub memory_mib: u64,
    /// Whether a task needs a GPU.
    pub gpu: bool,
    /// Numbers of the tasks: number i makes `pack` runs from i · pack on.
    pub tasks: Vec<usize>,
}

/// Numbers of the tasks that have something to do.
pub fn tasks(status: &Status, pack: usize) -> Vec<usize> {
    let open = |run: &&super::RunStatus| !matches!(run.state, State::Done | State::Failed);
    let mut tasks: Vec<usize> = status
        .runs
        .iter()
        .filter(open)
        .map(|run| run.index / pack.max(1))
        .collect();
    tasks.dedup();
    tasks
}

impl Job {
    /// The command of a task whose number is in the variable `number`, over several
    /// lines.
    fn command(&self, number: &str, more: &str) -> String {
        let first = match self.pack {
            1 => format!("\"${number}\""),
            pack => format!("\"$(({number} * {pack}))\""),
        };
        let path = |path: &PathBuf| quoted(&path.display().to_string());
        format!(
            "{} sweep run --plan {} \\\n    --index {first} --count {} --threads {} \
             --checkpoint-every {}{more} \\\n    --cache {} --datasets {}",
            path(&self.program),
            path(&self.sweep),
            self.pack,
            self.threads,
            self.checkpoint_seconds,
            path(&self.cache),
            path(&self.datasets),
        )
    }

    /// Variables that libtorch's libraries look at when they are loaded.
    fn environment(&self) -> String {
        let threads = self.threads;
        format!("export OMP_NUM_THREADS={threads} RAYON_NUM_THREADS={threads}")
    }

    /// What a task makes, in words.
    fn in_words(&self) -> String {
        match self.pack {
            1 => "Task I makes run I of the plan.".to_owned(),
            pack => format!("Task I makes the {pack} runs of the plan from I * {pack} on."),
        }
    }
}

/// A word as the shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
