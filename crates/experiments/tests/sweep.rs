//! Sweeps from the command line: plans are stable, runs can be asked for any number
//! of times, in any order and by several processes, and are those of the benchmark.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};

use ast_model::{AstConfig, Checkpoint};
use support::{Setup, run, tone};

#[test]
fn the_same_profile_gives_the_same_plan() {
    let setup = Setup::new();
    assert_eq!(setup.plan("one", &[]), 3);
    assert_eq!(setup.plan("two", &[]), 3);
    let plan = |out: &str| fs::read(setup.path(out).join("plan.jsonl")).unwrap();
    let (one, description) = (plan("one"), fs::read(setup.path("one/sweep.json")).unwrap());
    assert_eq!(one, plan("two"));
    setup.plan("one", &[]);
    assert_eq!(one, plan("one"));
    assert_eq!(description, fs::read(setup.path("one/sweep.json")).unwrap());
}

#[test]
fn another_plan_replaces_one_only_when_told_to() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    let other = ["--seeds", "1,2"];
    setup
        .try_plan("sweep", &other)
        .refused(&["another plan", "--force"]);
    assert_eq!(setup.plan("sweep", &["--seeds", "1,2", "--force"]), 6);
}

#[test]
fn the_runs_of_a_sweep_are_those_of_the_benchmark_and_shared_with_it() {
    let setup = Setup::finished();
    setup.plan("sweep", &[]);
    for index in [2, 0, 1] {
        setup.run_index("sweep", index).succeeded();
    }
    assert_eq!(setup.results("sweep"), setup.results("out"));
    // And in the benchmark's folder nothing is left to do.
    setup.plan("out", &[]);
    assert_eq!(setup.count("out", "done"), 3);
    let outcome = setup.run_index("out", 1).succeeded();
    assert!(
        outcome.stderr.contains("finished before"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_run_that_is_done_is_left_as_it_is() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    setup.run_index("sweep", 0).succeeded();
    let records = setup.records("sweep");
    let outcome = setup.run_index("sweep", 0).succeeded();
    assert!(
        outcome.stderr.contains("finished before"),
        "{}",
        outcome.stderr
    );
    assert_eq!(records, setup.records("sweep"));
    assert_eq!(records.len(), 1);
}

#[test]
fn a_run_that_another_process_makes_ends_with_75_and_can_be_waited_for() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    let id = setup.status("sweep")["runs"][0]["id"].clone();
    let folder = setup.path("sweep/runs").join(id.as_str().unwrap());
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(setup.status("sweep")["runs"][0]["state"], "running");
    let outcome = setup.run_index("sweep", 0);
    assert_eq!(outcome.code, Some(75), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("try again later"),
        "{}",
        outcome.stderr
    );
    // Others of the same process are made all the same.
    let both = run(&mut setup.run_command("sweep", &["--index", "0", "--count", "2"]));
    assert_eq!(both.code, Some(75), "{}", both.stderr);
    assert_eq!(setup.count("sweep", "done"), 1);
    let mut waiting = setup.run_command("sweep", &["--index", "0", "--wait", "60"]);
    let mut waiting = waiting.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(waiting.try_wait().unwrap(), None);
    drop(lock);
    assert!(waiting.wait().unwrap().success());
    assert_eq!(setup.count("sweep", "done"), 2);
}

#[test]
fn other_recordings_or_weights_than_those_of_the_plan_are_refused() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    let clip = setup.recording("low", "a", 0);
    let before = fs::read(&clip).unwrap();
    tone(&clip, 301.0, 16_000, 1);
    let outcome = setup.run_index("sweep", 0);
    outcome.refused(&["data_fingerprint: planned", "other recordings", "--cache"]);
    fs::write(&clip, before).unwrap();
    let shape = AstConfig {
        hidden_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 64,
        max_length: 32,
        ..AstConfig::tiny()
    };
    let other = Checkpoint::random(&shape, 3).unwrap();
    let folder = setup.path("cache/backbones/tiny");
    other.save(&folder).unwrap();
    setup
        .run_index("sweep", 0)
        .refused(&["backbone_fingerprint: planned", "other weights"]);
    fs::remove_dir_all(folder).unwrap();
    setup.run_index("sweep", 0).succeeded();
    fs::remove_dir_all(setup.path("cache/data")).unwrap();
    setup
        .run_index("sweep", 1)
        .refused(&["cannot be made here", "cargo xtask data tones"]);
}

