//! `frontend/`: features and resampling.
//!
//! `fbank.safetensors` holds signals at 16 kHz: `NAME.waveform` [samples],
//! `NAME.fbank` [frames, 128] (Kaldi log-mel energies) and
//! `NAME.ast_input_L` [L, 128] (cut or padded to L frames, normalised).
//! `resample.safetensors` holds `RATE.input` and `RATE.to_16000_NAME`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ast_model::tensor_file;
use audio_frontend::{Extractor, Fbank, FbankConfig, PipelineConfig, Window, resample};
use realfft::RealFftPlanner;
use tch::{Kind, Tensor};

use super::{Parity, Row, exact, safetensors_in, shown, worst};

/// Log energies below this are rounding noise of the FFT.
const NOISE: f32 = -12.0;
/// Largest error of a log energy above the noise.
const LOG_MEL: f64 = 1e-3;
/// Largest where the reference itself is far from exact.
const LOG_MEL_UNSURE: f64 = 1.1e-3;
/// Of the model's input: normalisation divides by 9.1.
const AST_INPUT: f64 = LOG_MEL / 9.0;
/// RMS of the difference in the pass band, relative to the reference's.
const RESAMPLING: f64 = 1e-4;

type Tensors = BTreeMap<String, Tensor>;

/// Compares every file of `frontend/`.
pub(super) fn run(golden: &Path, parity: &mut Parity) -> Result<()> {
    let Some(files) = safetensors_in(&golden.join("frontend"))? else {
        parity.absent.push("frontend/".into());
        return Ok(());
    };
    for name in ["fbank.safetensors", "resample.safetensors"] {
        if !files.iter().any(|file| file.ends_with(name)) {
            parity.absent.push(format!("frontend/{name}"));
        }
    }
    for file in files {
        let name = shown(golden, &file);
        let tensors = match tensor_file::read(&file) {
            Ok(tensors) => tensors,
            Err(error) => {
                parity
                    .rows
                    .push(Row::failed(name, "front end", error.to_string()));
                continue;
            }
        };
        if file.ends_with("fbank.safetensors") {
            parity
                .rows
                .push(row(&name, "log-mel", LOG_MEL, log_mel(&tensors)));
            parity
                .rows
                .push(row(&name, "AST input", AST_INPUT, ast_input(&tensors)));
        } else if file.ends_with("resample.safetensors") {
            let found = resampling(&tensors);
            parity
                .rows
                .push(row(&name, "resampling", RESAMPLING, found));
        } else {
            let problem = "is neither fbank.safetensors nor resample.safetensors; remove it";
            parity.rows.push(Row::failed(name, "front end", problem));
        }
    }
    Ok(())
}

fn row(file: &str, what: &str, allowed: f64, found: Result<f64>) -> Row {
    let error = match found {
        Ok(error) => error,
        Err(error) => return Row::failed(file.to_owned(), what, format!("{error:#}")),
    };
    let mut row = Row {
        file: file.to_owned(),
        what: what.to_owned(),
        values: Some(error),
        ..Row::default()
    };
    row.check(what, error, allowed);
    row
}

/// Largest difference of log energies above the noise. Where it is a little over
/// the tolerance and the reference is itself more than half the tolerance away
/// from the sum in f64, ours counts by its distance from that sum.
fn log_mel(tensors: &Tensors) -> Result<f64> {
    let fbank = Fbank::new(FbankConfig::default())?;
    let (mut largest, mut signals) = (0.0, 0);
    for name in tensors.keys() {
        let Some(signal) = name.strip_suffix(".waveform") else {
            continue;
        };
        let samples = vector(tensors, name)?;
        let (theirs, shape) = matrix(tensors, &format!("{signal}.fbank"))?;
        let ours = fbank.compute(&samples).with_context(|| signal.to_owned())?;
        ensure!(
            [ours.nrows(), ours.ncols()] == shape,
            "{signal}: {:?} energies where the file has {shape:?}",
            ours.dim()
        );
        for (((frame, bin), &our), &their) in ours.indexed_iter().zip(&theirs) {
            let mut error = f64::from(our - their).abs();
            if their <= NOISE {
                // What is noise there must not be lifted out of it here.
                error = if our < NOISE + 1.0 { 0.0 } else { error };
            } else if error > LOG_MEL
                && error <= LOG_MEL_UNSURE
                && let Some(truth) = exact::log_mel(&samples, frame, bin)
                && (f64::from(their) - truth).abs() > LOG_MEL / 2.0
            {
                error = (f64::from(our) - truth).abs();
            }
            largest = worst(largest, error);
        }
        signals += 1;
    }
    ensure!(signals > 0, "holds no NAME.waveform");
    Ok(largest)
}

