//! Mean and standard deviation of a data set's log-mel energies.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::ArrayView2;
use rayon::prelude::*;

use crate::ast::AstConfig;
use crate::batch::{Progress, Reporter};
use crate::decode::decode;
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

/// What [`Extractor::stats_of_good_files`] found.
#[derive(Debug, Default)]
pub struct FileStats {
    /// The statistics of the files that could be read.
    pub stats: FeatureStats,
    /// Position in the list and error of each of the others, in their order.
    pub failed: Vec<(usize, Error)>,
}

impl FileStats {
    /// The statistics, if every file could be read and there was one.
    ///
    /// # Errors
    /// That of the first file in the list that failed; [`Error::NoValues`] for
    /// an empty list.
    pub fn whole(self) -> Result<FeatureStats> {
        if let Some((_, error)) = self.failed.into_iter().next() {
            return Err(error);
        }
        if self.stats.count() == 0 {
            return Err(Error::NoValues);
        }
        Ok(self.stats)
    }
}

impl Extractor {
    /// Mean and standard deviation of the log-mel energies of many files, on
    /// rayon's current thread pool, in one pass and without keeping features.
    ///
    /// The bits do not depend on the number of threads. Every file is tried,
    /// and `on_done` hears of each as in
    /// [`extract_files`](Self::extract_files), but one bad file makes the
    /// result an error: [`stats_of_good_files`](Self::stats_of_good_files)
    /// leaves it out, [`try_stats`](Self::try_stats) stops at it. The settings'
    /// own mean and standard deviation play no part.
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
        self.all_stats(paths, counted, false, on_done).whole()
    }

    /// Like [`stats`](Self::stats), but one bad file stops the work: no file
    /// behind it in the list is started once it is known, as in
    /// [`try_extract_files`](Self::try_extract_files).
    ///
    /// # Errors
    /// Those of [`stats`](Self::stats).
    pub fn try_stats<P: AsRef<Path> + Sync>(
        &self,
        paths: &[P],
        counted: CountedFrames,
        on_done: impl Fn(Progress<'_>) + Sync,
    ) -> Result<FeatureStats> {
        self.all_stats(paths, counted, true, on_done).whole()
    }

    /// Like [`stats`](Self::stats), but bad files are left out of the
    /// statistics, to the bit as if they were not in the list, and named.
    #[must_use]
    pub fn stats_of_good_files<P: AsRef<Path> + Sync>(
        &self,
        paths: &[P],
        counted: CountedFrames,
        on_done: impl Fn(Progress<'_>) + Sync,
    ) -> FileStats {
        self.all_stats(paths, counted, false, on_done)
    }

    /// Statistics of the files, with `stop` only of those before the first bad
    /// one.
    fn all_stats<P: AsRef<Path> + Sync>(
        &self,
        paths: &[P],
        counted: CountedFrames,
        stop: bool,
        on_done: impl Fn(Progress<'_>) + Sync,
    ) -> FileStats {
        let reporter = Reporter::new(paths.len(), on_done);
        let first_bad = AtomicUsize::new(usize::MAX);
        let one = |index: usize| {
            if stop && index > first_bad.load(Ordering::Relaxed) {
                return None;
            }
            let path = paths[index].as_ref();
            let result = self.file_stats(path, counted);
            if result.is_err() {
                first_bad.fetch_min(index, Ordering::Relaxed);
            }
            reporter.report(index, path, &result);
            Some(result)
        };
        // Merging in the list's order is what makes the bits the same on any
        // number of threads.
        let mut found = FileStats::default();
        for first in (0..paths.len()).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(paths.len());
            let results: Vec<_> = block.clone().into_par_iter().map(one).collect();
            for (index, result) in block.zip(results) {
                match result {
                    Some(Ok(stats)) => found.stats.merge(&stats),
                    Some(Err(error)) => found.failed.push((index, error)),
                    None => {}
                }
            }
        }
        found
    }

    /// Statistics of one file.
    fn file_stats(&self, path: &Path, counted: CountedFrames) -> Result<FeatureStats> {
        let max_length = self.config().ast.max_length;
        let audio = decode(path, &self.config().decode)?;
        // Frames that the model never sees are not worth computing.
        let log_mel = self
            .first_log_mel(&audio.samples, audio.sample_rate, max_length)
            .map_err(|error| error.in_file(path))?;
        let frames = log_mel.nrows();
        let mut stats = FeatureStats::default();
        stats.push(log_mel.view());
        if counted == CountedFrames::Padded {
            stats.merge(&FeatureStats {
                count: ((max_length - frames) * log_mel.ncols()) as u64,
                ..FeatureStats::default()
            });
        }
        Ok(stats)
    }
}
