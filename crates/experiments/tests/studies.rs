//! Studies from the command line: their rows run beside those of the tasks, and
//! records hold what their tables need.

mod support;

use std::collections::BTreeMap;

use experiments::record::RunRecord;
use support::Setup;

const STUDIES: &str = r#"
[[studies]]
name = "positions"
title = "Positions"

[[studies.curves]]
like = ["soft-moa"]
set = "positions"
values = ["crop", "zero"]
label = "{like}, positions {value}"

[[studies]]
name = "few-shot"
title = "Few clips"
axis = "clips of each class"

[[studies.curves]]
like = ["adapter"]
set = "train_clips_per_class"
values = [2]
label = "{like}, {value} per class"

[[tasks]]"#;

/// The records of a profile with two studies, by row.
fn records() -> (Setup, BTreeMap<String, RunRecord>) {
    let setup = Setup::new();
    setup.edit("profile.toml", "[[tasks]]", STUDIES);
    // Longer than the clips, so that positions have to be adapted.
    setup.edit("profile.toml", "max_length = 32", "max_length = 64");
    setup.bench().succeeded();
    let mut records = BTreeMap::new();
    for text in setup.records("out").into_values() {
        let record: RunRecord = serde_json::from_slice(&text).unwrap();
        // What is written is what is read.
        let mut again = serde_json::to_vec_pretty(&record).unwrap();
        again.push(b'\n');
        assert_eq!(again, text);
        records.insert(record.method.clone(), record);
    }
    (setup, records)
}

#[test]
fn rows_of_studies_run_with_their_settings_and_stand_in_the_report() {
    let (setup, records) = records();
    let rows: Vec<&str> = records.keys().map(String::as_str).collect();
    assert_eq!(
        rows,
        [
            "adapter",
            "adapter, 2 per class",
            "linear",
            "soft-moa",
            "soft-moa, positions zero",
        ]
    );
    let (few, all) = (&records["adapter, 2 per class"], &records["adapter"]);
    assert_eq!((few.clips.train, all.clips.train), (4, 12));
    assert_eq!(few.clips.test, all.clips.test);
    let (zero, crop) = (&records["soft-moa, positions zero"], &records["soft-moa"]);
    assert_eq!(
        (&zero.config["positions"], &crop.config["positions"]),
        (&"zero".into(), &"crop".into())
    );
    assert_ne!(zero.epochs[0].train_loss, crop.epochs[0].train_loss);

    let report = setup.report("out");
    let studies = report["context"]["studies"].as_array().unwrap();
    let labels = |study: usize| -> Vec<&str> {
        let rows = studies[study]["rows"].as_array().unwrap();
        rows.iter()
            .map(|row| row["label"].as_str().unwrap())
            .collect()
    };
    assert_eq!(labels(0), ["soft-moa", "soft-moa, positions zero"]);
    assert_eq!(labels(1), ["adapter, 2 per class"]);
    assert_eq!(studies[1]["rows"][0]["x"], 2.0);
}

#[test]
fn records_hold_confusion_cost_and_expert_use() {
    let (_setup, records) = records();
    for record in records.values() {
        assert_eq!(record.class_names, ["low", "high"]);
        let all: u64 = record.confusion.iter().flatten().sum();
        assert_eq!(all, record.clips.test as u64);
        let right = record.confusion[0][0] + record.confusion[1][1];
        assert!((right as f64 / all as f64 - record.test_accuracy).abs() < 1e-12);
        assert!((0.0..=1.0).contains(&record.test_macro_f1));
        assert!((0.0..=1.0).contains(&record.test_calibration_error));
        let steps = record.clips.train.div_ceil(4) as f64;
        assert!((record.seconds_per_step * steps - record.seconds_per_epoch).abs() < 1e-9);
        assert!(record.multiply_adds.backbone > 0);
        let mixture = record.method.starts_with("soft-moa");
        assert_eq!(record.expert_use.is_some(), mixture, "{}", record.method);
        assert_eq!(record.multiply_adds.method > 0, record.method != "linear");
    }
    let used = records["soft-moa"].expert_use.as_ref().unwrap();
    assert_eq!(used.layers.len(), 1);
    let layer = &used.layers[0];
    assert_eq!(
        (layer.name.as_str(), layer.block),
        ("encoder.layer.0.moa_mhsa", 0)
    );
    assert!((layer.usage.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!((layer.by_class.len(), layer.dropped), (2, None));
    // One test clip of each class, in the order of the classes.
    let classes: Vec<usize> = used.clips.iter().map(|clip| clip.class).collect();
    assert_eq!(classes, [0, 1]);
    assert!(
        used.clips[0].clip.starts_with("low/"),
        "{}",
        used.clips[0].clip
    );
    let map = &used.clips[0].layers[0];
    assert_eq!(map.name, layer.name);
    let patches = used.clips[0].frequency_patches * used.clips[0].time_patches;
    assert!(map.experts.iter().all(|expert| expert.len() == patches));
}
