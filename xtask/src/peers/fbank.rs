//! Topic `fbank`: from samples and files to the input of an AST, against
//! torchaudio and the feature extractor of transformers.

use super::environment;
use super::machine::Machine;
use super::spread::Spread;
use super::worker::{Timing, Worker};
use crate::cli::PeersArgs;
use crate::errors::CheckFailed;
use crate::paths::Paths;
use crate::{files, program};
use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

/// Our side; it needs no libtorch.
const PROGRAM: &str = "peer-fbank";

/// Seconds of audio in a clip, in both programs.
const CLIP_SECONDS: u32 = 10;

/// Least speed against torchaudio that is asked of the log-mel energies.
const BAR: f64 = 3.0;
/// Least speed of two threads against one.
const THREADS_BAR: f64 = 1.8;

/// Log energies below this are rounding noise of an f32 FFT.
const NOISE: f32 = -12.0;
/// Largest difference of log energies above the noise.
const TOLERANCE: f32 = 1e-3;
/// AudioSet's mean and twice its standard deviation: (x - mean) / (2 std).
const MEAN: f32 = -4.267_739_3;
const TWICE_STD: f32 = 2.0 * 4.568_997_4;

/// Work that both sides do.
struct Case {
    name: &'static str,
    what: &'static str,
    peer: &'static str,
    /// Values below the first are noise; others may differ by the second.
    /// `None` where the two resample differently.
    agree: Option<(f32, f32)>,
}

const CASES: [Case; 4] = [
    Case {
        name: "log_mel",
        what: "samples to log-mel energies",
        peer: "torchaudio",
        agree: Some((NOISE, TOLERANCE)),
    },
    Case {
        name: "input",
        what: "samples to AST input",
        peer: "transformers",
        agree: Some(((NOISE - MEAN) / TWICE_STD, TOLERANCE / TWICE_STD)),
    },
    Case {
        name: "wav_16k",
        what: "WAV at 16 kHz to AST input",
        peer: "soundfile, transformers",
        agree: Some(((NOISE - MEAN) / TWICE_STD, TOLERANCE / TWICE_STD)),
    },
    Case {
        name: "wav_44k",
        what: "WAV at 44.1 kHz to AST input",
        peer: "soundfile, torchaudio, transformers",
        agree: None,
    },
];

/// Everything that was measured, as written to the file.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    versions: Value,
    rounds: usize,
    seconds_per_turn: f64,
    clip_seconds: u32,
    cases: Vec<CaseReport>,
    threads: ThreadsReport,
}

/// One case; times in ms per clip.
#[derive(Debug, Serialize)]
struct CaseReport {
    name: &'static str,
    peer: &'static str,
    ours_ms: Spread,
    peer_ms: Spread,
    /// Peer's time over ours, round by round.
    speed: Spread,
    /// The same of the processor's time, which other programs on the machine
    /// hardly change.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_speed: Option<Spread>,
    repeats: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Agreement>,
}

/// Whether both sides compute the same.
#[derive(Debug, Clone, Copy, Serialize)]
struct Agreement {
    /// Largest difference among values above the noise.
    largest_difference: f32,
    /// How many values those are.
    compared: usize,
    /// Largest difference of all values.
    largest_with_noise: f32,
}

/// A batch of files on one thread and on two; times in ms per clip.
#[derive(Debug, Serialize)]
struct ThreadsReport {
    one_thread_ms: Spread,
    two_threads_ms: Spread,
    speed: Spread,
    batch: u64,
}

/// Measures, prints a table and writes the report.
pub fn run(paths: &Paths, args: &PeersArgs) -> Result<()> {
    let python = environment::ensure(paths)?;
    let program = program::build(&paths.root, &["-p", "benches", "--bin", PROGRAM], PROGRAM)?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut ours = Worker::start("our program", 1, Command::new(program).arg(folder.path()))?;
    let script = environment::sources(paths).join("fbank.py");
    let mut peer = Command::new(python);
    let mut peer = Worker::start("fbank.py", 1, peer.arg(script).arg(folder.path()))?;

    let mut values = Vec::new();
    for case in &CASES {
        values.push(compare(
            case,
            &mut ours,
            &mut peer,
            &folder.path().join("values"),
        )?);
    }
    let machine = Machine::this();
    let mut rounds = Rounds::default();
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        rounds.add(&mut ours, &mut peer, args.seconds)?;
    }
    let report = Report {
        machine,
        versions: peer.ready.clone(),
        rounds: args.rounds,
        seconds_per_turn: args.seconds,
        clip_seconds: CLIP_SECONDS,
        cases: rounds.cases(&values),
        threads: rounds.threads(ours.ready["batch"].as_u64().unwrap_or(1)),
    };
    println!("{}", table(&report)?);
    let file = paths.root.join("target/bench/peers/fbank.json");
    files::write_whole(&file, serde_json::to_string_pretty(&report)?.as_bytes())?;
    println!("{}", file.display());
    Ok(())
}

