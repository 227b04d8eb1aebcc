//! `soft-moa stats` from the command line.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use audio_frontend::{CountedFrames, Extractor, FILE_ENDINGS, PipelineConfig};
use support::{Outcome, run, tone};

fn stats(arguments: &[&Path], options: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soft-moa"));
    run(command.arg("stats").args(arguments).args(options))
}

/// Three tones in two folders, and a file that is no sound.
fn recordings() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tone(&folder.path().join("a.wav"), 300.0, 16_000, 1);
    tone(&folder.path().join("more/b.WAV"), 1500.0, 22_050, 2);
    tone(&folder.path().join("more/c.wav"), 700.0, 16_000, 1);
    fs::write(folder.path().join("notes.txt"), "no sound").unwrap();
    folder
}

#[test]
fn it_prints_settings_that_can_be_pasted() {
    let folder = recordings();
    let files = ["a.wav", "more/b.WAV", "more/c.wav"].map(|name| folder.path().join(name));
    for (options, counted) in [
        (vec!["--max-length", "40"], CountedFrames::Real),
        (
            vec!["--max-length", "40", "--padded"],
            CountedFrames::Padded,
        ),
    ] {
        let printed = stats(&[folder.path()], &options).succeeded().stdout;
        assert!(printed.starts_with("# 3 files, "), "{printed}");
        let pasted: PipelineConfig = toml::from_str(&printed).unwrap();
        let mut config = PipelineConfig::default();
        config.ast.max_length = 40;
        let extractor = Extractor::new(config).unwrap();
        let expected = extractor.stats(&files, counted, |_| ()).unwrap();
        assert_eq!(pasted.ast, expected.normalisation(40).unwrap());
        // Files by name, in another order and one of them twice: the same.
        let named = [&files[2], &files[0], &files[2], &files[1]].map(|file| file.as_path());
        assert_eq!(stats(&named, &options).succeeded().stdout, printed);
    }
}

#[test]
fn every_bad_file_is_named() {
    let folder = recordings();
    for name in ["bad-1.wav", "more/bad-2.flac"] {
        fs::write(folder.path().join(name), "no sound").unwrap();
    }
    let outcome = stats(&[folder.path()], &[]);
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("bad-2.flac"), "{}", outcome.stderr);
    outcome.refused(&["bad-1.wav", "is not audio", "convert it"]);
}

#[test]
fn a_folder_is_searched_for_every_format_there_is() {
    let folder = tempfile::tempdir().unwrap();
    for ending in FILE_ENDINGS {
        fs::write(folder.path().join(format!("a.{ending}")), "no sound").unwrap();
        fs::write(folder.path().join(format!("b.{ending}.txt")), "no sound").unwrap();
    }
    // Nothing is left out quietly: every one of them is tried.
    let outcome = stats(&[folder.path()], &[]);
    for ending in ["wav", "aiff", "flac", "ogg", "mp3", "aac", "m4a", "mp4"] {
        assert!(FILE_ENDINGS.contains(&ending));
    }
    for ending in FILE_ENDINGS {
        let name = format!("a.{ending}");
        assert!(outcome.stderr.contains(&name), "{name}: {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains(".txt"), "{}", outcome.stderr);
}

#[test]
fn what_is_not_there_or_no_sound_is_refused() {
    let folder = recordings();
    let missing = folder.path().join("missing.wav");
    stats(&[&missing], &[]).refused(&["missing.wav", "check the path"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    stats(&[&empty], &[]).refused(&["empty holds no sound file", ".flac"]);
    stats(&[folder.path()], &["--max-length", "0"]).refused(&["max_length = 0"]);
}
