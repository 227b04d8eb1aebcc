//! The report as a whole, on made-up records.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::compare::Reading;
use super::fixtures::{context, expert_use, run, some_runs};
use super::*;

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in [folder.to_owned(), folder.join("plots")] {
        for entry in std::fs::read_dir(part).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// Every document and every plot as SVG.
pub fn written(context: &ReportContext, runs: &[RunRecord]) -> BTreeMap<String, String> {
    let documents = documents(context, runs).unwrap();
    let files = documents.files.into_iter();
    let files = files.map(|(name, bytes)| (name.to_owned(), String::from_utf8(bytes).unwrap()));
    let plots = documents.plots.all();
    let plots = plots.map(|plot| (format!("{}.svg", plot.file), draw::svg::svg(&plot.drawing)));
    files.chain(plots).collect()
}

#[test]
fn every_file_is_written_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let report = write(folder.path(), &context(), &some_runs()).unwrap();
    let rows = [
        ("languages", &["linear"][..]),
        ("tones", &["adapter", "linear", "soft-moa"]),
    ];
    let mut plots = Vec::new();
    for (task, methods) in rows {
        for plot in [
            "accuracy",
            "accuracy-parameters",
            "accuracy-seconds",
            "training",
        ] {
            plots.push(format!("{task}-{plot}"));
        }
        plots.extend(
            methods
                .iter()
                .map(|method| format!("{task}-confusion-{method}")),
        );
    }
    let plots = plots.iter();
    let plots =
        plots.flat_map(|plot| ["svg", "png"].map(|ending| format!("plots/{plot}.{ending}")));
    let documents = ["report.html", "report.md", "results.csv", "results.json"];
    let mut expected: Vec<String> = documents
        .map(str::to_owned)
        .into_iter()
        .chain(plots)
        .collect();
    expected.sort();
    let found = contents(folder.path());
    assert_eq!(found.keys().cloned().collect::<Vec<_>>(), expected);
    for (name, content) in &found {
        let signature = b"\x89PNG\r\n\x1a\n";
        assert_eq!(
            content.starts_with(signature),
            name.ends_with(".png"),
            "{name}"
        );
    }
    let mut listed = report.files.clone();
    listed.sort();
    let mut paths: Vec<_> = expected.iter().map(|f| folder.path().join(f)).collect();
    paths.sort();
    assert_eq!(listed, paths);
    assert!(report.summary.contains("soft-moa"));
    assert!(report.summary.contains("Missing: esc50"));
}

#[test]
fn the_same_runs_in_any_order_give_the_same_bytes() {
    let runs = some_runs();
    let once = written(&context(), &runs);
    let mut reversed = runs.clone();
    reversed.reverse();
    let mut rotated = runs.clone();
    rotated.rotate_left(5);
    assert_eq!(once, written(&context(), &runs));
    assert_eq!(once, written(&context(), &reversed));
    assert_eq!(once, written(&context(), &rotated));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("blocked");
    std::fs::write(&blocked, b"a file where the folder should be").unwrap();
    let error = write(&blocked, &context(), &some_runs()).unwrap_err();
    assert!(error.to_string().contains(&blocked.display().to_string()));

    let taken = folder.path().join("taken");
    std::fs::create_dir_all(taken.join("report.md")).unwrap();
    let error = write(&taken, &context(), &some_runs()).unwrap_err();
    let path = taken.join("report.md").display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
}

#[test]
fn no_runs_give_a_report_that_says_so() {
    let files = written(&context(), &[]);
    assert!(files["report.md"].contains("No run has finished yet"));
    assert!(files["report.html"].contains("No run has finished yet"));
    assert!(files["report.html"].contains("esc50: no archive"));
    assert_eq!(files["results.csv"].lines().count(), 1);
}

