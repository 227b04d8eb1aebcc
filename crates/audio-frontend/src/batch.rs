//! Many files in parallel.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::pipeline::{Extractor, PipelineConfig};

/// Reported once per file, when it is finished.
#[derive(Debug)]
pub struct Progress<'a> {
    /// Files finished so far, this one included.
    pub done: usize,
    /// Files in all.
    pub total: usize,
    /// Position of this file in the list.
    pub index: usize,
    /// This file.
    pub path: &'a Path,
    /// Why it failed, if it did.
    pub error: Option<&'a Error>,
}

impl Extractor {
    /// Model input of many files, on rayon's current thread pool.
    ///
    /// Results come in the order of `paths` and do not depend on the number
    /// of threads, to the bit. A file that fails leaves its error in its place
    /// and does not stop the others; [`try_extract_files`](Self::try_extract_files)
    /// stops. `on_done` is called from the worker threads, in the order files
    /// finish.
    ///
    /// # Shapes
    /// each `[max_length, F]`
    pub fn extract_files<P: AsRef<Path> + Sync>(
        &self,
        paths: &[P],
        on_done: impl Fn(Progress<'_>) + Sync,
    ) -> Vec<Result<Array2<f32>>> {
        let reporter = Reporter::new(paths.len(), on_done);
        paths
            .par_iter()
            .enumerate()
            .map(|(index, path)| {
                let result = self.extract_file(path);
                reporter.report(index, path.as_ref(), &result);
                result
            })
            .collect()
    }

    /// Like [`extract_files`](Self::extract_files), but one bad file stops the
    /// batch: no file behind it in the list is started once it is known.
    ///
    /// The files before it are finished, so that the error is always that of
    /// the first bad file in the list, on any number of threads. Files that
    /// were not started are not reported to `on_done`.
    ///
    /// # Shapes
    /// each `[max_length, F]`
    ///
    /// # Errors
    /// Those of [`extract_file`](Self::extract_file) for the first bad file.
    pub fn try_extract_files<P: AsRef<Path> + Sync>(
        &self,
        paths: &[P],
        on_done: impl Fn(Progress<'_>) + Sync,
    ) -> Result<Vec<Array2<f32>>> {
        let reporter = Reporter::new(paths.len(), on_done);
        let first_bad = AtomicUsize::new(usize::MAX);
        let results: Vec<Option<Result<Array2<f32>>>> = paths
            .par_iter()
            .enumerate()
            .map(|(index, path)| {
                if index > first_bad.load(Ordering::Relaxed) {
                    return None;
                }
                let result = self.extract_file(path);
                if result.is_err() {
                    first_bad.fetch_min(index, Ordering::Relaxed);
                }
                reporter.report(index, path.as_ref(), &result);
                Some(result)
            })
            .collect();
        // Whatever was left out lies behind the first error, where this ends.
        results.into_iter().flatten().collect()
    }
}

/// Counts finished files and tells the caller.
pub(crate) struct Reporter<F> {
    finished: AtomicUsize,
    total: usize,
    on_done: F,
}

impl<F: Fn(Progress<'_>)> Reporter<F> {
    pub(crate) fn new(total: usize, on_done: F) -> Self {
        Self {
            finished: AtomicUsize::new(0),
            total,
            on_done,
        }
    }

    pub(crate) fn report<T>(&self, index: usize, path: &Path, result: &Result<T>) {
        (self.on_done)(Progress {
            done: self.finished.fetch_add(1, Ordering::Relaxed) + 1,
            total: self.total,
            index,
            path,
            error: result.as_ref().err(),
        });
    }
}

/// [`Extractor::extract_files`] for a single use.
///
/// # Errors
/// [`Error::Config`] when `config` is not valid; a file's own error is in its
/// place in the list.
pub fn extract_files<P: AsRef<Path> + Sync>(
    paths: &[P],
    config: &PipelineConfig,
    on_done: impl Fn(Progress<'_>) + Sync,
) -> Result<Vec<Result<Array2<f32>>>> {
    Ok(Extractor::new(config.clone())?.extract_files(paths, on_done))
}

/// [`Extractor::try_extract_files`] for a single use.
///
/// # Errors
/// [`Error::Config`] when `config` is not valid, and those of the first bad
/// file.
pub fn try_extract_files<P: AsRef<Path> + Sync>(
    paths: &[P],
    config: &PipelineConfig,
    on_done: impl Fn(Progress<'_>) + Sync,
) -> Result<Vec<Array2<f32>>> {
    Extractor::new(config.clone())?.try_extract_files(paths, on_done)
}
