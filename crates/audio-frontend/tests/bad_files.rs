//! Files that are not what they seem: every one is an error that names it.

mod common;

use std::path::{Path, PathBuf};

use audio_frontend::{DecodeConfig, Error, Extractor, Limits, decode, decode_bytes};
use common::{fixture, plain, write_float_wav, write_wav};
use proptest::prelude::*;

fn damaged_copy(dir: &tempfile::TempDir, name: &str, change: impl Fn(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(fixture(name)).unwrap();
    change(&mut bytes);
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The message must name the file; gives the message back.
fn message(error: &Error, path: &Path) -> String {
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    text
}

fn small_wav() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.wav");
    write_wav(&path, &[1000, -1000, 20, 3].repeat(500), 2, 16_000);
    std::fs::read(&path).unwrap()
}

#[test]
fn missing_and_unreadable_paths_are_read_errors() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("absent.wav"), dir.path().to_path_buf()] {
        let error = plain(&path).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error:?}");
        assert!(message(&error, &path).contains("check that the path exists"));
    }
}

#[test]
fn an_empty_file_is_said_to_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty.wav");
    std::fs::write(&path, b"").unwrap();
    let error = plain(&path).unwrap_err();
    assert!(matches!(error, Error::Empty { .. }), "{error:?}");
    assert!(message(&error, &path).contains("again"));
}

#[test]
fn text_images_and_headers_alone_are_not_audio() {
    let dir = tempfile::tempdir().unwrap();
    let contents: [(&str, &[u8]); 4] = [
        (
            "notes.wav",
            b"These are my notes on the recording session.\n",
        ),
        ("page.flac", &[b'x'; 5000]),
        ("header.wav", b"RIFF\x24\0\0\0WAVE"),
        ("marker.ogg", b"OggS\0\x02"),
    ];
    for (name, bytes) in contents {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = plain(&path).unwrap_err();
        assert!(matches!(error, Error::NotAudio { .. }), "{name}: {error:?}");
        assert!(message(&error, &path).contains("convert it"));
    }
}

#[test]
fn a_wav_without_samples_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.wav");
    write_wav(&path, &[], 1, 16_000);
    let error = plain(&path).unwrap_err();
    assert!(matches!(error, Error::NoSamples { .. }), "{error:?}");
    message(&error, &path);
}

#[test]
fn nan_and_infinity_are_reported_with_their_position() {
    let dir = tempfile::tempdir().unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let path = dir.path().join("bad.wav");
        let mut samples = vec![0.1; 3000];
        samples[2500] = bad;
        write_float_wav(&path, &samples);
        let error = plain(&path).unwrap_err();
        let text = message(&error, &path);
        assert!(text.contains("sample 2500"), "{text}");
    }
}

#[test]
fn a_truncated_wav_is_an_error_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.wav");
    write_wav(&path, &[1000; 10_000], 1, 16_000);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 7001]).unwrap();
    let error = plain(&path).unwrap_err();
    let Error::Truncated {
        declared, decoded, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(declared, 10_000);
    assert!((1..=6500).contains(&decoded), "{decoded}");
    assert!(message(&error, &path).contains("allow_truncated"));

    let config = DecodeConfig {
        allow_truncated: true,
        ..DecodeConfig::default()
    };
    let audio = decode(&path, &config).unwrap();
    assert_eq!(audio.samples.len() as u64, decoded);
}

#[test]
fn a_wav_cut_down_to_its_header_is_an_error_even_if_truncation_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.wav");
    write_wav(&path, &[1000; 10_000], 1, 16_000);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..44]).unwrap();
    assert!(matches!(
        plain(&path),
        Err(Error::Truncated { decoded: 0, .. })
    ));
    let config = DecodeConfig {
        allow_truncated: true,
        ..DecodeConfig::default()
    };
    assert!(matches!(
        decode(&path, &config),
        Err(Error::NoSamples { .. })
    ));
}

#[test]
fn a_streamed_wav_of_unknown_length_is_an_error_unless_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("streamed.wav");
    write_wav(&path, &[1000; 11_520], 1, 16_000);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..8].fill(0xff);
    bytes[40..44].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let error = plain(&path).unwrap_err();
    assert!(matches!(error, Error::UnknownLength { .. }), "{error:?}");
    message(&error, &path);
}

#[test]
fn truncated_flac_and_ogg_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "stereo_16k_16bit.flac",
        "stereo_48k_24bit.flac",
        "stereo_44k.ogg",
    ] {
        for keep in [0.95, 0.8, 0.6] {
            let path = damaged_copy(&dir, name, |bytes| {
                bytes.truncate((bytes.len() as f64 * keep) as usize);
            });
            let error = plain(&path).expect_err(name);
            let told = matches!(
                error,
                Error::Truncated { .. }
                    | Error::UnknownLength { .. }
                    | Error::Damaged { .. }
                    | Error::NoSamples { .. }
                    | Error::NotAudio { .. }
            );
            assert!(told, "{name} {keep}: {error:?}");
            message(&error, &path);
        }
    }
}

