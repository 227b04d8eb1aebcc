//! This project's side of `cargo xtask bench-peers step`; `worker.py` says how
//! it is spoken to.
//!
//! `peer-step FOLDER FRAMES BATCH THREADS PRECISION DEVICE` measures Soft-MoA
//! on AST-Base; `FOLDER` gets the weights and the clips that both sides use, if
//! they are not there yet.

#![forbid(unsafe_code)]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
use ast_model::{AstConfig, Checkpoint, Precision, ProductRates, Step, init, tensor_file};
use benches::worker::{self, Anything, Values, serve};
use experiments::evaluation::cross_entropy;
use experiments::optimiser::{AdamW, AdamWConfig};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 50;
const LEARNING_RATE: f64 = 1e-3;
const SEED: u64 = 1;

struct Cases {
    model: AdaptedModel,
    optimiser: AdamW,
    features: Tensor,
    labels: Tensor,
    device: Device,
}

impl Cases {
    fn new(arguments: &[String]) -> Anything<Self> {
        let [folder, frames, batch, threads, precision, device] = arguments else {
            return Err("the arguments are FOLDER FRAMES BATCH THREADS PRECISION DEVICE".into());
        };
        tch::set_num_threads(threads.parse()?);
        let device = experiments::device::choose(device)?;
        let precision: Precision = serde_json::from_value(precision.as_str().into())?;
        let folder = Path::new(folder);
        let (frames, batch): (i64, i64) = (frames.parse()?, batch.parse()?);
        let config = AstConfig {
            max_length: frames,
            ..AstConfig::base()
        };
        if !folder.join("model.safetensors").is_file() {
            fs::create_dir_all(folder)?;
            Checkpoint::random(&config, SEED)?.save(folder)?;
        }
        let (checkpoint, _) = Checkpoint::load(folder)?;
        let method: MethodConfig =
            serde_json::from_str(r#"{"method": "soft-moa", "mixture": {"init": "paper"}}"#)?;
        let options = AdaptOptions {
            precision,
            seed: SEED,
            device,
            ..AdaptOptions::new(CLASSES)
        };
        let model = AdaptedModel::new(&checkpoint, &method, &options)?;
        let trained = model.trained().iter().map(|(name, t)| (name.as_str(), t));
        tensor_file::write(&folder.join("adapter.safetensors"), trained)?;
        let features = init::normal(SEED, "features", &[batch, frames, config.num_mel_bins], 0.5);
        let labels = Tensor::arange(batch, (Kind::Int64, Device::Cpu)).remainder(CLASSES);
        let clips = [("features", &features), ("labels", &labels)];
        tensor_file::write(&folder.join("clips.safetensors"), clips)?;
        Ok(Cases {
            optimiser: AdamW::new(model.trained(), AdamWConfig::default())?,
            model,
            features: features.to_device(device),
            labels: labels.to_device(device),
            device,
        })
    }

    fn logits(&self) -> Anything<Tensor> {
        Ok(tch::no_grad(|| {
            self.model.forward(&self.features, &Step::evaluation())
        })?)
    }
}

impl worker::Cases for Cases {
    fn run(&mut self, case: &str) -> Anything<()> {
        match case {
            "train" => {
                let step = Step::training(SEED);
                let logits = self.model.forward(&self.features, &step)?;
                let loss = cross_entropy(&logits, &self.labels)?;
                self.optimiser.step(&loss, LEARNING_RATE)?;
                black_box(loss.double_value(&[]));
            }
            "evaluate" => {
                let classes = self.logits()?.argmax(-1, false);
                black_box(Vec::<i64>::try_from(classes)?);
            }
            other => return Err(format!("no case is called {other}").into()),
        }
        Ok(())
    }

    fn values(&mut self, case: &str) -> Anything<Values> {
        if case == "rates" {
            let rates = ProductRates::measure(self.device, [4720, 768, 3072])?;
            return Ok((vec![2], vec![rates.f32 as f32, rates.bf16 as f32]));
        }
        if case != "logits" {
            return Err(format!("no values are called {case}").into());
        }
        let logits = self.logits()?;
        let shape = logits.size().iter().map(|&size| size as usize).collect();
        Ok((shape, Vec::try_from(logits.reshape([-1]))?))
    }

    fn least_runs(&self) -> usize {
        1
    }
}

fn main() -> Anything<()> {
    experiments::device::keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut cases = Cases::new(&arguments)?;
    let trained: usize = cases.model.trained().iter().map(|(_, t)| t.numel()).sum();
    serve(&format!("{{\"trained\": {trained}}}"), &mut cases)
}
