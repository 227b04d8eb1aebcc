//! Sounds of any length through a model: windows, batches, and what came out
//! with its time stamps.
//!
//! [`Encoder`] is a model ready to run, with an adapter or without one;
//! [`run`] leads sounds through it and hands over every result in the order of
//! the sounds. A sound that cannot be read is an [`Event`] like the others.

mod encoder;
mod reader;
mod task;
pub mod writer;

pub use encoder::{Encoder, Vectors, front_end_of};
pub use reader::{RawFormat, Sound};
pub use task::Task;

use std::sync::mpsc::sync_channel;

use anyhow::Result;
use audio_frontend::{Extractor, FeatureWindow, WindowConfig};

/// Frames per second of the front end: one every 10 ms.
pub const FRAMES_PER_SECOND: f64 = 100.0;

/// What becomes of sounds.
#[derive(Debug)]
pub enum Event {
    /// A window went through the model.
    Window {
        /// Index of the sound.
        sound: usize,
        /// Where the window begins in it, in seconds.
        start: f64,
        /// Where its sound ends: padding does not count.
        end: f64,
        /// What the model gives for it.
        values: Vec<f32>,
    },
    /// A sound is over.
    Finished {
        /// Index of the sound.
        sound: usize,
    },
    /// A sound cannot be read, or not to its end.
    Failed {
        /// Index of the sound.
        sound: usize,
        /// Why, naming the file.
        error: audio_frontend::Error,
    },
}

/// What the reading thread hands over.
enum Read {
    Window(usize, FeatureWindow),
    Finished(usize),
    Failed(usize, audio_frontend::Error),
}

/// Cuts `sounds` into windows, leads `batch` of them at a time through
/// `encoder`, and calls `on_event` for every window, end and failure, in the
/// order of the sounds. A thread of its own reads ahead by one batch.
///
/// # Errors
/// When the model fails, or what `on_event` says.
pub fn run(
    encoder: &Encoder,
    extractor: &Extractor,
    windows: &WindowConfig,
    sounds: Vec<Sound>,
    batch: usize,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let batch = batch.max(1);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(batch);
        scope.spawn(move || {
            for (index, sound) in sounds.into_iter().enumerate() {
                let mut failed = None;
                let told = reader::windows(sound, extractor, windows, &mut |window| match window {
                    Ok(window) => sender.send(Read::Window(index, window)).is_ok(),
                    Err(error) => {
                        failed = Some(error);
                        false
                    }
                });
                let end = match failed {
                    Some(error) => Read::Failed(index, error),
                    None if told => Read::Finished(index),
                    // Nobody listens any more.
                    None => return,
                };
                if sender.send(end).is_err() {
                    return;
                }
            }
        });
        let mut waiting: Vec<Read> = Vec::new();
        let mut windows = 0;
        for read in receiver {
            windows += usize::from(matches!(read, Read::Window(..)));
            waiting.push(read);
            if windows == batch {
                flush(encoder, &mut waiting, on_event)?;
                windows = 0;
            }
        }
        flush(encoder, &mut waiting, on_event)
    })
}

/// Leads all waiting windows through the model at once.
fn flush(
    encoder: &Encoder,
    waiting: &mut Vec<Read>,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let features: Vec<_> = waiting
        .iter()
        .filter_map(|read| match read {
            Read::Window(_, window) => Some(window.features.view()),
            _ => None,
        })
        .collect();
    let mut values = encoder.encode(&features)?.into_iter();
    for read in waiting.drain(..) {
        on_event(match read {
            Read::Window(sound, window) => Event::Window {
                sound,
                start: window.start_seconds,
                end: window.start_seconds + window.frames as f64 / FRAMES_PER_SECOND,
                values: values.next().unwrap_or_default(),
            },
            Read::Finished(sound) => Event::Finished { sound },
            Read::Failed(sound, error) => Event::Failed { sound, error },
        })?;
    }
    Ok(())
}
