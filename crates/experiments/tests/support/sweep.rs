//! Sweeps over the generated tones.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Outcome, Setup, run};

impl Setup {
    /// `soft-moa sweep WORDS`, with one thread.
    pub fn sweep(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
        command.arg("sweep").args(words);
        command.env("OMP_NUM_THREADS", "1").stdin(Stdio::null());
        command
    }

    /// The same with the places of recordings and manifests.
    pub fn placed(&self, words: &[&str]) -> Command {
        let (first, rest) = words.split_at(words.len().min(1));
        // The second word of `launch` is its own command.
        let (second, rest) = match first {
            ["launch"] => rest.split_at(1),
            _ => (&[][..], rest),
        };
        let mut command = self.sweep(first);
        command.args(second);
        command.arg("--cache").arg(self.path("cache"));
        command.arg("--datasets").arg(self.path("datasets"));
        command.args(rest);
        command
    }

    /// Plans the profile into a folder of that name, with more arguments.
    pub fn try_plan(&self, out: &str, more: &[&str]) -> Outcome {
        let mut command = self.placed(&["plan"]);
        command.arg("--profile-file").arg(self.path("profile.toml"));
        command.arg("--out").arg(self.path(out)).args(more);
        run(&mut command)
    }

    /// The same where it has to go well; how many runs there are.
    pub fn plan(&self, out: &str, more: &[&str]) -> usize {
        let stdout = self.try_plan(out, more).succeeded().stdout;
        stdout.lines().count()
    }

    /// `sweep run` on a plan, with one thread.
    pub fn run_command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = self.placed(&["run", "--threads", "1", "--plan"]);
        command.arg(self.path(out)).args(more);
        command
    }

    /// Makes a run of a plan.
    pub fn run_index(&self, out: &str, index: usize) -> Outcome {
        run(&mut self.run_command(out, &["--index", &index.to_string()]))
    }

    /// Makes all runs of a plan in one process.
    pub fn run_all(&self, out: &str) {
        run(&mut self.run_command(out, &["--index", "0", "--count", "1000"])).succeeded();
    }

    /// What `sweep status --json` says.
    pub fn status(&self, out: &str) -> Value {
        let mut command = self.sweep(&["status", "--json", "--plan"]);
        let outcome = run(command.arg(self.path(out))).succeeded();
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// How many runs of a sweep are in a state, as `status` counts them.
    pub fn count(&self, out: &str, state: &str) -> usize {
        self.status(out)[state].as_u64().unwrap() as usize
    }

    /// Waits until a sweep is as it should be.
    pub fn wait(&self, out: &str, seconds: u64, what: &str, is: &dyn Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.status(out);
            if is(&status) {
                return status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(seconds),
                "not {what} in {seconds} s: {status:#}"
            );
            sleep(Duration::from_millis(50));
        }
    }
}
