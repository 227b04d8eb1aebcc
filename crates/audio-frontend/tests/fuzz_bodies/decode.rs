//! What must hold for any bytes whatever; the body of the property tests in
//! `tests/fuzz.rs` and of the fuzz target in `fuzz/`.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use audio_frontend::{Audio, AudioReader, DecodeConfig, Error, Limits, decode_bytes};

/// Small enough for a fuzzer: a minute of two channels at 48 kHz.
fn limits() -> Limits {
    Limits {
        max_seconds: 60.0,
        max_channels: 8,
        max_samples: 6_000_000,
        ..Limits::default()
    }
}

static WATCHED: Once = Once::new();
static OWN_PANIC: AtomicBool = AtomicBool::new(false);

/// The crate turns any panic while it decodes into an error. Those of the
/// decoders it uses are handled by that and stay silent here; one of its own
/// code is a finding.
fn watch_panics() {
    WATCHED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", |place| place.file());
            let trace = || std::backtrace::Backtrace::force_capture().to_string();
            match culprit(file, trace) {
                Culprit::Decoder => return,
                Culprit::Crate => OWN_PANIC.store(true, Ordering::Relaxed),
                Culprit::Test => {}
            }
            before(info);
        }));
    });
}

/// Whose code panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// symphonia.
    Decoder,
    /// This crate.
    Crate,
    /// What checks the outcome.
    Test,
}

/// `file` is where the panic arose. The standard library panics on behalf of
/// its caller, whom the backtrace names.
pub fn culprit(file: &str, trace: impl FnOnce() -> String) -> Culprit {
    if file.contains("symphonia") {
        return Culprit::Decoder;
    }
    if file.contains("src/decode") {
        return Culprit::Crate;
    }
    if !(file.starts_with("library/") || file.contains("/library/")) {
        return Culprit::Test;
    }
    let caller = |line: &str| {
        let of = |name: &str| line.find(name).unwrap_or(usize::MAX);
        let (decoder, own) = (of("symphonia"), of("audio_frontend::"));
        match decoder.cmp(&own) {
            std::cmp::Ordering::Less => Some(Culprit::Decoder),
            std::cmp::Ordering::Greater => Some(Culprit::Crate),
            std::cmp::Ordering::Equal => None,
        }
    };
    // Nobody named: better one finding too many.
    trace().lines().find_map(caller).unwrap_or(Culprit::Crate)
}

/// Decodes `bytes` in every way.
///
/// # Panics
/// If the outcome breaks a promise of the crate.
pub fn decode_any(bytes: &[u8]) {
    watch_panics();
    let strict = DecodeConfig {
        limits: limits(),
        ..DecodeConfig::default()
    };
    let lenient = DecodeConfig {
        allow_truncated: true,
        ..strict.clone()
    };
    let whole = decode_bytes("fuzz", bytes.to_vec(), &strict);
    let what_there_is = decode_bytes("fuzz", bytes.to_vec(), &lenient);
    check(&whole);
    check(&what_there_is);
    // To allow more never gives fewer samples, nor others.
    if let (Ok(whole), lenient) = (&whole, &what_there_is) {
        assert_eq!(lenient.as_ref().ok(), Some(whole));
    }
    assert_eq!(in_blocks(bytes, &strict), whole.map_err(|e| e.to_string()));
    assert!(
        !OWN_PANIC.load(Ordering::Relaxed),
        "not the decoder's panic"
    );
}

fn check(outcome: &Result<Audio, Error>) {
    match outcome {
        Ok(audio) => {
            let limits = limits();
            assert!(!audio.samples.is_empty());
            assert!(audio.samples.iter().all(|sample| sample.is_finite()));
            assert!(audio.seconds() <= limits.max_seconds);
            assert!(audio.samples.len() as u64 <= limits.max_samples);
            let rates = limits.min_sample_rate..=limits.max_sample_rate;
            assert!(rates.contains(&audio.sample_rate));
        }
        Err(error) => assert!(error.to_string().contains("fuzz"), "{error}"),
    }
}

fn in_blocks(bytes: &[u8], config: &DecodeConfig) -> Result<Audio, String> {
    let reader = AudioReader::from_bytes("fuzz", bytes.to_vec(), config);
    let mut reader = reader.map_err(|e| e.to_string())?;
    let sample_rate = reader.sample_rate();
    assert!(sample_rate > 0);
    let mut samples = Vec::new();
    let outcome = loop {
        match reader.next_block() {
            Ok(Some(block)) => {
                assert!(!block.is_empty());
                samples.extend_from_slice(block);
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.to_string()),
        }
    };
    // Over is over, after an error too.
    assert!(matches!(reader.next_block(), Ok(None)));
    assert_eq!(reader.sample_rate(), sample_rate);
    outcome.map(|()| Audio {
        samples,
        sample_rate,
    })
}
