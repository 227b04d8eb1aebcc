//! A sweep in a real HyperQueue: server and worker are killed in mid-run, others
//! come, and every bit is that of an undisturbed sweep. HyperQueue is its Python
//! package in the folder that `SOFT_MOA_HYPERQUEUE` names; `cargo xtask test` sees to
//! it.

mod support;

use std::path::{Path, PathBuf};

use support::loopback::{Daemon, Loopback};
use support::{Setup, run};

/// The folder with the package, if it was named.
fn package() -> Option<PathBuf> {
    let named = PathBuf::from(std::env::var_os("SOFT_MOA_HYPERQUEUE")?);
    assert!(
        named.join("hyperqueue").is_dir(),
        "SOFT_MOA_HYPERQUEUE is `{}`, which holds no hyperqueue; name another folder or unset it",
        named.display()
    );
    Some(named)
}

/// Writes the script of what is left to do; its path.
fn script(setup: &Setup, out: &str) -> String {
    let mut launch = setup.placed(&["launch", "hyperqueue", "--threads", "1"]);
    launch.args(["--checkpoint-every", "0.1", "--plan"]);
    let outcome = run(launch.arg(setup.path(out))).succeeded();
    outcome.stdout.trim().to_owned()
}

/// Server and worker with a task for each of `count` runs.
fn cluster(
    network: &Loopback,
    package: &Path,
    folder: &Path,
    script: &str,
    count: usize,
) -> Daemon {
    std::fs::create_dir_all(folder).unwrap();
    let driver = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/support/hyperqueue_cluster.py"
    );
    let mut command = network.command("python3");
    command.env("PYTHONPATH", package).arg(driver).arg(folder);
    command.args([script, &count.to_string()]);
    Daemon::start(&mut command, &folder.join("cluster.log"))
}

#[test]
fn a_sweep_whose_worker_is_killed_ends_with_the_bits_of_an_undisturbed_one() {
    let Some(package) = package() else {
        eprintln!("skipped: SOFT_MOA_HYPERQUEUE names no folder");
        return;
    };
    let setup = Setup::new();
    let words = [
        "--method",
        "linear,soft-moa",
        "--seeds",
        "1,2",
        "--set",
        "task.epochs=120",
    ];
    assert_eq!(setup.plan("calm", &words), 4);
    setup.plan("killed", &words);
    setup.run_all("calm");

    let network = Loopback::new();
    let first = script(&setup, "killed");
    let mut lost = cluster(&network, &package, &setup.path("hq-1"), &first, 4);
    // In the middle of a run that has a checkpoint: SIGKILL.
    setup.wait("killed", 60, "in the middle of a run", &|status| {
        let runs = status["runs"].as_array().unwrap();
        let middle = |run: &serde_json::Value| run["epoch"].as_u64() > Some(5);
        runs.iter()
            .any(|run| run["state"] == "running" && middle(run))
    });
    lost.0.kill().unwrap();
    lost.0.wait().unwrap();
    let before = setup.records("killed");
    assert!(before.len() < 4, "everything was done before the kill");

    // What still runs of the lost worker, if anything, keeps its lock: the tasks of
    // the next one wait for it.
    let second = script(&setup, "killed");
    let mut next = cluster(&network, &package, &setup.path("hq-2"), &second, 4);
    setup.wait("killed", 120, "done", &|status| status["done"] == 4);
    assert!(next.0.wait().unwrap().success(), "a task failed");
    let after = setup.records("killed");
    let kept = before.iter().all(|(id, record)| after[id] == *record);
    assert!(kept, "a finished run was made again");
    assert_eq!(setup.results("killed"), setup.results("calm"));
}
