//! Models fetched from a hub on this machine, which breaks off, lies or is not
//! there.
#![cfg(feature = "hub")]

mod server;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use ast_model::hub::{self, HubOptions};
use ast_model::{AstError, Checkpoint};
use server::{COMMIT, Hub};

const ID: &str = "owner/name";
const CONFIG: &[u8] = include_bytes!("../fixtures/backbone/config.json");
const WEIGHTS: &[u8] = include_bytes!("../fixtures/backbone/model.safetensors");
const PREPROCESSOR: &[u8] = br#"{"mean": -5.5, "std": 4.0, "num_mel_bins": 128}"#;

fn whole() -> Hub {
    Hub::start(&[
        ("config.json", CONFIG),
        ("preprocessor_config.json", PREPROCESSOR),
        ("model.safetensors", WEIGHTS),
    ])
}

fn options(hub: &Hub, cache: &Path) -> HubOptions {
    HubOptions {
        endpoint: hub.endpoint.clone(),
        attempts: 1,
        timeout: Duration::from_secs(10),
        system_proxy: false,
        ..HubOptions::new(cache)
    }
}

/// Names in the model's part of the cache, but for the lock.
fn leftovers(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path != folder && path.extension().unwrap() != "lock")
        .collect()
}

#[test]
fn a_model_is_fetched_once_and_loads() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    let options = options(&hub, cache.path());
    let mut seen = Vec::new();
    let folder = hub::fetch_with_progress(ID, "main", &options, &mut |progress| {
        seen.push((progress.file.to_owned(), progress.received, progress.total));
    });
    let folder = folder.unwrap();
    assert_eq!(folder, hub::folder(ID, "main", cache.path()).unwrap());
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    let size = WEIGHTS.len() as u64;
    assert_eq!(
        seen.last(),
        Some(&("model.safetensors".to_owned(), size, Some(size)))
    );
    assert!(
        fs::read_to_string(folder.join("source.json"))
            .unwrap()
            .contains(COMMIT)
    );
    assert!(leftovers(&folder).is_empty());
    let (checkpoint, _) = Checkpoint::load(&folder).unwrap();
    assert_eq!(checkpoint.preprocessor().unwrap().mean, -5.5);

    // All but the first request name the commit, so that a moving branch
    // cannot mix two states.
    let requests = hub.requests();
    let resolved = requests
        .iter()
        .filter(|request| request.path.contains("/resolve/"));
    let by_branch = resolved
        .filter(|request| !request.path.contains(COMMIT))
        .count();
    assert_eq!(by_branch, 1);
    assert_eq!(hub::fetch(ID, "main", &options).unwrap(), folder);
    assert_eq!(
        hub.requests().len(),
        requests.len(),
        "a complete model needs no network"
    );
}

#[test]
fn a_broken_connection_goes_on_where_it_stopped_within_one_call() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    // Popped from the end: 1000 bytes, then 5000 more, then the rest.
    hub.cut_after(&[5000, 1000]);
    let folder = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    let ranges = hub.content_requests("model.safetensors").into_iter();
    let ranges = ranges.map(|mut request| request.headers.remove("range"));
    let expected = [
        None,
        Some("bytes=1000-".to_owned()),
        Some("bytes=6000-".to_owned()),
    ];
    assert_eq!(ranges.collect::<Vec<_>>(), expected);
}

#[test]
fn a_download_that_failed_or_was_killed_goes_on_in_the_next_call() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    let options = options(&hub, cache.path());
    // The second answer breaks off at once: nothing came, so the call fails.
    hub.cut_after(&[0, 3000]);
    let error = hub::fetch(ID, "main", &options).unwrap_err();
    assert!(matches!(error, AstError::HubUnreachable { .. }), "{error}");
    let folder = hub::folder(ID, "main", cache.path()).unwrap();
    assert!(!folder.exists(), "half a model must not look like one");
    assert_eq!(hub::fetch(ID, "main", &options).unwrap(), folder);
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    let last = hub.content_requests("model.safetensors").pop().unwrap();
    assert_eq!(last.headers["range"], "bytes=3000-");
    let configs = hub.requests().into_iter();
    let configs =
        configs.filter(|r| r.method == "GET" && r.path == "/api/resolve-cache/config.json");
    assert_eq!(configs.count(), 1, "what is whole is not fetched again");
    assert!(leftovers(&folder).is_empty());
}

