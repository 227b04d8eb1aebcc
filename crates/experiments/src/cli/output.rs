//! Results on stdout, for people or for programs, and bars on stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Where results go.
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Output { json }
    }

    /// Whether a program reads the results.
    pub fn json(&self) -> bool {
        self.json
    }

    /// One result: a line of JSON, or the words of `text`.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let line = if self.json {
            serde_json::to_string(value)?
        } else {
            text()
        };
        print(&line)
    }
}

/// A line on stdout, at once: another program may wait for it.
pub fn print(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", line.trim_end_matches('\n'))
        .and_then(|()| stdout.flush())
        .context("cannot print the result")
}

/// A line on stderr. That nobody reads it any more (`2>&1 | head`) is no reason
/// to stop, as `eprintln!` would.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A bar on stderr for `length` things, one of which is called `what`; on no terminal one line
/// says what has begun.
pub fn bar(length: u64, what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        say(count(length as usize, what));
        return ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::hidden());
    }
    let template = "{wide_bar} {pos}/{len} {msg} {per_sec} left {eta}";
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(length).with_message(format!("{what}s"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Bytes in the unit that people read.
pub fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// A number of things, with the plural's s.
pub fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
