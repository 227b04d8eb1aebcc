//! A small data set of synthesised sounds, for machines where no recordings
//! can be had: harmonic tones whose pitch stays level, rises, dips or falls,
//! by two voices that differ in pitch and in spectrum.
//!
//! The task has the shape of a real one (class, voice and syllable), but a
//! result on it says that the program works, not how good a method is.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::path::PathBuf;
use std::sync::OnceLock;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::layout::LayoutSpec;
use super::leaks::LeakSpec;
use super::manifest::{ClassSpec, ClipSpec, Defaults, LabelSpec, Manifest};
use super::scan::Clip;
use super::split_spec::SplitSpec;
use super::{Dataset, Sounds};

/// Samples per second.
pub const SAMPLE_RATE: u32 = 16_000;
/// Clips per class and voice.
pub const SYLLABLES: usize = 40;
/// Highest harmonic synthesised, in Hz.
const HIGHEST: f64 = 3_800.0;

/// Pitch relative to the voice's own at the start, the middle and the end.
const CONTOURS: [(&str, [f64; 3]); 4] = [
    ("level", [1.15, 1.15, 1.15]),
    ("rising", [0.85, 0.95, 1.25]),
    ("dipping", [1.0, 0.72, 1.05]),
    ("falling", [1.3, 1.05, 0.75]),
];

/// A speaker: own pitch in Hz, and how fast harmonics weaken.
struct Voice {
    name: &'static str,
    pitch: f64,
    tilt: f64,
}

const VOICES: [Voice; 2] = [
    Voice {
        name: "low",
        pitch: 125.0,
        tilt: 1.2,
    },
    Voice {
        name: "high",
        pitch: 215.0,
        tilt: 0.8,
    },
];

/// The data set: 4 classes × 2 voices × [`SYLLABLES`] clips of 0.25 to 0.4 s.
/// The same `seed` gives the same sounds.
pub fn dataset(seed: u64) -> Dataset {
    let count = CONTOURS.len() * VOICES.len() * SYLLABLES;
    // Each sound has its own stream of random numbers, so that none depends on
    // another or on the number of threads.
    let mut sounds: Vec<(Clip, Vec<f32>)> = (0..count)
        .into_par_iter()
        .map(|number| sound(seed, number))
        .collect();
    sounds.sort_by(|(a, _), (b, _)| a.relative.cmp(&b.relative));
    let (clips, samples) = sounds.into_iter().unzip();
    Dataset {
        manifest: manifest(),
        clips,
        root: PathBuf::new(),
        sounds: Sounds::Samples(samples),
        hashes: OnceLock::new(),
    }
}

/// The clip `number`, counted over syllables, then voices, then classes.
fn sound(seed: u64, number: usize) -> (Clip, Vec<f32>) {
    let (rest, syllable) = (number / SYLLABLES, number % SYLLABLES);
    let voice = &VOICES[rest % VOICES.len()];
    let label = rest / VOICES.len();
    let (class, contour) = &CONTOURS[label];
    let samples = sing(
        voice,
        contour,
        formants(seed, syllable),
        &mut stream(seed, number),
    );
    (clip(class, label, voice, syllable), samples)
}

fn stream(seed: u64, number: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(number as u64);
    random
}

fn clip(class: &str, label: usize, voice: &Voice, syllable: usize) -> Clip {
    let syllable = format!("{syllable:02}");
    let relative = format!("{class}/{}/{syllable}", voice.name);
    let groups = [
        ("tone", class),
        ("voice", voice.name),
        ("syllable", syllable.as_str()),
    ];
    let groups: BTreeMap<String, String> = groups
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Clip {
        path: PathBuf::from("synthesised").join(&relative),
        relative,
        label,
        groups,
        segment: None,
    }
}

/// Two resonances in Hz that make up a syllable, the same in every voice.
fn formants(seed: u64, syllable: usize) -> [f64; 2] {
    let mut random = stream(seed, 1_000_000 + syllable);
    [
        random.random_range(300.0..900.0),
        random.random_range(1_000.0..2_600.0),
    ]
}

