//! The benchmark from the command line: it runs, goes on where it ended, and
//! gives the same results however often it is interrupted.

mod support;

use std::collections::BTreeSet;
use std::fs;

use adapters::AdaptOptions;
use ast_model::{AstConfig, Checkpoint, Positions};
use support::{Setup, run, tone};

const METHODS: [&str; 3] = ["linear", "adapter", "soft-moa"];

#[test]
fn a_profile_becomes_a_table_a_report_and_adapters_that_load() {
    let setup = Setup::new();
    let shape = AstConfig {
        hidden_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 64,
        max_length: 32,
        ..AstConfig::tiny()
    };
    let stored = Checkpoint::random(&shape, 3).unwrap();
    stored.save(&setup.path("cache/backbones/tiny")).unwrap();
    let table = setup.bench().succeeded().stdout;
    for method in METHODS {
        assert!(table.contains(method), "{table}");
    }
    for file in ["report.md", "report.html", "results.json", "results.csv"] {
        assert!(
            fs::metadata(setup.path("out").join(file)).unwrap().len() > 100,
            "{file}"
        );
    }
    assert!(fs::read_dir(setup.path("out/plots")).unwrap().count() > 0);
    let report = setup.report("out");
    let run_ids: BTreeSet<&str> = report["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap())
        .collect();
    let records = setup.records("out");
    assert_eq!(run_ids, records.keys().map(String::as_str).collect());
    assert_eq!(records.len(), METHODS.len());
    let backbone = Checkpoint::load(&setup.path("cache/backbones/tiny"))
        .unwrap()
        .0;
    let backbone = backbone.with_length(32, Positions::default()).unwrap();
    for id in run_ids {
        let folder = setup.path(&format!("out/runs/{id}/adapter"));
        let (_, description) = adapters::load(&folder, &backbone, &AdaptOptions::new(2)).unwrap();
        assert_eq!(description.labels, ["low", "high"]);
    }
}

#[test]
fn started_again_it_computes_nothing_and_prints_the_same_table() {
    let setup = Setup::new();
    let first = setup.bench().succeeded();
    let records = setup.records("out");
    let report = fs::read(setup.path("out/report.html")).unwrap();
    let second = setup.bench().succeeded();
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(records, setup.records("out"));
    assert_eq!(report, fs::read(setup.path("out/report.html")).unwrap());
    assert!(
        second.stderr.contains("3 of 3 runs are already there"),
        "{}",
        second.stderr
    );
}

#[test]
fn killed_it_keeps_what_was_finished_and_ends_with_the_same_results() {
    let setup = Setup::new().with_twelve_runs();
    setup.start_until(3).kill();
    let kept = setup.records("out");
    assert!(
        (2..12).contains(&kept.len()),
        "{} runs were finished",
        kept.len()
    );
    setup.bench().succeeded();
    let all = setup.records("out");
    assert_eq!(all.len(), 12);
    assert!(
        kept.iter().all(|(id, record)| all[id] == *record),
        "a finished run was made again"
    );
    setup.command("undisturbed").output().unwrap();
    assert_eq!(setup.results("out"), setup.results("undisturbed"));
    let names = |out: &str| -> BTreeSet<String> {
        let runs = fs::read_dir(setup.path(out).join("runs")).unwrap();
        runs.flat_map(|run| fs::read_dir(run.unwrap().path()).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    assert_eq!(
        names("out"),
        names("undisturbed"),
        "the killed run left files behind"
    );
}

#[test]
fn another_folder_and_cache_give_the_same_losses_accuracies_and_adapters() {
    let (one, two) = (
        Setup::new().with_twelve_runs(),
        Setup::new().with_twelve_runs(),
    );
    one.bench().succeeded();
    two.bench().succeeded();
    let results = one.results("out");
    assert_eq!(results.len(), 12);
    assert_eq!(results, two.results("out"));
    let adapters: BTreeSet<&Vec<u8>> = results.values().map(|(.., adapter)| adapter).collect();
    assert_eq!(
        adapters.len(),
        12,
        "runs of other seeds, folds or methods have the same adapter"
    );
}

#[test]
fn several_processes_at_once_give_the_results_of_one() {
    let setup = Setup::new().with_twelve_runs();
    let outcome = run(setup.command("pool").args(["--jobs", "2"])).succeeded();
    let said = outcome.stderr;
    assert!(said.contains("2 processes at once"), "{said}");
    let alone = run(&mut setup.command("alone")).succeeded();
    assert_eq!(setup.results("pool"), setup.results("alone"));
    let rows = |text: &str| {
        text.lines()
            .filter(|line| line.contains("soft-moa"))
            .count()
    };
    assert!(rows(&outcome.stdout) > 0);
    assert_eq!(rows(&outcome.stdout), rows(&alone.stdout));
    assert_eq!(setup.report("pool")["runs"].as_array().unwrap().len(), 12);
}

#[test]
fn a_changed_hyper_parameter_redoes_only_the_runs_of_its_method() {
    let setup = Setup::finished();
    let before = setup.records("out");
    setup.edit(
        "profile.toml",
        "learning_rate = 6e-3",
        "learning_rate = 7e-3",
    );
    let stderr = setup.bench().succeeded().stderr;
    assert!(stderr.contains("2 of 3 runs are already there"), "{stderr}");
    let after = setup.records("out");
    assert!(
        before.iter().all(|(id, record)| after[id] == *record),
        "old runs are kept"
    );
    let new: Vec<&String> = after
        .keys()
        .filter(|id| !before.contains_key(*id))
        .collect();
    assert_eq!(new.len(), 1);
    let report = setup.report("out");
    let rates: Vec<(&str, f64)> = report["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            let rate = run["config"]["training"]["learning_rate"].as_f64().unwrap();
            (run["method"].as_str().unwrap(), rate)
        })
        .collect();
    assert_eq!(
        rates.len(),
        3,
        "the old soft-moa is not in the report: {rates:?}"
    );
    assert!(rates.contains(&("soft-moa", 7e-3)), "{rates:?}");
}

#[test]
fn a_damaged_record_is_made_again() {
    let setup = Setup::finished();
    let before = setup.results("out");
    let (id, record) = setup.records("out").pop_first().unwrap();
    let path = setup.path(&format!("out/runs/{id}/record.json"));
    fs::write(path, &record[..record.len() / 2]).unwrap();
    let stderr = setup.bench().succeeded().stderr;
    assert!(stderr.contains("2 of 3 runs are already there"), "{stderr}");
    assert_eq!(before, setup.results("out"));
}

#[test]
fn ctrl_c_keeps_finished_runs_writes_the_report_and_says_how_to_go_on() {
    let setup = Setup::new().with_twelve_runs();
    let outcome = setup.start_until(3).interrupt();
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("the same command again"),
        "{}",
        outcome.stderr
    );
    assert_eq!(outcome.stdout, "");
    let kept = setup.records("out");
    assert!(
        (2..12).contains(&kept.len()),
        "{} runs were finished",
        kept.len()
    );
    let report = setup.report("out");
    assert_eq!(report["runs"].as_array().unwrap().len(), kept.len());
    let missing = report["context"]["missing"].to_string();
    assert!(missing.contains("of 12 runs are not finished"), "{missing}");
    setup.bench().succeeded();
    let all = setup.records("out");
    assert!(kept.iter().all(|(id, record)| all[id] == *record));
    assert_eq!(
        setup.report("out")["context"]["missing"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn recordings_at_other_rates_and_in_stereo_are_fine() {
    let setup = Setup::new();
    tone(&setup.recording("low", "a", 0), 300.0, 8_000, 1);
    tone(&setup.recording("high", "b", 0), 1500.0, 44_100, 2);
    setup.bench().succeeded();
    assert_eq!(setup.records("out").len(), 3);
}

#[test]
fn a_task_that_cannot_be_had_does_not_stop_the_others() {
    let setup = Setup::new();
    let manifest = fs::read_to_string(setup.path("datasets/tones.toml")).unwrap();
    let manifest = manifest.replace("name = \"tones\"", "name = \"absent\"");
    setup.write("datasets/absent.toml", &manifest);
    let task = "[[tasks]]\nname = \"absent\"\nseeds = [1]\nmethods = [\"linear\"]\n\n";
    setup.edit("profile.toml", "[[tasks]]", &format!("{task}[[tasks]]"));
    let outcome = setup.bench().succeeded();
    assert!(
        outcome.stdout.contains("cargo xtask data absent"),
        "{}",
        outcome.stdout
    );
    assert_eq!(setup.records("out").len(), 3);
}

#[test]
fn sigterm_saves_and_asks_to_be_started_again() {
    let setup = Setup::new().with_twelve_runs();
    let stopped = setup.start_until(3).terminate();
    assert_eq!(stopped.code, Some(75), "{}", stopped.stderr);
    assert!(
        stopped.stderr.contains("go on where it ended"),
        "{}",
        stopped.stderr
    );
    setup.bench().succeeded();
    assert!(
        setup
            .command("undisturbed")
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(setup.results("out"), setup.results("undisturbed"));
}
