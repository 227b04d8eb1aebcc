//! Mean and standard deviation of a data set's log-mel energies.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{ArrayView2, Axis, Slice};
use rayon::prelude::*;

use crate::ast::AstConfig;
use crate::batch::Progress;
use crate::error::{Error, Result};
use crate::pipeline::Extractor;

/// Files whose statistics are held at a time; what bounds the memory.
const BLOCK: usize = 1024;

/// Mean and standard deviation of all values seen so far.
///
/// Holds three numbers whatever it has seen. Each array is summed in f64 in
/// two passes, the second about its own mean, and joined to the others by the
/// formula of Chan, Golub and LeVeque, so a large offset costs no digits. The
/// bits depend on the order of arrays and on how values are cut into them, by
/// rounding only. A value that is not finite makes both results NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FeatureStats {
    count: u64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    spread: f64,
}

impl FeatureStats {
    /// Adds every value of `features`.
    ///
    /// # Shapes
    /// `[T, F]`, any of both
    pub fn push(&mut self, features: ArrayView2<f32>) {
        let count = features.len();
        if count == 0 {
            return;
        }
        let n = count as f64;
        let rough = features.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let (mut rest, mut squares) = (0.0, 0.0);
        for &x in &features {
            let distance = f64::from(x) - rough;
            rest += distance;
            squares += distance * distance;
        }
        // What rounding left over in the mean is taken out of both results. For
        // a constant the rest of the rest may fall below 0; `max` would hide NaN.
        let spread = squares - rest * rest / n;
        self.merge(&Self {
            count: count as u64,
            mean: rough + rest / n,
            spread: if spread < 0.0 { 0.0 } else { spread },
        });
    }

    /// Adds every value that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        let count = self.count + other.count;
        if other.count == 0 {
            return;
        }
        let share = other.count as f64 / count as f64;
        let distance = other.mean - self.mean;
        self.mean += distance * share;
        self.spread += other.spread + distance * distance * share * self.count as f64;
        self.count = count;
    }

    /// Number of values: frames times mel bins.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Σ x / n; 0 before the first value.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The population's standard deviation, √(Σ (x - mean)² / n); 0 before the
    /// first value. It divides by n, where `torch.std` divides by n - 1, which
    /// makes no difference to a data set.
    #[must_use]
    pub fn std(&self) -> f64 {
        (self.spread / self.count.max(1) as f64).sqrt()
    }

    /// These statistics as the settings that normalise with them.
    ///
    /// # Errors
    /// [`Error::NoValues`] before the first value, [`Error::Config`] when all
    /// values are the same or one was not finite.
    pub fn normalisation(&self, max_length: usize) -> Result<AstConfig> {
        if self.count == 0 {
            return Err(Error::NoValues);
        }
        let config = AstConfig {
            max_length,
            mean: self.mean as f32,
            std: self.std() as f32,
        };
        config.validate()?;
        Ok(config)
    }
}

/// Which frames of a clip count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CountedFrames {
    /// Those of the clip that reach the model: its first `max_length`.
    #[default]
    Real,
    /// The same, and the padding of shorter clips, whose value is 0.0. The
    /// published statistics of the original AST include it.
    Padded,
}

impl Extractor {
    /// Mean and standard deviation of the log-mel energies of many files, on
    /// rayon's current thread pool, in one pass and without keeping features.
    ///
    /// The bits do not depend on the number of threads. Every file is tried,
    /// and `on_done` hears of each as in
    /// [`extract_files`](Self::extract_files). The settings' own mean and
    /// standard deviation play no part.
    ///
    /// The script of the original AST differs: it averages the means and the
    /// standard deviations of batches of 1000 clips, each padded to the model's
    /// length, masked by SpecAugment and half of them blended by mixup.
    /// [`CountedFrames::Padded`] comes closer to it.
    ///
    /// # Errors
    /// That of the first file in the list that failed; [`Error::NoValues`] for
    /// an empty list.
    pub fn stats<P: AsRef<Path> + Sync>(
        &self,
        paths: &[P],
        counted: CountedFrames,
        on_done: impl Fn(Progress<'_>) + Sync,
    ) -> Result<FeatureStats> {
        if paths.is_empty() {
            return Err(Error::NoValues);
        }
        let finished = AtomicUsize::new(0);
        let one = |index: usize| {
            let path = paths[index].as_ref();
            let result = self.file_stats(path, counted);
            on_done(Progress {
                done: finished.fetch_add(1, Ordering::Relaxed) + 1,
                total: paths.len(),
                index,
                path,
                error: result.as_ref().err(),
            });
            result
        };
        // Merging in the list's order is what makes the bits the same on any
        // number of threads.
        let mut all = Ok(FeatureStats::default());
        for first in (0..paths.len()).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(paths.len());
            let results: Vec<_> = block.into_par_iter().map(one).collect();
            for result in results {
                all = all.and_then(|mut all| {
                    all.merge(&result?);
                    Ok(all)
                });
            }
        }
        all
    }

    /// Statistics of one file.
    fn file_stats(&self, path: &Path, counted: CountedFrames) -> Result<FeatureStats> {
        let (fbank, max_length) = (&self.config().fbank, self.config().ast.max_length);
        let audio = self.load(path)?;
        // Frames that the model never sees are not worth computing.
        let reached = fbank.frame_length + (max_length - 1) * fbank.frame_shift;
        let samples = &audio.samples[..audio.samples.len().min(reached)];
        let log_mel = self
            .log_mel(samples, audio.sample_rate)
            .map_err(|error| error.in_file(path))?;
        let frames = log_mel.nrows().min(max_length);
        let mut stats = FeatureStats::default();
        stats.push(log_mel.slice_axis(Axis(0), Slice::from(..frames)));
        if counted == CountedFrames::Padded {
            stats.merge(&FeatureStats {
                count: ((max_length - frames) * log_mel.ncols()) as u64,
                ..FeatureStats::default()
            });
        }
        Ok(stats)
    }
}
