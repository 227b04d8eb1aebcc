//! An array script for Slurm.

use super::{Job, quoted};
use crate::sweep::ranges;

/// Seconds before the time limit at which a run is asked to save.
const NOTICE: u32 = 120;

/// How often a task goes back into the queue.
const REQUEUES: u32 = 100;

/// What Slurm is asked for beside [`Job`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmOptions {
    /// Time limit of a task, as Slurm writes it.
    pub time: String,
    /// Tasks at once at most.
    pub at_once: Option<usize>,
    /// Further options of `sbatch`, each whole, for example `--partition=gpu`.
    pub more: Vec<String>,
}

/// The script for `sbatch`.
///
/// The shell gets SIGTERM [`NOTICE`] seconds before the limit or when the job is
/// preempted, and hands it on; the run saves its state and ends with 75, and the task
/// goes back into the queue.
pub fn script(job: &Job, options: &SlurmOptions) -> String {
    let most = options.at_once.map(|most| format!("%{most}"));
    let mut lines = vec![
        format!("--job-name={}", quoted(&job.name)),
        format!("--array={}{}", ranges(&job.tasks), most.unwrap_or_default()),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", job.threads),
        format!("--mem={}M", job.memory_mib),
        format!("--time={}", options.time),
        format!("--signal=B:TERM@{NOTICE}"),
        "--requeue".to_owned(),
        "--open-mode=append".to_owned(),
        format!("--output={}", output(job)),
    ];
    if job.gpu {
        lines.push("--gres=gpu:1".to_owned());
    }
    lines.extend(options.more.iter().cloned());
    let lines: Vec<String> = lines.iter().map(|line| format!("#SBATCH {line}")).collect();
    format!(
        r#"#!/bin/bash
{directives}

# Made by `soft-moa sweep launch slurm`. {words}
# Before the time limit the shell gets SIGTERM and hands it on: the run saves its
# state and ends with 75 (try again), and the task goes back into the queue.
{environment}
run=
signalled=no
trap 'signalled=yes; [ -z "$run" ] || kill -TERM "$run"' TERM
{command} &
run=$!
while :; do
    signalled=no
    wait "$run"
    code=$?
    # A signal ends `wait` before the run has ended.
    [ "$signalled" = yes ] || break
done
case "$code" in
75 | 143)
    if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {REQUEUES} ]; then
        scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    fi
    ;;
esac
exit "$code"
"#,
        directives = lines.join("\n"),
        words = job.in_words(),
        environment = job.environment(),
        command = job.command("SLURM_ARRAY_TASK_ID", ""),
    )
}

/// Where a task writes what it says; a per cent sign is Slurm's own.
fn output(job: &Job) -> String {
    let logs = job.sweep.join("logs").display().to_string();
    quoted(&format!("{}/slurm-%A_%a.log", logs.replace('%', "%%")))
}
