use super::*;

const SMALL: &str = r#"
name = "small"
title = "for tests"

[backbone]
checkpoint = "tiny"
title = "a tiny AST"
remedy = "none"

[[tasks]]
name = "tones"
folds = [0, 1]
seeds = [1, 2]
methods = ["linear", "soft-moa"]

[[tasks]]
name = "words"
folds = [0]
seeds = [1]
methods = ["linear"]

[[methods]]
label = "linear"
learning_rate = 1e-3
config = { method = "linear" }

[[methods]]
label = "soft-moa"
learning_rate = 5e-3
config = { method = "soft-moa", mixture = { experts = 7 } }

[[methods]]
label = "soft-moa, 4 per class"
like = "soft-moa"
train_clips_per_class = 4
"#;

const EXPERTS: &str = r#"
[[studies]]
name = "experts"
title = "Number of experts"
tasks = ["tones"]
seeds = [1]
axis = "experts N"

[[studies.curves]]
like = ["soft-moa"]
set = "mixture.experts"
values = [2, 7]
label = "{like} N {value}"
"#;

fn profile(studies: &str) -> Result<Profile> {
    Profile::parse(&format!("{SMALL}{studies}"))
}

fn refused(studies: &str) -> String {
    format!("{:#}", profile(studies).unwrap_err())
}

fn table(fields: &str) -> String {
    format!("[[studies]]\nname = \"table\"\ntitle = \"a table\"\n{fields}\n")
}

fn cells(profile: &Profile, task: usize) -> Vec<Cell> {
    let task = &profile.tasks[task];
    profile.cells(task, task.folds.as_deref().unwrap_or(&[0]))
}

#[test]
fn a_study_adds_its_rows_once_and_after_those_of_the_task() {
    let profile = profile(EXPERTS).unwrap();
    let cells = cells(&profile, 0);
    // Two rows in four runs, then one new row with one seed in two folds.
    assert_eq!(cells.len(), 2 * 4 + 2);
    assert!(cells[..8].iter().all(|cell| !cell.label.contains('N')));
    let last: Vec<(u64, usize, &str)> = cells[8..]
        .iter()
        .map(|cell| (cell.seed, cell.fold, cell.label.as_str()))
        .collect();
    assert_eq!(last, [(1, 0, "soft-moa N 2"), (1, 1, "soft-moa N 2")]);
    // The study is not about the other task.
    assert_eq!(super::tests::cells(&profile, 1).len(), 1);
}

#[test]
fn a_value_that_a_row_has_already_stands_for_that_row() {
    let profile = profile(EXPERTS).unwrap();
    let rows: Vec<(&str, Option<f64>)> = profile.studies[0]
        .rows
        .iter()
        .map(|row| (row.label.as_str(), row.x))
        .collect();
    assert_eq!(rows, [("soft-moa N 2", Some(2.0)), ("soft-moa", Some(7.0))]);
    // Also where the row leaves it to `compat`, or to the backbone.
    let curve = |set: &str, value: &str| {
        table(&format!(
            "[[studies.curves]]\nlike = [\"soft-moa\"]\nset = \"{set}\"\nvalues = [{value}]\n\
             label = \"changed {{value}}\""
        ))
    };
    for (set, same, other) in [
        ("mixture.add_twice", "false", "true"),
        ("mixture.init", "\"zero_up\"", "\"paper\""),
        ("positions", "\"crop\"", "\"zero\""),
    ] {
        let label = |value: &str| {
            let profile = super::tests::profile(&curve(set, value)).unwrap();
            profile.studies[0].rows[0].label.clone()
        };
        assert_eq!(label(same), "soft-moa", "{set}");
        assert!(label(other).starts_with("changed"), "{set}");
    }
}

