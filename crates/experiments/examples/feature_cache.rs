//! How long the features of a data set take, how large they are, and how long
//! it takes to open them again:
//!
//! ```sh
//! cargo run --release -p experiments --example feature_cache -- \
//!     datasets/esc-50.toml FOLDER CACHE
//! cargo run --release -p experiments --example feature_cache -- \
//!     own FOLDER_OR_TABLE CACHE [PATH_COLUMN]
//! ```
//!
//! CACHE should be a folder that is not there yet; the cache files stay in it.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use audio_frontend::Extractor;
use experiments::data::{Columns, Dataset, FeatureFormat, FeatureOptions, OwnOptions};
use experiments::front_end::pipeline;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| {
        let usage = "give MANIFEST FOLDER CACHE, or own FOLDER_OR_TABLE CACHE [PATH_COLUMN]";
        arguments.get(index).context(usage)
    };
    let (kind, place, cache) = (argument(0)?, argument(1)?, argument(2)?);
    let start = Instant::now();
    let open = || -> Result<Dataset> {
        if kind != "own" {
            return Ok(Dataset::load(Path::new(kind), Path::new(place))?);
        }
        let mut options = OwnOptions::default();
        if let Some(path) = arguments.get(3) {
            options.columns = Columns {
                path: path.clone(),
                ..Columns::default()
            };
        }
        Ok(Dataset::own(Path::new(place), &options)?)
    };
    let data = open()?;
    let length = data.manifest.defaults.max_length;
    println!(
        "{}: {} clips, {} classes, {length} frames, found in {:.2} s",
        data.manifest.name,
        data.clips.len(),
        data.classes(),
        start.elapsed().as_secs_f64()
    );
    for split in data.splits()? {
        println!(
            "  {}: {} + {} + {}",
            split.name,
            split.train.len(),
            split.validation.len(),
            split.test.len()
        );
    }
    let start = Instant::now();
    data.hashes()?;
    println!("files hashed in {:.2} s", start.elapsed().as_secs_f64());
    let extractor = Extractor::new(pipeline(length))?;
    let mut block = vec![0.0; length * extractor.config().fbank.num_mel_bins];
    let mut first = Vec::new();
    for format in [FeatureFormat::F32, FeatureFormat::F16] {
        let options = FeatureOptions {
            cache: Some(Path::new(cache)),
            format,
            ..FeatureOptions::default()
        };
        for _ in 0..2 {
            let start = Instant::now();
            let (features, usage) = data.features(&extractor, options, &|_, _| {})?;
            let seconds = start.elapsed().as_secs_f64();
            let frames: usize = (0..features.clips()).map(|i| features.frames(i)).sum();
            println!(
                "{format:?}: {usage:?} in {seconds:.3} s, {frames} frames of {}, mapped: {}",
                features.clips() * length,
                features.is_mapped()
            );
            let start = Instant::now();
            let mut largest = 0f32;
            for index in 0..features.clips() {
                features.read(index, &mut block);
                if format == FeatureFormat::F32 && first.len() < features.clips() {
                    first.push(block.clone());
                }
                for (x, y) in block.iter().zip(&first[index]) {
                    largest = largest.max((x - y).abs());
                }
            }
            println!(
                "  read and compared in {:.3} s, largest difference from f32 {largest:e}",
                start.elapsed().as_secs_f64()
            );
        }
    }
    for entry in std::fs::read_dir(cache)? {
        let entry = entry?;
        println!("{:?}: {} bytes", entry.file_name(), entry.metadata()?.len());
    }
    Ok(())
}
