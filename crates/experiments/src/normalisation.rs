//! The mean and standard deviation that a set of recordings is normalised with.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use audio_frontend::{CountedFrames, Extractor, FILE_ENDINGS, Progress};

use crate::data::list_files;
use crate::front_end::pipeline;

/// The files among `sounds`, and the sound files in its folders and theirs, by
/// their ending ([`FILE_ENDINGS`], in either case). Sorted, each once: the order of arguments decides no bit.
///
/// # Errors
/// A path that is not there, a folder that cannot be listed or holds no sound
/// file.
pub fn sound_files(sounds: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = BTreeSet::new();
    for path in sounds {
        if !path.is_dir() {
            std::fs::metadata(path)
                .with_context(|| format!("there is no {}; check the path", path.display()))?;
            files.insert(path.clone());
            continue;
        }
        let before = files.len();
        let found = list_files(path)?.into_values();
        files.extend(found.filter(|file| is_sound(file)));
        if files.len() == before && !files.iter().any(|file| file.starts_with(path)) {
            bail!(
                "{} holds no sound file ({}); name another folder or the files themselves",
                path.display(),
                FILE_ENDINGS.map(|ending| format!(".{ending}")).join(", ")
            );
        }
    }
    Ok(files.into_iter().collect())
}

/// Whether a file is a sound by its ending ([`FILE_ENDINGS`]).
pub fn is_sound(file: &std::path::Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| {
        FILE_ENDINGS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(ending))
    })
}

/// Statistics of `files` with the front end of all experiments, as the TOML
/// lines of a front end that normalises with them.
///
/// # Errors
/// A file that cannot be read, recordings that are all silent, a `max_length`
/// of 0.
pub fn measure(
    files: &[PathBuf],
    max_length: usize,
    counted: CountedFrames,
    on_done: impl Fn(Progress<'_>) + Sync,
) -> Result<String> {
    let extractor = Extractor::new(pipeline(max_length))?;
    let stats = extractor.stats(files, counted, on_done)?;
    let ast = stats.normalisation(max_length)?;
    let bins = extractor.config().fbank.num_mel_bins;
    let padding = match counted {
        CountedFrames::Real => "padding left out",
        CountedFrames::Padded => "padding included",
    };
    Ok(format!(
        "# {files} files, {frames} frames of {bins} mel bins, {padding}\n\
         [ast]\nmax_length = {max_length}\nmean = {mean:?}\nstd = {std:?}\n",
        files = files.len(),
        frames = stats.count() / bins as u64,
        mean = ast.mean,
        std = ast.std,
    ))
}
