//! How far a sweep is, from what its runs have left in their folders.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::entry::{Entry, Sweep};
use crate::bench::Store;
use crate::training::EpochMetrics;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its record is there.
    Done,
    /// A process holds its lock.
    Running,
    /// It has begun, and no process is at it: it goes on from its checkpoint.
    Partial,
    /// It can never succeed.
    Failed,
    /// It has not begun.
    Waiting,
}

impl State {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Running => "running",
            State::Partial => "partial",
            State::Failed => "failed",
            State::Waiting => "waiting",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunStatus {
    /// Line of the plan, from 0.
    pub index: usize,
    /// Name of its folder.
    pub id: String,
    /// Task, method, fold and seed in words.
    pub title: String,
    /// Task.
    pub task: String,
    /// What it is doing.
    pub state: State,
    /// Epochs that are over.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Training clips per second, of the whole run where it is done, of the last
    /// epoch where it has begun.
    pub clips_per_second: Option<f64>,
    /// Accuracy on the test part, 0 to 1.
    pub test_accuracy: Option<f64>,
    /// Why it failed.
    pub reason: Option<String>,
    /// Training clips that it still has to see.
    #[serde(skip)]
    left: f64,
    /// Seconds per clip of a run that is done, testing included.
    #[serde(skip)]
    seconds_per_clip: Option<f64>,
    /// What other runs are as fast as.
    #[serde(skip)]
    kind: (String, String),
}

/// A whole sweep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Runs that are done.
    pub done: usize,
    /// Runs that a process is at.
    pub running: usize,
    /// Runs that have begun and that no process is at.
    pub partial: usize,
    /// Runs that can never succeed.
    pub failed: usize,
    /// Runs that have not begun.
    pub waiting: usize,
    /// Training clips per second of all running ones together.
    pub clips_per_second: f64,
    /// Seconds until all are done if as many go on running as now (at least one);
    /// `None` until a run has shown a speed.
    pub seconds_left: Option<f64>,
    /// Every run, in the order of the plan.
    pub runs: Vec<RunStatus>,
}

impl Status {
    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.done + self.failed == self.runs.len()
    }
}

/// Looks at a sweep again and again; what is done is read once.
#[derive(Debug)]
pub struct Watcher<'a> {
    sweep: &'a Sweep,
    store: Store,
    done: BTreeMap<usize, RunStatus>,
}

impl<'a> Watcher<'a> {
    /// A watcher of a sweep.
    ///
    /// # Errors
    /// When its folder cannot be made.
    pub fn new(sweep: &'a Sweep) -> Result<Self> {
        Ok(Watcher {
            sweep,
            store: Store::beside_others(&sweep.folder)?,
            done: BTreeMap::new(),
        })
    }

    /// The sweep as it is now.
    pub fn look(&mut self) -> Status {
        let mut runs = Vec::with_capacity(self.sweep.entries.len());
        for (index, entry) in self.sweep.entries.iter().enumerate() {
            if let Some(known) = self.done.get(&index) {
                runs.push(known.clone());
                continue;
            }
            let run = self.run(index, entry);
            if run.state == State::Done {
                self.done.insert(index, run.clone());
            }
            runs.push(run);
        }
        summarise(runs)
    }

    fn run(&self, index: usize, entry: &Entry) -> RunStatus {
        let config = &entry.config;
        let mut run = RunStatus {
            index,
            id: entry.id.clone(),
            title: entry.title(),
            task: config.task.clone(),
            state: State::Waiting,
            epoch: 0,
            epochs: config.training.epochs,
            clips_per_second: None,
            test_accuracy: None,
            reason: None,
            left: entry.clips as f64,
            seconds_per_clip: None,
            kind: (config.task.clone(), config.label.clone()),
        };
        if let Some(record) = self.store.read(&entry.id) {
            run.state = State::Done;
            run.epoch = record.epochs.len();
            run.clips_per_second = Some(record.train_clips_per_second);
            run.test_accuracy = Some(record.test_accuracy);
            run.left = 0.0;
            run.seconds_per_clip = Some(record.seconds / entry.clips.max(1) as f64);
            return run;
        }
        if let Some(failure) = self.store.failure(&entry.id) {
            run.state = State::Failed;
            run.reason = Some(failure.reason);
            run.left = 0.0;
            return run;
        }
        let folder = self.store.run_folder(&entry.id);
        let epochs = epochs(&folder.join("metrics.jsonl"));
        if let Some(last) = epochs.last() {
            run.epoch = epochs.len();
            run.clips_per_second = Some(last.clips_per_second);
            run.left *= 1.0 - epochs.len() as f64 / run.epochs.max(1) as f64;
        }
        if is_locked(&folder.join("lock")) {
            run.state = State::Running;
        } else if run.epoch > 0 || has_checkpoint(&folder) {
            run.state = State::Partial;
        }
        run
    }
}