#[test]
fn rows_that_differ_in_what_a_study_does_not_vary_are_refused() {
    let few = r#"rows = ["soft-moa", "soft-moa, 4 per class"]"#;
    let error = refused(&table(few));
    assert!(error.contains("train_clips_per_class"), "{error}");
    assert!(error.contains("study \"table\""), "{error}");
    let named = format!("varies = [\"train_clips_per_class\"]\n{few}");
    profile(&table(&named)).unwrap();
    // Methods may differ in a table of methods, but not in a series that is
    // about something else.
    profile(&table(r#"rows = ["linear", "soft-moa"]"#)).unwrap();
    let series = r#"
varies = ["mixture.placement"]
rows = [{ label = "linear", series = "one" }, { label = "soft-moa", series = "one" }]"#;
    assert!(refused(&table(series)).contains("varies"));
}

#[test]
fn a_study_that_cannot_be_is_refused_with_its_name() {
    for (fields, word) in [
        (r#"rows = ["sotf-moa"]"#, "sotf-moa"),
        ("rows = []", "at least one"),
        (
            r#"axis = "N"
            rows = ["linear"]"#,
            "axis",
        ),
        (r#"rows = [{ label = "linear", x = 1.0 }]"#, "axis"),
        (r#"rows = ["linear", "linear"]"#, "twice"),
        (
            r#"seeds = [3]
            rows = ["linear"]"#,
            "seed",
        ),
        (
            r#"folds = [1]
            rows = ["linear"]"#,
            "fold",
        ),
        (
            r#"tasks = ["tunes"]
            rows = ["linear"]"#,
            "tunes",
        ),
        (
            r#"rows = ["linear"]
            [[studies.curves]]
            like = ["soft-moa"]
            set = "mixture.expert_count"
            values = [2]
            label = "{like} {value}""#,
            "expert_count",
        ),
    ] {
        let error = refused(&table(fields));
        assert!(
            error.contains(word) && error.contains("table"),
            "{word}: {error}"
        );
    }
}

#[test]
fn a_row_like_another_has_what_it_does_not_change_from_it() {
    let profile = profile("").unwrap();
    let (base, few) = (&profile.methods[1], &profile.methods[2]);
    assert_eq!((few.train_clips_per_class, few.epochs), (Some(4), None));
    assert_eq!(
        (&few.config, few.learning_rate),
        (&base.config, base.learning_rate)
    );
    let unknown = SMALL.replace("like = \"soft-moa\"", "like = \"later\"");
    let error = format!("{:#}", Profile::parse(&unknown).unwrap_err());
    assert!(
        error.contains("later") && error.contains("4 per class"),
        "{error}"
    );
}

#[test]
fn positions_that_are_left_out_follow_the_compat_mode() {
    use ast_model::Positions;
    let of = |text: &str| Profile::parse(text).unwrap().backbone.positions;
    assert_eq!(of(SMALL), Some(Positions::Crop));
    let paper = SMALL.replace("title = \"for tests\"", "title = \"\"\ncompat = \"paper\"");
    assert_eq!(of(&paper), Some(Positions::Zero));
    assert_eq!(
        Profile::built_in("paper").unwrap().backbone.positions,
        Some(Positions::Zero)
    );
    // Padding is for all rows or for none.
    let padded = SMALL.replace("train_clips_per_class = 4", "positions = \"pad\"");
    assert!(format!("{:#}", Profile::parse(&padded).unwrap_err()).contains("pad"));
}

#[test]
fn a_profile_that_is_written_and_read_again_is_the_same() {
    for name in ["smoke", "quick", "paper"] {
        let profile = Profile::built_in(name).unwrap();
        let text = toml::to_string(&profile).unwrap();
        assert_eq!(Profile::parse(&text).unwrap(), profile, "{name}");
    }
}

#[test]
fn studies_keep_what_a_changed_profile_still_has() {
    let mut profile = profile(EXPERTS).unwrap();
    profile.methods.retain(|method| method.label != "soft-moa");
    profile.tasks[0].methods = vec!["linear".to_owned()];
    profile.tasks[0].seeds = vec![2];
    assert!(profile.validate().is_err());
    profile.prune_studies();
    profile.validate().unwrap();
    let study = &profile.studies[0];
    assert_eq!((study.rows.len(), &study.seeds), (1, &None));
    assert_eq!(study.rows[0].label, "soft-moa N 2");
    profile.tasks.remove(0);
    profile.prune_studies();
    assert!(profile.studies.is_empty());
}

#[test]
fn quick_has_126_runs() {
    let profile = Profile::built_in("quick").unwrap();
    let runs = |task: usize| cells(&profile, task).len();
    // Ten rows in two folds with two seeds, 37 rows in two folds with one seed.
    assert_eq!(runs(0), 10 * 4 + 37 * 2);
    // Four rows in three folds.
    assert_eq!(runs(1), 4 * 3);
}

#[test]
fn no_run_of_a_built_in_profile_is_made_twice_under_two_labels() {
    for name in ["smoke", "quick", "paper"] {
        let profile = Profile::built_in(name).unwrap();
        let usual = Usual {
            compat: profile.compat,
            positions: profile.backbone.positions.unwrap(),
        };
        for (i, a) in profile.methods.iter().enumerate() {
            for b in &profile.methods[..i] {
                assert!(
                    !a.same_run(b, usual),
                    "{name}: {:?} is {:?}",
                    a.label,
                    b.label
                );
            }
        }
    }
}

/// Main comparison, places, ablations, few-shot, scaling, cost and expert use.
#[test]
fn every_experiment_has_a_study_in_the_long_profiles() {
    let experiments = [
        "methods",
        "places",
        "experts",
        "slots",
        "slots-of-",
        "reduction",
        "expert-type",
        "positions",
        "double-addition",
        "initialisation",
        "router-norm",
        "kernel",
        "few-shot",
        "scaling",
        "cost",
        "expert-use",
    ];
    for name in ["quick", "paper"] {
        let profile = Profile::built_in(name).unwrap();
        for wanted in experiments {
            let found = profile
                .studies
                .iter()
                .find(|study| study.name.starts_with(wanted));
            assert!(found.is_some(), "{name}: {wanted}");
        }
        let methods = profile
            .studies
            .iter()
            .find(|study| study.name == "methods")
            .unwrap();
        let labels: BTreeSet<&str> = methods.rows.iter().map(|row| row.label.as_str()).collect();
        for method in adapters::MethodConfig::names() {
            let row = |spec: &&MethodSpec| spec.config.name() == method;
            let mut rows = profile.methods.iter().filter(row);
            assert!(
                rows.any(|spec| labels.contains(spec.label.as_str())),
                "{name}: {method}"
            );
        }
    }
}

#[test]
fn the_axis_of_trained_parameters_is_read_from_the_runs() {
    let scaling = table(
        "axis = \"trained parameters\"\n[[studies.curves]]\nlike = [\"soft-moa\"]\n\
         set = \"mixture.experts\"\nvalues = [2, 7]\nlabel = \"{like} N {value}\"",
    );
    let profile = profile(&scaling).unwrap();
    let places = |records: &[RunRecord]| -> Vec<Option<f64>> {
        let studies = profile.report_studies(records);
        studies[0].rows.iter().map(|row| row.x).collect()
    };
    assert_eq!(places(&[]), [None, None]);
    let mut record = crate::report::fixtures::run("tones", "soft-moa N 2", 0, 1, 0.5);
    record.trainable_parameters_paper = 4321;
    assert_eq!(places(&[record]), [Some(4321.0), None]);
}