/// Fails when the two sides differ where they should not.
fn compare(
    case: &Case,
    ours: &mut Worker,
    peer: &mut Worker,
    file: &Path,
) -> Result<Option<Agreement>> {
    let Some((noise, tolerance)) = case.agree else {
        return Ok(None);
    };
    let (shape, our_values) = ours.values(case.name, file)?;
    let (peer_shape, peer_values) = peer.values(case.name, file)?;
    if shape != peer_shape {
        let text = format!(
            "{}: ours is {shape}, {peer_shape} from {}",
            case.what, case.peer
        );
        return Err(CheckFailed(text).into());
    }
    let found = agreement(&our_values, &peer_values, noise);
    if found.largest_difference.is_nan() || found.largest_difference > tolerance {
        let text = format!(
            "{}: values differ by {:.1e} from {}, at most {tolerance:.1e} is expected",
            case.what, found.largest_difference, case.peer
        );
        return Err(CheckFailed(text).into());
    }
    Ok(Some(found))
}

fn agreement(ours: &[f32], theirs: &[f32], noise: f32) -> Agreement {
    let mut found = Agreement {
        largest_difference: 0.0,
        compared: 0,
        largest_with_noise: 0.0,
    };
    for (a, b) in ours.iter().zip(theirs) {
        let difference = (a - b).abs();
        found.largest_with_noise = worst(found.largest_with_noise, difference);
        if *b > noise || b.is_nan() {
            found.compared += 1;
            found.largest_difference = worst(found.largest_difference, difference);
        }
    }
    found
}

/// The larger of two, NaN if one is: `f32::max` drops NaN.
fn worst(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

/// The turns of all rounds, for each case ours and the peer's.
#[derive(Default)]
struct Rounds {
    turns: Vec<[(Timing, Timing); CASES.len()]>,
    /// A batch on one thread and on two.
    batches: Vec<(Timing, Timing)>,
}

impl Rounds {
    fn add(&mut self, ours: &mut Worker, peer: &mut Worker, seconds: f64) -> Result<()> {
        let mut turns = Vec::with_capacity(CASES.len());
        for case in &CASES {
            let first = ours.time(case.name, seconds)?;
            turns.push((first, peer.time(case.name, seconds)?));
        }
        let one = ours.time("batch_1_thread", seconds)?;
        self.batches
            .push((one, ours.time("batch_2_threads", seconds)?));
        self.turns.extend(<[_; CASES.len()]>::try_from(turns).ok());
        Ok(())
    }

    fn cases(&self, values: &[Option<Agreement>]) -> Vec<CaseReport> {
        let reports = CASES
            .iter()
            .zip(values)
            .enumerate()
            .map(|(i, (case, &values))| {
                let turns: Vec<(Timing, Timing)> =
                    self.turns.iter().map(|round| round[i]).collect();
                let (ours_ms, peer_ms, speed) = spreads(&turns, 1);
                CaseReport {
                    name: case.name,
                    peer: case.peer,
                    ours_ms,
                    peer_ms,
                    speed,
                    cpu_speed: cpu_speed(&turns),
                    repeats: turns.iter().map(|(ours, _)| ours.repeats).sum(),
                    values,
                }
            });
        reports.collect()
    }

    fn threads(&self, batch: u64) -> ThreadsReport {
        let two_first: Vec<_> = self.batches.iter().map(|&(one, two)| (two, one)).collect();
        let (two_threads_ms, one_thread_ms, speed) = spreads(&two_first, batch);
        ThreadsReport {
            one_thread_ms,
            two_threads_ms,
            speed,
            batch,
        }
    }
}

/// First, second, and second over first; times divided by `clips`.
fn spreads(turns: &[(Timing, Timing)], clips: u64) -> (Spread, Spread, Spread) {
    let clips = clips as f64;
    (
        Spread::of(turns.iter().map(|(first, _)| first.ms / clips)),
        Spread::of(turns.iter().map(|(_, second)| second.ms / clips)),
        Spread::of(turns.iter().map(|(first, second)| second.ms / first.ms)),
    )
}

/// Second over first of the processor's time, where both are known.
fn cpu_speed(turns: &[(Timing, Timing)]) -> Option<Spread> {
    let ratio = |(first, second): &(Timing, Timing)| Some(second.cpu_ms? / first.cpu_ms?);
    let ratios: Option<Vec<f64>> = turns.iter().map(ratio).collect();
    ratios.map(Spread::of)
}

/// The report in Markdown.
fn table(report: &Report) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "One thread, a clip of {CLIP_SECONDS} s, 128 bins; ms per clip: median [least–greatest] of \
         {} rounds in turns. Ratios: the peer's time over ours in each round, by the clock and by \
         the time the processor spent, which other programs hardly change.\n",
        report.rounds
    )?;
    writeln!(
        text,
        "| work | ours, ms | clips/s | peer | peer, ms | clips/s | peer/ours | processor time |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (case, found) in CASES.iter().zip(&report.cases) {
        writeln!(
            text,
            "| {} | {:.3} | {:.0} | {} | {:.3} | {:.0} | {:.2} | {} |",
            case.what,
            found.ours_ms,
            1e3 / found.ours_ms.median,
            case.peer,
            found.peer_ms,
            1e3 / found.peer_ms.median,
            found.speed,
            found
                .cpu_speed
                .map_or("?".to_owned(), |s| format!("{s:.2}"))
        )?;
    }
    let threads = &report.threads;
    writeln!(
        text,
        "\n{} WAV files at 16 kHz, ms per clip: one thread {:.3}, two threads {:.3}, speed-up {:.2} \
         (asked for: {THREADS_BAR}: {}).",
        threads.batch,
        threads.one_thread_ms,
        threads.two_threads_ms,
        threads.speed,
        verdict(threads.speed.median, THREADS_BAR)
    )?;
    if let Some(first) = report.cases.first() {
        let reached = verdict(first.speed.median, BAR);
        writeln!(
            text,
            "Log-mel energies against torchaudio: asked for {BAR} times: {reached}."
        )?;
    }
    writeln!(text, "\nSame values:")?;
    for (case, found) in CASES.iter().zip(&report.cases) {
        if let Some(values) = found.values {
            writeln!(
                text,
                "- {}: {:.1e} at most over {} values above the rounding noise ({:.1e} with it)",
                case.what, values.largest_difference, values.compared, values.largest_with_noise
            )?;
        }
    }
    writeln!(text, "\nMachine: {}", report.machine)?;
    writeln!(text, "Versions: {}", versions(&report.versions))?;
    Ok(text)
}

