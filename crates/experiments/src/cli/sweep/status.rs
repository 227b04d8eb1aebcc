//! `soft-moa sweep status`.

use std::io::{self, IsTerminal, Write};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use experiments::sweep::{self, Sweep, Watcher};
use experiments::{signals, sweep::table};

use super::PlanArgument;
use crate::cli::output::{self, Output};

/// How often a live table is drawn.
pub const EVERY: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Status {
    #[command(flatten)]
    plan: PlanArgument,
    /// On a terminal, show the table once instead of until the end.
    #[arg(long)]
    once: bool,
}

/// A live table on a terminal until nothing is left to do, lines elsewhere.
pub fn run(arguments: &Status, output: &Output) -> Result<()> {
    let sweep = Sweep::open(&arguments.plan.plan)?;
    let mut watcher = Watcher::new(&sweep)?;
    if output.json() {
        return output::print(&serde_json::to_string(&watcher.look())?);
    }
    if !io::stdout().is_terminal() {
        return output::print(&sweep::lines(&watcher.look()));
    }
    signals::listen().context("cannot listen for Ctrl-C")?;
    let mut screen = Screen::default();
    loop {
        let status = watcher.look();
        screen
            .draw(&table(&status))
            .context("cannot print the table")?;
        if arguments.once || status.is_over() || pause() {
            return Ok(());
        }
    }
}

/// Waits for the next time; whether the user has seen enough.
fn pause() -> bool {
    let step = Duration::from_millis(100);
    for _ in 0..EVERY.as_millis() / step.as_millis() {
        if signals::requested().is_some() {
            return true;
        }
        sleep(step);
    }
    false
}

/// A text on the terminal that the next one replaces.
#[derive(Default)]
pub struct Screen {
    lines: usize,
}

impl Screen {
    pub fn draw(&mut self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if self.lines > 0 {
            // Up to the first line of the last text, and away with it.
            write!(stdout, "\x1b[{}A\x1b[J", self.lines)?;
        }
        self.lines = text.lines().count();
        writeln!(stdout, "{}", text.trim_end_matches('\n'))?;
        stdout.flush()
    }
}