#[test]
fn a_server_without_ranges_begins_anew_and_gives_the_same_file() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    hub.ignore_ranges();
    hub.cut_after(&[2000]);
    let folder = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    assert_eq!(hub.content_requests("model.safetensors").len(), 2);
}

#[test]
fn passing_failures_are_tried_again() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    hub.refuse_with(&[503]);
    let patient = HubOptions {
        attempts: 2,
        ..options(&hub, cache.path())
    };
    hub::fetch(ID, "main", &patient).unwrap();
}

#[test]
fn a_wrong_checksum_is_refused_and_the_file_does_not_stay() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    let options = options(&hub, cache.path());
    hub.announce_wrong_checksums(true);
    let error = hub::fetch(ID, "main", &options).unwrap_err();
    assert!(matches!(error, AstError::HubChecksum { .. }), "{error}");
    assert!(error.to_string().contains("checksum"), "{error}");
    let folder = hub::folder(ID, "main", cache.path()).unwrap();
    assert!(!folder.exists());
    hub.announce_wrong_checksums(false);
    hub::fetch(ID, "main", &options).unwrap();
    let last = hub.content_requests("model.safetensors").pop().unwrap();
    assert!(
        !last.headers.contains_key("range"),
        "the damaged part is gone"
    );
}

#[test]
fn a_large_file_without_an_announced_size_is_refused_and_a_small_one_taken() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    hub.announce_nothing();
    let folder = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap();
    assert_eq!(fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);

    let large = vec![7; (64 << 20) + 1];
    let hub = Hub::start(&[("config.json", CONFIG), ("model.safetensors", &large)]);
    hub.announce_nothing();
    let cache = tempfile::tempdir().unwrap();
    let error = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap_err();
    assert!(matches!(error, AstError::HubUnannounced { .. }), "{error}");
    let folder = hub::folder(ID, "main", cache.path()).unwrap();
    assert!(
        error.to_string().contains(folder.to_str().unwrap()),
        "{error}"
    );
    assert!(!folder.exists(), "a part must not look like the model");
}

#[test]
fn without_a_server_the_message_says_which_files_go_where_and_they_are_then_used() {
    let cache = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let offline = HubOptions {
        endpoint: format!("http://{port}"),
        attempts: 1,
        system_proxy: false,
        ..HubOptions::new(cache.path())
    };
    let error = hub::fetch(ID, "main", &offline).unwrap_err().to_string();
    let folder = hub::folder(ID, "main", cache.path()).unwrap();
    let parts = [
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        ID,
    ];
    for part in parts.into_iter().chain([folder.to_str().unwrap()]) {
        assert!(error.contains(part), "{part}: {error}");
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    assert!(
        hub::fetch(ID, "main", &offline).is_err(),
        "the weights are still missing"
    );
    fs::write(folder.join("model.safetensors"), WEIGHTS).unwrap();
    assert_eq!(hub::fetch(ID, "main", &offline).unwrap(), folder);
}

#[test]
fn a_folder_filled_by_half_is_completed() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    let folder = hub::folder(ID, "main", cache.path()).unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), "{").unwrap();
    hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap();
    Checkpoint::load(&folder).unwrap();
    assert!(leftovers(&folder).is_empty());
}

#[test]
fn two_at_once_fetch_every_file_once() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    let options = options(&hub, cache.path());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| hub::fetch(ID, "main", &options).unwrap());
        }
    });
    assert_eq!(hub.content_requests("model.safetensors").len(), 1);
}