/// Largest difference of the model's input, above the same noise.
fn ast_input(tensors: &Tensors) -> Result<f64> {
    let (mut largest, mut inputs) = (0.0, 0);
    for name in tensors.keys() {
        let Some((signal, length)) = name.split_once(".ast_input_") else {
            continue;
        };
        let (theirs, [frames, bins]) = matrix(tensors, name)?;
        ensure!(
            length.parse() == Ok(frames),
            "{name} has {frames} frames, not {length}"
        );
        let mut config = PipelineConfig::default();
        config.ast.max_length = frames;
        let noise = (NOISE - config.ast.mean) / (2.0 * config.ast.std);
        let samples = vector(tensors, &format!("{signal}.waveform"))?;
        let ours = Extractor::new(config)?
            .extract(&samples, 16_000)
            .with_context(|| name.clone())?;
        ensure!(ours.dim() == (frames, bins), "{name} has {bins} mel bins");
        for (our, their) in ours.iter().zip(&theirs) {
            let quiet = *their <= noise; // NaN is not quiet
            if !quiet {
                largest = worst(largest, f64::from(our - their).abs());
            }
        }
        inputs += 1;
    }
    ensure!(inputs > 0, "holds no NAME.ast_input_LENGTH");
    Ok(largest)
}

/// Largest RMS of the difference in the pass band, relative to the reference.
fn resampling(tensors: &Tensors) -> Result<f64> {
    let (mut largest, mut rates) = (0.0, 0);
    for name in tensors.keys() {
        let Some((rate, _)) = name.split_once(".to_16000_") else {
            continue;
        };
        let hertz: u32 = rate
            .parse()
            .with_context(|| format!("{name} does not begin with a sample rate"))?;
        let theirs = vector(tensors, name)?;
        let ours = resample(&vector(tensors, &format!("{rate}.input"))?, hertz, 16_000)?;
        ensure!(
            ours.len() == theirs.len(),
            "{name} has {} samples, ours {}",
            theirs.len(),
            ours.len()
        );
        let difference: Vec<f32> = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
        // At 8 kHz the input itself ends at 4 kHz, so its pass band does too.
        let limit = f64::min(7000.0, 0.4375 * f64::from(hertz));
        let error = energy_below(&difference, limit)? / energy_below(&theirs, limit)?;
        largest = worst(largest, error.sqrt());
        rates += 1;
    }
    ensure!(rates > 0, "holds no RATE.to_16000_NAME");
    Ok(largest)
}

/// Energy of `signal` (16 kHz) below `limit` Hz under a Hann window, which
/// keeps the transition band from leaking into the pass band.
fn energy_below(signal: &[f32], limit: f64) -> Result<f64> {
    ensure!(signal.len() > 1, "a signal of {} samples", signal.len());
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(signal.len());
    let weights = Window::Hann.weights(signal.len());
    let weighted = signal.iter().zip(weights).map(|(&x, w)| f64::from(x) * w);
    let mut input: Vec<f64> = weighted.collect();
    let mut spectrum = fft.make_output_vec();
    fft.process(&mut input, &mut spectrum)?;
    let bins = (limit * signal.len() as f64 / 16_000.0) as usize;
    Ok(spectrum.iter().take(bins).map(|c| c.norm_sqr()).sum())
}

fn vector(tensors: &Tensors, name: &str) -> Result<Vec<f32>> {
    let tensor = tensors
        .get(name)
        .with_context(|| format!("{name} is missing"))?;
    let flat = tensor.f_to_kind(Kind::Float)?.f_flatten(0, -1)?;
    Ok(Vec::<f32>::try_from(&flat)?)
}

/// Values row by row, and [rows, columns].
fn matrix(tensors: &Tensors, name: &str) -> Result<(Vec<f32>, [usize; 2])> {
    let values = vector(tensors, name)?;
    let size = tensors[name].size();
    ensure!(
        size.len() == 2,
        "{name} has the shape {size:?}, not two axes"
    );
    Ok((values, [size[0] as usize, size[1] as usize]))
}