#[test]
fn rows_are_means_over_folds_and_seeds_with_a_paired_comparison() {
    let runs = some_runs();
    let ordered = summary::in_order(&runs, &[]);
    let tasks = summary::summarise(&ordered, &[]);
    let names: Vec<&str> = tasks.iter().map(|task| task.task.as_str()).collect();
    assert_eq!(names, ["languages", "tones"]);
    let rows = &tasks[1].rows;
    let methods: Vec<&str> = rows.iter().map(|row| row.method).collect();
    assert_eq!(methods, ["linear", "adapter", "soft-moa"]);

    let soft = &rows[2];
    assert_eq!((soft.runs, soft.folds, soft.seeds), (4, 2, 2));
    // 0.70, 0.7091, 0.72, 0.7291.
    assert!((soft.accuracy.mean - 0.714_55).abs() < 1e-9);
    let test = soft.against_adapter.unwrap();
    // 0.05, 0.05065, 0.05, 0.05065: mean 0.050325, t = 268.2 with 3 degrees.
    assert!((test.difference.mean - 0.050_325).abs() < 1e-9);
    assert!(test.p.unwrap() < 1e-6);
    assert_eq!(soft.reading(), Reading::Higher);
    assert_eq!(rows[1].reading(), Reading::Baseline);
    assert_eq!(tasks[0].rows[0].reading(), Reading::NoPartner);
    assert_eq!(soft.clips_per_second, 20.5);
}

#[test]
fn different_settings_are_not_averaged_and_are_told_apart() {
    let mut runs = some_runs();
    let mut other = run("tones", "soft-moa", 0, 0, 0.9);
    other.id = "another".to_owned();
    other.precision = "bf16".to_owned();
    runs.push(other);
    let ordered = summary::in_order(&runs, &[]);
    let tasks = summary::summarise(&ordered, &[]);
    let labels: Vec<&str> = tasks[1].rows.iter().map(|row| row.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "linear (f32)",
            "adapter (f32)",
            "soft-moa (bf16)",
            "soft-moa (f32)"
        ]
    );
    assert_eq!(tasks[1].rows[2].reading(), Reading::NoPartner);
}

#[test]
fn a_record_written_twice_counts_once() {
    let mut runs = some_runs();
    let mut again = runs[0].clone();
    again.started_unix += 100;
    again.test_accuracy = 0.5;
    runs.push(again);
    let ordered = summary::in_order(&runs, &[]);
    assert_eq!(ordered.len(), runs.len() - 1);
    let kept = ordered.iter().find(|run| run.id == runs[0].id).unwrap();
    assert_eq!(kept.test_accuracy, 0.5);
}

#[test]
fn mixed_settings_and_repeated_runs_are_warned_about() {
    let mut runs = some_runs();
    let mut odd = run("tones", "linear", 0, 0, 0.41);
    odd.id = "odd".to_owned();
    odd.config["train"]["epochs"] = json!(30);
    runs.push(odd);
    let markdown = &written(&context(), &runs)["report.md"];
    assert!(markdown.contains("train.epochs"), "{markdown}");
    assert!(markdown.contains("run more than once"));
}

#[test]
fn the_markdown_table_has_the_promised_columns() {
    let markdown = &written(&context(), &some_runs())["report.md"];
    let head = markdown
        .lines()
        .find(|line| line.starts_with("| task"))
        .unwrap();
    for column in [
        "method",
        "trainable parameters",
        "accuracy, %",
        "training clips/s",
        "s/epoch",
        "peak memory",
        "adapter bytes",
        "compat",
        "precision",
        "runs",
    ] {
        assert!(head.contains(column), "{column} is not in {head}");
    }
    let columns = head.matches('|').count();
    let table = markdown[markdown.find(head).unwrap()..].lines();
    let table = table.take_while(|line| line.starts_with('|'));
    let rows = table.filter(|line| line.starts_with("| tones"));
    assert!(rows.clone().all(|row| row.matches('|').count() == columns));
    assert_eq!(rows.count(), 3);
    assert!(markdown.contains("always answering the largest class 30.0 %"));
    assert!(markdown.contains("50.0 (1 run)"));
    assert!(markdown.contains("unheard, %"));
}

