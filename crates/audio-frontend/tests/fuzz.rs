//! Damaged files of every container: an error or valid samples, never a panic.

mod common;
#[path = "fuzz_bodies/decode.rs"]
mod decode;
#[path = "common/handmade.rs"]
mod handmade;

use std::sync::LazyLock;

use common::fixture;
use decode::{Culprit, culprit, decode_any};
use proptest::prelude::*;

/// One small valid file of each kind.
static SEEDS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut seeds: Vec<Vec<u8>> = handmade::all()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    for name in ["stereo_16k_16bit.flac", "stereo_44k.ogg"] {
        seeds.push(std::fs::read(fixture(name)).unwrap());
    }
    seeds
});

fn seed() -> impl Strategy<Value = Vec<u8>> {
    (0..SEEDS.len()).prop_map(|index| SEEDS[index].clone())
}

/// Headers are short and matter most, so half of the places are there.
fn place(position: f64, near: bool, length: usize) -> usize {
    let reach = if near { length.min(600) } else { length };
    (position * reach as f64) as usize
}

#[test]
fn the_seeds_are_valid_files() {
    for (index, bytes) in SEEDS.iter().enumerate() {
        let audio = audio_frontend::decode_bytes("seed", bytes.clone(), &Default::default());
        assert!(audio.is_ok(), "seed {index}: {audio:?}");
        decode_any(bytes);
    }
}

#[test]
fn a_panic_is_laid_to_whoever_called_for_it() {
    let none = || -> String { panic!("the file says enough") };
    let known = [
        (
            "registry/symphonia-core-0.6.1/src/io/bit.rs",
            Culprit::Decoder,
        ),
        ("crates/audio-frontend/src/decode/mp4.rs", Culprit::Crate),
        ("tests/fuzz_bodies/decode.rs", Culprit::Test),
    ];
    for (file, expected) in known {
        assert_eq!(culprit(file, none), expected, "{file}");
    }
    let standard = "/rustc/59807616e/library/alloc/src/raw_vec/mod.rs";
    let hook = "  0: std::backtrace::Backtrace::create\n  1: fuzz::decode::watch_panics\n";
    let own = "  2: audio_frontend::decode::frames::Frames::next\n";
    let of_trait = "  2: <audio_frontend::decode::ogg::CheckedPages as symphonia_core::io::MediaSource>::len\n";
    let theirs = "  3: symphonia_format_ogg::page::PageReader::try_next_page\n";
    let traces = [
        ([hook, own, theirs].concat(), Culprit::Crate),
        ([hook, of_trait, theirs].concat(), Culprit::Crate),
        ([hook, theirs, own].concat(), Culprit::Decoder),
        (hook.to_owned(), Culprit::Crate),
    ];
    for (trace, expected) in traces {
        assert_eq!(culprit(standard, || trace.clone()), expected, "{trace}");
    }
}

#[test]
fn files_written_back_to_back_and_hostile_sizes_are_handled() {
    for bytes in SEEDS.iter() {
        decode_any(&bytes.repeat(2));
        // Every 32-bit number of the header at its largest.
        for at in (0..bytes.len().saturating_sub(4).min(300)).step_by(2) {
            let mut bytes = bytes.clone();
            bytes[at..at + 4].fill(0xff);
            decode_any(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bits_and_bytes(
        mut bytes in seed(),
        damage in prop::collection::vec((0.0..1.0, any::<bool>(), any::<u8>()), 1..12),
    ) {
        for (position, near, value) in damage {
            let at = place(position, near, bytes.len());
            bytes[at] ^= value;
        }
        decode_any(&bytes);
    }

    #[test]
    fn truncations(mut bytes in seed(), keep in 0.0..1.0) {
        bytes.truncate((keep * bytes.len() as f64) as usize);
        decode_any(&bytes);
    }

    #[test]
    fn splices(
        head in seed(), tail in seed(), cuts in (0.0..1.0, any::<bool>(), 0.0..1.0),
    ) {
        let mut bytes = head[..place(cuts.0, cuts.1, head.len())].to_vec();
        bytes.extend(&tail[place(cuts.2, false, tail.len())..]);
        decode_any(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_valid_start(
        head in seed(), keep in 0_usize..64, tail in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut bytes = head[..keep.min(head.len())].to_vec();
        bytes.extend(tail);
        decode_any(&bytes);
    }
}