#[test]
fn shards_are_fetched_by_their_index_and_names_that_leave_the_folder_are_refused() {
    let shard = "model-00001-of-00001.safetensors";
    let header = u64::from_le_bytes(WEIGHTS[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&WEIGHTS[8..8 + header]).unwrap();
    let index = |file: &str| {
        let names = header.as_object().unwrap().keys();
        let names = names.filter(|name| *name != "__metadata__");
        let map: serde_json::Map<_, _> = names.map(|name| (name.clone(), file.into())).collect();
        serde_json::json!({ "weight_map": map }).to_string()
    };
    let serve = |index: &str| {
        Hub::start(&[
            ("config.json", CONFIG),
            ("model.safetensors.index.json", index.as_bytes()),
            (shard, WEIGHTS),
        ])
    };
    let (hub, cache) = (serve(&index(shard)), tempfile::tempdir().unwrap());
    let options_here = options(&hub, cache.path());
    let folder = hub::fetch(ID, "main", &options_here).unwrap();
    Checkpoint::load(&folder).unwrap();
    assert!(!folder.join("preprocessor_config.json").exists());
    let count = hub.requests().len();
    hub::fetch(ID, "main", &options_here).unwrap();
    assert_eq!(hub.requests().len(), count);

    let (hub, cache) = (
        serve(&index("../evil.safetensors")),
        tempfile::tempdir().unwrap(),
    );
    let error = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap_err();
    assert!(matches!(error, AstError::Shards { .. }), "{error}");
}

#[test]
fn the_token_goes_to_the_hub_and_never_to_its_store() {
    let (hub, cache) = (whole(), tempfile::tempdir().unwrap());
    hub.ask_for_token("hf_secret");
    let closed = options(&hub, cache.path());
    let error = hub::fetch(ID, "main", &closed).unwrap_err();
    assert!(
        matches!(error, AstError::HubRefused { status: 401, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("access token"), "{error}");

    let open = HubOptions {
        token: Some("hf_secret".into()),
        ..closed
    };
    assert!(!format!("{open:?}").contains("hf_secret"));
    hub::fetch(ID, "main", &open).unwrap();
    let mut to_store = hub.content_requests("model.safetensors").into_iter();
    let request = to_store.next().expect("the weights come from the store");
    assert!(!request.headers.contains_key("authorization"));
}

#[test]
fn a_model_that_is_not_there_or_only_pickled_is_said_to_be_so() {
    let (hub, cache) = (Hub::start(&[]), tempfile::tempdir().unwrap());
    let error = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap_err();
    assert!(
        matches!(error, AstError::HubRefused { status: 404, .. }),
        "{error}"
    );
    for (extra, expected) in [
        ("pytorch_model.bin", "save_file"),
        ("README.md", "no model.safetensors"),
    ] {
        let hub = Hub::start(&[("config.json", CONFIG), (extra, b"x")]);
        let error = hub::fetch(ID, "main", &options(&hub, cache.path())).unwrap_err();
        assert!(matches!(error, AstError::HubFiles { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn options_that_cannot_work_are_named() {
    let cache = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut HubOptions)| {
        let mut options = HubOptions::new(cache.path());
        change(&mut options);
        let error = hub::fetch(ID, "main", &options).unwrap_err();
        assert!(matches!(error, AstError::HubOption { .. }), "{error}");
        error.to_string()
    };
    assert!(refused(&|options| options.endpoint = "ftp://x".into()).contains("endpoint"));
    assert!(refused(&|options| options.token = Some("a\r\nb: c".into())).contains("token"));
    assert!(refused(&|options| options.attempts = 0).contains("attempts"));
    let plain = |options: &mut HubOptions| {
        options.endpoint = "http://mirror.example".into();
        options.token = Some("hf_secret".into());
    };
    assert!(refused(&plain).contains("https://"));
}