/// The epochs of a run that are over. A line that cannot be read ends them.
fn epochs(path: &Path) -> Vec<EpochMetrics> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let read = text.lines().map(|line| serde_json::from_str(line).ok());
    read.map_while(|epoch| epoch).collect()
}

/// Whether a process works in a run's folder. To find out, the lock is taken for an
/// instant where it is free; a run that starts right then waits that long.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock_shared().is_err())
}

/// A checkpoint is there when its manifest is.
fn has_checkpoint(folder: &Path) -> bool {
    let entries = fs::read_dir(folder.join("checkpoints"));
    let mut entries = entries.into_iter().flatten().flatten();
    entries.any(|entry| entry.path().extension().is_some_and(|end| end == "json"))
}

fn summarise(runs: Vec<RunStatus>) -> Status {
    let count = |state| runs.iter().filter(|run| run.state == state).count();
    let running = count(State::Running);
    let speeds = runs.iter().filter(|run| run.state == State::Running);
    Status {
        done: count(State::Done),
        running,
        partial: count(State::Partial),
        failed: count(State::Failed),
        waiting: count(State::Waiting),
        clips_per_second: speeds.filter_map(|run| run.clips_per_second).sum(),
        seconds_left: seconds_left(&runs).map(|seconds| seconds / running.max(1) as f64),
        runs,
    }
}

/// Seconds of computing that are left for one process. A run is as fast as finished
/// ones of its task and row; else as it is itself, else as all finished ones, else
/// as the slowest that runs.
fn seconds_left(runs: &[RunStatus]) -> Option<f64> {
    let mean = |kind: Option<&(String, String)>| {
        let known: Vec<f64> = runs
            .iter()
            .filter(|run| kind.is_none_or(|kind| run.kind == *kind))
            .filter_map(|run| run.seconds_per_clip)
            .collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let seen = runs.iter().filter_map(|run| run.clips_per_second);
    let slowest = seen.filter(|rate| *rate > 0.0).reduce(f64::min);
    let all = mean(None).or(slowest.map(|rate| 1.0 / rate));
    let mut kinds = BTreeMap::new();
    let mut total = 0.0;
    for run in runs.iter().filter(|run| run.left > 0.0) {
        let of_kind = *kinds
            .entry(&run.kind)
            .or_insert_with(|| mean(Some(&run.kind)));
        let own = run.clips_per_second.filter(|rate| *rate > 0.0);
        let rate = of_kind.or(own.map(|rate| 1.0 / rate)).or(all)?;
        total += run.left * rate;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: State, left: f64, rate: Option<f64>, label: &str) -> RunStatus {
        RunStatus {
            index: 0,
            id: String::new(),
            title: String::new(),
            task: "t".to_owned(),
            state,
            epoch: 0,
            epochs: 1,
            clips_per_second: rate,
            test_accuracy: None,
            reason: None,
            left,
            seconds_per_clip: rate.filter(|_| state == State::Done).map(|rate| 2.0 / rate),
            kind: ("t".to_owned(), label.to_owned()),
        }
    }

    #[test]
    fn the_time_left_is_that_of_like_runs_shared_by_those_that_run() {
        let runs = vec![
            run(State::Done, 0.0, Some(20.0), "fast"),
            run(State::Done, 0.0, Some(2.0), "slow"),
            run(State::Running, 50.0, Some(100.0), "slow"),
            run(State::Running, 10.0, None, "fast"),
            run(State::Waiting, 100.0, None, "fast"),
        ];
        let status = summarise(runs);
        // 50 clips at 1 s, 110 at 0.1 s, by two processes.
        let left = status.seconds_left.unwrap();
        assert!((left - 61.0 / 2.0).abs() < 1e-9, "{left}");
        assert_eq!((status.done, status.running, status.waiting), (2, 2, 1));
        assert_eq!(status.clips_per_second, 100.0);
        assert!(!status.is_over());
    }

    #[test]
    fn without_any_speed_no_time_is_promised() {
        let status = summarise(vec![run(State::Waiting, 10.0, None, "a")]);
        assert_eq!(status.seconds_left, None);
        let status = summarise(vec![run(State::Failed, 0.0, None, "a")]);
        assert!(status.is_over());
        assert_eq!(status.seconds_left, Some(0.0));
    }
}
