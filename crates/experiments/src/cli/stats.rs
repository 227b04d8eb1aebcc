//! `soft-moa stats`.

use std::path::PathBuf;

use anyhow::Result;
use audio_frontend::CountedFrames;
use experiments::normalisation;

use super::output::{Output, bar, say};

#[derive(clap::Args)]
pub struct Stats {
    /// Sound files, and folders of them (WAV, AIFF, FLAC, Ogg Vorbis, MP3, AAC, M4A).
    #[arg(required = true)]
    sounds: Vec<PathBuf>,
    /// Frames of the model's input; what a clip has beyond them does not count.
    #[arg(long, default_value_t = 1024)]
    max_length: usize,
    /// Count the padding of shorter clips too.
    #[arg(long)]
    padded: bool,
}

/// Prints the settings as TOML, or the same values as JSON.
pub fn run(arguments: &Stats, output: &Output) -> Result<()> {
    let files = normalisation::sound_files(&arguments.sounds)?;
    let bar = bar(files.len() as u64, "file");
    let counted = if arguments.padded {
        CountedFrames::Padded
    } else {
        CountedFrames::Real
    };
    let on_done = |progress: audio_frontend::Progress| {
        if let Some(error) = progress.error {
            bar.suspend(|| say(error));
        }
        bar.inc(1);
    };
    let text = normalisation::measure(&files, arguments.max_length, counted, on_done)?;
    bar.finish_and_clear();
    let mut value: toml::Table = toml::from_str(&text)?;
    value.insert("files".to_owned(), (files.len() as i64).into());
    output.result(&value, || text)
}