#[test]
fn the_page_loads_nothing_and_every_link_inside_it_has_a_target() {
    let page = &written(&context(), &some_runs())["report.html"];
    for outside in ["src=", "href=\"http", "url(", "@import", "fetch("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let links = page.split("href=\"#").skip(1);
    let targets: Vec<&str> = links.filter_map(|rest| rest.split('"').next()).collect();
    assert!(targets.len() > 8);
    for target in targets {
        assert!(page.contains(&format!("id=\"{target}\"")), "#{target}");
    }
    // All rows, a table for each task, costs.
    assert_eq!(page.matches("<table class=\"sortable\"").count(), 4);
    // Four plots for each task, and a confusion matrix for each of four rows.
    assert_eq!(page.matches("<svg xmlns").count(), 12);
}

#[test]
fn csv_and_json_hold_every_run() {
    let runs = some_runs();
    let files = written(&context(), &runs);
    let mut reader = csv::Reader::from_reader(files["results.csv"].as_bytes());
    let head = reader.headers().unwrap().clone();
    let column = |name: &str| head.iter().position(|h| h == name).unwrap();
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), runs.len());
    assert_eq!(&lines[0][column("method")], "linear");
    assert_eq!(&lines[0][column("test_accuracy")], "0.4");
    assert_eq!(
        &lines[lines.len() - 1][column("accuracy on unheard")],
        "0.25"
    );

    let document: serde_json::Value = serde_json::from_str(&files["results.json"]).unwrap();
    let read: Vec<RunRecord> = serde_json::from_value(document["runs"].clone()).unwrap();
    // The parser may round the last bit of a fraction differently.
    let same = |a: &RunRecord, b: &RunRecord| {
        a.id == b.id && (a.test_accuracy - b.test_accuracy).abs() < 1e-12
    };
    assert_eq!(read.len(), runs.len());
    assert!(
        runs.iter()
            .all(|run| read.iter().any(|other| same(run, other)))
    );
    assert_eq!(document["context"]["profile"], "smoke");
    assert_eq!(document["tasks"][0]["rows"][2]["method"], "soft-moa");
}

#[test]
fn a_diverged_run_does_not_stop_the_report() {
    let mut runs = some_runs();
    runs[0].test_accuracy = f64::NAN;
    for epoch in &mut runs[0].epochs {
        epoch.validation_accuracy = f64::NAN;
    }
    for (name, content) in written(&context(), &runs) {
        let drawing = name.ends_with(".svg") || name.ends_with(".html");
        let broken = content.contains("inf") || content.contains("NaN");
        assert!(
            !drawing || !broken,
            "a coordinate of {name} is not a number"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_text_of_a_record_becomes_markup(text in "[ -~\u{0}-\u{8}]{0,12}") {
        let evil = format!("{text}<script>alert(1)</script>\"'|]]>&");
        let mut runs = some_runs();
        for run in &mut runs {
            run.method = evil.clone();
            run.task = evil.clone();
            run.backbone = evil.clone();
            run.environment.processor = evil.clone();
            run.config = json!({ "x": evil });
            run.class_names = vec![evil.clone(); 4];
            let mut used = expert_use(&[0.6, 0.4]);
            used.clips[0].clip = evil.clone();
            used.clips[0].layers[0].name = evil.clone();
            used.layers[0].name = evil.clone();
            run.expert_use = Some(used);
        }
        let mut context = context();
        context.studies = vec![Study {
            name: evil.clone(),
            title: evil.clone(),
            note: evil.clone(),
            tasks: Vec::new(),
            axis: Some(evil.clone()),
            rows: [1.0, 2.0]
                .map(|x| StudyRow {
                    label: evil.clone(),
                    x: Some(x),
                    series: Some(evil.clone()),
                })
                .to_vec(),
        }];
        context.published = vec![Published {
            task: evil.clone(),
            label: evil.clone(),
            accuracy: 50.0,
            source: evil.clone(),
            setting: evil.clone(),
        }];
        context.title = evil.clone();
        context.notes.push(evil.clone());
        context.missing.push(evil.clone());
        let files = written(&context, &runs);
        for (name, content) in &files {
            if name.ends_with(".html") || name.ends_with(".svg") {
                prop_assert!(!content.contains("<script>alert"), "{}", name);
                let control = |c: char| c.is_control() && c != '\n' && c != '\t';
                prop_assert!(!content.contains(control), "{}", name);
            }
        }
    }

    #[test]
    fn a_shuffle_changes_nothing(order in Just((0..13usize).collect::<Vec<_>>()).prop_shuffle()) {
        let runs = some_runs();
        let shuffled: Vec<RunRecord> = order.iter().map(|i| runs[*i].clone()).collect();
        prop_assert_eq!(written(&context(), &runs), written(&context(), &shuffled));
    }
}