/// Samples of one clip: harmonics of a gliding pitch, shaped by the resonances
/// and the voice, with noise 25 to 35 dB below.
fn sing(
    voice: &Voice,
    contour: &[f64; 3],
    formants: [f64; 2],
    random: &mut ChaCha8Rng,
) -> Vec<f32> {
    let rate = f64::from(SAMPLE_RATE);
    let length = (random.random_range(0.25..0.4) * rate) as usize;
    let pitch = voice.pitch * random.random_range(0.92..1.08);
    let range = random.random_range(0.8..1.2);
    let noise = random.random_range(0.018..0.056);
    let highest = (HIGHEST / (pitch * 0.5)) as usize;
    let tilt: Vec<f64> = (1..=highest)
        .map(|number| (number as f64).powf(-voice.tilt))
        .collect();
    let mut phase = 0.0;
    let mut samples = Vec::with_capacity(length);
    for index in 0..length {
        let time = index as f64 / length as f64;
        let frequency = pitch * (1.0 + range * (glide(contour, time) - 1.0));
        phase += TAU * frequency / rate;
        let tone = harmonics(&tilt, formants, frequency, phase);
        // Fades in and out over a tenth of the clip.
        let fade = (10.0 * time.min(1.0 - time)).min(1.0);
        samples.push(tone * fade);
    }
    let power = samples.iter().map(|sample| sample * sample).sum::<f64>() / length as f64;
    let scale = 0.1 / power.sqrt();
    // Uniform noise in ±sqrt(3) has power 1.
    let mut hiss = || 0.1 * noise * random.random_range(-1.732..1.732);
    samples
        .iter()
        .map(|sample| (sample * scale + hiss()) as f32)
        .collect()
}

/// Smooth curve through the three points of `contour`, `time` from 0 to 1.
fn glide(contour: &[f64; 3], time: f64) -> f64 {
    let [start, middle, end] = *contour;
    let (a, b, c) = (
        (1.0 - time) * (1.0 - 2.0 * time),
        4.0 * time * (1.0 - time),
        time * (2.0 * time - 1.0),
    );
    a * start + b * middle + c * end
}

/// Sum of the harmonics up to [`HIGHEST`]; `tilt` is the strength of each
/// before the resonances.
fn harmonics(tilt: &[f64], formants: [f64; 2], frequency: f64, phase: f64) -> f64 {
    let count = (HIGHEST / frequency) as usize;
    // sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x): one sine for all.
    let (twice_cosine, mut last, mut sine) = (2.0 * phase.cos(), 0.0, phase.sin());
    let mut sum = 0.0;
    for (index, tilt) in tilt.iter().take(count).enumerate() {
        let [first, second] =
            formants.map(|centre| resonance((index + 1) as f64 * frequency, centre));
        sum += tilt * (0.1 + first + 0.6 * second) * sine;
        (last, sine) = (sine, twice_cosine * sine - last);
    }
    sum
}

/// Bell of 120 Hz around `centre`.
fn resonance(frequency: f64, centre: f64) -> f64 {
    let distance = (frequency - centre) / 120.0;
    1.0 / (1.0 + distance * distance)
}

fn manifest() -> Manifest {
    let class = |(name, _): &(&str, [f64; 3])| ClassSpec {
        name: (*name).to_owned(),
        values: vec![(*name).to_owned()],
    };
    Manifest {
        name: "synthetic-tone".to_owned(),
        title: "Pitch contour of a synthesised tone".to_owned(),
        licence: "none needed: made by this program".to_owned(),
        caveat: "Synthesised sounds: shows that the program works, not how good a method is."
            .to_owned(),
        parts: Vec::new(),
        source: toml::Table::new(),
        layout: LayoutSpec::default(),
        clips: ClipSpec {
            pattern: r"^(?<tone>[a-z]+)/(?<voice>[a-z]+)/(?<syllable>[0-9]+)$".to_owned(),
            exclude: None,
            allow_truncated: false,
            count: Some(CONTOURS.len() * VOICES.len() * SYLLABLES),
            derive: BTreeMap::new(),
        },
        label: LabelSpec {
            group: "tone".to_owned(),
            separator: None,
            leave_out: Vec::new(),
            classes: CONTOURS.iter().map(class).collect(),
        },
        split: SplitSpec::LeaveOneGroupOut {
            test_group: "voice".to_owned(),
            validation_group: "syllable".to_owned(),
            validation_fraction: 0.2,
            seed: 0,
        },
        leaks: LeakSpec::default(),
        defaults: Defaults {
            max_length: 46,
            batch: 32,
            epochs: 10,
            paper_channels: None,
            paper_validation: None,
            spec_augment: audio_frontend::SpecAugment::default(),
        },
    }
}
