//! This front end's side of `cargo xtask bench-peers fbank`; `worker.py` says
//! how it is spoken to. The only argument is a folder for the WAV files that
//! both sides read.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::path::{Path, PathBuf};

use audio_frontend::{Extractor, Fbank, FbankConfig, PipelineConfig};
use benches::worker::{self, Anything, Values, serve};
use benches::{noise, write_wav};
use ndarray::Array2;
use rayon::ThreadPool;

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

    fn compute(&self, case: &str) -> Anything<Array2<f32>> {
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

impl worker::Cases for Cases {
    fn run(&mut self, case: &str) -> Anything<()> {
        black_box(self.compute(case)?);
        Ok(())
    }

    fn values(&mut self, case: &str) -> Anything<Values> {
        let array = self.compute(case)?;
        Ok((array.shape().to_vec(), array.iter().copied().collect()))
    }

    fn least_runs(&self) -> usize {
        5
    }
}

fn main() -> Anything<()> {
    let folder = std::env::args_os()
        .nth(1)
        .ok_or("the argument is a folder")?;
    let mut cases = Cases::new(Path::new(&folder))?;
    serve(&format!("{{\"batch\": {BATCH}}}"), &mut cases)
}