fn verdict(measured: f64, bar: f64) -> &'static str {
    if measured >= bar { "reached" } else { "missed" }
}

fn versions(ready: &Value) -> String {
    let Some(map) = ready.as_object() else {
        return String::new();
    };
    let words = map.iter().map(|(name, version)| {
        let version = version.as_str().unwrap_or("?");
        format!("{name} {version}")
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(ms: f64) -> Timing {
        Timing {
            ms,
            cpu_ms: Some(ms / 2.0),
            repeats: 10,
            peak_bytes: None,
        }
    }

    fn report() -> Report {
        let mut rounds = Rounds::default();
        for (ours, peer) in [(1.0, 4.0), (2.0, 4.0), (1.0, 5.0)] {
            rounds
                .turns
                .push([(timing(ours), timing(peer)); CASES.len()]);
            rounds.batches.push((timing(64.0), timing(40.0)));
        }
        let values = agreement(&[1.0, -14.0], &[1.5, -15.0], NOISE);
        Report {
            machine: Machine::this(),
            versions: serde_json::json!({"torch": "2.11.0"}),
            rounds: 3,
            seconds_per_turn: 1.0,
            clip_seconds: CLIP_SECONDS,
            cases: rounds.cases(&[Some(values); CASES.len()]),
            threads: rounds.threads(64),
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let report = report();
        let case = &report.cases[0];
        assert_eq!(
            (case.speed.median, case.speed.min, case.speed.max),
            (4.0, 2.0, 5.0)
        );
        assert_eq!(case.repeats, 30);
        assert_eq!(report.threads.one_thread_ms.median, 1.0);
        assert_eq!(report.threads.speed.median, 1.6);
    }

    #[test]
    fn noise_counts_only_in_the_figure_that_says_so() {
        let values = report().cases[0].values.expect("compared");
        assert_eq!((values.largest_difference, values.compared), (0.5, 1));
        assert_eq!(values.largest_with_noise, 1.0);
    }

    #[test]
    fn a_value_that_is_not_a_number_is_a_difference_on_either_side() {
        for (ours, theirs) in [([f32::NAN, 1.0], [1.0; 2]), ([1.0; 2], [f32::NAN, 1.0])] {
            let found = agreement(&ours, &theirs, NOISE);
            assert!(found.largest_difference.is_nan() && found.largest_with_noise.is_nan());
            assert_eq!(found.compared, 2);
        }
    }

    #[test]
    fn the_table_says_whether_the_bars_are_reached() {
        let text = table(&report()).expect("text");
        assert!(text.contains("asked for 3 times: reached"), "{text}");
        assert!(text.contains("asked for: 1.8: missed"), "{text}");
        let ratios = "| 4.00 [2.00–5.00] | 4.00 [2.00–5.00] |";
        assert!(text.contains(ratios), "{text}");
        assert!(text.contains("torch 2.11.0"), "{text}");
    }
}
