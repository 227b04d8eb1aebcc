//! Which rates are converted, and what that may cost in memory.

use allocation_counter::measure;
use audio_frontend::{Error, Extractor, PipelineConfig, Resampler, WindowConfig, resample};

/// The largest prime below 2³², which has no divisor in common with any rate.
const PRIME: u32 = 4_294_967_291;

fn extractor() -> Extractor {
    Extractor::new(PipelineConfig::default()).unwrap()
}

#[test]
fn rates_that_no_recording_has_are_refused_before_anything_is_planned() {
    let extractor = extractor();
    let samples = [0.5; 1000];
    let info = measure(|| {
        for rate in [0, 768_001, PRIME, u32::MAX] {
            let errors = [
                Resampler::new(rate, 16_000).err(),
                Resampler::new(16_000, rate).err(),
                Resampler::new(rate, rate).err(),
                resample(&samples, rate, 16_000).err(),
                extractor.extract(&samples, rate).err(),
                extractor.log_mel(&samples, rate).err(),
                extractor.log_mel_stream(rate).err(),
                extractor
                    .window_stream(rate, &WindowConfig::default())
                    .err(),
            ];
            for error in errors {
                let error = error.unwrap();
                assert!(matches!(error, Error::Resample { .. }), "{error}");
                assert!(error.to_string().contains("768000"), "{error}");
            }
        }
    });
    assert!(info.bytes_max < 10_000_000, "{} bytes", info.bytes_max);
}

#[test]
fn rates_too_far_apart_are_refused() {
    for (from, to) in [(1, 768_000), (768_000, 1), (20, 768_000)] {
        let error = Resampler::new(from, to).err().unwrap().to_string();
        assert!(error.contains("too far apart"), "{error}");
    }
}

#[test]
fn the_worst_rate_of_a_file_is_converted_within_200_megabytes() {
    // A prime next to the highest rate: its period is a whole second.
    let mut length = 0;
    let info = measure(|| {
        let output = extractor().log_mel(&vec![0.1; 400_000], 767_957).unwrap();
        length = output.nrows();
    });
    assert_eq!(length, 50); // 8334 samples
    println!("{} bytes at most", info.bytes_max);
    assert!(info.bytes_max < 200_000_000, "{} bytes", info.bytes_max);
}
