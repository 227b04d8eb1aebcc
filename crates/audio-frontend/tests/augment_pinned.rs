//! What every augmentation draws is fixed: no update of this crate, of a
//! library or of the compiler, and no other machine, may change what a
//! published run drew. Whoever has to change a number here breaks that promise
//! and starts a stream with another purpose key instead.

use audio_frontend::{Edge, FeatureNoise, Gain, Mixup, Noise, SpecAugment, TimeShift, WaveShift};
use ndarray::Array2;

/// FNV-1a of the bits of many values.
fn hash(values: impl IntoIterator<Item = u64>) -> u64 {
    let bytes = values.into_iter().flat_map(u64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn hash_f32(values: impl IntoIterator<Item = f32>) -> u64 {
    hash(values.into_iter().map(|x| u64::from(x.to_bits())))
}

const SAMPLES: std::ops::Range<u64> = 0..1000;

#[test]
fn masks_and_shifts() {
    let masks = SAMPLES.flat_map(|sample| {
        let masks = SpecAugment::authors()
            .masks(10, 3, sample, (512, 128))
            .unwrap();
        [
            masks.bins.start,
            masks.bins.end,
            masks.frames.start,
            masks.frames.end,
        ]
        .map(|x| x as u64)
    });
    assert_eq!(hash(masks), 0x8b99d3248c32481);
    let frames = TimeShift { max_frames: 100 };
    let drawn = SAMPLES.map(|sample| frames.frames(10, 3, sample) as u64);
    assert_eq!(hash(drawn), 0x5054eb7a02849cd9);
    let wave = WaveShift {
        max_seconds: 1.0,
        edge: Edge::Wrap,
    };
    let drawn = SAMPLES.map(|sample| wave.samples(10, 3, sample, 16_000) as u64);
    assert_eq!(hash(drawn), 0x439062366f1fc0a7);
}

#[test]
fn gain_and_noise() {
    let clean: Vec<f32> = (0..400)
        .map(|n| ((7919 * n) % 1000) as f32 / 1000.0 - 0.5)
        .collect();
    let gain = Gain {
        min_db: -20.0,
        max_db: 6.0,
    };
    let louder = SAMPLES.flat_map(|sample| {
        let mut samples = clean[..2].to_vec();
        gain.apply(10, 3, sample, &mut samples).unwrap();
        samples
    });
    assert_eq!(hash_f32(louder), 0xa724f7ed1fdabdfe);
    let noise = Noise {
        rate: 0.5,
        ..Noise::default()
    };
    let white = SAMPLES.flat_map(|sample| {
        let mut samples = clean.clone();
        noise.apply(10, 3, sample, &mut samples).unwrap();
        samples
    });
    assert_eq!(hash_f32(white), 0x43e2e99add921a35);
    let recorded = SAMPLES.flat_map(|sample| {
        let mut samples = clean[..20].to_vec();
        noise
            .apply_from(10, 3, sample, &clean, &mut samples)
            .unwrap();
        samples
    });
    assert_eq!(hash_f32(recorded), 0x76e18bc98d4bcc6b);
    let features = SAMPLES.flat_map(|sample| {
        let mut features = Array2::zeros((3, 4));
        let noise = FeatureNoise::ast_speech_commands();
        noise.apply(10, 3, sample, features.view_mut()).unwrap();
        features.into_raw_vec_and_offset().0
    });
    assert_eq!(hash_f32(features), 0xfaa02aac97015aa4);
}

#[test]
fn mixup_plans() {
    let drawn = [0.2, 1.0, 10.0].into_iter().flat_map(|alpha| {
        let mixup = Mixup { rate: 0.5, alpha };
        let plan = mixup.plan(10, 3, 1000).unwrap().into_iter();
        plan.flat_map(|p| [p.sample, p.partner, p.lambda.to_bits()])
    });
    assert_eq!(hash(drawn), 0x3f84793918760641);
}
