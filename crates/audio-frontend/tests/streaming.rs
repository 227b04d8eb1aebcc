//! A stream gives what the whole signal gives, to the bit.

mod common;

use audio_frontend::{
    AstFeatures, Error, Extractor, FbankConfig, FeatureWindow, PipelineConfig, Resampler, Tail,
    WindowConfig, WindowStream, resample,
};
use common::{bits, hash_noise, pieces};
use ndarray::{Array2, Axis, Slice, s};
use proptest::prelude::*;

const RATES: [u32; 6] = [8000, 11_025, 16_000, 22_050, 44_100, 48_000];

fn extractor() -> Extractor {
    Extractor::new(PipelineConfig::default()).unwrap()
}

fn windows(frames: usize, hop: usize, tail: Tail) -> WindowConfig {
    WindowConfig {
        frames: Some(frames),
        hop: Some(hop),
        tail,
    }
}

/// The windows by their definition, from the log-mel energies of the whole
/// signal.
fn expected(whole: &Array2<f32>, config: &WindowConfig) -> Vec<FeatureWindow> {
    let ast = AstFeatures::new(PipelineConfig::default().ast).unwrap();
    let total = whole.nrows();
    let (frames, hop) = (config.frames.unwrap(), config.hop.unwrap());
    let mut seen = vec![false; total];
    let mut found = Vec::new();
    for start in (0..total).step_by(hop) {
        let end = (start + frames).min(total);
        let full = start + frames <= total;
        let holds_new = seen[start..end].contains(&false);
        if !full && (config.tail == Tail::Drop || !holds_new) {
            continue;
        }
        seen[start..end].fill(true);
        let mut features = Array2::zeros((frames, whole.ncols()));
        let rows = whole.slice_axis(Axis(0), Slice::from(start..end));
        features.slice_mut(s![..end - start, ..]).assign(&rows);
        ast.normalise(features.view_mut());
        found.push(FeatureWindow {
            start_frame: start as u64,
            start_seconds: start as f64 * 0.01,
            frames: end - start,
            features,
        });
    }
    found
}

/// Pushes `samples` in pieces of the given sizes, in turn, and takes windows
/// as they come.
fn streamed(stream: &mut WindowStream, samples: &[f32], sizes: &[usize]) -> Vec<FeatureWindow> {
    let mut found = Vec::new();
    for piece in pieces(samples, sizes) {
        stream.push(piece).unwrap();
        found.extend(std::iter::from_fn(|| stream.next_window()));
    }
    stream.finish().unwrap();
    found.extend(std::iter::from_fn(|| stream.next_window()));
    found
}

fn assert_same(found: &[FeatureWindow], wanted: &[FeatureWindow]) {
    assert_eq!(found.len(), wanted.len());
    for (a, b) in found.iter().zip(wanted) {
        assert_eq!((a.start_frame, a.frames), (b.start_frame, b.frames));
        assert!((a.start_seconds - b.start_seconds).abs() < 1e-9);
        assert_eq!(a.features.dim(), b.features.dim());
        assert_eq!(bits(a.features.iter()), bits(b.features.iter()));
    }
}

fn rate() -> impl Strategy<Value = u32> {
    prop::sample::select(RATES.to_vec())
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![Just(1usize), 1usize..50, 50usize..3000, Just(1_000_000)];
    prop::collection::vec(size, 1..6)
}

