//! Compressed files with something missing or changed in the middle: what is
//! decoded is the beginning of the right signal, never a spliced one.

mod common;
#[path = "common/handmade.rs"]
mod handmade;

use audio_frontend::{AudioReader, DecodeConfig, Error};

/// What a reader gives before it ends, and how it ends.
fn read_blocks(bytes: Vec<u8>, allow_truncated: bool) -> (Vec<f32>, Result<(), Error>) {
    let config = DecodeConfig {
        allow_truncated,
        ..DecodeConfig::default()
    };
    let mut samples = Vec::new();
    let mut reader = match AudioReader::from_bytes("made", bytes, &config) {
        Ok(reader) => reader,
        Err(error) => return (samples, Err(error)),
    };
    loop {
        match reader.next_block() {
            Ok(Some(block)) => samples.extend_from_slice(block),
            Ok(None) => return (samples, Ok(())),
            Err(error) => return (samples, Err(error)),
        }
    }
}

/// Decodes `bytes` in both ways: damage must be told, after no more than
/// samples that are right.
fn assert_damage_is_told(bytes: &[u8], whole: &[f32], what: &str) {
    for allow_truncated in [false, true] {
        let (samples, end) = read_blocks(bytes.to_vec(), allow_truncated);
        assert!(whole.starts_with(&samples), "{what}: shifted or changed");
        let error = end.expect_err(what);
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error:?}");
    }
}

#[test]
fn a_hole_in_a_flac_or_ogg_is_never_closed_up() {
    let flac = handmade::flac(40);
    let length = handmade::flac_block(0).len();
    let (whole, end) = read_blocks(flac.clone(), false);
    end.unwrap();
    assert_eq!(whole.len(), 40 * handmade::FLAC_BLOCK);
    for block in 0..39 {
        let start = 42 + block * length;
        let mut flipped = flac.clone();
        flipped[start + length / 2] ^= 0x10;
        assert_damage_is_told(&flipped, &whole, &format!("block {block} flipped"));
        let mut without = flac.clone();
        without.drain(start..start + length);
        assert_damage_is_told(&without, &whole, &format!("block {block} missing"));
        let mut twice = flac.clone();
        twice.splice(start..start, flac[start..start + length].to_vec());
        let what = format!("block {block} twice");
        if block > 0 {
            assert_damage_is_told(&twice, &whole, &what);
        }
    }
    let pages = handmade::ogg_flac_pages(40);
    let (in_ogg, end) = read_blocks(pages.concat(), false);
    end.unwrap();
    assert_eq!(in_ogg, whole);
    for page in 2..pages.len() {
        let mut flipped = pages.clone();
        let middle = flipped[page].len() / 2;
        flipped[page][middle] ^= 0x10;
        assert_damage_is_told(&flipped.concat(), &whole, &format!("page {page} flipped"));
        // Without its first or last page it starts late or ends early.
        if (3..pages.len() - 1).contains(&page) {
            let mut without = pages.clone();
            without.remove(page);
            assert_damage_is_told(&without.concat(), &whole, &format!("page {page} missing"));
        }
        let mut junk = pages.clone();
        junk.insert(page, b"not a page".to_vec());
        assert_damage_is_told(&junk.concat(), &whole, &format!("junk before page {page}"));
    }
}

#[test]
fn no_changed_byte_of_flac_or_ogg_shifts_what_is_decoded() {
    for (bytes, audio) in [(handmade::flac(12), 42), (handmade::ogg_flac(12), 118)] {
        let whole = read_blocks(bytes.clone(), false).0;
        for at in (audio..bytes.len()).step_by(3) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            let (strict, end) = read_blocks(changed.clone(), false);
            assert!(end.is_err() && whole.starts_with(&strict), "byte {at}");
            let (lenient, _) = read_blocks(changed, true);
            assert!(whole.starts_with(&lenient), "byte {at}");
        }
    }
}

#[test]
fn flac_and_ogg_cut_anywhere_give_a_prefix_if_allowed() {
    for bytes in [handmade::flac(12), handmade::ogg_flac(12)] {
        let whole = read_blocks(bytes.clone(), false).0;
        for keep in (bytes.len() / 2..bytes.len()).step_by(37) {
            let cut = bytes[..keep].to_vec();
            let (_, end) = read_blocks(cut.clone(), false);
            assert!(end.is_err(), "{keep}");
            let (samples, end) = read_blocks(cut, true);
            end.unwrap();
            assert!(whole.starts_with(&samples), "{keep}");
            assert!(
                samples.len() >= whole.len() / 4,
                "{keep}: {}",
                samples.len()
            );
        }
    }
}

#[test]
fn a_flac_that_is_whole_but_does_not_match_its_checksum_is_damaged_in_both_modes() {
    let mut bytes = handmade::flac(4);
    bytes[26..42].fill(1);
    for allow_truncated in [false, true] {
        let error = read_blocks(bytes.clone(), allow_truncated).1.unwrap_err();
        assert!(error.to_string().contains("checksum"), "{error}");
    }
    // Cut off, it cannot match: all that is left is accepted.
    bytes.truncate(bytes.len() - 600);
    let (samples, end) = read_blocks(bytes, true);
    end.unwrap();
    assert_eq!(samples.len(), 2 * handmade::FLAC_BLOCK);
}
