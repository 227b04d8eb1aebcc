//! What MP3, ADTS and MP4 files say of their own length, in files written byte
//! by byte. That the trimmed signal is the right one is in `formats.rs`.

mod common;
#[path = "common/handmade.rs"]
mod handmade;

use audio_frontend::{AudioReader, DecodeConfig, Error, decode_bytes};
use handmade::{M4a, adts, id3v1, id3v2, mp3, mp3_frame, mp3_info};

fn length(bytes: Vec<u8>) -> Result<usize, Error> {
    Ok(decode_bytes("made.bin", bytes, &DecodeConfig::default())?
        .samples
        .len())
}

fn lenient() -> DecodeConfig {
    DecodeConfig {
        allow_truncated: true,
        ..DecodeConfig::default()
    }
}

fn with_info(frames: u32, delay: u16, padding: u16, present: usize) -> Vec<u8> {
    [mp3_info(frames, delay, padding), mp3(present)].concat()
}

#[test]
fn an_mp3_header_sets_start_and_length() {
    // The decoder's own delay of 529 samples moves from the end to the start.
    assert_eq!(
        length(with_info(6, 576, 1000, 6)).unwrap(),
        6 * 1152 - 576 - 1000
    );
    // Padding shorter than that delay: nothing is there to drop.
    assert_eq!(
        length(with_info(6, 576, 100, 6)).unwrap(),
        6 * 1152 - 576 - 529
    );
    // A header without the encoder's counts leaves all frames.
    assert_eq!(length(with_info(6, 0, 0, 6)).unwrap(), 6 * 1152);
    // No header at all.
    assert_eq!(length(mp3(6)).unwrap(), 6 * 1152);
}

