//! A hub on this machine: it answers as the real one does, redirects large
//! files to a second server, and can be told to fail.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    requests: Vec<Request>,
    /// Bytes of content after which each coming answer breaks off.
    cuts: Vec<usize>,
    /// Statuses with which the coming requests are refused.
    refusals: Vec<u16>,
    without_ranges: bool,
    /// Gives content alone: no size, no checksum, no commit, no redirect.
    silent: bool,
    /// Announced in place of the true checksum of large files.
    wrong_checksum: bool,
    /// The token that is asked for.
    token: Option<String>,
}

pub struct Hub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// Serves `files` of the model `owner/name`; safetensors are large files.
    pub fn start(files: &[(&str, &[u8])]) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        for (name, content) in files {
            let content = content.to_vec();
            state
                .lock()
                .unwrap()
                .files
                .insert((*name).to_owned(), content);
        }
        let store = listen(&state, String::new());
        let endpoint = listen(&state, store);
        Hub { endpoint, state }
    }

    pub fn cut_after(&self, bytes: &[usize]) {
        self.state.lock().unwrap().cuts = bytes.to_vec();
    }

    pub fn refuse_with(&self, statuses: &[u16]) {
        self.state.lock().unwrap().refusals = statuses.to_vec();
    }

    pub fn ignore_ranges(&self) {
        self.state.lock().unwrap().without_ranges = true;
    }

    pub fn announce_nothing(&self) {
        self.state.lock().unwrap().silent = true;
    }

    pub fn announce_wrong_checksums(&self, wrong: bool) {
        self.state.lock().unwrap().wrong_checksum = wrong;
    }

    pub fn ask_for_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// Requests for content of a file at the second server.
    pub fn content_requests(&self, file: &str) -> Vec<Request> {
        let path = format!("/store/{file}");
        let all = self.requests().into_iter();
        all.filter(|request| request.path == path).collect()
    }
}

/// Serves on a free port and gives its address. A server without a `store` is
/// the store.
fn listen(state: &Arc<Mutex<State>>, store: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let state = state.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (state, store) = (state.clone(), store.clone());
            thread::spawn(move || {
                // A client that goes away is no failure of the server.
                let _ = serve(&stream, &state, &store);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
    Some(Request {
        method,
        path,
        headers: headers.collect(),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn serve(stream: &TcpStream, state: &Mutex<State>, store: &str) -> std::io::Result<()> {
    let Some(request) = read_request(stream) else {
        return Ok(());
    };
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    if let Some(status) = state.refusals.pop() {
        return answer(stream, &format!("{status} No"), &[], b"", 0);
    }
    let given = request.headers.get("authorization");
    let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
    if !store.is_empty() && wanted.is_some() && given != wanted.as_ref() {
        return answer(stream, "401 Unauthorized", &[], b"", 0);
    }
    let file = request
        .path
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let Some(content) = state.files.get(&file).cloned() else {
        return answer(stream, "404 Not Found", &[], b"", 0);
    };
    if state.silent {
        drop(state);
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        if request.method == "GET" {
            stream.write_all(&content)?;
        }
        return stream.flush();
    }
    let is_large = file.ends_with(".safetensors");
    let commit = ("X-Repo-Commit", COMMIT.to_owned());
    if request.path.starts_with("/owner/name/resolve/") {
        if is_large {
            let mut checksum = hexadecimal(&Sha256::digest(&content));
            if state.wrong_checksum {
                checksum = checksum.chars().rev().collect();
            }
            let headers = [
                commit,
                ("X-Linked-Size", content.len().to_string()),
                ("X-Linked-ETag", format!("\"{checksum}\"")),
                ("ETag", "\"of the redirect, and no checksum\"".to_owned()),
                ("Location", format!("{store}/store/{file}")),
            ];
            return answer(stream, "302 Found", &headers, b"Found", 5);
        }
        let target = format!("/api/resolve-cache/{file}");
        return answer(
            stream,
            "307 Temporary Redirect",
            &[commit, ("Location", target)],
            b"",
            0,
        );
    }
    let from = request
        .headers
        .get("range")
        .filter(|_| !state.without_ranges);
    let from: usize = from
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let blob = [format!("blob {}\0", content.len()).as_bytes(), &content].concat();
    let mut headers = vec![(
        "ETag",
        format!("W/\"{}\"", hexadecimal(&Sha1::digest(blob))),
    )];
    if request.method == "HEAD" {
        return answer(stream, "200 OK", &headers, b"", content.len());
    }
    let cut = if is_large { state.cuts.pop() } else { None };
    drop(state);
    let rest = &content[from.min(content.len())..];
    let sent = &rest[..cut.unwrap_or(rest.len()).min(rest.len())];
    if from == 0 {
        return answer(stream, "200 OK", &headers, sent, rest.len());
    }
    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
    headers.push(("Content-Range", range));
    answer(stream, "206 Partial Content", &headers, sent, rest.len())
}

/// `length` is what is announced, which may be more than what is sent.
fn answer(
    mut stream: &TcpStream,
    status: &str,
    headers: &[(&str, String)],
    content: &[u8],
    length: usize,
) -> std::io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(content)?;
    stream.flush()
}