fn tail() -> impl Strategy<Value = Tail> {
    prop::sample::select(vec![Tail::Pad, Tail::Drop])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn windows_are_the_rows_of_the_whole_signal(
        rate in rate(),
        seconds in 0.03f64..1.2,
        sizes in sizes(),
        frames in 1usize..50,
        hop in 1usize..80,
        tail in tail(),
    ) {
        let (extractor, config) = (extractor(), windows(frames, hop, tail));
        let samples = hash_noise((seconds * f64::from(rate)) as usize);
        let whole = extractor.log_mel(&samples, rate).unwrap();
        let mut stream = extractor.window_stream(rate, &config).unwrap();
        let found = streamed(&mut stream, &samples, &sizes);
        assert_same(&found, &expected(&whole, &config));
    }

    #[test]
    fn any_framing_can_be_streamed(
        frame_length in 2usize..700,
        frame_shift in 1usize..1000,
        bins in 1usize..40,
        seconds in 0.1f64..0.4,
        sizes in sizes(),
        frames in 1usize..20,
        hop in 1usize..30,
    ) {
        let fbank = FbankConfig { frame_length, frame_shift, num_mel_bins: bins, ..FbankConfig::default() };
        let config = PipelineConfig { fbank, ..PipelineConfig::default() };
        let extractor = Extractor::new(config).unwrap();
        let samples = hash_noise((seconds * 44_100.0) as usize);
        let whole = extractor.log_mel(&samples, 44_100).unwrap();
        let config = windows(frames, hop, Tail::Pad);
        let mut stream = extractor.window_stream(44_100, &config).unwrap();
        let found = streamed(&mut stream, &samples, &sizes);
        let mut wanted = expected(&whole, &config);
        for window in &mut wanted {
            window.start_seconds *= frame_shift as f64 / 160.0;
        }
        assert_same(&found, &wanted);
    }

    #[test]
    fn frames_read_in_any_portions_are_those_of_the_whole_signal(
        rate in rate(),
        sizes in sizes(),
        portions in prop::collection::vec(1usize..40, 1..5),
        skips in prop::collection::vec(0u64..30, 1..5),
    ) {
        let extractor = extractor();
        let samples = hash_noise(rate as usize);
        let whole = extractor.log_mel(&samples, rate).unwrap();
        let mut stream = extractor.log_mel_stream(rate).unwrap();
        let (mut portions, mut skips) = (portions.iter().cycle(), skips.iter().cycle());
        let mut read_all = |stream: &mut audio_frontend::LogMelStream| {
            while stream.ready() > 0 {
                let mut rows = Array2::zeros((*portions.next().unwrap(), 128));
                let first = stream.next_frame() as usize;
                let count = stream.read(rows.view_mut()).unwrap();
                let wanted = whole.slice(s![first..first + count, ..]);
                assert_eq!(bits(rows.slice(s![..count, ..]).iter()), bits(wanted.iter()));
                stream.skip(*skips.next().unwrap());
            }
        };
        for piece in pieces(&samples, &sizes) {
            stream.push(piece).unwrap();
            read_all(&mut stream);
        }
        stream.finish().unwrap();
        read_all(&mut stream);
        prop_assert!(stream.next_frame() as usize >= whole.nrows());
    }

    #[test]
    fn samples_of_any_kind_never_panic(
        rate in 1u32..100_000,
        samples in prop::collection::vec(prop::num::f32::ANY, 0..2000),
        sizes in sizes(),
    ) {
        let mut stream = extractor().window_stream(rate, &windows(2, 1, Tail::Pad)).unwrap();
        for piece in pieces(&samples, &sizes) {
            let finite = piece.iter().all(|x| x.is_finite());
            prop_assert_eq!(stream.push(piece).is_ok(), finite);
        }
        if stream.finish().is_ok() {
            prop_assert!(stream.next_window().is_some());
        }
    }
}

#[test]
fn a_sample_at_a_time_gives_the_same_windows() {
    let (extractor, config) = (extractor(), windows(20, 9, Tail::Pad));
    for rate in RATES {
        let samples = hash_noise(rate as usize / 2 + 7);
        let whole = extractor.log_mel(&samples, rate).unwrap();
        let mut stream = extractor.window_stream(rate, &config).unwrap();
        let found = streamed(&mut stream, &samples, &[1]);
        assert_same(&found, &expected(&whole, &config));
    }
}

#[test]
fn a_short_clip_is_padded_as_the_whole_form_does() {
    let samples = hash_noise(32_000);
    let extractor = extractor();
    let mut stream = extractor
        .window_stream(16_000, &WindowConfig::default())
        .unwrap();
    let found = streamed(&mut stream, &samples, &[1000]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].frames, 198);
    let input = extractor.extract(&samples, 16_000).unwrap();
    assert_eq!(bits(found[0].features.iter()), bits(input.iter()));
}