#[test]
fn an_mp3_with_fewer_frames_than_its_header_counts_is_truncated() {
    let error = length(with_info(6, 576, 1000, 5)).unwrap_err();
    let Error::Truncated {
        declared, decoded, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(declared, 6 * 1152 - 1576);
    assert_eq!(decoded, 5 * 1152 - 576 - 529);
}

#[test]
fn a_cut_last_frame_is_an_error_where_no_length_is_stated() {
    for (whole, samples) in [(mp3(5), 1152), (adts(5), 1024)] {
        let frame = whole.len() / 5;
        for missing in [1, frame / 2, frame - 1] {
            let cut = whole[..whole.len() - missing].to_vec();
            let error = length(cut.clone()).unwrap_err();
            assert!(
                matches!(error, Error::CutOff { .. }),
                "{missing}: {error:?}"
            );
            let audio = decode_bytes("cut", cut, &lenient()).unwrap();
            assert_eq!(audio.samples.len(), 4 * samples);
        }
        // Cut between frames: nothing in the file tells.
        assert_eq!(length(whole[..4 * frame].to_vec()).unwrap(), 4 * samples);
    }
}

#[test]
fn tags_around_mp3_and_adts_frames_are_no_audio() {
    let mut ape = b"APETAGEX".to_vec();
    ape.extend([0xd0, 7, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0]);
    ape.resize(72, 0xff);
    let zeros = vec![0; 300];
    for frames in [mp3(5), adts(5)] {
        let plain = length(frames.clone()).unwrap();
        let tagged = [
            id3v2(99),
            zeros.clone(),
            frames.clone(),
            ape.clone(),
            id3v1(),
        ]
        .concat();
        assert_eq!(length(tagged).unwrap(), plain);
        // Files joined with their tags.
        let joined = [id3v2(20), frames.clone(), id3v2(0), frames, zeros.clone()].concat();
        assert_eq!(length(joined).unwrap(), 2 * plain);
    }
}

#[test]
fn bytes_that_are_neither_frame_nor_tag_are_damage_not_skipped() {
    for frames in [mp3(5), adts(5)] {
        for junk in [
            &b"junk"[..],
            &[0xff, 0xfb, 0xf0, 0],
            &[0xff, 0xf1, 0x50, 0x40, 0, 0, 0],
        ] {
            let bytes = [&frames[..], junk, &frames].concat();
            let error = decode_bytes("made", bytes, &lenient()).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
            let place = format!("byte {}", frames.len());
            assert!(error.to_string().contains(&place), "{error}");
        }
    }
    // Behind as many frames as the header counts it does no harm.
    let bytes = [with_info(5, 0, 0, 5), b"junk".to_vec()].concat();
    assert_eq!(length(bytes).unwrap(), 5 * 1152);
}

#[test]
fn an_edit_list_sets_start_and_length() {
    let all = 10 * 1024;
    let m4a = |last, edits: &[(u32, u32)]| M4a {
        last,
        edits: edits.to_vec(),
        ..M4a::default()
    };
    assert_eq!(length(m4a(1024, &[]).bytes()).unwrap(), all);
    assert_eq!(length(m4a(24, &[]).bytes()).unwrap(), all - 1000);
    assert_eq!(length(m4a(1024, &[(1024, 5000)]).bytes()).unwrap(), 5000);
    // A duration of zero means up to the end.
    assert_eq!(
        length(m4a(24, &[(1024, 0)]).bytes()).unwrap(),
        all - 1000 - 1024
    );
    // An empty stretch in front only says when to start playing.
    let empty = [(u32::MAX, 100), (1024, 5000)];
    assert_eq!(length(m4a(1024, &empty).bytes()).unwrap(), 5000);
    let error = length(m4a(1024, &[(0, 100), (2000, 100)]).bytes()).unwrap_err();
    assert!(matches!(error, Error::NotAudio { .. }), "{error:?}");
}

#[test]
fn what_itunes_writes_goes_before_the_edit_list() {
    let m4a = M4a {
        edits: vec![(1024, 9000)],
        gapless: Some(" 00000000 00000840 000001C0 0000000000001E00 00000000".into()),
        ..M4a::default()
    };
    assert_eq!(length(m4a.bytes()).unwrap(), 0x1e00);
    // Unless it promises more than there is.
    let m4a = M4a {
        gapless: Some(" 00000000 00000840 000001C0 0000000000FF1E00 00000000".into()),
        ..m4a
    };
    assert_eq!(length(m4a.bytes()).unwrap(), 9000);
}

#[test]
fn aac_whose_upper_band_cannot_be_decoded_is_refused() {
    let m4a = M4a {
        rate: 48_000,
        ..M4a::default()
    };
    assert_eq!(length(m4a.bytes()).unwrap(), 10 * 1024);
    // The container says 44.1 kHz, the AAC inside half of it.
    let bytes = M4a::default().bytes();
    let config = bytes
        .windows(4)
        .position(|w| w == [0x05, 2, 0x12, 0x08])
        .unwrap();
    let mut half = bytes;
    half[config + 2..config + 4].copy_from_slice(&[0x13, 0x88]);
    let error = length(half).unwrap_err();
    assert!(matches!(error, Error::NotAudio { .. }), "{error:?}");
    assert!(
        error.to_string().contains("spectral band replication"),
        "{error}"
    );
}

#[test]
fn an_mp4_without_its_index_is_damaged() {
    let bytes = M4a::default().bytes();
    for keep in [30, 100, 400] {
        let error = length(bytes[..keep].to_vec()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{keep}: {error:?}");
        assert!(error.to_string().contains("moov"), "{error}");
    }
}

/// The same file with its index behind the data and without the index's size.
fn index_to_the_end(bytes: &[u8]) -> Vec<u8> {
    let find = |name: &[u8; 4]| bytes.windows(4).position(|w| w == name).unwrap();
    let (moov, mdat, stco) = (find(b"moov") - 4, find(b"mdat") - 4, find(b"stco"));
    let mut index = bytes[moov..mdat].to_vec();
    index[..4].fill(0);
    let position = moov as u32 + 8;
    index[stco + 12 - moov..stco + 16 - moov].copy_from_slice(&position.to_be_bytes());
    [&bytes[..moov], &bytes[mdat..], &index].concat()
}

#[test]
fn an_index_that_reaches_to_the_end_of_the_file_is_read() {
    let edited = M4a {
        edits: vec![(1024, 5000)],
        ..M4a::default()
    };
    let moved = index_to_the_end(&edited.bytes());
    assert_eq!(length(moved).unwrap(), 5000);
}

#[test]
fn the_delay_of_an_mp4_is_found_or_the_file_refused() {
    let bytes = M4a {
        edits: vec![(1024, 5000)],
        ..M4a::default()
    }
    .bytes();
    // A box in front moves the data.
    let mut shifted = [b"\0\0\0\x08free".to_vec(), bytes.clone()].concat();
    let stco = shifted.windows(4).position(|w| w == b"stco").unwrap();
    shifted[stco + 15] += 8;
    assert_eq!(length(shifted).unwrap(), 5000);
    for front in [id3v2(100), vec![0; 64]] {
        let error = length([front, bytes.clone()].concat()).unwrap_err();
        assert!(matches!(error, Error::NotAudio { .. }), "{error:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_mp4_from_a_pipe_is_refused_and_other_formats_are_read() {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    let from_pipe = |bytes: Vec<u8>| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&bytes));
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let audio = audio_frontend::decode(path, &DecodeConfig::default());
        drop(reader);
        // A reader that refuses the file leaves the rest in the pipe.
        let _ = writing.join().unwrap();
        audio
    };
    let error = from_pipe(M4a::default().bytes()).unwrap_err();
    assert!(error.to_string().contains("pipe"), "{error}");
    assert_eq!(from_pipe(mp3(5)).unwrap().samples.len(), 5 * 1152);
    let blocks = from_pipe(handmade::ogg_flac(8)).unwrap().samples.len();
    assert_eq!(blocks, 8 * handmade::FLAC_BLOCK);
}

#[test]
fn a_truncated_aiff_is_an_error_unless_allowed() {
    let whole = handmade::aiff(5000, 2, 44_100);
    assert_eq!(length(whole.clone()).unwrap(), 5000);
    let cut = whole[..whole.len() - 8002].to_vec();
    let error = length(cut.clone()).unwrap_err();
    assert!(
        matches!(error, Error::Truncated { declared: 5000, .. }),
        "{error:?}"
    );
    let some = decode_bytes("cut", cut, &lenient()).unwrap().samples.len();
    assert!((1000..3000).contains(&some), "{some}");
}

#[test]
fn a_reader_ends_for_good_after_an_error() {
    let bytes = [mp3(5), b"junk".to_vec()].concat();
    let mut reader = AudioReader::from_bytes("made", bytes, &lenient()).unwrap();
    assert_eq!(reader.sample_rate(), 44_100);
    let mut blocks = 0;
    let error = loop {
        match reader.next_block() {
            Ok(block) => assert_eq!(block.unwrap().len(), 1152),
            Err(error) => break error,
        }
        blocks += 1;
    };
    assert_eq!(blocks, 5);
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(reader.next_block().unwrap().is_none());
    assert!(reader.next_block().unwrap().is_none());
}

#[test]
fn a_frame_of_another_rate_is_damage() {
    let mut other = mp3_frame();
    other[2] = 0x94; // 48 kHz
    other.truncate(384);
    let error = length([mp3(3), other].concat()).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
}
