//! Files of real encoders, decoded and compared with what went into them, and
//! with what ffmpeg makes of them. Encoders that are missing are named.
//!
//! `cargo test -p audio-frontend --test formats -- --nocapture` prints the table.

mod common;
#[path = "common/encoders.rs"]
mod encoders;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use audio_frontend::{Audio, AudioReader, Channels, DecodeConfig, Error, decode};
use common::rms;
use encoders::say;
use rayon::prelude::*;

/// Frames of every file: no multiple of any codec's packet.
const FRAMES: usize = 20_001;

/// How near the decoded signal must be.
#[derive(Debug, Clone, Copy)]
enum Bound {
    /// Equal to integers of this many bits.
    Bits(u32),
    /// Equal to the 32-bit floats.
    Float,
    /// Root mean square of the error, relative to the signal: what these
    /// encoders lose. LAME turns the level down by 5 % at a constant rate.
    Lossy(f64),
}

/// Where the decoded signal begins and ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Just like the original.
    Exact,
    /// The format does not say; the encoder puts this many samples in front
    /// and fills the last packet.
    Late(usize),
}

struct Case {
    file: String,
    codec: String,
    /// Program and its words.
    encoder: (String, String),
    bound: Bound,
    place: Place,
    channels: Vec<u16>,
    rates: Vec<u32>,
}

/// Every word of a ffmpeg command but the codec's.
const FFMPEG: &str = "-nostdin -loglevel error -y -i {in}";
/// Largest difference from ffmpeg's decoder, for lossy codecs.
const FROM_FFMPEG: f64 = 1e-5;