#[test]
fn a_signal_that_fills_its_windows_has_no_padded_one() {
    for (frames, hop) in [(25, 25), (50, 25), (100, 100)] {
        let config = windows(frames, hop, Tail::Pad);
        let mut stream = extractor().window_stream(16_000, &config).unwrap();
        // 100 frames: 399 samples more would still be.
        let samples = hash_noise(400 + 99 * 160 + 159);
        let found = streamed(&mut stream, &samples, &[777]);
        assert_eq!(found.len(), (100 - frames) / hop + 1);
        assert!(found.iter().all(|window| window.frames == frames));
    }
}

#[test]
fn frames_in_a_gap_make_no_window() {
    // Windows at 0 and 30; the signal ends in the gap between them.
    let mut stream = extractor()
        .window_stream(16_000, &windows(10, 30, Tail::Pad))
        .unwrap();
    let found = streamed(&mut stream, &hash_noise(400 + 24 * 160), &[333]);
    assert_eq!(found.len(), 1);
}

#[test]
fn a_window_can_be_taken_with_its_last_sample() {
    let config = windows(10, 5, Tail::Drop);
    let mut stream = extractor().window_stream(16_000, &config).unwrap();
    let needed = 400 + 9 * 160;
    let samples = hash_noise(needed + 5 * 160);
    stream.push(&samples[..needed - 1]).unwrap();
    assert!(stream.next_window().is_none());
    stream.push(&samples[needed - 1..needed]).unwrap();
    assert_eq!(stream.next_window().unwrap().start_frame, 0);
    stream.push(&samples[needed..needed + 5 * 160 - 1]).unwrap();
    assert!(stream.next_window().is_none());
    stream.push(&samples[needed + 5 * 160 - 1..]).unwrap();
    assert_eq!(stream.next_window().unwrap().start_frame, 5);
    assert_eq!(stream.latency_seconds(), 0.0);
}

#[test]
fn a_signal_without_one_frame_is_the_error_of_the_whole_form() {
    let extractor = extractor();
    for (rate, samples) in [(16_000, 399), (44_100, 1099), (8000, 0)] {
        let samples = hash_noise(samples);
        let whole = extractor.log_mel(&samples, rate).unwrap_err();
        let mut stream = extractor
            .window_stream(rate, &WindowConfig::default())
            .unwrap();
        stream.push(&samples).unwrap();
        let error = stream.finish().unwrap_err();
        assert!(matches!(error, Error::TooShort { .. }), "{error}");
        assert_eq!(error.to_string(), whole.to_string());
        assert!(stream.next_window().is_none());
        // Asking again does not make it a good signal.
        let again = stream.finish().unwrap_err();
        assert_eq!(again.to_string(), whole.to_string());
    }
}

#[test]
fn a_bad_sample_is_named_by_its_place_in_the_stream_and_its_block_refused() {
    let (extractor, config) = (extractor(), windows(10, 10, Tail::Pad));
    let samples = hash_noise(5000);
    let mut stream = extractor.window_stream(44_100, &config).unwrap();
    stream.push(&samples[..3000]).unwrap();
    let error = stream.push(&[0.5, f32::NAN, 0.5]).unwrap_err();
    assert!(
        matches!(error, Error::NotFinite { index: 3001, .. }),
        "{error}"
    );
    let found = streamed(&mut stream, &samples[3000..], &[400]);
    let whole = extractor.log_mel(&samples, 44_100).unwrap();
    assert_same(&found, &expected(&whole, &config));
}

