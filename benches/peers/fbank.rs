//! This front end's side of `cargo xtask bench-peers fbank`; `worker.py` says
//! how it is spoken to. The only argument is a folder for the WAV files that
//! both sides read.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use audio_frontend::{Extractor, Fbank, FbankConfig, PipelineConfig};
use benches::{noise, write_wav};
use ndarray::Array2;
use rayon::ThreadPool;

type Anything<T> = Result<T, Box<dyn Error>>;

const SECONDS: usize = 10;
/// Clips of one batch: enough for two threads to end within a few per cent of
/// each other.
const BATCH: usize = 64;

struct Cases {
    samples: Vec<f32>,
    fbank: Fbank,
    extractor: Extractor,
    at_16k: PathBuf,
    at_44k: PathBuf,
    batch: Vec<PathBuf>,
    pools: [ThreadPool; 2],
}

impl Cases {
    fn new(folder: &Path) -> Anything<Self> {
        let (at_16k, at_44k) = (folder.join("16k.wav"), folder.join("44k.wav"));
        write_wav(&at_16k, &noise(SECONDS, 16_000), 16_000)?;
        write_wav(&at_44k, &noise(SECONDS, 44_100), 44_100)?;
        let pool = |threads| {
            let builder = rayon::ThreadPoolBuilder::new();
            builder.num_threads(threads).build()
        };
        Ok(Self {
            samples: noise(SECONDS, 16_000),
            fbank: Fbank::new(FbankConfig::default())?,
            extractor: Extractor::new(PipelineConfig::default())?,
            batch: vec![at_16k.clone(); BATCH],
            at_16k,
            at_44k,
            pools: [pool(1)?, pool(2)?],
        })
    }

    fn run(&self, case: &str) -> Anything<Array2<f32>> {
        Ok(match case {
            "log_mel" => self.fbank.compute(black_box(&self.samples))?,
            "input" => self.extractor.extract(black_box(&self.samples), 16_000)?,
            "wav_16k" => self.extractor.extract_file(&self.at_16k)?,
            "wav_44k" => self.extractor.extract_file(&self.at_44k)?,
            "batch_1_thread" => self.run_batch(&self.pools[0])?,
            "batch_2_threads" => self.run_batch(&self.pools[1])?,
            other => return Err(format!("no case is called {other}").into()),
        })
    }

    /// The whole batch; gives the last clip's input.
    fn run_batch(&self, pool: &ThreadPool) -> Anything<Array2<f32>> {
        let clips = pool.install(|| self.extractor.try_extract_files(&self.batch, |_| {}))?;
        clips.into_iter().next_back().ok_or("empty batch".into())
    }
}

fn time(cases: &Cases, case: &str, seconds: f64) -> Anything<String> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs_f64(seconds / 4.0) {
        black_box(cases.run(case)?);
    }
    let mut times = Vec::new();
    let cpu = cpu_ms();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs_f64(seconds) || times.len() < 5 {
        let one = Instant::now();
        black_box(cases.run(case)?);
        times.push(1e3 * one.elapsed().as_secs_f64());
    }
    let cpu = cpu.zip(cpu_ms());
    let cpu = cpu.map(|(start, end)| (end - start) / times.len() as f64);
    let cpu = cpu.map_or("null".to_owned(), |ms| ms.to_string());
    times.sort_by(f64::total_cmp);
    let median = f64::midpoint(times[times.len() / 2], times[(times.len() - 1) / 2]);
    let repeats = times.len();
    Ok(format!(
        "{{\"ms\": {median}, \"cpu_ms\": {cpu}, \"repeats\": {repeats}}}"
    ))
}

/// Time the processor has spent on this thread, where Linux tells.
fn cpu_ms() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some(nanoseconds / 1e6)
}

fn write_values(cases: &Cases, case: &str, file: &str) -> Anything<String> {
    let values = cases.run(case)?;
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    File::create(file)?.write_all(&bytes)?;
    Ok(format!("{{\"shape\": {:?}}}", values.shape()))
}

fn main() -> Anything<()> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("the argument is a folder")?;
    let cases = Cases::new(Path::new(&folder))?;
    println!("{{\"batch\": {BATCH}}}");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        println!(
            "{}",
            match words[..] {
                ["time", case, seconds] => time(&cases, case, seconds.parse()?)?,
                ["values", case, file] => write_values(&cases, case, file)?,
                _ => return Err(format!("not a request: {line}").into()),
            }
        );
    }
    Ok(())
}