#[test]
fn a_flipped_byte_in_a_flac_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = damaged_copy(&dir, "stereo_16k_16bit.flac", |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    });
    let error = plain(&path).unwrap_err();
    assert!(
        matches!(error, Error::Truncated { .. } | Error::Damaged { .. }),
        "{error:?}"
    );
}

#[test]
fn every_limit_is_enforced_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("two.wav");
    write_wav(&path, &[100; 32_000], 2, 16_000);
    let limits = [
        (
            Limits {
                max_seconds: 0.9,
                ..Limits::default()
            },
            "duration",
        ),
        (
            Limits {
                max_channels: 1,
                ..Limits::default()
            },
            "channels",
        ),
        (
            Limits {
                max_sample_rate: 15_999,
                ..Limits::default()
            },
            "rate",
        ),
        (
            Limits {
                min_sample_rate: 16_001,
                ..Limits::default()
            },
            "rate",
        ),
        (
            Limits {
                max_samples: 31_999,
                ..Limits::default()
            },
            "samples",
        ),
    ];
    for (limits, what) in limits {
        let config = DecodeConfig {
            limits,
            ..DecodeConfig::default()
        };
        let error = decode(&path, &config).unwrap_err();
        assert!(matches!(error, Error::Limit { .. }), "{what}: {error:?}");
        let text = message(&error, &path);
        assert!(
            text.contains(what) && text.contains("raise the limit"),
            "{text}"
        );
    }
    let exact = Limits {
        max_seconds: 1.0,
        max_channels: 2,
        min_sample_rate: 16_000,
        max_sample_rate: 16_000,
        max_samples: 32_000,
    };
    let config = DecodeConfig {
        limits: exact,
        ..DecodeConfig::default()
    };
    assert_eq!(decode(&path, &config).unwrap().samples.len(), 16_000);
}

#[test]
fn limits_hold_when_the_header_does_not_tell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("streamed.wav");
    write_wav(&path, &[1000; 48_000], 1, 16_000);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4..8].fill(0xff);
    bytes[40..44].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let config = DecodeConfig {
        limits: Limits {
            max_seconds: 1.0,
            ..Limits::default()
        },
        allow_truncated: true,
        ..DecodeConfig::default()
    };
    let error = decode(&path, &config).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error:?}");
}

#[test]
fn a_clip_shorter_than_one_frame_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("click.wav");
    write_wav(&path, &[1000; 399], 1, 16_000);
    let error = Extractor::new(Default::default())
        .unwrap()
        .extract_file(&path);
    let error = error.unwrap_err();
    let text = message(&error, &path);
    assert!(
        text.contains("399 samples") && text.contains("400"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_files_never_panic_and_never_give_what_is_not_finite(
        name in prop::sample::select(vec![
            "stereo_16k_16bit.flac", "stereo_48k_24bit.flac", "stereo_44k.ogg", "pcm.wav",
        ]),
        damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..12),
        keep in 0.0f64..1.3,
        allow_truncated: bool,
    ) {
        let mut bytes = if name == "pcm.wav" {
            small_wav()
        } else {
            std::fs::read(fixture(name)).unwrap()
        };
        for (place, value) in damage {
            // Headers are short and matter most, so half of the damage goes there.
            let reach = if value % 2 == 0 { bytes.len().min(100) } else { bytes.len() };
            bytes[(place * reach as f64) as usize] = value;
        }
        bytes.truncate((keep * bytes.len() as f64) as usize);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let config = DecodeConfig { allow_truncated, ..DecodeConfig::default() };
        match decode(&path, &config) {
            Ok(audio) => {
                prop_assert!(!audio.samples.is_empty() && audio.sample_rate >= 1000);
                prop_assert!(audio.samples.iter().all(|x| x.is_finite()));
            }
            Err(error) => prop_assert!(error.to_string().contains(name), "{}", error),
        }
    }
}

#[test]
fn a_wav_of_65535_channels_is_an_error() {
    // The demuxer multiplies without a check, which panics in builds with
    // overflow checks; that a panic is an error is a test of `decode/guard.rs`.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("overflow.wav");
    let mut bytes = small_wav();
    bytes[22..24].fill(0xff); // channels
    std::fs::write(&path, bytes).unwrap();
    message(&plain(&path).unwrap_err(), &path);
}

#[test]
fn what_stands_in_for_wav_beyond_4_gb_is_not_audio() {
    let mut rf64 = small_wav();
    rf64[..4].copy_from_slice(b"RF64");
    let mut w64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0".to_vec();
    w64.resize(4000, 0);
    for bytes in [rf64, w64] {
        let error = decode_bytes("long", bytes, &DecodeConfig::default()).unwrap_err();
        assert!(matches!(error, Error::NotAudio { .. }), "{error:?}");
    }
}