#[test]
fn a_finished_stream_takes_samples_again_after_a_reset() {
    let (extractor, config) = (extractor(), windows(30, 20, Tail::Pad));
    let (first, second) = (hash_noise(50_000), hash_noise(40_000));
    let mut stream = extractor.window_stream(44_100, &config).unwrap();
    streamed(&mut stream, &first, &[1234]);
    let error = stream.push(&second).unwrap_err();
    assert!(matches!(error, Error::StreamEnded), "{error}");
    // Once from a finished stream, once from the middle of another signal.
    for _ in 0..2 {
        stream.reset();
        let found = streamed(&mut stream, &second, &[999]);
        let whole = extractor.log_mel(&second, 44_100).unwrap();
        assert_same(&found, &expected(&whole, &config));
        stream.reset();
        stream.push(&first).unwrap();
        stream.next_window().unwrap();
    }
}

#[test]
fn window_settings_are_checked_and_read_from_text() {
    for (field, config) in [
        ("frames", windows(0, 1, Tail::Pad)),
        ("hop", windows(1, 0, Tail::Pad)),
        ("hop", windows(1, 1_000_001, Tail::Pad)),
    ] {
        let text = config.validate().unwrap_err().to_string();
        assert!(text.starts_with(field), "{text}");
        assert!(extractor().window_stream(16_000, &config).is_err());
    }
    let config: WindowConfig = toml::from_str("hop = 1024\ntail = \"drop\"\n").unwrap();
    let wanted = WindowConfig {
        frames: None,
        ..windows(1, 1024, Tail::Drop)
    };
    assert_eq!(config, wanted);
    let text = toml::to_string(&wanted).unwrap();
    assert_eq!(toml::from_str::<WindowConfig>(&text).unwrap(), wanted);
    assert!(toml::from_str::<WindowConfig>("overlap = 2\n").is_err());
}

#[test]
fn windows_have_the_length_of_the_model_unless_told_otherwise() {
    let mut config = PipelineConfig::default();
    for (max_length, hop) in [(100, 50), (35, 18), (1, 1)] {
        config.ast.max_length = max_length;
        let extractor = Extractor::new(config.clone()).unwrap();
        let mut stream = extractor
            .window_stream(16_000, &WindowConfig::default())
            .unwrap();
        assert_eq!((stream.frames(), stream.hop()), (max_length, hop));
        let found = streamed(&mut stream, &hash_noise(32_000), &[1000]);
        assert!(found.iter().all(|w| w.features.dim() == (max_length, 128)));
        assert_eq!(found[1].start_frame, hop as u64);
    }
}

#[test]
fn a_stream_built_from_settings_is_that_of_the_extractor() {
    let (settings, config) = (PipelineConfig::default(), windows(30, 20, Tail::Pad));
    let samples = hash_noise(50_000);
    let mut alone =
        WindowStream::new(settings.fbank, settings.ast, 44_100, config.clone()).unwrap();
    let mut shared = extractor().window_stream(44_100, &config).unwrap();
    let found = streamed(&mut alone, &samples, &[1234]);
    assert_same(&found, &streamed(&mut shared, &samples, &[1234]));
    let text = format!("{alone:?}");
    assert!(
        text.contains("hop: 20") && text.contains("from: 44100"),
        "{text}"
    );
}

#[test]
fn a_rate_of_zero_is_an_error() {
    let error = extractor().log_mel_stream(0).err().unwrap();
    assert!(matches!(error, Error::Resample { from: 0, .. }), "{error}");
}

#[test]
fn resampling_keeps_no_sample_longer_than_it_says() {
    for rate in RATES {
        let mut resampler = Resampler::new(rate, 16_000).unwrap();
        let latency = resampler.latency_seconds();
        assert!(latency <= 0.121, "{rate} Hz: {latency} s");
        let mut output = Vec::new();
        for pushed in 1..2 * rate {
            resampler.push(&[0.1], &mut output).unwrap();
            let lag = f64::from(pushed) / f64::from(rate) - output.len() as f64 / 16_000.0;
            assert!(lag <= latency + 1e-9, "{rate} Hz: {lag} s");
        }
        let samples = vec![0.1; 2 * rate as usize - 1];
        resampler.finish(&mut output).unwrap();
        let whole = resample(&samples, rate, 16_000).unwrap();
        assert_eq!(bits(&output), bits(&whole));
    }
}
