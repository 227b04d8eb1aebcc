//! The iterator over a source's windows.

mod common;

use audio_frontend::{
    DecodeConfig, Error, Extractor, FeatureWindow, PipelineConfig, Result, SampleSource, Tail,
    WindowConfig, decode,
};
use common::{bits, fixture, hash_noise, write_wav};

const CONFIG: WindowConfig = WindowConfig {
    frames: Some(20),
    hop: Some(15),
    tail: Tail::Pad,
};

fn extractor() -> Extractor {
    Extractor::new(PipelineConfig::default()).unwrap()
}

fn all_at_once(samples: &[f32], rate: u32) -> Vec<FeatureWindow> {
    let source = std::iter::once(samples);
    let windows = extractor().windows(source, rate, &CONFIG).unwrap();
    windows.collect::<Result<_>>().unwrap()
}

fn assert_same(found: &[FeatureWindow], wanted: &[FeatureWindow]) {
    assert_eq!(found.len(), wanted.len());
    for (a, b) in found.iter().zip(wanted) {
        assert_eq!((a.start_frame, a.frames), (b.start_frame, b.frames));
        assert_eq!(bits(a.features.iter()), bits(b.features.iter()));
    }
}

/// Gives silence for ever, with an error or a bad sample after some blocks.
struct Broken {
    blocks: usize,
    last: fn(&mut Vec<f32>) -> Result<bool>,
}

impl SampleSource for Broken {
    fn read_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        if self.blocks == 0 {
            return (self.last)(block);
        }
        self.blocks -= 1;
        block.resize(1600, 0.0);
        Ok(true)
    }
}

#[test]
fn blocks_of_a_slice_and_of_another_thread_give_the_same_windows() {
    let samples = hash_noise(44_100);
    let wanted = all_at_once(&samples, 44_100);
    assert_eq!(wanted.len(), 7);

    let slices = extractor()
        .windows(samples.chunks(1000), 44_100, &CONFIG)
        .unwrap();
    assert_same(&slices.collect::<Result<Vec<_>>>().unwrap(), &wanted);

    let (sender, receiver) = std::sync::mpsc::channel::<Vec<f32>>();
    let recorder = std::thread::spawn(move || {
        for block in samples.chunks(441) {
            sender.send(block.to_vec()).unwrap();
        }
    });
    let live = extractor()
        .windows(receiver.into_iter(), 44_100, &CONFIG)
        .unwrap();
    assert_same(&live.collect::<Result<Vec<_>>>().unwrap(), &wanted);
    recorder.join().unwrap();
}

#[test]
fn empty_blocks_are_no_end() {
    let samples = hash_noise(16_000);
    let blocks = samples.chunks(700).flat_map(|block| [&[], block, &[]]);
    let windows = extractor().windows(blocks, 16_000, &CONFIG).unwrap();
    let found: Vec<_> = windows.collect::<Result<_>>().unwrap();
    assert_same(&found, &all_at_once(&samples, 16_000));
}

#[test]
fn an_error_comes_once_after_the_windows_before_it() {
    let lost: fn(&mut Vec<f32>) -> Result<bool> = |_| {
        Err(Error::Read {
            path: "microphone".into(),
            source: std::io::Error::other("unplugged"),
        })
    };
    let spoilt: fn(&mut Vec<f32>) -> Result<bool> = |block| {
        block.extend([0.0, f32::INFINITY]);
        Ok(true)
    };
    for (last, message) in [(lost, "unplugged"), (spoilt, "sample 8001 is inf")] {
        let source = Broken { blocks: 5, last };
        let mut windows = extractor().windows(source, 16_000, &CONFIG).unwrap();
        // 8000 samples: 48 frames, windows at 0 and 15.
        assert!(windows.next().unwrap().is_ok());
        assert!(windows.next().unwrap().is_ok());
        let error = windows.next().unwrap().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(windows.next().is_none() && windows.next().is_none());
    }
}

#[test]
fn the_windows_of_a_file_are_those_of_its_samples() {
    for name in [
        "stereo_16k_16bit.flac",
        "stereo_48k_24bit.flac",
        "stereo_44k.ogg",
    ] {
        let path = fixture(name);
        let audio = decode(&path, &DecodeConfig::default()).unwrap();
        let windows = extractor().windows_of_file(&path, &CONFIG).unwrap();
        let found: Vec<_> = windows.collect::<Result<_>>().unwrap();
        assert!(!found.is_empty());
        assert_same(&found, &all_at_once(&audio.samples, audio.sample_rate));
    }
}

#[test]
fn errors_of_a_file_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("short.wav");
    write_wav(&path, &[1; 399], 1, 16_000);
    let mut windows = extractor().windows_of_file(&path, &CONFIG).unwrap();
    let error = windows.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("short.wav"), "{error}");
    assert!(
        matches!(error, Error::InFile { ref source, .. } if matches!(**source, Error::TooShort { .. }))
    );

    let missing = dir.path().join("missing.wav");
    let error = extractor()
        .windows_of_file(&missing, &CONFIG)
        .err()
        .unwrap();
    assert!(error.to_string().contains("missing.wav"), "{error}");

    // What is there comes first, then the error of the file's end.
    let whole = dir.path().join("whole.wav");
    write_wav(&whole, &[1; 16_000], 1, 16_000);
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&path, &bytes[..24_000]).unwrap();
    let windows = extractor().windows_of_file(&path, &CONFIG).unwrap();
    let mut found: Vec<_> = windows.collect();
    let error = found.pop().unwrap().unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error}");
    assert!(!found.is_empty() && found.iter().all(Result::is_ok));
}

#[test]
fn a_source_shorter_than_a_frame_is_an_error() {
    let samples = [0.5; 399];
    let mut windows = extractor()
        .windows(samples.chunks(100), 16_000, &CONFIG)
        .unwrap();
    let error = windows.next().unwrap().unwrap_err();
    assert!(
        matches!(error, Error::TooShort { samples: 399, .. }),
        "{error}"
    );
    assert!(windows.next().is_none());
}
