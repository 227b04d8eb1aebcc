//! Every epoch on the disk as soon as it is over.

use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use super::EpochMetrics;
use crate::metrics::{EventError, EventFile};
use crate::run_folder::{RunFolder, RunFolderError};

/// A journal that cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// `metrics.jsonl`.
    #[error(transparent)]
    Lines(#[from] RunFolderError),
    /// The event file.
    #[error(transparent)]
    Events(#[from] EventError),
}

/// Writes `metrics.jsonl`, one [`EpochMetrics`] a line, and on request a
/// TensorBoard event file in `tensorboard/`. Give it the epochs of every
/// [`Event::Epoch`](super::Event::Epoch) and
/// [`Event::Resumed`](super::Event::Resumed): then nothing is lost or repeated,
/// whenever the run is killed.
#[derive(Debug)]
pub struct Journal<'a> {
    folder: &'a RunFolder,
    tensorboard: bool,
    /// The open event file and the epochs in it.
    events: Option<(EventFile, usize)>,
}

impl<'a> Journal<'a> {
    /// A journal in `folder`.
    pub fn new(folder: &'a RunFolder, tensorboard: bool) -> Self {
        Journal {
            folder,
            tensorboard,
            events: None,
        }
    }

    /// Writes what is new of all epochs so far.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&mut self, epochs: &[EpochMetrics]) -> Result<(), JournalError> {
        self.folder.write_lines("metrics.jsonl", epochs)?;
        if !self.tensorboard {
            return Ok(());
        }
        if self.events.is_none() {
            let folder = self.folder.path().join("tensorboard");
            self.events = Some((EventFile::create(&folder)?, 0));
        }
        let Some((file, written)) = &mut self.events else {
            return Ok(()); // cannot be: it was opened above
        };
        for epoch in epochs.iter().skip(*written) {
            file.scalars(epoch.steps as i64, now(), &scalars(epoch))?;
            *written += 1;
        }
        Ok(())
    }
}

fn scalars(epoch: &EpochMetrics) -> Vec<(&'static str, f64)> {
    let mut values = vec![
        ("train/loss", epoch.train_loss),
        ("train/learning_rate", epoch.learning_rate),
        ("train/clips_per_second", epoch.clips_per_second),
    ];
    if epoch.validation_clips > 0 {
        values.extend([
            ("validation/loss", epoch.validation_loss),
            ("validation/accuracy", epoch.validation_accuracy),
            ("validation/macro_f1", epoch.validation_macro_f1),
        ]);
        let more = [
            (
                "validation/calibration_error",
                epoch.validation_calibration_error,
            ),
            (
                "validation/mean_average_precision",
                epoch.validation_mean_average_precision,
            ),
        ];
        values.extend(more.iter().filter_map(|&(tag, value)| Some((tag, value?))));
    }
    values
}

fn now() -> f64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    time.map_or(0.0, |time| time.as_secs_f64())
}
