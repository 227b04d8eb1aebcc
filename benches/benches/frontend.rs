//! The audio front end: decoding, resampling, log-mel energies, the whole way
//! from a file to the model's input, and many files on one and two threads.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use audio_frontend::{DecodeConfig, Extractor, Fbank, FbankConfig, Resampler, decode};
use benches::{noise, write_wav};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Length of the clips made here.
const SECONDS: usize = 10;
/// Files of a batch.
const BATCH: usize = 32;

/// Two WAV files in a temporary folder, which goes with this value.
struct Clips {
    folder: PathBuf,
    at_16k: PathBuf,
    at_44k: PathBuf,
}

impl Clips {
    fn new(name: &str) -> Self {
        let folder = format!("frontend-bench-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        let (at_16k, at_44k) = (folder.join("16k.wav"), folder.join("44k.wav"));
        for (path, rate) in [(&at_16k, 16_000), (&at_44k, 44_100)] {
            write_wav(path, &noise(SECONDS, rate as usize), rate)
                .expect("the temporary folder is writable");
        }
        Self {
            folder,
            at_16k,
            at_44k,
        }
    }
}

impl Drop for Clips {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Files to samples. Throughput in frames (samples per channel), because the
/// compressed files, fixtures of the front end's tests, are shorter.
fn decoding(criterion: &mut Criterion) {
    let clips = Clips::new("decode");
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/audio-frontend/tests/fixtures");
    let settings = DecodeConfig::default();
    let mut group = criterion.benchmark_group("decode");
    for (name, path) in [
        ("wav_16k_mono", clips.at_16k.clone()),
        ("wav_44k_mono", clips.at_44k.clone()),
        ("flac_16k_stereo", fixtures.join("stereo_16k_16bit.flac")),
        (
            "flac_48k_stereo_24bit",
            fixtures.join("stereo_48k_24bit.flac"),
        ),
        ("ogg_44k_stereo", fixtures.join("stereo_44k.ogg")),
    ] {
        let frames = decode(&path, &settings)
            .expect("the file is valid")
            .samples
            .len();
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function(name, |b| {
            b.iter(|| decode(black_box(&path), &settings).expect("the file is valid"));
        });
    }
    group.finish();
}

/// Samples to samples at 16 kHz; throughput in samples of the input.
fn resampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample_10s_to_16k");
    for rate in [8000, 22_050, 44_100, 48_000] {
        let mut resampler = Resampler::new(rate, 16_000).expect("the rates are valid");
        let samples = noise(SECONDS, rate as usize);
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function(format!("from_{rate}"), |b| {
            b.iter(|| {
                let done = resampler.process(black_box(&samples));
                done.expect("it resamples")
            });
        });
    }
    group.finish();
}

/// Samples to log-mel energies, and files to the model's input; throughput in
/// seconds of audio.
fn features(criterion: &mut Criterion) {
    let clips = Clips::new("features");
    let mut group = criterion.benchmark_group("frontend_10s");
    group.throughput(Throughput::Elements(SECONDS as u64));

    let fbank = Fbank::new(FbankConfig::default()).expect("the defaults are valid");
    let samples = noise(SECONDS, 16_000);
    group.bench_function("log_mel_128", |b| {
        b.iter(|| {
            fbank
                .compute(black_box(&samples))
                .expect("it is long enough")
        });
    });

    let extractor = Extractor::new(Default::default()).expect("the defaults are valid");
    group.bench_function("samples_to_input", |b| {
        b.iter(|| {
            extractor
                .extract(black_box(&samples), 16_000)
                .expect("it is long enough")
        });
    });
    for (name, path) in [
        ("file_to_input_16k", &clips.at_16k),
        ("file_to_input_44k", &clips.at_44k),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                extractor
                    .extract_file(black_box(path))
                    .expect("the file is valid")
            });
        });
    }
    group.finish();
}

/// Many files on a pool of one thread and of two; throughput in files.
fn batches(criterion: &mut Criterion) {
    let clips = Clips::new("batch");
    let paths = vec![clips.at_16k.clone(); BATCH];
    let extractor = Extractor::new(Default::default()).expect("the defaults are valid");
    let mut group = criterion.benchmark_group("batch_of_files_16k_10s");
    group.throughput(Throughput::Elements(BATCH as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().expect("threads can be started");
        group.bench_function(format!("threads_{threads}"), |b| {
            b.iter(|| pool.install(|| extractor.extract_files(black_box(&paths), |_| {})));
        });
    }
    group.finish();
}

criterion_group!(benches, decoding, resampling, features, batches);
criterion_main!(benches);
