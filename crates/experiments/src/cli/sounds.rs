//! Arguments about sounds that go through a model.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use audio_frontend::{Tail, WindowConfig};
use clap::{Args, ValueEnum};
use experiments::normalisation::sound_files;
use experiments::predictor::{FRAMES_PER_SECOND, RawFormat, Sound};

/// Largest sound file taken from standard input, in bytes; longer ones go as
/// raw samples, which are not held in memory.
const MAX_INPUT: u64 = 1 << 30;

#[derive(Args)]
pub struct SoundArguments {
    /// Sound files, folders of them, or - for standard input.
    #[arg(required = true, value_name = "SOUND")]
    sounds: Vec<PathBuf>,
    /// Seconds from one window of a long sound to the next [default: half a window].
    #[arg(long, value_name = "SECONDS")]
    hop: Option<f64>,
    /// Leave out the end of a sound that fills no window.
    #[arg(long)]
    drop_tail: bool,
    /// Windows that go through the model at once [default: 8; 1 for raw input, which may be live].
    #[arg(long)]
    batch: Option<usize>,
    /// Standard input is raw mono samples at this rate in Hz, not a sound file.
    #[arg(long, value_name = "HZ")]
    raw: Option<u32>,
    /// How raw samples are written, little-endian.
    #[arg(long, value_enum, default_value_t = Raw::S16)]
    raw_format: Raw,
}

#[derive(Clone, Copy, ValueEnum)]
enum Raw {
    S16,
    F32,
}

impl SoundArguments {
    /// The sounds, in the order of the arguments. Files are not looked at yet.
    pub fn sounds(&self) -> Result<Vec<Sound>> {
        let mut sounds = Vec::new();
        let dashes = self.sounds.iter().filter(|path| is_dash(path)).count();
        ensure!(
            dashes <= 1,
            "standard input (-) can be read once; name it once"
        );
        ensure!(
            dashes == 1 || self.raw.is_none(),
            "--raw is about standard input; add - to the sounds"
        );
        for path in &self.sounds {
            if is_dash(path) {
                sounds.push(self.standard_input()?);
            } else if path.is_dir() {
                let files = sound_files(std::slice::from_ref(path))?;
                sounds.extend(files.into_iter().map(Sound::File));
            } else {
                sounds.push(Sound::File(path.clone()));
            }
        }
        Ok(sounds)
    }

    fn standard_input(&self) -> Result<Sound> {
        let name = "standard input".to_owned();
        if let Some(rate) = self.raw {
            return Ok(Sound::Raw {
                name,
                source: Box::new(io::stdin()),
                rate,
                format: match self.raw_format {
                    Raw::S16 => RawFormat::S16,
                    Raw::F32 => RawFormat::F32,
                },
            });
        }
        let mut bytes = Vec::new();
        let mut input = io::stdin().lock().take(MAX_INPUT + 1);
        input
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
        if bytes.len() as u64 > MAX_INPUT {
            bail!("standard input is a file of more than 1 GiB; send raw samples with --raw RATE");
        }
        Ok(Sound::Bytes(name, bytes))
    }

    /// How sounds are cut into windows of the model's length.
    pub fn windows(&self) -> Result<WindowConfig> {
        let hop = match self.hop {
            None => None,
            Some(seconds) if (0.01..=10_000.0).contains(&seconds) => {
                Some((seconds * FRAMES_PER_SECOND).round() as usize)
            }
            Some(seconds) => {
                bail!("--hop is {seconds}; give seconds from 0.01 to 10000")
            }
        };
        let tail = if self.drop_tail {
            Tail::Drop
        } else {
            Tail::Pad
        };
        Ok(WindowConfig {
            hop,
            tail,
            ..WindowConfig::default()
        })
    }

    /// Windows at once.
    pub fn batch(&self) -> usize {
        let usual = if self.raw.is_some() { 1 } else { 8 };
        self.batch.unwrap_or(usual).max(1)
    }
}

fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}
