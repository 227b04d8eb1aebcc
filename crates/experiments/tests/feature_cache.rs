//! One feature cache and several programs that want it at once.

mod support;

use std::fs;
use std::process::{Child, Stdio};

use support::Setup;

/// Names of the files of the feature cache.
fn cached(setup: &Setup) -> Vec<String> {
    let entries = fs::read_dir(setup.path("cache/features")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn processes_that_start_at_once_share_one_file_and_get_the_same_results() {
    let setup = Setup::new();
    let outs = ["a", "b", "c"];
    let start = |out: &&str| -> Child {
        let mut command = setup.command(out);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<Child> = outs.iter().map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{messages}");
        assert!(!messages.contains("feature cache"), "{messages}");
    }
    let files = cached(&setup);
    assert!(
        files.len() == 1 && files[0].ends_with(".features"),
        "{files:?}"
    );
    let results = outs.map(|out| setup.results(out));
    assert_eq!(results[0].len(), 3);
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[test]
fn features_in_half_precision_are_another_file_and_another_run() {
    let setup = Setup::finished();
    let before = setup.records("out");
    setup.edit(
        "profile.toml",
        "seeds = [1]",
        "seeds = [1]\nfeatures = \"f16\"",
    );
    setup.bench().succeeded();
    assert_eq!(cached(&setup).len(), 2);
    let after = setup.records("out");
    assert_eq!((before.len(), after.len()), (3, 6));
}
