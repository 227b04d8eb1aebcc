//! A sweep on one machine: so many processes at once, each making runs of the plan.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::signals::{self, TRY_AGAIN};
use crate::training::TrainingError;

/// Exit code of `sweep run` when a run can never succeed.
pub const FAILED: u8 = 3;

/// How often a process that was killed is started again for the same runs.
const CRASHES: usize = 3;

/// After so many errors in a row nothing new is started: something is wrong with the
/// machine or the plan, not with a run.
const ERRORS: usize = 3;

/// How long runs that another process makes are left alone.
const LOCKED: Duration = Duration::from_secs(10);

const TICK: Duration = Duration::from_millis(200);

/// Processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Processes at once.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
}

/// How a machine is shared out: jobs × threads ≤ `cores`, jobs × `per_run` ≤
/// `memory` where it is known, jobs ≤ `runs`, at least one of each. Without a wish
/// there are as many jobs as can be, and the cores left over become threads.
pub fn share(
    cores: usize,
    memory: Option<u64>,
    per_run: u64,
    runs: usize,
    jobs: Option<usize>,
    threads: Option<usize>,
) -> Share {
    let fit = memory.map_or(usize::MAX, |memory| (memory / per_run.max(1)) as usize);
    let most = fit.min(runs).max(1);
    let by_cores = (cores / threads.unwrap_or(1).max(1)).max(1);
    let jobs = jobs.unwrap_or(by_cores).clamp(1, most);
    Share {
        jobs,
        threads: threads.unwrap_or(cores / jobs).max(1),
    }
}

/// What the pool starts.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The program `soft-moa`.
    pub program: PathBuf,
    /// Its arguments but for `--index` and `--count`.
    pub arguments: Vec<OsString>,
    /// Processes and threads.
    pub share: Share,
    /// Runs that a process makes before it ends.
    pub pack: usize,
    /// Folder of what the processes say.
    pub logs: PathBuf,
}

/// What happens in the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolEvent {
    /// The runs from this one on were started.
    Started(usize),
    /// They ended: done, or with one that can never succeed.
    Ended(usize),
    /// Their process was killed, or the runs are locked; they are tried again.
    Again(usize),
    /// Time has passed.
    Tick,
}

/// What a pool could not do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PoolEnd {
    /// Processes that ended because of a run that can never succeed.
    pub failed: usize,
    /// Why other processes ended.
    pub errors: Vec<String>,
}

struct Job {
    first: usize,
    crashes: usize,
    not_before: Option<Instant>,
}

struct Running {
    job: Job,
    child: Child,
    log: PathBuf,
}

/// Makes the runs of `chunks`: chunk i stands for `pack` runs from number i · pack
/// on. Ends when all of them have.
///
/// # Errors
/// [`TrainingError::Stopped`] after a wish to stop, once every process has saved its
/// state; a program that cannot be started.
pub fn run(
    chunks: &[usize],
    options: &PoolOptions,
    observe: &mut dyn FnMut(&PoolEvent),
) -> Result<PoolEnd> {
    fs::create_dir_all(&options.logs).with_context(|| {
        let logs = options.logs.display();
        format!("cannot make {logs}; make the sweep's folder writable")
    })?;
    let mut waiting: VecDeque<Job> = chunks
        .iter()
        .map(|chunk| Job {
            first: chunk * options.pack,
            crashes: 0,
            not_before: None,
        })
        .collect();
    let mut running: Vec<Running> = Vec::new();
    let mut end = PoolEnd::default();
    let mut in_a_row = 0;
    loop {
        if signals::requested().is_some() {
            stop(&mut running);
            return Err(TrainingError::Stopped.into());
        }
        let broken = in_a_row >= ERRORS;
        if running.is_empty() && (broken || waiting.is_empty()) {
            return Ok(end);
        }
        while !broken && running.len() < options.share.jobs {
            let ready = |job: &Job| job.not_before.is_none_or(|time| time <= Instant::now());
            let Some(next) = waiting.iter().position(ready) else {
                break;
            };
            let Some(job) = waiting.remove(next) else {
                break;
            };
            observe(&PoolEvent::Started(job.first));
            match start(job, options) {
                Ok(started) => running.push(started),
                Err(error) => {
                    stop(&mut running);
                    return Err(error);
                }
            }
        }
        sleep(TICK);
        observe(&PoolEvent::Tick);
        let mut still = Vec::new();
        for mut process in running {
            match process.child.try_wait() {
                Ok(Some(status)) => {
                    let first = process.job.first;
                    let verdict = judge(status, &process.job);
                    in_a_row = match verdict {
                        Verdict::Done | Verdict::Failed => 0,
                        Verdict::Error => in_a_row + 1,
                        Verdict::Crashed | Verdict::Locked => in_a_row,
                    };
                    match verdict {
                        Verdict::Crashed | Verdict::Locked => {
                            observe(&PoolEvent::Again(first));
                            waiting.push_back(again(process.job, verdict));
                            continue;
                        }
                        Verdict::Failed => end.failed += 1,
                        Verdict::Error => end.errors.push(complaint(&process, status)),
                        Verdict::Done => {}
                    }
                    observe(&PoolEvent::Ended(first));
                }
                _ => still.push(process),
            }
        }
        running = still;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Done,
    Failed,
    Locked,
    Crashed,
    Error,
}

fn judge(status: ExitStatus, job: &Job) -> Verdict {
    match status.code() {
        Some(0) => Verdict::Done,
        Some(code) if code == i32::from(FAILED) => Verdict::Failed,
        Some(code) if code == i32::from(TRY_AGAIN) => Verdict::Locked,
        // Killed by a signal, by the system for its memory for example.
        None if job.crashes < CRASHES => Verdict::Crashed,
        _ => Verdict::Error,
    }
}

fn again(job: Job, verdict: Verdict) -> Job {
    let locked = verdict == Verdict::Locked;
    Job {
        crashes: job.crashes + usize::from(!locked),
        not_before: locked.then(|| Instant::now() + LOCKED),
        ..job
    }
}

fn start(job: Job, options: &PoolOptions) -> Result<Running> {
    let log = options.logs.join(format!("local-{}.log", job.first));
    let file = File::options().create(true).append(true).open(&log);
    let file = file.with_context(|| format!("cannot write {}", log.display()))?;
    let threads = options.share.threads.to_string();
    let mut command = Command::new(&options.program);
    command
        .args(&options.arguments)
        .args(["--index", &job.first.to_string()])
        .args(["--count", &options.pack.to_string()])
        .args(["--threads", &threads])
        // What libtorch's own libraries look at when they are loaded.
        .env("OMP_NUM_THREADS", &threads)
        .env("RAYON_NUM_THREADS", &threads)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file);
    // Ctrl-C on the terminal reaches the pool alone, which hands it on.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let child = command.spawn().with_context(|| {
        let program = options.program.display();
        format!("cannot start {program}; build it again")
    })?;
    Ok(Running { job, child, log })
}

