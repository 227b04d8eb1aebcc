//! The encoders that a machine happens to have.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says something that is seen although the test passes.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The program of this name, if it is on PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    candidates.find(|candidate| candidate.is_file())
}

/// The ffmpeg that `SOFT_MOA_FFMPEG` names, or the one on PATH.
///
/// # Panics
/// If the one named is not there: a test must not pass for a slip of the pen.
pub fn ffmpeg() -> Option<PathBuf> {
    let Some(named) = std::env::var_os("SOFT_MOA_FFMPEG").map(PathBuf::from) else {
        return find("ffmpeg");
    };
    assert!(
        named.is_file(),
        "SOFT_MOA_FFMPEG is `{}`, which is no file; name the full path of an ffmpeg or unset it",
        named.display()
    );
    Some(named)
}

/// Runs `program` with `words`, in which `{in}` and `{out}` stand for files;
/// its complaint, if it fails.
pub fn run(program: &Path, words: &str, input: &Path, output: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    for word in words.split_whitespace() {
        match word {
            "{in}" => command.arg(input),
            "{out}" => command.arg(output),
            word => command.arg(word),
        };
    }
    let done = command.output().map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(format!("{} {words}: {complaint}", program.display()))
}

/// First channel of a file as ffmpeg decodes it, for comparison.
pub fn decoded_by_ffmpeg(ffmpeg: &Path, file: &Path, channels: usize) -> Result<Vec<f32>, String> {
    let mut raw = file.as_os_str().to_owned();
    raw.push(".f32");
    let raw = PathBuf::from(raw);
    let words = "-nostdin -loglevel error -y -i {in} -f f32le {out}";
    run(ffmpeg, words, file, &raw)?;
    let bytes = std::fs::read(&raw).map_err(|error| error.to_string())?;
    let frames = bytes.chunks_exact(4 * channels);
    Ok(frames
        .map(|frame| f32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]))
        .collect())
}
