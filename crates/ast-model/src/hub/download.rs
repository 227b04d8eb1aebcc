//! One file, whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::Progress;
use super::client::{About, Client, Problem, lost, refusal};
use super::verify::fault;
use crate::AstError;

/// A file of which nobody tells size or end is taken only if it is small: it
/// could not be told from a part of it.
const MOST_UNANNOUNCED: u64 = 64 << 20;

/// Fetches `url` to `target`, going on where an earlier attempt stopped.
pub(super) fn download(
    client: &Client,
    url: &str,
    about: &About,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Problem> {
    if target.is_file() && fault(target, about)?.is_none() {
        return Ok(());
    }
    let partial = partial(target, about);
    let mut most = length(&partial);
    while !client.patiently(|| {
        match rest(client, url, about, &partial, target, progress) {
            // More came than ever before: that was no attempt in vain.
            Err(Problem::Unreachable { .. }) if length(&partial) > most => Ok(false),
            result => result.map(|()| true),
        }
    })? {
        most = length(&partial);
    }
    if let Some(problem) = fault(&partial, about)? {
        fs::remove_file(&partial).map_err(AstError::io(&partial))?;
        return Err(Problem::Fatal(AstError::HubChecksum {
            url: url.to_owned(),
            problem,
        }));
    }
    let synced = File::open(&partial).and_then(|file| file.sync_all());
    synced
        .and_then(|()| fs::rename(&partial, target))
        .map_err(AstError::io(target))?;
    Ok(())
}

/// Its name holds the checksum, so that parts of two states never mix.
fn partial(target: &Path, about: &About) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    if let Some(checksum) = &about.checksum {
        name.push(format!(".{}", checksum.short()));
    }
    name.push(".partial");
    name.into()
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// One request for what is still missing.
fn rest(
    client: &Client,
    url: &str,
    about: &About,
    partial: &Path,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Problem> {
    let had = length(partial);
    if had > 0 && about.size == Some(had) {
        return Ok(());
    }
    let response = client.get(url, had)?;
    let from = match response.status() {
        StatusCode::PARTIAL_CONTENT if begins_at(&response, had) => had,
        StatusCode::OK => 0,
        // The part on the disk does not fit; begin anew next time.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            fs::remove_file(partial).map_err(AstError::io(partial))?;
            return Err(lost(
                url,
                &"the server cannot go on where the download stopped",
            ));
        }
        status => return Err(refusal(url, status)),
    };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(partial)
        .map_err(AstError::io(partial))?;
    file.set_len(from).map_err(AstError::io(partial))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let size = about.size.or(length_of(&response).map(|rest| from + rest));
    let limit = size.unwrap_or(MOST_UNANNOUNCED);
    let mut received = from;
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = body.read(&mut buffer).map_err(|error| lost(url, &error))?;
        received += count as u64;
        // More than announced is wrong however it goes on; do not fill the disk.
        if count == 0 || received > limit {
            break;
        }
        file.write_all(&buffer[..count])
            .map_err(AstError::io(partial))?;
        progress(Progress {
            file: &name,
            received,
            total: size,
        });
    }
    match size {
        Some(size) if received < size => {
            let reason = format!("the connection ended after {received} of {size} bytes");
            Err(lost(url, &reason))
        }
        None if received > limit => {
            drop(file);
            fs::remove_file(partial).map_err(AstError::io(partial))?;
            Err(Problem::Unannounced {
                url: url.to_owned(),
                limit,
            })
        }
        _ => Ok(()),
    }
}

/// Bytes of content that an answer announces; nothing for compressed content,
/// of which it announces another length.
fn length_of(response: &Response<Body>) -> Option<u64> {
    let headers = response.headers();
    if headers.contains_key("Content-Encoding") {
        return None;
    }
    headers.get("Content-Length")?.to_str().ok()?.parse().ok()
}

/// Whether a partial answer begins where it was asked to.
fn begins_at(response: &Response<Body>, from: u64) -> bool {
    let range = response.headers().get("Content-Range");
    let start = range
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes "))
        .and_then(|range| range.split('-').next()?.parse::<u64>().ok());
    start == Some(from)
}