/// Asks every process to save its state, and waits for it.
fn stop(running: &mut [Running]) {
    for process in running.iter_mut() {
        // The standard library only knows SIGKILL.
        let mut kill = Command::new("kill");
        let asked = kill.arg("-TERM").arg(process.child.id().to_string());
        if !asked.status().is_ok_and(|status| status.success()) {
            // It has ended, or cannot be asked; its last checkpoint is there.
            let _ = process.child.kill();
        }
    }
    for process in running {
        let _ = process.child.wait();
    }
}

/// The last words of a process, and where to read more.
fn complaint(process: &Running, status: ExitStatus) -> String {
    let text = fs::read_to_string(&process.log).unwrap_or_default();
    let last = last_error(&text);
    format!(
        "runs from {} on: {last} ({status}; {})",
        process.job.first,
        process.log.display()
    )
}

fn last_error(text: &str) -> String {
    let start = text.rfind("error: ").map_or(0, |at| at + "error: ".len());
    let end = text[start..].trim();
    match end.is_empty() {
        true => "no message".to_owned(),
        false => end.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_machine_is_shared_by_cores_then_by_memory() {
        let gib = 1 << 30;
        let shared = |jobs, threads| share(8, Some(4 * gib), gib, 100, jobs, threads);
        let two = |jobs, threads| Share { jobs, threads };
        assert_eq!(shared(None, None), two(4, 2));
        assert_eq!(shared(Some(2), None), two(2, 4));
        assert_eq!(shared(None, Some(4)), two(2, 4));
        assert_eq!(share(8, None, gib, 3, None, None), two(3, 2));
        assert_eq!(share(2, Some(1), gib, 3, None, None), two(1, 2));
    }

    proptest! {
        #[test]
        fn jobs_times_threads_never_exceed_the_cores(
            cores in 1usize..256,
            memory in prop::option::of(0u64..1000),
            per_run in 0u64..1000,
            runs in 1usize..1000,
            threads in prop::option::of(1usize..256),
        ) {
            let share = share(cores, memory, per_run, runs, None, threads);
            prop_assert!(share.jobs >= 1 && share.threads >= 1);
            // More threads than cores are the user's own wish.
            prop_assume!(threads.is_none_or(|threads| threads <= cores));
            prop_assert!(share.jobs * share.threads <= cores);
            prop_assert!(share.jobs <= runs);
        }
    }

    #[test]
    fn the_last_error_is_what_counts_in_a_log() {
        assert_eq!(
            last_error("a\nerror: one\nb\nerror: two\n  more\n"),
            "two\n  more"
        );
        assert_eq!(last_error(""), "no message");
    }

    #[test]
    fn errors_end_the_pool_and_say_what_the_program_said() {
        let folder = tempfile::tempdir().unwrap();
        let options = PoolOptions {
            program: PathBuf::from("sh"),
            arguments: ["-c", "echo error: no data >&2; exit 2"]
                .map(OsString::from)
                .into(),
            share: Share {
                jobs: 2,
                threads: 1,
            },
            pack: 1,
            logs: folder.path().join("logs"),
        };
        let end = run(&[0, 1, 2, 3, 4, 5, 6, 7], &options, &mut |_| {}).unwrap();
        assert_eq!(end.failed, 0);
        assert!((3..=4).contains(&end.errors.len()), "{end:?}");
        assert!(end.errors[0].contains("no data"), "{end:?}");
    }

    #[test]
    fn a_process_that_is_killed_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("once");
        let script = format!(
            "test -e {0} && exit 0; touch {0}; kill -9 $$",
            file.display()
        );
        let options = PoolOptions {
            program: PathBuf::from("sh"),
            arguments: ["-c", &script].map(OsString::from).into(),
            share: Share {
                jobs: 1,
                threads: 1,
            },
            pack: 2,
            logs: folder.path().join("logs"),
        };
        let mut events = Vec::new();
        let end = run(&[3], &options, &mut |event| events.push(event.clone())).unwrap();
        assert_eq!(end, PoolEnd::default());
        events.retain(|event| *event != PoolEvent::Tick);
        use PoolEvent::{Again, Ended, Started};
        assert_eq!(events, [Started(6), Again(6), Started(6), Ended(6)]);
    }
}
