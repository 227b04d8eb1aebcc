//! kill -9 at random instants: whatever was running goes on from its last
//! checkpoint, and in the end every bit and every file is that of an
//! undisturbed benchmark.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use support::Setup;

/// How often the program is killed.
const KILLS: usize = 50;

/// Every file below a folder, relative to it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap();
                found.insert(relative.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// Runs the benchmark into `out` for at most so long; how long it took, where
/// it ended.
fn live(setup: &Setup, out: &str, time: Duration) -> Option<Duration> {
    let mut command = setup.command(out);
    // A checkpoint after every step: most kills then hit one being written.
    command.args(["--checkpoint-every", "0"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return Some(start.elapsed());
        }
        sleep(Duration::from_millis(2));
    }
    child.kill().unwrap(); // SIGKILL
    let status = child.wait().unwrap();
    // It may have ended just before.
    status.success().then(|| start.elapsed())
}

#[test]
fn killed_at_fifty_random_instants_it_ends_with_the_same_bits_and_files() {
    let setup = Setup::new();
    // Two runs after each other, small enough for many lives.
    setup.edit(
        "profile.toml",
        r#""linear", "adapter", "soft-moa""#,
        r#""linear", "soft-moa""#,
    );
    let minute = Duration::from_secs(60);
    // A life from start to end; the shortest so far, so that a machine that was busy
    // at first does not let later lives end before they are killed.
    let mut whole = live(&setup, "undisturbed", minute).unwrap();
    let expected = setup.results("undisturbed");
    assert_eq!(expected.len(), 2);
    let all_files = files(&setup.path("undisturbed"));

    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let (mut kills, mut round, mut most) = (0, 0, 0);
    while kills < KILLS {
        round += 1;
        let out = format!("killed-{round}");
        let mut finished: BTreeSet<String> = BTreeSet::new();
        let mut in_round = 0;
        // Anywhere from the start of the process to its end.
        while kills < KILLS {
            let time = whole.mul_f64(rng.random_range(0.0..1.0));
            if let Some(ended) = live(&setup, &out, time) {
                if in_round == 0 {
                    whole = whole.min(ended);
                }
                break;
            }
            kills += 1;
            in_round += 1;
            if setup.path(&out).join("runs").is_dir() {
                let records = setup.records(&out).into_keys().collect();
                assert!(finished.is_subset(&records), "a finished run was lost");
                finished = records;
            }
        }
        most = most.max(in_round);
        assert!(live(&setup, &out, minute).is_some());
        assert_eq!(setup.results(&out), expected, "round {round}");
        assert_eq!(files(&setup.path(&out)), all_files, "round {round}");
    }
    assert!(most > 1, "no run was killed more than once");
}
