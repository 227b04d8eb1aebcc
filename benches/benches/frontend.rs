//! The audio front end: decoding, resampling, log-mel energies, the whole way
//! from a file to the model's input, streams of windows, and many files on one
//! and two threads.
//!
//! Compressed files are made with the ffmpeg that `SOFT_MOA_FFMPEG` names or
//! the one on PATH; without it, and where it lacks an encoder, they are left
//! out and named.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use audio_frontend::{
    DecodeConfig, Extractor, Fbank, FbankConfig, Resampler, WindowConfig, decode,
};
use benches::{noise, write_wav};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Length of the clips made here.
const SECONDS: usize = 10;
/// Files of a batch.
const BATCH: usize = 32;
/// Samples that a live source gives at a time.
const BLOCK: usize = 4096;
/// Name, file ending and encoder of every compressed file, made of 10 s at
/// 44.1 kHz, stereo where the name does not say otherwise.
const COMPRESSED: [(&str, &str, &str); 7] = [
    ("flac_16k_mono", "flac", "-ac 1 -ar 16000 -c:a flac"),
    ("flac_44k_stereo", "flac", "-c:a flac"),
    ("ogg_44k_stereo", "ogg", "-c:a libvorbis -q:a 4"),
    ("mp3_44k_stereo", "mp3", "-c:a libmp3lame -b:a 128k"),
    ("aac_m4a_44k_stereo", "m4a", "-c:a aac -b:a 128k"),
    ("alac_m4a_44k_stereo", "m4a", "-c:a alac"),
    ("aiff_44k_stereo", "aiff", "-c:a pcm_s16be"),
];

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

/// The compressed files that can be made here, with their names.
fn compressed(clips: &Clips) -> Vec<(&'static str, PathBuf)> {
    let named = std::env::var_os("SOFT_MOA_FFMPEG");
    let program = named.unwrap_or_else(|| "ffmpeg".into());
    let mut made = Vec::new();
    for (name, ending, encoder) in COMPRESSED {
        let path = clips.folder.join(format!("{name}.{ending}"));
        let mut command = Command::new(&program);
        command.args(["-nostdin", "-loglevel", "error", "-y", "-i"]);
        command.arg(&clips.at_44k).args(["-ac", "2"]);
        command.args(encoder.split_whitespace()).arg(&path);
        match command.output() {
            Ok(output) if output.status.success() => made.push((name, path)),
            Ok(output) => {
                let complaint = String::from_utf8_lossy(&output.stderr);
                eprintln!("left out: decode/{name}: {}", complaint.trim());
            }
            Err(error) => eprintln!(
                "left out: decode/{name}: {}: {error}",
                program.to_string_lossy()
            ),
        }
    }
    made
}

/// Files to samples. Throughput in frames (samples per channel), because rates
/// differ. The last is a fixture of the front end's tests and a fraction of a
/// second long: the time to open a file.
fn decoding(criterion: &mut Criterion) {
    let clips = Clips::new("decode");
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/audio-frontend/tests/fixtures");
    let settings = DecodeConfig::default();
    let mut group = criterion.benchmark_group("decode");
    let mut files = vec![
        ("wav_16k_mono", clips.at_16k.clone()),
        ("wav_44k_mono", clips.at_44k.clone()),
    ];
    files.extend(compressed(&clips));
    files.push(("short_flac_48k", fixtures.join("stereo_48k_24bit.flac")));
    for (name, path) in files {
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

/// The path of long recordings and live sources, to windows with the default
/// settings; throughput in seconds of audio.
fn streams(criterion: &mut Criterion) {
    let clips = Clips::new("stream");
    let extractor = Extractor::new(Default::default()).expect("the defaults are valid");
    let windows = WindowConfig::default();
    let mut group = criterion.benchmark_group("stream_10s");
    group.throughput(Throughput::Elements(SECONDS as u64));
    for (name, rate) in [("window_stream_16k", 16_000), ("window_stream_44k", 44_100)] {
        let samples = noise(SECONDS, rate as usize);
        let mut stream = extractor
            .window_stream(rate, &windows)
            .expect("the settings are valid");
        group.bench_function(name, |b| {
            b.iter(|| {
                stream.reset();
                for block in black_box(&samples).chunks(BLOCK) {
                    stream.push(block).expect("the samples are valid");
                    while let Some(window) = stream.next_window() {
                        black_box(window);
                    }
                }
                stream.finish().expect("it is long enough");
                while let Some(window) = stream.next_window() {
                    black_box(window);
                }
            });
        });
    }
    for (name, path) in [
        ("windows_of_file_16k", &clips.at_16k),
        ("windows_of_file_44k", &clips.at_44k),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let windows = extractor.windows_of_file(black_box(path), &windows);
                for window in windows.expect("the file is valid") {
                    black_box(window.expect("the file is valid"));
                }
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

criterion_group!(benches, decoding, resampling, features, streams, batches);
criterion_main!(benches);
