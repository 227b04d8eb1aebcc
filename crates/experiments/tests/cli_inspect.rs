//! `soft-moa inspect`, `doctor` and `fetch`, with the real program.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::Value;
use support::adapter::Place;
use support::tone;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn everything_is_told_by_what_it_is() {
    let place = Place::new();
    tone(&place.path("classes/one/a.wav"), 300.0, 16_000, 1);
    tone(&place.path("classes/two/a.wav"), 300.0, 16_000, 1);
    place.write("clips.csv", "path,label\na.wav,x\nb.wav,y\n");
    for (path, kind, fact) in [
        ("adapter", "adapter folder", "backbone in the cache"),
        ("cache/backbones/tiny", "checkpoint of an AST", "tokens"),
        ("sounds/a.wav", "sound file", "samples per second"),
        ("classes", "folder of sounds", "one 1, two 1"),
        ("clips.csv", "table of clips", "path, label"),
    ] {
        let text = place.run(&["inspect", path]).succeeded().stdout;
        assert!(text.starts_with(&format!("{path}: {kind}\n")), "{text}");
        assert!(text.contains(fact), "{text}");
        let text = place.run(&["inspect", path, "--json"]).succeeded().stdout;
        assert_eq!(json(&text)["kind"], kind);
        assert_eq!(json(&text)["problems"], serde_json::json!([]));
    }
}

#[test]
fn what_is_wrong_is_said_and_gives_exit_code_2() {
    let place = Place::new();
    let weights = place.path("adapter/adapter_model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    place.write("bad.wav", "no sound");
    place.write("clips.csv", "file,label\na.wav,x\n");
    for (path, problem) in [
        ("adapter", "is damaged"),
        ("bad.wav", "is not audio"),
        ("clips.csv", "no column path"),
    ] {
        let outcome = place.run(&["inspect", path]);
        assert!(outcome.stdout.contains(problem), "{}", outcome.stdout);
        outcome.refused(&["1 problem"]);
    }
    place
        .run(&["inspect", "nothing"])
        .refused(&["check the path"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.run(&["inspect", "empty"]).refused(&["is no adapter"]);
}

#[test]
fn the_doctor_finds_a_whole_machine_and_a_broken_backbone() {
    let place = Place::new();
    fs::create_dir(place.path("datasets")).unwrap();
    let outcome = place.run(&["doctor", "--json"]).succeeded();
    let checks: Vec<Value> = outcome.stdout.lines().map(json).collect();
    let status = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("{name}: {}", outcome.stdout))["status"].clone()
    };
    for name in ["libtorch", "model", "front end", "cache", "backbone tiny"] {
        assert_eq!(status(name), "ok", "{name}");
    }
    let weights = place.path("cache/backbones/tiny/model.safetensors");
    fs::write(&weights, "damaged").unwrap();
    let outcome = place.run(&["doctor"]);
    assert!(
        outcome.stdout.contains("BROKEN  backbone tiny"),
        "{}",
        outcome.stdout
    );
    assert!(outcome.stdout.contains("fetch it again"));
    outcome.refused(&["1 check, marked BROKEN"]);
}

/// Answers every request with a file of `folder`, or 404.
fn hub(folder: std::path::PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                request += &line;
            }
            let path = request.split_whitespace().nth(1).unwrap_or("/");
            let name = path.rsplit('/').next().unwrap_or_default();
            let answer = match fs::read(folder.join(name)) {
                Ok(body) => {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Repo-Commit: {}\r\nConnection: close\r\n\r\n",
                        body.len(),
                        "a".repeat(40)
                    );
                    let body = if request.starts_with("HEAD") {
                        Vec::new()
                    } else {
                        body
                    };
                    [head.into_bytes(), body].concat()
                }
                Err(_) => {
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                        .to_vec()
                }
            };
            // A client that has gone away is its own affair.
            let _ = stream.write_all(&answer);
        }
    });
    address
}

#[test]
fn a_fetched_model_is_a_backbone_by_its_id() {
    let place = Place::new();
    let tiny = place.path("cache/backbones/tiny");
    let address = hub(tiny.clone());
    let mut command = place.program(&["fetch", "owner/tiny"]);
    let outcome = support::run(command.env("HF_ENDPOINT", &address)).succeeded();
    let folder = place.path("cache/hub/owner--tiny/main");
    assert_eq!(outcome.stdout.trim(), folder.display().to_string());
    assert!(
        outcome.stderr.contains("--backbone owner/tiny"),
        "{}",
        outcome.stderr
    );
    // The network is used once.
    let again = place.run(&["fetch", "owner/tiny", "--endpoint", "http://127.0.0.1:1"]);
    assert_eq!(again.succeeded().stdout, outcome.stdout);
    fs::rename(&tiny, place.path("elsewhere")).unwrap();
    place.run(&["predict", "adapter", "sounds"]).succeeded();
    let named = ["predict", "adapter", "sounds", "--backbone", "owner/tiny"];
    place.run(&named).succeeded();
}

#[test]
fn a_hub_that_is_not_there_is_named() {
    let place = Place::new();
    place
        .run(&["fetch", "no-owner"])
        .refused(&["is not owner/name"]);
}
