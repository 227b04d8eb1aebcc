//! Studies, published figures and expert use in the report.

use serde_json::json;

use super::fixtures::{context, expert_use, some_runs};
use super::tests::written;
use super::*;

/// Runs with expert use, and a context with studies and a published figure.
fn a_study() -> (ReportContext, Vec<RunRecord>) {
    let mut runs = some_runs();
    for run in runs.iter_mut().filter(|run| run.method == "soft-moa") {
        run.expert_use = Some(expert_use(&[0.5, 0.3, 0.2]));
    }
    let row = |label: &str, x: Option<f64>, series: &str| StudyRow {
        label: label.to_owned(),
        x,
        series: Some(series.to_owned()).filter(|s| !s.is_empty()),
    };
    let mut context = context();
    context.studies = vec![
        Study {
            name: "main".to_owned(),
            title: "Main comparison".to_owned(),
            note: "Two of three rows.".to_owned(),
            rows: vec![row("soft-moa", None, ""), row("adapter", None, "")],
            ..Study::default()
        },
        Study {
            name: "experts".to_owned(),
            title: "Number of experts".to_owned(),
            tasks: vec!["tones".to_owned()],
            axis: Some("experts N".to_owned()),
            rows: vec![
                row("linear", Some(2.0), "mixture"),
                row("soft-moa", Some(7.0), "mixture"),
                row("adapter", None, ""),
                row("soft-moa n15", Some(15.0), "mixture"),
            ],
            ..Study::default()
        },
    ];
    context.published = vec![Published {
        task: "tones".to_owned(),
        label: "soft-moa".to_owned(),
        accuracy: 73.19,
        source: "a paper, table 1".to_owned(),
        setting: "another backbone".to_owned(),
    }];
    (context, runs)
}

#[test]
fn a_study_has_its_rows_its_curve_and_what_is_missing() {
    let (context, runs) = a_study();
    let files = written(&context, &runs);
    let (markdown, page) = (&files["report.md"], &files["report.html"]);
    assert!(markdown.contains("## Number of experts"));
    let start = markdown.find("| experts N |").unwrap();
    let table: Vec<&str> = markdown[start..]
        .lines()
        .take_while(|l| !l.is_empty())
        .collect();
    assert_eq!(table.len(), 5, "{table:#?}");
    assert!(table[2].starts_with("| 2 | linear | "), "{}", table[2]);
    assert!(table[4].starts_with("| – | adapter | "), "{}", table[4]);
    assert!(markdown.contains("Without a finished run: soft-moa n15."));
    // One comparison of this table beside the two of the task.
    assert!(markdown.contains("corrected for the 1 comparison of this table"));
    assert!(markdown.contains("Settings in which its rows differ: method."));
    assert!(files.contains_key("tones-study-experts.svg"));
    assert!(!files.contains_key("languages-study-experts.svg"));
    // The rows of a table without an axis are drawn there, not with the task.
    assert!(files.contains_key("tones-study-main.svg"));
    assert!(!files.contains_key("tones-accuracy.svg"));
    assert!(files.contains_key("languages-accuracy.svg"));
    assert!(page.contains("id=\"study-1-0\"") && !page.contains("id=\"study-1-1\""));
}

#[test]
fn p_values_of_a_study_are_corrected_for_its_own_comparisons() {
    let (context, runs) = a_study();
    let ordered = summary::in_order(&runs, &context.tasks);
    let tasks = summary::summarise(&ordered, &context.tasks);
    let views = studies::views(&context.studies, &tasks);
    let tones = &tasks[0].rows;
    let (raw, in_task) = (tones[2].against_adapter.unwrap().p, tones[2].p_holm);
    let point = views[0][0]
        .points
        .iter()
        .find(|p| p.row.method == "soft-moa");
    // Alone in the table: no correction. Among the two of the task: doubled.
    assert_eq!(point.unwrap().p_holm, raw);
    // Both have nearly the same statistic.
    assert!((in_task.unwrap() / raw.unwrap() - 2.0).abs() < 0.01);
}

#[test]
fn experts_confusion_and_published_figures_are_shown() {
    let (context, runs) = a_study();
    let files = written(&context, &runs);
    let page = &files["report.html"];
    for kind in ["confusion", "experts", "classes", "clips"] {
        assert!(page.contains(&format!("id=\"{kind}-0\"")), "{kind}");
        let plot = &files[&format!("tones-{kind}-soft-moa.svg")];
        assert!(page.contains(plot.trim_end()), "{kind}");
    }
    assert!(files["tones-clips-soft-moa.svg"].contains("href=\"data:image/png;base64,"));
    let markdown = &files["report.md"];
    let line = markdown
        .lines()
        .find(|line| line.contains("a paper, table 1"));
    // 71.455 − 73.19.
    let line = line.unwrap();
    assert!(line.contains("| 73.19 | −1.7 ± "), "{line}");
    assert!(line.contains("inside our interval"), "{line}");
    assert!(markdown.contains("For 3 of 4 rows no published figure is known"));
    assert!(
        markdown.contains("| tones | soft-moa | 3 | 2 | 0.937 |"),
        "{markdown}"
    );
}

#[test]
fn a_row_has_the_command_that_makes_it_again() {
    let mut runs = some_runs();
    for run in runs.iter_mut().filter(|run| run.method == "linear") {
        run.method = "linear, it's".to_owned();
    }
    let page = &written(&context(), &runs)["report.html"];
    let command = "soft-moa sweep plan --profile smoke --task tones --method adapter \
                   --folds 0,1 --seeds 0,1 --out again";
    assert!(page.contains(command));
    assert!(page.contains("--method &#39;linear, it&#39;\\&#39;&#39;s&#39; "));
}

#[test]
fn without_published_figures_the_report_says_so() {
    let markdown = &written(&context(), &some_runs())["report.md"];
    assert!(markdown.contains("none is known for these tasks"));
}

#[test]
fn the_maps_of_clips_are_in_the_records_and_not_in_the_results() {
    let (context, runs) = a_study();
    let files = written(&context, &runs);
    let document: serde_json::Value = serde_json::from_str(&files["results.json"]).unwrap();
    let runs = document["runs"].as_array().unwrap();
    let used = runs.iter().filter(|run| !run["expert_use"].is_null());
    let mut count = 0;
    for run in used {
        count += 1;
        assert_eq!(run["expert_use"]["clips"], json!([]));
        assert_eq!(
            run["expert_use"]["layers"][0]["usage"],
            json!([0.5, 0.3, 0.2])
        );
    }
    assert_eq!(count, 4);
    assert_eq!(document["context"]["studies"][1]["name"], "experts");
}
