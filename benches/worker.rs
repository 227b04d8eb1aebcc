//! The loop every program of ours under `peers/` runs; `peers/worker.py`
//! describes the requests and is the same for the peers.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

/// What can go wrong in a program that only measures.
pub type Anything<T> = Result<T, Box<dyn Error>>;

/// Numbers and their shape.
pub type Values = (Vec<usize>, Vec<f32>);

/// The work that a program knows.
pub trait Cases {
    /// Does the work called `case` once.
    ///
    /// # Errors
    /// When there is none of that name or it fails.
    fn run(&mut self, case: &str) -> Anything<()>;

    /// The numbers that `case` computes.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn values(&mut self, case: &str) -> Anything<Values>;

    /// Fewest runs of one turn, the warm-up not counted.
    fn least_runs(&self) -> usize;
}

/// Answers requests until standard input ends. `ready` is the first line, a
/// JSON object.
///
/// # Errors
/// An unknown request, or work that fails.
pub fn serve(ready: &str, cases: &mut dyn Cases) -> Anything<()> {
    println!("{ready}");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let answer = match words[..] {
            ["time", case, seconds] => time(cases, case, seconds.parse()?)?,
            ["values", case, file] => write_values(cases, case, file)?,
            _ => return Err(format!("not a request: {line}").into()),
        };
        println!("{answer}");
    }
    Ok(())
}

fn time(cases: &mut dyn Cases, case: &str, seconds: f64) -> Anything<String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs_f64(seconds / 4.0) {
        cases.run(case)?;
    }
    let mut times = Vec::new();
    let cpu = cpu_ms();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs_f64(seconds) || times.len() < cases.least_runs() {
        let one = Instant::now();
        cases.run(case)?;
        times.push(1e3 * one.elapsed().as_secs_f64());
    }
    let cpu = cpu.zip(cpu_ms());
    let cpu = cpu.map(|(start, end)| (end - start) / times.len() as f64);
    times.sort_by(f64::total_cmp);
    let median = f64::midpoint(times[times.len() / 2], times[(times.len() - 1) / 2]);
    Ok(format!(
        "{{\"ms\": {median}, \"cpu_ms\": {}, \"repeats\": {}, \"peak_bytes\": {}}}",
        or_null(cpu),
        times.len(),
        or_null(peak_bytes())
    ))
}

fn or_null(number: Option<impl ToString>) -> String {
    number.map_or("null".to_owned(), |number| number.to_string())
}

/// Time the processor has spent on this thread, where Linux tells.
fn cpu_ms() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some(nanoseconds / 1e6)
}

/// The most memory this process ever held, where Linux tells.
fn peak_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

fn write_values(cases: &mut dyn Cases, case: &str, file: &str) -> Anything<String> {
    let (shape, values) = cases.values(case)?;
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    File::create(file)?.write_all(&bytes)?;
    Ok(format!("{{\"shape\": {shape:?}}}"))
}
