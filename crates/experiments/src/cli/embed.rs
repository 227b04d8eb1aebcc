//! `soft-moa embed`.

use std::path::PathBuf;

use adapters::AdapterDescription;
use anyhow::{Context, Result, bail};
use ast_model::Pooling;
use clap::ValueEnum;
use experiments::backbones;
use experiments::predictor::{self, Encoder, Event, Sound, Vectors, writer::VectorFile};
use serde_json::json;

use super::output::{self, Output, print};
use super::places::{BackboneArgument, DeviceArguments};
use super::sounds::SoundArguments;

#[derive(clap::Args)]
pub struct Embed {
    #[command(flatten)]
    sounds: SoundArguments,
    /// Folder of an adapter, or of the run that made it; without it the plain backbone embeds.
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// A .safetensors, .npy or .jsonl file; what the rows are is written beside it. Without it
    /// JSON lines are printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// From tokens to one vector a window [default: the adapter's, or all].
    #[arg(long, value_enum)]
    pooling: Option<Pool>,
    /// One vector per token instead of one per window.
    #[arg(long, conflicts_with = "pooling")]
    tokens: bool,
    /// Frames of a window of a plain backbone, 100 a second [default: what the backbone takes].
    #[arg(long, conflicts_with = "adapter")]
    max_length: Option<i64>,
    #[command(flatten)]
    backbone: BackboneArgument,
    #[command(flatten)]
    device: DeviceArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pool {
    All,
    Cls,
    ClsDist,
    Patches,
}

/// Writes a row for every window; fails at the end if a sound could not be
/// read, each of which was named on the way.
pub fn run(arguments: &Embed, output: &Output) -> Result<()> {
    let (encoder, description) = encoder(arguments)?;
    let extractor = encoder.front_end(description.as_ref())?;
    let windows = arguments.sounds.windows()?;
    let sounds = arguments.sounds.sounds()?;
    let names: Vec<String> = sounds.iter().map(Sound::name).collect();
    let mut file = match &arguments.out {
        Some(path) => Some(VectorFile::create(path)?),
        None => None,
    };
    let (mut failed, mut rows) = (0, 0);
    let batch = arguments.sounds.batch();
    let bar = match file {
        Some(_) => output::bar(names.len() as u64, "sound"),
        None => indicatif::ProgressBar::hidden(),
    };
    predictor::run(
        &encoder,
        &extractor,
        &windows,
        sounds,
        batch,
        &mut |event| match event {
            Event::Window {
                sound,
                start,
                end,
                values,
            } => {
                rows += 1;
                let shape = encoder.shape(values.len());
                match &mut file {
                    Some(file) => file.push(&names[sound], [start, end], &shape, &values),
                    None => line(&names[sound], [start, end], &shape, &values),
                }
            }
            Event::Finished { .. } => {
                bar.inc(1);
                Ok(())
            }
            Event::Failed { error, .. } => {
                failed += 1;
                bar.inc(1);
                bar.suspend(|| eprintln!("error: {error}"));
                Ok(())
            }
        },
    )?;
    bar.finish_and_clear();
    if let (Some(file), Some(path)) = (file, &arguments.out) {
        let index = file.finish()?;
        let value = json!({ "out": path, "index": index, "rows": rows });
        output.result(&value, || {
            format!(
                "{}: {}; {} says which",
                path.display(),
                output::count(rows, "row"),
                index.display()
            )
        })?;
    }
    if failed > 0 {
        let sounds = output::count(names.len(), "sound");
        bail!("{failed} of {sounds} could not be read; the lines above say why");
    }
    Ok(())
}

/// The model, and what its adapter says if it has one.
fn encoder(arguments: &Embed) -> Result<(Encoder, Option<AdapterDescription>)> {
    let options = arguments.device.adapt()?;
    let pooling = arguments.pooling.map(|pool| match pool {
        Pool::All => Pooling::All,
        Pool::Cls => Pooling::Cls,
        Pool::ClsDist => Pooling::ClsDist,
        Pool::Patches => Pooling::Patches,
    });
    let gives = match arguments.tokens {
        true => Vectors::Tokens,
        false => Vectors::Pooled(pooling),
    };
    if let Some(adapter) = &arguments.adapter {
        let (folder, description, fitting) = arguments.backbone.adapter(adapter)?;
        let encoder = Encoder::adapted(&folder, &fitting.checkpoint, &options, gives)?;
        return Ok((encoder, Some(description)));
    }
    let cache = arguments.backbone.cache.folder()?;
    let name = match &arguments.backbone.backbone {
        Some(name) => name.clone(),
        None => backbones::usual(&cache)?.name,
    };
    let (_, mut checkpoint) = backbones::load(&name, &cache)?;
    if let Some(length) = arguments.max_length {
        let cut = checkpoint.with_length(length, Default::default());
        checkpoint = cut.with_context(|| format!("--max-length {length}"))?;
    }
    let encoder = Encoder::plain(&checkpoint, &options, gives)?;
    Ok((encoder, None))
}

fn line(file: &str, [start, end]: [f64; 2], shape: &[usize], values: &[f32]) -> Result<()> {
    let value = json!({
        "file": file, "start": start, "end": end, "shape": shape, "values": values,
    });
    print(&value.to_string())
}
