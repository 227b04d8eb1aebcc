//! Many files at once.

mod common;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use audio_frontend::{
    Error, Extractor, PipelineConfig, Progress, extract_files, try_extract_files,
};
use common::{hash_noise, write_wav};
use ndarray::Array2;

/// Twelve clips of different lengths and rates; number 5 is not audio.
fn clips(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let noise = hash_noise(60_000);
    let write = |index: usize| {
        let path = dir.path().join(format!("{index}.wav"));
        if index == 5 {
            std::fs::write(&path, b"not audio at all").unwrap();
            return path;
        }
        let rate = [16_000, 22_050, 44_100, 8000][index % 4];
        let cut = &noise[index * 100..index * 100 + 20_000 + 1000 * index];
        let samples: Vec<i16> = cut.iter().map(|x| (x * 20_000.0) as i16).collect();
        write_wav(&path, &samples, 1, rate);
        path
    };
    (0..12).map(write).collect()
}

fn config() -> PipelineConfig {
    let mut config = PipelineConfig::default();
    config.ast.max_length = 100;
    config
}

fn pool(threads: usize) -> rayon::ThreadPool {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap()
}

fn on_threads(threads: usize, paths: &[PathBuf]) -> Vec<Result<Array2<f32>, Error>> {
    pool(threads)
        .install(|| extract_files(paths, &config(), |_| {}))
        .unwrap()
}

#[test]
fn order_and_bits_do_not_depend_on_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let paths = clips(&dir);
    let extractor = Extractor::new(config()).unwrap();
    let alone: Vec<_> = paths.iter().map(|p| extractor.extract_file(p)).collect();
    for threads in [1, 2, 5] {
        let together = on_threads(threads, &paths);
        assert_eq!(together.len(), paths.len());
        for (a, b) in alone.iter().zip(&together) {
            match (a, b) {
                (Ok(a), Ok(b)) => {
                    let same = a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
                    assert!(same && a.dim() == (100, 128));
                }
                (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
                _ => panic!("{threads} threads: one succeeded and one failed"),
            }
        }
    }
}

#[test]
fn a_bad_file_is_reported_in_its_place_and_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let results = on_threads(2, &clips(&dir));
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), index == 5, "{index}");
    }
    let text = results[5].as_ref().unwrap_err().to_string();
    assert!(text.contains("5.wav"), "{text}");
}

#[test]
fn progress_is_reported_once_for_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let paths = clips(&dir);
    let seen = Mutex::new(Vec::new());
    extract_files(&paths, &config(), |progress| {
        assert_eq!(progress.total, 12);
        assert_eq!(progress.path, paths[progress.index]);
        let entry = (progress.done, progress.index, progress.error.is_some());
        seen.lock().unwrap().push(entry);
    })
    .unwrap();
    let seen = seen.into_inner().unwrap();
    let mut done: Vec<usize> = seen.iter().map(|s| s.0).collect();
    let mut index: Vec<usize> = seen.iter().map(|s| s.1).collect();
    done.sort_unstable();
    index.sort_unstable();
    assert_eq!(done, (1..=12).collect::<Vec<_>>());
    assert_eq!(index, (0..12).collect::<Vec<_>>());
    assert!(seen.iter().all(|s| s.2 == (s.1 == 5)));
}

#[test]
fn an_invalid_configuration_is_refused_before_any_file_is_read() {
    let mut config = config();
    config.fbank.high_freq = 9000.0;
    let error = extract_files(&["absent.wav"], &config, |_| {}).unwrap_err();
    assert!(error.to_string().contains("high_freq"), "{error}");
}

#[test]
fn an_empty_list_gives_an_empty_list() {
    let none: [&str; 0] = [];
    assert!(extract_files(&none, &config(), |_| {}).unwrap().is_empty());
}

#[test]
fn a_stopping_batch_of_good_files_equals_the_other_kind() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = clips(&dir);
    paths.remove(5);
    let each: Vec<_> = on_threads(1, &paths)
        .into_iter()
        .map(|r| r.unwrap())
        .collect();
    let extractor = Extractor::new(config()).unwrap();
    for threads in [1, 2, 5] {
        let seen = AtomicUsize::new(0);
        let count = |_: Progress<'_>| {
            seen.fetch_add(1, Ordering::Relaxed);
        };
        let all = pool(threads).install(|| extractor.try_extract_files(&paths, count));
        assert_eq!(all.unwrap(), each, "{threads} threads");
        assert_eq!(seen.into_inner(), paths.len());
    }
    assert_eq!(try_extract_files(&paths, &config(), |_| {}).unwrap(), each);
}

#[test]
fn a_stopping_batch_reports_the_first_bad_file_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = clips(&dir);
    for index in [7, 8, 11] {
        paths[index] = dir.path().join(format!("absent-{index}.wav"));
    }
    let extractor = Extractor::new(config()).unwrap();
    for threads in [1, 2, 5] {
        for _ in 0..20 {
            let done = Mutex::new(Vec::new());
            let note = |p: Progress<'_>| done.lock().unwrap().push(p.index);
            let error = pool(threads).install(|| extractor.try_extract_files(&paths, note));
            let text = error.unwrap_err().to_string();
            assert!(text.contains("5.wav"), "{threads} threads: {text}");
            let done = done.into_inner().unwrap();
            let before = (0..=5).all(|index| done.contains(&index));
            assert!(before, "{threads} threads finished only {done:?}");
        }
    }
}

#[test]
fn a_stopping_batch_starts_no_file_once_a_failure_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let good = clips(&dir).swap_remove(0);
    let mut paths = vec![good; 200];
    paths[0] = dir.path().join("absent.wav");
    let extractor = Extractor::new(config()).unwrap();
    for threads in [1, 2, 5] {
        let (finished, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        // A file that succeeds holds its thread until the bad one is known.
        let wait = |progress: Progress<'_>| {
            finished.fetch_add(1, Ordering::SeqCst);
            if progress.error.is_some() {
                failed.store(true, Ordering::SeqCst);
            }
            while !failed.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        };
        let result = pool(threads).install(|| extractor.try_extract_files(&paths, wait));
        assert!(result.unwrap_err().to_string().contains("absent.wav"));
        let finished = finished.into_inner();
        assert!((1..=threads).contains(&finished), "{threads}: {finished}");
    }
}
