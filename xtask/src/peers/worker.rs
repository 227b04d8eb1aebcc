//! A program that waits for requests, so that two can be measured in turns.

use crate::process;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A started program. It ends when this is dropped.
pub struct Worker {
    name: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// Its first line: versions and sizes.
    pub ready: Value,
}

/// One turn of one program.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Median time of one run, in ms.
    pub ms: f64,
    /// Mean time of the processor for one run, in ms, where it is known.
    /// Other programs on the machine hardly change it.
    pub cpu_ms: Option<f64>,
    /// How many runs.
    pub repeats: u64,
    /// The most memory the program ever held, where it is known.
    pub peak_bytes: Option<u64>,
}

impl Worker {
    /// Starts a program and waits until it is ready. Libraries that it loads
    /// are told to use so many threads.
    pub fn start(name: &str, threads: usize, command: &mut Command) -> Result<Self> {
        eprintln!("$ {}", process::shown(command));
        let mut child = command
            .env("OMP_NUM_THREADS", threads.to_string())
            .env("MKL_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("its output is a pipe")?;
        let mut worker = Self {
            name: name.to_owned(),
            child,
            requests,
            answers: BufReader::new(answers),
            ready: Value::Null,
        };
        worker.ready = worker.answer()?;
        Ok(worker)
    }

    /// Runs a case again and again for about `seconds`.
    pub fn time(&mut self, case: &str, seconds: f64) -> Result<Timing> {
        let answer = self.ask(&format!("time {case} {seconds}"))?;
        let ms = answer["ms"].as_f64().filter(|ms| *ms > 0.0);
        match (ms, answer["repeats"].as_u64()) {
            (Some(ms), Some(repeats)) => Ok(Timing {
                ms,
                cpu_ms: answer["cpu_ms"].as_f64().filter(|ms| *ms > 0.0),
                repeats,
                peak_bytes: answer["peak_bytes"].as_u64(),
            }),
            _ => Err(anyhow!("{} answered {answer} to a request", self.name)),
        }
    }

    /// The numbers that a case computes and their shape; `file` is overwritten.
    pub fn values(&mut self, case: &str, file: &Path) -> Result<(Value, Vec<f32>)> {
        let answer = self.ask(&format!("values {case} {}", file.display()))?;
        let bytes = std::fs::read(file)
            .with_context(|| format!("{} did not write {}", self.name, file.display()))?;
        let (numbers, _) = bytes.as_chunks::<4>();
        let values = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Ok((answer["shape"].clone(), values))
    }

    fn ask(&mut self, request: &str) -> Result<Value> {
        let pipe = self.requests.as_mut().context("it was stopped")?;
        let sent = writeln!(pipe, "{request}").and_then(|()| pipe.flush());
        sent.with_context(|| format!("{} has ended before `{request}`", self.name))?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            return Err(anyhow!("{} has ended: its complaint is above", self.name));
        }
        serde_json::from_str(&line)
            .with_context(|| format!("{} answered `{}`", self.name, line.trim()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its requests ends the program.
        self.requests = None;
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn requests_are_answered_one_by_one() {
        let script = r#"echo '{"version": 3}'; while read -r line; do
            printf '{"ms": 2.5, "repeats": %s}\n' "${#line}"; done"#;
        let mut worker = Worker::start("a shell", 1, &mut shell(script)).expect("started");
        assert_eq!(worker.ready["version"], 3);
        for case in ["one", "second"] {
            let timing = worker.time(case, 0.5).expect("answered");
            let length = format!("time {case} 0.5").len() as u64;
            assert_eq!((timing.ms, timing.repeats), (2.5, length));
        }
    }

    #[test]
    fn a_program_that_ends_is_an_error_and_not_a_wait() {
        let mut worker =
            Worker::start("a shell", 1, &mut shell("echo '{}'; read x")).expect("started");
        let error = worker.time("case", 1.0).expect_err("it has ended");
        assert!(error.to_string().contains("a shell has ended"), "{error}");
        assert!(Worker::start("false", 1, &mut shell("exit 1")).is_err());
    }
}