#[test]
fn a_changed_plan_is_refused_with_the_line() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    setup.edit("sweep/plan.jsonl", "\"seed\":1,", "\"seed\":2,");
    setup
        .run_index("sweep", 1)
        .refused(&["line 2", "was changed after it was planned"]);
    setup.plan("sweep", &["--force"]);
    setup.edit("sweep/plan.jsonl", "\"clips\":", "\"clip\":");
    setup
        .run_index("sweep", 0)
        .refused(&["line 1", "did you mean `clips`?"]);
    setup.plan("sweep", &["--force"]);
    setup
        .run_index("sweep", 3)
        .refused(&["no run 3", "it has 3, counted from 0"]);
}

#[test]
fn a_run_is_named_by_its_number_or_its_line() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    let plan = fs::read_to_string(setup.path("sweep/plan.jsonl")).unwrap();
    let line = plan.lines().nth(1).unwrap();
    run(&mut setup.run_command("sweep", &["--entry", line])).succeeded();
    run(&mut setup.run_command("sweep", &["--entry", "2"])).succeeded();
    let states = setup.status("sweep");
    let states: Vec<&str> = (0..3)
        .map(|index| states["runs"][index]["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["waiting", "done", "done"]);
}

#[test]
fn a_run_that_diverges_fails_once_and_for_all_unless_it_is_asked_for_again() {
    let setup = Setup::new();
    setup.edit(
        "profile.toml",
        "learning_rate = 6e-3",
        "learning_rate = 1e30",
    );
    setup.plan("sweep", &[]);
    let failed = setup.run_index("sweep", 2);
    assert_eq!(failed.code, Some(3), "{}", failed.stderr);
    assert!(
        failed.stderr.contains("lower the learning rate"),
        "{}",
        failed.stderr
    );
    let status = setup.status("sweep");
    assert_eq!(status["runs"][2]["state"], "failed");
    let again = setup.run_index("sweep", 2);
    assert_eq!(again.code, Some(3), "{}", again.stderr);
    assert!(
        !again.stderr.contains("[1/"),
        "it was made again: {}",
        again.stderr
    );
    let retry = ["--index", "2", "--retry-failed"];
    let retried = run(&mut setup.run_command("sweep", &retry));
    assert_eq!(retried.code, Some(3), "{}", retried.stderr);
    assert!(retried.stderr.contains("[1/1]"), "{}", retried.stderr);
    setup.run_index("sweep", 0).succeeded();
    let outcome = run(setup.sweep(&["collect", "--plan"]).arg(setup.path("sweep")));
    let table = outcome.succeeded().stdout;
    assert!(table.contains("lower the learning rate"), "{table}");
    assert!(table.contains("1 of 3 runs are not finished"), "{table}");
}

#[test]
fn a_run_that_is_told_to_stop_saves_ends_with_75_and_goes_on_to_the_same_bits() {
    let setup = Setup::new();
    let long = ["--set", "task.epochs=150", "--method", "soft-moa"];
    setup.plan("calm", &long);
    setup.plan("stopped", &long);
    setup.run_index("calm", 0).succeeded();
    let mut command = setup.run_command("stopped", &["--index", "0"]);
    let mut child = command.spawn().unwrap();
    setup.wait("stopped", 60, "begun", &|status| {
        status["runs"][0]["epoch"].as_u64() > Some(0)
    });
    let mut kill = std::process::Command::new("kill");
    let kill = kill.args(["-TERM", &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(75));
    let status = setup.status("stopped");
    assert_eq!(status["runs"][0]["state"], "partial", "{status}");
    let epoch = status["runs"][0]["epoch"].as_u64().unwrap();
    assert!((1..150).contains(&epoch), "{epoch}");
    setup.run_index("stopped", 0).succeeded();
    assert_eq!(setup.results("stopped"), setup.results("calm"));
}

#[test]
fn the_local_pool_makes_everything_that_is_left_with_the_same_results() {
    let setup = Setup::new().with_twelve_runs();
    setup.plan("pool", &[]);
    setup.plan("calm", &[]);
    setup.run_all("calm");
    setup.run_index("pool", 4).succeeded();
    let mut launch = setup.placed(&["launch", "local", "--jobs", "2", "--threads", "1"]);
    launch
        .args(["--pack", "3", "--plan"])
        .arg(setup.path("pool"));
    let outcome = run(&mut launch).succeeded();
    assert!(
        outcome.stdout.contains("12 of 12 runs done"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome
            .stderr
            .contains("2 processes at once, 1 thread each"),
        "{}",
        outcome.stderr
    );
    assert_eq!(setup.results("pool"), setup.results("calm"));
    let outcome = run(&mut launch).succeeded();
    assert!(!setup.path("pool/logs/local-12.log").exists());
    assert!(
        outcome.stdout.contains("12 of 12 runs done"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn collect_reports_what_is_there_and_says_what_is_not() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    let collect = || run(setup.sweep(&["collect", "--plan"]).arg(setup.path("sweep")));
    let table = collect().succeeded().stdout;
    assert!(table.contains("3 of 3 runs are not finished"), "{table}");
    setup.run_index("sweep", 2).succeeded();
    let table = collect().succeeded().stdout;
    assert!(table.contains("soft-moa"), "{table}");
    assert!(table.contains("2 of 3 runs are not finished"), "{table}");
    setup.run_all("sweep");
    let table = collect().succeeded().stdout;
    assert!(!table.contains("not finished"), "{table}");
    assert_eq!(setup.report("sweep")["runs"].as_array().unwrap().len(), 3);
    assert!(setup.path("sweep/report.html").is_file());
}

#[test]
fn a_sweep_over_a_setting_has_a_row_for_every_value() {
    let setup = Setup::new();
    let words = [
        "--method",
        "soft-moa",
        "--set",
        "mixture.experts=2,3",
        "--folds",
        "0-1",
        "--seeds",
        "1,5",
    ];
    assert_eq!(setup.plan("sweep", &words), 8);
    let status = setup.status("sweep");
    let titles: BTreeSet<&str> = status["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles.len(), 8);
    assert!(
        titles.contains("tones, soft-moa mixture.experts=2, fold 1, seed 5"),
        "{titles:?}"
    );
    setup
        .try_plan(
            "other",
            &["--set", "mixture.exprts=2", "--method", "soft-moa"],
        )
        .refused(&["did you mean `mixture.experts`?"]);
    setup
        .try_plan("other", &["--method", "soft-mao"])
        .refused(&["did you mean \"soft-moa\"?"]);
    setup
        .try_plan("other", &["--folds", "0-7"])
        .refused(&["fold 2"]);
}

#[test]
fn status_tells_people_and_programs() {
    let setup = Setup::new();
    setup.plan("sweep", &[]);
    setup.run_index("sweep", 1).succeeded();
    let outcome = run(setup.sweep(&["status", "--plan"]).arg(setup.path("sweep"))).succeeded();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", outcome.stdout);
    assert!(
        lines[0].contains("waiting") && lines[0].contains("linear"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].contains("done") && lines[1].contains("test accuracy"),
        "{}",
        lines[1]
    );
    assert!(
        lines[3].starts_with("1 of 3 runs done, 2 waiting"),
        "{}",
        lines[3]
    );
    let status = setup.status("sweep");
    assert_eq!(
        (&status["done"], &status["waiting"]),
        (&1.into(), &2.into())
    );
    assert!(status["seconds_left"].as_f64().unwrap() > 0.0);
    setup
        .sweep(&["status", "--plan", "no-such-folder"])
        .output()
        .map(|output| assert_eq!(output.status.code(), Some(2)))
        .unwrap();
}

#[test]
fn a_script_names_only_the_tasks_that_have_something_to_do() {
    let setup = Setup::new().with_twelve_runs();
    setup.plan("sweep", &[]);
    let mut half = setup.run_command("sweep", &["--index", "4", "--count", "4"]);
    run(&mut half).succeeded();
    let mut launch = setup.placed(&["launch", "slurm", "--pack", "2", "--plan"]);
    let outcome = run(launch.arg(setup.path("sweep"))).succeeded();
    let script = fs::read_to_string(outcome.stdout.trim()).unwrap();
    assert!(script.contains("#SBATCH --array=0-1,4-5\n"), "{script}");
    let index = "--index \"$((SLURM_ARRAY_TASK_ID * 2))\" --count 2";
    assert!(script.contains(index), "{script}");
    setup.run_all("sweep");
    let outcome = run(&mut launch).succeeded();
    assert!(
        outcome.stderr.contains("nothing is left to do"),
        "{}",
        outcome.stderr
    );
}
