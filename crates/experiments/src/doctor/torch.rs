//! libtorch, threads, devices, the speed of products, and a forward pass.

use std::path::Path;
use std::time::Instant;

use ast_model::{AstConfig, AstModel, BindOptions, Checkpoint, ProductRates};
use audio_frontend::Extractor;
use serde_json::json;
use tch::{Cuda, Device, Kind, Tensor};

use super::Check;
use crate::{device, environment, front_end};

/// Everything that computes.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        libtorch(),
        processor(),
        speed("speed on the CPU", Device::Cpu),
    ];
    checks.extend(cuda());
    checks.push(features());
    checks.push(forward());
    checks
}

fn libtorch() -> Check {
    let environment = environment::describe("cpu");
    let built = environment.libtorch;
    match device::libtorch() {
        Ok(library) => {
            let folder = library.parent().unwrap_or(Path::new("/"));
            let version = version(folder);
            let found = format!(
                "version {}, in {}",
                version.as_deref().unwrap_or(&built),
                folder.display()
            );
            match version {
                Some(version) if !version.starts_with(&built) => Check::broken(
                    "libtorch",
                    found,
                    format!(
                        "this program is built for {built}; run `cargo xtask libtorch`, then \
                         build again"
                    ),
                ),
                _ => Check::ok("libtorch", found),
            }
        }
        Err(error) => Check::missing(
            "libtorch",
            format!("version {built}; {error:#}"),
            "nothing, as long as the other checks are fine",
        ),
    }
}

/// What the libtorch of this folder says of itself, beside it or above it.
fn version(library: &Path) -> Option<String> {
    let root = library.parent()?;
    if let Ok(text) = std::fs::read_to_string(root.join("build-version")) {
        return Some(text.trim().to_owned());
    }
    let text = std::fs::read_to_string(root.join("version.py")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("__version__"))?;
    let version = line.split(['\'', '"']).nth(1)?;
    Some(version.to_owned())
}

fn processor() -> Check {
    let environment = environment::describe("cpu");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (threads, name) = (environment.threads, environment.processor);
    let found = format!("{name}; {threads} threads on {cores} cores");
    let figures = json!({ "threads": threads, "cores": cores });
    let check = if threads > cores {
        let remedy = format!("set OMP_NUM_THREADS={cores}: more threads than cores are slower");
        Check::missing("processor", found, remedy)
    } else {
        Check::ok("processor", found)
    };
    check.with(figures)
}

fn speed(name: &str, device: Device) -> Check {
    match ProductRates::measure(device, [1024, 768, 768]) {
        Ok(rates) => {
            let better = rates.better().name();
            let (f32, bf16) = (rates.f32, rates.bf16);
            Check::ok(
                name,
                format!(
                    "products at {f32:.0} GFLOP/s in f32 and {bf16:.0} in bf16; --precision auto \
                     takes {better}"
                ),
            )
            .with(json!({ "f32_gflops": f32, "bf16_gflops": bf16, "auto": better }))
        }
        Err(error) => Check::broken(name, error.to_string(), "run `cargo xtask libtorch`"),
    }
}

fn cuda() -> Vec<Check> {
    match device::choose("cuda") {
        Ok(device) => {
            let count = Cuda::device_count();
            vec![
                Check::ok("CUDA", format!("{count} device(s); use --device cuda")),
                speed("speed on CUDA", device),
            ]
        }
        Err(error) => vec![Check::missing(
            "CUDA",
            format!("{error:#}"),
            "nothing, if this machine shall compute on its CPU",
        )],
    }
}

/// Ten seconds of noise through the front end.
fn features() -> Check {
    let name = "front end";
    let samples: Vec<f32> = (0..160_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5)
        .collect();
    let start = Instant::now();
    let made = Extractor::new(front_end::pipeline(1024))
        .and_then(|extractor| extractor.extract(&samples, 16_000));
    let seconds = start.elapsed().as_secs_f64();
    match made {
        Ok(features) if features.iter().all(|value| value.is_finite()) => Check::ok(
            name,
            format!("10 s of sound in {:.1} ms on one core", 1e3 * seconds),
        )
        .with(json!({ "seconds": seconds })),
        Ok(_) => Check::broken(name, "features that are not finite", "report this"),
        Err(error) => Check::broken(name, error.to_string(), "report this"),
    }
}

/// A small model on an empty input.
fn forward() -> Check {
    let name = "model";
    let shape = AstConfig {
        hidden_size: 64,
        num_attention_heads: 1,
        intermediate_size: 64,
        num_hidden_layers: 2,
        max_length: 64,
        ..AstConfig::tiny()
    };
    let tokens = Checkpoint::random(&shape, 1)
        .and_then(|checkpoint| AstModel::bind(&checkpoint, &BindOptions::frozen()))
        .and_then(|model| {
            model.token_embeddings(&Tensor::zeros([1, 64, 128], (Kind::Float, Device::Cpu)))
        });
    match tokens {
        Ok(tokens) if tokens.isfinite().all().int64_value(&[]) == 1 => {
            Check::ok(name, "a forward pass gives finite values")
        }
        Ok(_) => Check::broken(
            name,
            "values that are not finite",
            "run `cargo xtask libtorch`",
        ),
        Err(error) => Check::broken(name, error.to_string(), "run `cargo xtask libtorch`"),
    }
}
