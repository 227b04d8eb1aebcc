use super::*;
use crate::training::TrainingConfig;

#[test]
fn unknown_keys_name_the_nearest_one_and_their_line() {
    let error = RunConfig::parse("seed = 1\nmax_lenght = 3\n").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("line 2"), "{text}");
    assert!(text.contains("did you mean `max_length`?"), "{text}");
    let config = RunConfig::parse("[training]\nbacth = 3\n").unwrap();
    let chosen = TrainingConfig::new(1, 2, 0.1, 3);
    let text = config.training(&chosen).unwrap_err().to_string();
    assert!(text.contains("did you mean `training.batch`?"), "{text}");
}

fn layers(texts: &[&str]) -> Result<RunConfig> {
    let tables = texts.iter().map(|text| toml::from_str(text).unwrap());
    RunConfig::layered(tables)
}

#[test]
fn flags_win_over_the_file_and_the_file_over_what_is_chosen() {
    let file = "seed = 1\nblocks = 2\n[training]\nbatch = 3\nepochs = 4\n";
    let both = layers(&[file, "seed = 5\ntraining.batch = 6"]).unwrap();
    assert_eq!((both.seed, both.blocks), (Some(5), Some(2)));
    let training = both.training(&TrainingConfig::new(1, 2, 0.1, 3)).unwrap();
    assert_eq!((training.batch, training.epochs), (6, 4));
    assert_eq!((training.learning_rate, training.seed), (0.1, 5));
}

#[test]
fn settings_below_one_key_are_merged_not_replaced() {
    let file = "patchout.time = 1\n[training.augmentation.spec_augment]\n\
                max_bins = 24\nmax_frames = 80\n[training.adamw]\nbeta1 = 0.8\n";
    let set = "patchout.frequency = 2\ntraining.adamw.weight_decay = 0\n\
               training.augmentation.time_shift.max_frames = 10";
    let both = layers(&[file, set]).unwrap();
    let patchout = both.patchout.unwrap();
    assert_eq!((patchout.time, patchout.frequency), (1, 2));
    let mut chosen = TrainingConfig::new(1, 2, 0.1, 3);
    chosen.augmentation.feature_noise.max_amplitude = 0.5;
    let training = both.training(&chosen).unwrap();
    let changes = &training.augmentation;
    let masks = (
        changes.spec_augment.max_bins,
        changes.spec_augment.max_frames,
    );
    assert_eq!((masks, changes.time_shift.max_frames), ((24, 80), 10));
    assert_eq!(changes.feature_noise.max_amplitude, 0.5);
    let adamw = serde_json::to_value(&training.adamw).unwrap();
    assert_eq!(adamw["weight_decay"], 0.0);
    assert!(adamw.to_string().contains("0.8"), "{adamw}");
}

#[test]
fn a_named_method_starts_anew_and_settings_without_a_name_are_added() {
    let file = "method = { method = 'lora', rank = { width = 2 } }";
    let method = |layer: &[&str]| layers(layer).unwrap().method.unwrap();
    let other = method(&[file, "method.rank.width = 3"]);
    assert_eq!(other["method"].as_str(), Some("lora"));
    assert_eq!(other["rank"]["width"].as_integer(), Some(3));
    assert_eq!(
        method(&[file, "method = 'linear'"]).as_str(),
        Some("linear")
    );
    let anew = method(&[file, "method = { method = 'adapter' }"]);
    assert!(anew.get("rank").is_none(), "{anew}");
    let usual = method(&["method.mixture.experts = 3"]);
    assert_eq!(usual["method"].as_str(), Some("soft-moa"));
}

#[test]
fn faults_in_nested_settings_name_the_whole_key() {
    let chosen = TrainingConfig::new(1, 2, 0.1, 3);
    let told = |text: &str| {
        let config = RunConfig::parse(text).unwrap();
        config.training(&chosen).unwrap_err().to_string()
    };
    let text = told("[training.adamw]\nweigth_decay = 0\n");
    assert!(
        text.contains("no key `training.adamw.weigth_decay`"),
        "{text}"
    );
    assert!(
        text.contains("did you mean `training.adamw.weight_decay`?"),
        "{text}"
    );
    let text = told("[training]\nbatch = 'abc'\n");
    assert!(text.starts_with("training.batch: invalid type"), "{text}");
    let config = RunConfig::parse("columns.pth = 'file'").unwrap();
    let text = config.columns().unwrap_err().to_string();
    assert!(text.contains("did you mean `columns.path`?"), "{text}");
}

#[test]
fn a_method_is_a_name_or_a_table() {
    let method = |text: &str| RunConfig::parse(text).unwrap().method();
    assert_eq!(method("").unwrap().name(), "soft-moa");
    assert_eq!(method("method = 'lora'").unwrap().name(), "lora");
    let table = "method = { method = 'soft-moa', mixture = { experts = 3 } }";
    assert_eq!(method(table).unwrap().name(), "soft-moa");
    assert!(
        method("method = 'loar'")
            .unwrap_err()
            .to_string()
            .contains("lora")
    );
    assert!(method("method = 3").is_err());
}

#[test]
fn a_resolved_configuration_is_read_back() {
    let text = "data = 'x'\nvalidation = 0.2\nmethod = 'linear'\n[training]\nbatch = 3\n";
    let config = RunConfig::parse(text).unwrap();
    let again = RunConfig::parse(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(config, again);
}
