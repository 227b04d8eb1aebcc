//! Prints how far this crate is from the reference implementations, in
//! Markdown; every number is computed when it runs.
//!
//! `cargo run --release -p audio-frontend --example parity [-- DIR]`
//!
//! The references are the golden files of the tests, or those in `DIR/frontend`.

use std::path::{Path, PathBuf};

use audio_frontend::{
    AstConfig, AstFeatures, Extractor, Fbank, FbankConfig, PipelineConfig, Result, resample,
};
use ndarray::Array2;

// The tests compare in the same way, with the same code.
#[path = "../tests/common/mod.rs"]
mod common;

use common::compare::{Errors, NOISE, errors, pass_band, pass_band_error, worst};
use common::{Golden, exact_log_mel, hash_noise, tone};

fn main() -> Result<()> {
    let folder = match std::env::args_os().nth(1) {
        Some(dir) => Path::new(&dir).join("frontend"),
        None => common::fixture(""),
    };
    let fbank = golden(folder.join("fbank.safetensors"));
    log_mel_table(&fbank)?;
    input_table(&fbank)?;
    resample_table(&golden(folder.join("resample.safetensors")))?;
    published_table()
}

fn golden(path: PathBuf) -> Golden {
    if !path.is_file() {
        eprintln!(
            "{} is not there: the argument is a folder with frontend/*.safetensors",
            path.display()
        );
        std::process::exit(2);
    }
    Golden::read(&path)
}

fn log_mel_table(golden: &Golden) -> Result<()> {
    println!("## Log-mel energies, cells above {NOISE}\n");
    println!(
        "| signal | frames | cells | largest to torchaudio | mean | ours to f64 | torchaudio to f64 |"
    );
    println!("|---|---|---|---|---|---|---|");
    let fbank = Fbank::new(FbankConfig::default())?;
    for name in golden.names() {
        let Some(signal) = name.strip_suffix(".waveform") else {
            continue;
        };
        let samples = golden.vector(&name);
        let theirs = golden.matrix(&format!("{signal}.fbank"));
        let ours = fbank.compute(&samples)?;
        let Errors {
            largest,
            mean,
            cells,
        } = errors(&ours, &theirs, NOISE);
        let exact = exact_log_mel(&samples);
        let (to_exact, their_error) = (
            from_exact(&ours, &theirs, &exact),
            from_exact(&theirs, &theirs, &exact),
        );
        println!(
            "| {signal} | {} | {cells} | {largest:.1e} | {mean:.1e} | {to_exact:.1e} | {their_error:.1e} |",
            ours.nrows()
        );
    }
    Ok(())
}

/// Largest difference to the sum in f64, where the reference is above the noise.
fn from_exact(values: &Array2<f32>, reference: &Array2<f32>, exact: &Array2<f64>) -> f64 {
    let loud = reference.iter().zip(values.iter().zip(exact));
    loud.filter(|(reference, _)| **reference > NOISE)
        .map(|(_, (value, exact))| (f64::from(*value) - exact).abs())
        .fold(0.0, worst)
}

fn input_table(golden: &Golden) -> Result<()> {
    println!("\n## AST input against transformers, padding included, cells above the same noise\n");
    println!("| signal | frames | cells | largest | mean |");
    println!("|---|---|---|---|---|");
    for name in golden.names() {
        let Some((signal, length)) = name.split_once(".ast_input_") else {
            continue;
        };
        let theirs = golden.matrix(&name);
        let mut config = PipelineConfig::default();
        config.ast.max_length = theirs.nrows();
        let noise = (NOISE - config.ast.mean) / (2.0 * config.ast.std);
        let samples = golden.vector(&format!("{signal}.waveform"));
        let ours = Extractor::new(config)?.extract(&samples, 16_000)?;
        let found = errors(&ours, &theirs, noise);
        println!(
            "| {signal} | {length} | {} | {:.1e} | {:.1e} |",
            found.cells, found.largest, found.mean
        );
    }
    Ok(())
}

fn resample_table(golden: &Golden) -> Result<()> {
    println!("\n## Resampling to 16 kHz against soxr HQ\n");
    println!("| from, Hz | pass band, Hz | RMS of the difference / RMS |");
    println!("|---|---|---|");
    let mut rates: Vec<u32> = golden
        .names()
        .iter()
        .filter_map(|name| name.strip_suffix(".input")?.parse().ok())
        .collect();
    rates.sort_unstable();
    for rate in rates {
        let theirs = golden.vector(&format!("{rate}.to_16000_soxr_hq"));
        let ours = resample(&golden.vector(&format!("{rate}.input")), rate, 16_000)?;
        let error = pass_band_error(&ours, &theirs, rate);
        println!("| {rate} | 0 to {} | {error:.1e} |", pass_band(rate));
    }
    Ok(())
}

/// Single figures that other implementations publish or print.
fn published_table() -> Result<()> {
    println!("\n## Single figures\n");
    println!("| figure | torchaudio, transformers | ours | difference |");
    println!("|---|---|---|---|");
    let row = |name: &str, theirs: f64, ours: f64| {
        println!(
            "| {name} | {theirs} | {ours:.7} | {:.1e} |",
            (ours - theirs).abs()
        );
    };
    let fbank = Fbank::new(FbankConfig::default())?;
    let mel = fbank.mel_matrix();
    let empty = mel
        .rows()
        .into_iter()
        .position(|filter| filter.sum() == 0.0);
    row("sum of the mel matrix", 252.610_507, mel.sum());
    row(
        "its empty filter",
        3.0,
        empty.map_or(f64::NAN, |j| j as f64),
    );

    let noise = fbank.compute(&hash_noise(16_000))?;
    let count = noise.len() as f64;
    let sum = total(&noise);
    let mean = sum / count;
    let spread: f64 = noise.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    row("hashed noise, 1 s: frames", 98.0, noise.nrows() as f64);
    row("sum", -19_189.776, sum);
    row("mean", -1.529_797_2, mean);
    row(
        "standard deviation",
        4.507_959_3,
        (spread / (count - 1.0)).sqrt(),
    );
    let ast = AstFeatures::new(AstConfig {
        max_length: noise.nrows(),
        ..AstConfig::default()
    })?;
    row(
        "sum after normalisation",
        3758.455,
        total(&ast.apply(noise.view())),
    );

    let tone = fbank.compute(&tone(440.0, 0.5, 16_000, 16_000))?;
    let highest = tone.iter().copied().fold(f32::MIN, f32::max);
    row("tone of 440 Hz: maximum", 3.908_807, f64::from(highest));
    Ok(())
}

fn total(values: &Array2<f32>) -> f64 {
    values.iter().map(|&x| f64::from(x)).sum()
}
