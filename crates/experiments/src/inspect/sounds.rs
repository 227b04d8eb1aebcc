//! Sound files, and folders of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use audio_frontend::{AudioReader, DecodeConfig, Error};
use rayon::prelude::*;
use serde_json::json;

use super::Report;
use crate::data::list_files;
use crate::normalisation::is_sound;

/// Most files of a folder that are decoded to find out about it.
const LOOKED_AT: usize = 500;

/// Clips of a class below which a split into three parts says little.
const FEW: usize = 10;

/// What the samples of a sound are like.
struct Level {
    rate: u32,
    samples: u64,
    peak: f32,
    sum: f64,
    squares: f64,
    clipped: u64,
}

impl Level {
    fn seconds(&self) -> f64 {
        self.samples as f64 / f64::from(self.rate)
    }
}

fn measure(path: &Path) -> Result<Level, Error> {
    let mut reader = AudioReader::open(path, &DecodeConfig::default())?;
    let mut level = Level {
        rate: reader.sample_rate(),
        samples: 0,
        peak: 0.0,
        sum: 0.0,
        squares: 0.0,
        clipped: 0,
    };
    while let Some(block) = reader.next_block()? {
        for &sample in block {
            level.peak = level.peak.max(sample.abs());
            level.sum += f64::from(sample);
            level.squares += f64::from(sample) * f64::from(sample);
            level.clipped += u64::from(sample.abs() >= 0.999);
        }
        level.samples += block.len() as u64;
    }
    Ok(level)
}

/// One sound file.
pub(super) fn file(path: &Path) -> Result<Report> {
    let mut report = Report::new(path, "sound file");
    let level = match measure(path) {
        Ok(level) => level,
        Err(error) => {
            report.kind = "file that is no sound this program reads";
            report.problem(error.to_string());
            return Ok(report);
        }
    };
    let count = level.samples.max(1) as f64;
    let decibels = |value: f64| match value > 0.0 {
        true => json!((200.0 * value.log10()).round() / 10.0),
        false => json!("silence"),
    };
    report.fact("seconds", (level.seconds() * 1000.0).round() / 1000.0);
    report.fact("samples per second", level.rate);
    report.fact("samples of the mono signal", level.samples);
    report.fact("peak in dB", decibels(level.peak.into()));
    report.fact(
        "level in dB (RMS)",
        decibels((level.squares / count).sqrt()),
    );
    if level.peak == 0.0 {
        report.remark("it is silent; check the recording");
    }
    if level.clipped as f64 > 0.001 * count {
        let share = 100.0 * level.clipped as f64 / count;
        report.remark(format!(
            "{share:.1} % of its samples are at full scale: it is clipped; record it at a lower level"
        ));
    }
    let offset = level.sum / count;
    if offset.abs() > 0.05 {
        report.remark(format!(
            "its samples have a mean of {offset:.2}; remove the offset"
        ));
    }
    if level.rate < 16_000 {
        report.remark(format!(
            "at {} Hz it holds nothing above {} Hz, where backbones trained at 16 kHz expect sound",
            level.rate,
            level.rate / 2
        ));
    }
    if level.seconds() < 0.025 {
        report.problem("it is shorter than one analysis frame of 25 ms; use a longer clip");
    }
    Ok(report)
}

/// A folder of sounds, with a class per folder in it; `None` if it holds none.
pub(super) fn folder(path: &Path) -> Result<Option<Report>> {
    let files = list_files(path)?;
    let sounds: Vec<(String, PathBuf)> = files
        .into_iter()
        .filter(|(_, file)| is_sound(file))
        .collect();
    if sounds.is_empty() {
        return Ok(None);
    }
    let mut report = Report::new(path, "folder of sounds");
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut loose = 0;
    for (relative, _) in &sounds {
        match relative.split_once('/') {
            Some((class, _)) => *classes.entry(class).or_default() += 1,
            None => loose += 1,
        }
    }
    report.fact("sound files", sounds.len());
    report.fact("classes (folders)", classes.len());
    report.fact("clips of each class", json!(classes));
    lengths(&mut report, &sounds);
    judge(&mut report, &classes, loose);
    Ok(Some(report))
}

fn judge(report: &mut Report, classes: &BTreeMap<&str, usize>, loose: usize) {
    if classes.len() < 2 {
        report.problem(
            "training needs a folder per class, at least two; or a manifest that names the labels",
        );
    } else if loose > 0 {
        report.remark(format!(
            "{loose} sound files lie outside the class folders and would not be used"
        ));
    }
    for (class, &count) in classes {
        if count < FEW {
            report.remark(format!(
                "class {class} has {count} clips; results say little with fewer than {FEW}"
            ));
        }
    }
    let (least, most) = (classes.values().min(), classes.values().max());
    if let (Some(&least), Some(&most)) = (least, most)
        && most > 10 * least
    {
        report.remark(format!(
            "the largest class has {most} clips, the smallest {least}; accuracy alone hides that, \
             look at the recall of each class"
        ));
    }
}

/// Lengths and rates of the files, or of evenly spaced ones among many.
fn lengths(report: &mut Report, sounds: &[(String, PathBuf)]) {
    let step = sounds.len().div_ceil(LOOKED_AT);
    let chosen: Vec<&PathBuf> = sounds.iter().step_by(step).map(|(_, path)| path).collect();
    let measured: Vec<Result<Level, Error>> = chosen.par_iter().map(|path| measure(path)).collect();
    report.fact("files decoded", measured.len());
    let mut seconds = Vec::new();
    let mut rates: BTreeMap<String, usize> = BTreeMap::new();
    let mut silent = 0;
    for level in measured {
        match level {
            Ok(level) => {
                seconds.push(level.seconds());
                *rates.entry(format!("{} Hz", level.rate)).or_default() += 1;
                silent += usize::from(level.peak == 0.0);
            }
            Err(error) => report.problem(error.to_string()),
        }
    }
    seconds.sort_by(f64::total_cmp);
    if let (Some(least), Some(most)) = (seconds.first(), seconds.last()) {
        let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share).round() as usize];
        let rounded = |x: f64| (x * 100.0).round() / 100.0;
        report.fact(
            "seconds (least, median, 95 %, most)",
            json!([*least, at(0.5), at(0.95), *most].map(rounded)),
        );
    }
    report.fact("sample rates", json!(rates));
    if silent > 0 {
        report.remark(format!("{silent} files are silent; check the recordings"));
    }
}
