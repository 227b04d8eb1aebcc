//! What is allocated, and how much memory is held at once.
//!
//! Counted per thread by the allocator of `allocation-counter`.

mod common;

use allocation_counter::{AllocationInfo, measure};
use audio_frontend::{
    Extractor, Fbank, FbankConfig, PipelineConfig, Resampler, Tail, WindowConfig, WindowStream,
};
use common::{hash_noise, write_wav};
use ndarray::Array2;

/// Samples of a block, no multiple of a frame's or a resampler's.
const BLOCK: usize = 1000;

fn stream(rate: u32, frames: usize, hop: usize) -> WindowStream {
    let config = WindowConfig {
        frames: Some(frames),
        hop: Some(hop),
        tail: Tail::Pad,
    };
    let extractor = Extractor::new(PipelineConfig::default()).unwrap();
    extractor.window_stream(rate, &config).unwrap()
}

/// Streams noise that is made block by block; the windows it became.
fn run(stream: &mut WindowStream, rate: u32, seconds: usize) -> usize {
    let block = hash_noise(BLOCK);
    let mut windows = 0;
    for _ in 0..seconds * rate as usize / BLOCK {
        stream.push(&block).unwrap();
        while stream.next_window().is_some() {
            windows += 1;
        }
    }
    stream.finish().unwrap();
    while stream.next_window().is_some() {
        windows += 1;
    }
    windows
}

fn streaming(rate: u32, seconds: usize) -> AllocationInfo {
    let mut windows = 0;
    let info = measure(|| windows = run(&mut stream(rate, 1024, 512), rate, seconds));
    // 100 frames per second less the last two.
    assert_eq!(windows, (100 * seconds - 2 - 1024).div_ceil(512) + 1);
    assert_eq!(info.bytes_current, 0);
    info
}

#[test]
fn the_counter_counts() {
    let info = measure(|| drop(std::hint::black_box(vec![0u8; 100])));
    assert_eq!((info.count_total, info.bytes_max), (1, 100));
}

#[test]
fn the_filter_bank_allocates_nothing() {
    let fbank = Fbank::new(FbankConfig::default()).unwrap();
    let mut scratch = fbank.scratch();
    for seconds in [1, 100] {
        let samples = hash_noise(16_000 * seconds);
        let mut output = Array2::zeros((fbank.config().num_frames(samples.len()), 128));
        let info = measure(|| {
            fbank
                .compute_into(&samples, &mut scratch, output.view_mut())
                .unwrap();
        });
        assert_eq!(info.count_total, 0, "{seconds} s");
    }
}

#[test]
fn streaming_needs_the_same_memory_for_any_length() {
    for rate in [16_000, 44_100] {
        let (short, long) = (streaming(rate, 20), streaming(rate, 20 * 60));
        println!(
            "{rate} Hz: {} bytes at most in 20 s, {} in 20 min",
            short.bytes_max, long.bytes_max
        );
        assert!(long.bytes_max <= short.bytes_max + 64, "{rate} Hz");
        // Two windows of 1024 frames, the one handed out, and buffers.
        let window = 1024 * 128 * 4;
        assert!(long.bytes_max < 3 * window + 300_000, "{rate} Hz");
    }
}

#[test]
fn a_window_costs_one_allocation() {
    for rate in [16_000, 44_100] {
        for (frames, hop) in [(100, 50), (100, 100), (64, 99), (1, 1)] {
            let mut stream = stream(rate, frames, hop);
            // Another signal first, for the buffers to reach their size.
            run(&mut stream, rate, 5);
            stream.reset();
            let block = hash_noise(BLOCK);
            for _ in 0..5 * rate as usize / BLOCK {
                let push = measure(|| stream.push(&block).unwrap());
                assert_eq!(push.count_total, 0, "{rate} Hz");
                let mut more = true;
                while more {
                    let info = measure(|| more = stream.next_window().is_some());
                    assert_eq!(info.count_total, u64::from(more), "{rate} Hz");
                }
            }
        }
    }
}

#[test]
fn resampling_block_by_block_allocates_nothing() {
    for rate in [8000, 22_050, 44_100, 48_000] {
        let mut resampler = Resampler::new(rate, 16_000).unwrap();
        let mut output = Vec::with_capacity(4 * 16_000);
        let info = measure(|| {
            for _ in 0..3 {
                for block in [&[0.1; BLOCK][..], &[0.2; 1], &[0.3; 5000]] {
                    resampler.push(block, &mut output).unwrap();
                }
                resampler.finish(&mut output).unwrap();
                output.clear();
            }
        });
        assert_eq!(info.count_total, 0, "{rate} Hz");
    }
}

#[test]
fn the_windows_of_a_file_need_the_same_memory_for_any_length() {
    let dir = tempfile::tempdir().unwrap();
    let extractor = Extractor::new(PipelineConfig::default()).unwrap();
    let peak = |seconds: usize| {
        let path = dir.path().join("long.wav");
        let noise = hash_noise(seconds * 44_100);
        let samples: Vec<i16> = noise.iter().map(|x| (x * 3e4) as i16).collect();
        write_wav(&path, &samples, 1, 44_100);
        let config = WindowConfig {
            frames: Some(100),
            hop: Some(100),
            tail: Tail::Drop,
        };
        let mut windows = 0;
        let info = measure(|| {
            let found = extractor.windows_of_file(&path, &config).unwrap();
            windows = found.map(Result::unwrap).count();
        });
        assert_eq!(windows, seconds - 1);
        info.bytes_max
    };
    let (short, long) = (peak(10), peak(100));
    println!("{short} bytes at most in 10 s, {long} in 100 s");
    assert!(long <= short + 64);
}