/// The table in `fixtures/formats.txt`.
fn cases() -> Vec<Case> {
    let lines = include_str!("fixtures/formats.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(case)
        .collect()
}

fn case(line: &str) -> Case {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[file, codec, program, words, bound, channels, rates, place] = &columns[..] else {
        panic!("not eight columns: {line}");
    };
    let (kind, value) = bound.split_once(' ').unwrap_or((bound, ""));
    let words = match program {
        "ffmpeg" => format!("{FFMPEG} {words} {{out}}"),
        _ => words.to_owned(),
    };
    Case {
        file: file.into(),
        codec: codec.into(),
        encoder: (program.into(), words),
        bound: match kind {
            "bits" => Bound::Bits(value.parse().unwrap()),
            "lossy" => Bound::Lossy(value.parse().unwrap()),
            _ => Bound::Float,
        },
        place: match place.strip_prefix("late ") {
            Some(late) => Place::Late(late.parse().unwrap()),
            None => Place::Exact,
        },
        channels: channels.split(' ').map(|n| n.parse().unwrap()).collect(),
        rates: rates.split(' ').map(|n| n.parse().unwrap()).collect(),
    }
}

/// Channel `c` of the signal: a sweep, different in each, and between the
/// bits of `Bits` if given.
fn channel(c: usize, rate: u32, bound: Bound) -> Vec<f64> {
    let length = FRAMES as f64 / f64::from(rate);
    let (from, to) = (150.0 + 40.0 * c as f64, 1500.0 + 100.0 * c as f64);
    let sweep = (0..FRAMES).map(|n| {
        let t = n as f64 / f64::from(rate);
        let phase = from * t + (to - from) * t * t / (2.0 * length);
        0.5 * (std::f64::consts::TAU * phase).sin()
    });
    match bound {
        Bound::Bits(bits) => {
            let full = f64::from(bits - 1).exp2();
            sweep.map(|x| (x * full).round() / full).collect()
        }
        _ => sweep.map(|x| f64::from(x as f32)).collect(),
    }
}

/// The file the encoders read; integers for those that read nothing else.
fn write_original(path: &Path, case: &Case, channels: u16, rate: u32) -> Vec<Vec<f64>> {
    let signal: Vec<Vec<f64>> = (0..channels.into())
        .map(|c| channel(c, rate, case.bound))
        .collect();
    let (bits, float) = match case.bound {
        Bound::Float => (32, true),
        Bound::Bits(24) if case.encoder.0 == "flac" => (24, false),
        Bound::Bits(_) => (32, false),
        Bound::Lossy(_) => (16, false),
    };
    let format = if float {
        hound::SampleFormat::Float
    } else {
        hound::SampleFormat::Int
    };
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: format,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    let full = f64::from(bits - 1).exp2();
    for n in 0..FRAMES {
        for samples in &signal {
            match float {
                true => writer.write_sample(samples[n] as f32).unwrap(),
                false => writer
                    .write_sample((samples[n] * full).round() as i32)
                    .unwrap(),
            }
        }
    }
    writer.finalize().unwrap();
    if channels == 1 {
        // hound calls one channel the left one, which ffmpeg turns to the
        // middle at half its power; call it the middle.
        let mut bytes = std::fs::read(path).unwrap();
        if bytes[20..22] == [0xfe, 0xff] {
            bytes[40] = 4;
            std::fs::write(path, bytes).unwrap();
        }
    }
    signal
}

fn with(channels: Channels, allow_truncated: bool) -> DecodeConfig {
    DecodeConfig {
        channels,
        allow_truncated,
        ..DecodeConfig::default()
    }
}

/// One line of the table, or what is wrong.
fn check(case: &Case, channels: u16, rate: u32, folder: &Path) -> Result<Option<String>, String> {
    let program = match case.encoder.0.as_str() {
        "ffmpeg" => encoders::ffmpeg(),
        name => encoders::find(name),
    };
    let Some(program) = program else {
        return Ok(None);
    };
    let name = format!("{channels}x{rate}-{}", case.file);
    let (input, output) = (folder.join(format!("{name}.in.wav")), folder.join(&name));
    let signal = write_original(&input, case, channels, rate);
    encoders::run(&program, &case.encoder.1, &input, &output)?;
    let explain = |error: Error| format!("{name}: {error}");
    let first = decode(&output, &with(Channels::First, false)).map_err(explain)?;
    let mixed = decode(&output, &with(Channels::Mix, false)).map_err(explain)?;
    if first.sample_rate != rate {
        return Err(format!("{name}: {} Hz", first.sample_rate));
    }
    let mean: Vec<f64> = (0..FRAMES)
        .map(|n| signal.iter().map(|c| c[n]).sum::<f64>() / f64::from(channels))
        .collect();
    let error = compare(&name, case, &first, &signal[0])?.max(compare(&name, case, &mixed, &mean)?);
    let against = match encoders::ffmpeg() {
        Some(ffmpeg) if matches!(case.bound, Bound::Lossy(_)) => {
            compare_with_ffmpeg(&name, &ffmpeg, &output, channels, &first)?
        }
        _ => "-".into(),
    };
    let place = match case.place {
        Place::Exact => "exact".into(),
        Place::Late(late) => format!("{late} late, {} long", first.samples.len()),
    };
    let container = case
        .file
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_uppercase();
    let codec = &case.codec;
    let kind = if matches!(case.bound, Bound::Lossy(_)) {
        "relative RMS"
    } else {
        "largest"
    };
    Ok(Some(format!(
        "| {container} | {codec} | {channels} | {rate} | {error:.1e} ({kind}) | {place} | {against} |"
    )))
}

/// The error of a decoded channel; `Err` if it is too large.
fn compare(name: &str, case: &Case, audio: &Audio, original: &[f64]) -> Result<f64, String> {
    let start = match case.place {
        Place::Exact => 0,
        Place::Late(late) => late,
    };
    let length = audio.samples.len();
    let fits = match case.place {
        Place::Exact => length == FRAMES,
        Place::Late(_) => length >= start + FRAMES && length < start + FRAMES + 3 * 1152,
    };
    if !fits {
        return Err(format!("{name}: {length} samples of {FRAMES}"));
    }
    let decoded = &audio.samples[start..start + FRAMES];
    let difference = |(a, b): (&f32, &f64)| (f64::from(*a) - b) as f32;
    let errors: Vec<f32> = decoded.iter().zip(original).map(difference).collect();
    let largest = errors
        .iter()
        .fold(0.0_f64, |max, e| max.max(f64::from(e.abs())));
    let (error, bound) = match case.bound {
        // Means of several channels, and 32 bits, are rounded to f32.
        Bound::Bits(_) | Bound::Float => (largest, 1e-7),
        Bound::Lossy(bound) => {
            let reference: Vec<f32> = original.iter().map(|&x| x as f32).collect();
            (rms(&errors) / rms(&reference), bound)
        }
    };
    if error > bound {
        return Err(format!("{name}: error {error:.3e} above {bound:.1e}"));
    }
    Ok(error)
}

fn compare_with_ffmpeg(
    name: &str,
    ffmpeg: &Path,
    file: &Path,
    channels: u16,
    ours: &Audio,
) -> Result<String, String> {
    let theirs = encoders::decoded_by_ffmpeg(ffmpeg, file, channels.into())?;
    let length = theirs.len().min(ours.samples.len());
    let pairs = ours.samples.iter().zip(&theirs);
    let largest = pairs.fold(0.0_f64, |max, (a, b)| max.max(f64::from((a - b).abs())));
    if largest > FROM_FFMPEG || length + 2048 < theirs.len() {
        return Err(format!(
            "{name}: {largest:.1e} from ffmpeg, {} samples there",
            theirs.len()
        ));
    }
    Ok(format!("{largest:.1e} over {length}"))
}

#[test]
fn every_format_is_decoded_to_the_signal_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let single: Vec<(&Case, u16, u32)> = cases
        .iter()
        .flat_map(|case| {
            let of = move |&channels| case.rates.iter().map(move |&rate| (case, channels, rate));
            case.channels.iter().flat_map(of)
        })
        .collect();
    let outcomes: Vec<_> = single
        .par_iter()
        .map(|&(case, channels, rate)| check(case, channels, rate, folder.path()))
        .collect();
    let mut table = String::from(
        "| Container | Codec | Channels | Hz | Error | Place | From ffmpeg |\n|-|-|-|-|-|-|-|\n",
    );
    let (mut failures, mut skipped) = (Vec::new(), Vec::new());
    for (outcome, (case, ..)) in outcomes.into_iter().zip(&single) {
        match outcome {
            Ok(Some(line)) => writeln!(table, "{line}").unwrap(),
            Ok(None) if skipped.contains(&&case.encoder.0) => {}
            Ok(None) => skipped.push(&case.encoder.0),
            Err(failure) => failures.push(failure),
        }
    }
    println!("{table}");
    for program in skipped {
        say(&format!(
            "SKIPPED: formats that {program} encodes; it is not on PATH"
        ));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A file made by ffmpeg, or `None` with a word about it.
fn encoded(folder: &Path, file: &str, words: &str) -> Option<PathBuf> {
    let Some(ffmpeg) = encoders::ffmpeg() else {
        say(&format!("SKIPPED: a test of {file}; ffmpeg is not on PATH"));
        return None;
    };
    let line = format!("|| ffmpeg | {words} | lossy 1 | 2 | 44100 | exact");
    let case = case(&line);
    let (input, output) = (folder.join("in.wav"), folder.join(file));
    write_original(&input, &case, 2, 44_100);
    encoders::run(&ffmpeg, &case.encoder.1, &input, &output).unwrap();
    Some(output)
}

const CUT_CASES: [(&str, &str); 9] = [
    ("a.wav", ""),
    ("a.aiff", ""),
    ("a.flac", ""),
    ("a.ogg", "-c:a libvorbis"),
    ("a.mp3", "-c:a libmp3lame"),
    ("bare.mp3", "-c:a libmp3lame -write_xing 0"),
    ("a.aac", "-c:a aac"),
    ("a.m4a", "-c:a aac -movflags +faststart"),
    ("alac.m4a", "-c:a alac -movflags +faststart"),
];

#[test]
fn a_file_cut_inside_a_packet_is_an_error_and_a_prefix_if_allowed() {
    let folder = tempfile::tempdir().unwrap();
    // One page holds the whole Ogg file; `bad_files.rs` cuts a longer one.
    for (file, words) in CUT_CASES.into_iter().filter(|(file, _)| *file != "a.ogg") {
        let Some(path) = encoded(folder.path(), file, words) else {
            return;
        };
        let whole = decode(&path, &with(Channels::First, false)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let mut keep = bytes.len() * 7 / 10;
        // In the middle of a packet for certain: no two cuts in a row can lie
        // between packets, which MP3 and ADTS would not tell.
        std::fs::write(&path, &bytes[..keep]).unwrap();
        if decode(&path, &with(Channels::First, false)).is_ok() {
            keep -= 1;
            std::fs::write(&path, &bytes[..keep]).unwrap();
        }
        let strict = decode(&path, &with(Channels::First, false));
        let error = strict.map(|audio| audio.samples.len()).expect_err(file);
        let text = error.to_string();
        let told = matches!(error, Error::Truncated { .. } | Error::CutOff { .. });
        assert!(
            told && text.contains("allow_truncated"),
            "{file}: {error:?}"
        );
        let cut = decode(&path, &with(Channels::First, true)).unwrap();
        let length = cut.samples.len();
        assert!(
            length > whole.samples.len() / 3 && length < whole.samples.len(),
            "{file}"
        );
        assert_eq!(cut.samples, whole.samples[..length], "{file}");
    }
}

#[test]
fn damage_inside_an_mp3_or_adts_file_is_not_stepped_over() {
    let folder = tempfile::tempdir().unwrap();
    for (file, words) in [CUT_CASES[4], CUT_CASES[5], CUT_CASES[6]] {
        let Some(path) = encoded(folder.path(), file, words) else {
            return;
        };
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes.drain(middle..middle + 50);
        std::fs::write(&path, bytes).unwrap();
        let error = decode(&path, &with(Channels::First, true)).expect_err(file);
        assert!(matches!(error, Error::Damaged { .. }), "{file}: {error:?}");
    }
}

#[test]
fn blocks_of_every_format_add_up_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    for (file, words) in CUT_CASES {
        let Some(path) = encoded(folder.path(), file, words) else {
            return;
        };
        let config = DecodeConfig::default();
        let whole = decode(&path, &config).unwrap();
        let mut reader = AudioReader::open(&path, &config).unwrap();
        let (mut joined, mut largest) = (Vec::new(), 0);
        while let Some(block) = reader.next_block().unwrap() {
            largest = largest.max(block.len());
            joined.extend_from_slice(block);
        }
        assert_eq!(joined, whole.samples, "{file}");
        assert!(largest <= 8192, "{file}: a block of {largest}");
    }
}

#[test]
fn a_byte_changed_in_the_middle_of_a_long_file_ends_it_there() {
    let folder = tempfile::tempdir().unwrap();
    let long = "-af aloop=loop=20:size=20001";
    for (file, codec) in [
        ("a.flac", "-c:a flac"),
        ("a.ogg", "-c:a libvorbis"),
        ("a.oga", "-c:a flac"),
    ] {
        let Some(path) = encoded(folder.path(), file, &format!("{long} {codec}")) else {
            return;
        };
        let whole = decode(&path, &DecodeConfig::default()).unwrap();
        assert_eq!(whole.samples.len(), 21 * FRAMES, "{file}");
        let bytes = std::fs::read(&path).unwrap();
        for allow_truncated in [false, true] {
            let mut changed = bytes.clone();
            changed[bytes.len() / 2] ^= 0x10;
            let config = with(Channels::Mix, allow_truncated);
            let mut reader = AudioReader::from_bytes(file, changed, &config).unwrap();
            let mut given = 0;
            let error = loop {
                match reader.next_block() {
                    Ok(block) => {
                        let block = block.expect(file);
                        assert_eq!(block, &whole.samples[given..given + block.len()], "{file}");
                        given += block.len();
                    }
                    Err(error) => break error,
                }
            };
            assert!(matches!(error, Error::Damaged { .. }), "{file}: {error:?}");
            assert!(given > 5 * FRAMES && given < 16 * FRAMES, "{file}: {given}");
        }
    }
}
