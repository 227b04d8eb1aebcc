//! Every hyper-parameter does what its documentation says.

use tch::{Kind, Tensor};

use super::*;
use crate::clips::Labels;
use crate::toy;

const CLASSES: usize = 4;

fn clips() -> Clips {
    let labels: Vec<i64> = (0..32).map(|index| index % CLASSES as i64).collect();
    toy::separable(&labels)
}

fn split() -> Split {
    Split {
        fold: 0,
        name: "toy".to_owned(),
        train: (0..24).collect(),
        validation: (24..32).collect(),
        test: Vec::new(),
        extra: Vec::new(),
    }
}

fn config() -> TrainingConfig {
    TrainingConfig::new(2, 8, 1e-2, 1)
}

fn run(method: &str, config: &TrainingConfig) -> (AdaptedModel, Trained) {
    let model = toy::model(method, CLASSES);
    let trained = train(&model, &clips(), &split(), config, &mut |_| {
        Control::Continue
    });
    (model, trained.unwrap())
}

fn error(config: &TrainingConfig) -> String {
    let model = toy::model("adapter", CLASSES);
    let go_on = &mut |_| Control::Continue;
    let trained = train(&model, &clips(), &split(), config, go_on);
    trained.unwrap_err().to_string()
}

fn values(model: &AdaptedModel) -> Vec<(String, Vec<f32>)> {
    let flat = |tensor: &Tensor| Vec::try_from(tensor.reshape([-1])).unwrap();
    let tensors = model.trained().iter();
    tensors.map(|(n, t)| (n.clone(), flat(t))).collect()
}

/// Largest difference between two models.
fn difference(one: &AdaptedModel, two: &AdaptedModel) -> f32 {
    let (one, two) = (values(one), values(two));
    let one = one.iter().flat_map(|(_, values)| values);
    let two = two.iter().flat_map(|(_, values)| values);
    one.zip(two).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn settings_at_their_defaults_are_not_written() {
    let text = r#"{"epochs":2,"batch":8,"learning_rate":0.01,"adamw":{"beta1":0.9,"beta2":0.98,"epsilon":1e-6,"weight_decay":0.1},"selection":"best-validation","augmentation":{"frequency_warp":{"max_factor":1.0},"spec_augment":{"max_bins":0,"max_frames":0}},"seed":1}"#;
    assert_eq!(serde_json::to_string(&config()).unwrap(), text);
    assert_eq!(
        serde_json::from_str::<TrainingConfig>(text).unwrap(),
        config()
    );
    let unknown = text.replace("\"seed\"", "\"sead\"");
    let error = serde_json::from_str::<TrainingConfig>(&unknown).unwrap_err();
    assert!(error.to_string().contains("sead"), "{error}");
}

#[test]
fn every_setting_comes_back_from_a_file() {
    let mut all = config();
    all.micro_batch = Some(3);
    all.warmup_steps = 7;
    all.decayed = Decayed::Matrices;
    all.clip_norm = Some(1.5);
    all.objective = Objective::BinaryCrossEntropy;
    all.label_smoothing = 0.1;
    all.selection = Selection::BestMeanAveragePrecision;
    all.patience = Some(3);
    all.mixup.rate = 0.3;
    all.frozen_cache_mib = 512;
    all.groups = vec![ParameterGroup {
        part: Some(Part::Head),
        pattern: Some("bias".to_owned()),
        learning_rate: Some(1e-3),
        weight_decay: Some(0.0),
    }];
    let toml = toml::to_string(&all).unwrap();
    assert_eq!(toml::from_str::<TrainingConfig>(&toml).unwrap(), all);
}

#[test]
fn pieces_of_a_batch_give_the_gradient_of_the_whole() {
    // Pieces of 3, 3 and 2 clips: weights by size, or the means would differ.
    let whole = run("soft-moa", &config()).0;
    let pieces = TrainingConfig {
        micro_batch: Some(3),
        ..config()
    };
    let largest = difference(&whole, &run("soft-moa", &pieces).0);
    assert!(largest < 1e-3, "{largest}");
    // With activation checkpointing too.
    let recomputed = TrainingConfig {
        activation_checkpointing: true,
        ..pieces
    };
    let largest = difference(&whole, &run("soft-moa", &recomputed).0);
    assert!(largest < 1e-3, "{largest}");
    // One piece is the whole batch, to the bit.
    let one = TrainingConfig {
        micro_batch: Some(8),
        ..config()
    };
    assert_eq!(difference(&whole, &run("soft-moa", &one).0), 0.0);
}

#[test]
fn a_group_at_rate_zero_stays_where_it_was() {
    let start = values(&toy::model("adapter", CLASSES));
    let frozen = |part, pattern: Option<&str>| ParameterGroup {
        part,
        pattern: pattern.map(str::to_owned),
        learning_rate: Some(0.0),
        weight_decay: None,
    };
    type Stays = fn(&str) -> bool;
    let is_head: Stays = |name| name.starts_with("classification_head.");
    let is_norm: Stays = |name| name.starts_with("layernorm.");
    let head_bias: Stays = |name| name == "classification_head.bias";
    for (group, stays) in [
        (frozen(Some(Part::Head), None), is_head),
        (frozen(None, Some("^layernorm")), is_norm),
        (frozen(Some(Part::Head), Some("bias$")), head_bias),
    ] {
        let config = TrainingConfig {
            groups: vec![group.clone()],
            ..config()
        };
        let (model, _) = run("adapter", &config);
        for ((name, before), (_, after)) in start.iter().zip(&values(&model)) {
            assert_eq!(before == after, stays(name), "{group:?}: {name}");
        }
    }
}

#[test]
fn the_first_group_that_matches_counts_and_equal_treatment_changes_no_bit() {
    let group = |rate| ParameterGroup {
        part: Some(Part::Method),
        learning_rate: Some(rate),
        ..ParameterGroup::default()
    };
    let with = |groups| TrainingConfig { groups, ..config() };
    let plain = run("adapter", &config()).0;
    let same = run("adapter", &with(vec![group(1e-2), group(0.0)])).0;
    assert_eq!(difference(&plain, &same), 0.0);
    assert!(difference(&plain, &run("adapter", &with(vec![group(1e-3)])).0) > 1e-4);
}

#[test]
fn biases_and_layernorms_need_not_decay() {
    // At rates this small only the decay of 10 per step and rate moves values.
    let mut config = config();
    config.learning_rate = 1e-3;
    config.adamw.weight_decay = 100.0;
    config.epochs = 1;
    let all = values(&run("adapter", &config).0);
    config.decayed = Decayed::Matrices;
    let (model, _) = run("adapter", &config);
    for (((name, all), (_, matrices)), (_, tensor)) in
        all.iter().zip(&values(&model)).zip(model.trained())
    {
        let norm = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>().sqrt();
        if tensor.dim() > 1 {
            assert!(norm(matrices) < norm(all) * 1.05 + 0.05, "{name}");
        } else if name == "layernorm.weight" {
            assert!(norm(matrices) > norm(all) + 0.5, "{name}");
        }
    }
}

#[test]
fn a_clipped_gradient_has_the_norm_asked_for() {
    let leaf = Tensor::from_slice(&[3f32, 4.0]).set_requires_grad(true);
    let leaves = vec![("x".to_owned(), leaf.shallow_clone())];
    let mut optimiser =
        crate::optimiser::AdamW::new(&leaves, crate::optimiser::AdamWConfig::default()).unwrap();
    let loss = leaf.square().sum(Kind::Float) * 0.5;
    optimiser.accumulate(&loss, 1.0).unwrap();
    assert!((optimiser.clip(2.0).unwrap().double_value(&[]) - 5.0).abs() < 1e-6);
    assert!((optimiser.clip(9.0).unwrap().double_value(&[]) - 2.0).abs() < 1e-5);
    // One that is never reached changes nothing.
    let far = TrainingConfig {
        clip_norm: Some(1e9),
        ..config()
    };
    let plain = run("adapter", &config()).0;
    assert_eq!(difference(&plain, &run("adapter", &far).0), 0.0);
}

#[test]
fn warm_up_rises_linearly_to_the_full_rate_and_the_cosine_follows() {
    use crate::optimiser::{cosine, warmup_cosine};
    let rates: Vec<f64> = (0..10).map(|t| warmup_cosine(1.0, t, 10, 4)).collect();
    for (rate, expected) in rates.iter().zip([0.2, 0.4, 0.6, 0.8, 1.0]) {
        assert!((rate - expected).abs() < 1e-12, "{rates:?}");
    }
    assert!(
        rates[4..].windows(2).all(|pair| pair[1] < pair[0]),
        "{rates:?}"
    );
    assert!(warmup_cosine(1.0, 10, 10, 4).abs() < 1e-12);
    assert!((0..10).all(|t| warmup_cosine(0.3, t, 10, 0) == cosine(0.3, t, 10)));
}

#[test]
fn patience_ends_a_run_and_the_best_epoch_is_kept() {
    // Nothing is learnt at rate 0⁺: the first epoch stays the best.
    let config = TrainingConfig {
        epochs: 9,
        learning_rate: 1e-12,
        patience: Some(2),
        ..config()
    };
    let (_, trained) = run("linear", &config);
    assert_eq!((trained.epochs.len(), trained.selected), (3, 0));
}

#[test]
fn epochs_are_chosen_by_the_figure_asked_for() {
    for (selection, of) in [
        (Selection::BestLoss, 0),
        (Selection::BestMacroF1, 1),
        (Selection::BestValidation, 2),
    ] {
        let config = TrainingConfig {
            selection,
            epochs: 5,
            ..config()
        };
        let history = run("linear", &config).1;
        let merit = |epoch: &EpochMetrics| match of {
            0 => -epoch.validation_loss,
            1 => epoch.validation_macro_f1,
            _ => epoch.validation_accuracy,
        };
        let best = history.history.iter().map(merit).fold(f64::MIN, f64::max);
        let first = history
            .history
            .iter()
            .position(|epoch| merit(epoch) == best);
        assert_eq!(Some(history.selected), first, "{selection:?}");
    }
}

fn labels(classes: &[i64], blends: &[(i64, f64)]) -> Labels {
    Labels {
        classes: classes.to_vec(),
        blends: blends.to_vec(),
        targets: None,
    }
}

#[test]
fn smoothed_and_blended_targets_have_the_loss_computed_by_hand() {
    let logits = Tensor::from_slice(&[1f32, 0.0, -1.0, 0.5, 0.5, 2.0]).reshape([2, 3]);
    let log = |row: [f64; 3], k: usize| row[k] - row.iter().map(|z| z.exp()).sum::<f64>().ln();
    let rows = [[1.0, 0.0, -1.0], [0.5, 0.5, 2.0]];
    let loss = |labels: &Labels, smoothing| {
        let loss = Objective::CrossEntropy.loss(&logits, labels, smoothing);
        loss.unwrap().double_value(&[])
    };
    // ε = 0.3 over three classes: 0.8 for the label, 0.1 for each other.
    let expected = -(0.8 * log(rows[0], 1)
        + 0.1 * (log(rows[0], 0) + log(rows[0], 2))
        + 0.8 * log(rows[1], 2)
        + 0.1 * (log(rows[1], 0) + log(rows[1], 1)))
        / 2.0;
    assert!((loss(&labels(&[1, 2], &[]), 0.3) - expected).abs() < 1e-6);
    // 0.7 of class 1 and 0.3 of class 0; the second with itself.
    let expected = -(0.7 * log(rows[0], 1) + 0.3 * log(rows[0], 0) + log(rows[1], 2)) / 2.0;
    let blended = labels(&[1, 2], &[(0, 0.7), (2, 0.4)]);
    assert!((loss(&blended, 0.0) - expected).abs() < 1e-6);
    let error = Objective::CrossEntropy.loss(&logits, &labels(&[3, 0], &[]), 0.1);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("below the 3 classes")
    );
}

#[test]
fn binary_cross_entropy_is_the_one_computed_by_hand() {
    let logits = Tensor::from_slice(&[0.4f32, -1.5]).reshape([1, 2]);
    let labels = Labels {
        targets: Some((vec![1.0, 0.0], 2)),
        ..labels(&[0], &[])
    };
    let softplus = |x: f64| (1.0 + x.exp()).ln();
    let loss = |smoothing| {
        let loss = Objective::BinaryCrossEntropy.loss(&logits, &labels, smoothing);
        loss.unwrap().double_value(&[])
    };
    // -log σ(z) = softplus(-z), -log(1 - σ(z)) = softplus(z).
    assert!((loss(0.0) - (softplus(-0.4) + softplus(-1.5)) / 2.0).abs() < 1e-6);
    let smoothed =
        0.9 * softplus(-0.4) + 0.1 * softplus(0.4) + 0.1 * softplus(1.5) + 0.9 * softplus(-1.5);
    assert!((loss(0.2) - smoothed / 2.0).abs() < 1e-6);
}

#[test]
fn clips_with_several_labels_are_learnt() {
    // Every clip of the classes 0 and 1 is also of class 3.
    let classes: Vec<i64> = (0..32).map(|index| index % 3).collect();
    let mut targets = vec![0.0; 32 * CLASSES];
    for (clip, &class) in classes.iter().enumerate() {
        targets[clip * CLASSES + class as usize] = 1.0;
        targets[clip * CLASSES + 3] = f32::from(u8::from(class < 2));
    }
    let several = toy::separable(&classes)
        .with_multi_hot(targets, CLASSES)
        .unwrap();
    let config = TrainingConfig {
        objective: Objective::BinaryCrossEntropy,
        selection: Selection::BestMeanAveragePrecision,
        epochs: 10,
        ..config()
    };
    let model = toy::model("full", CLASSES);
    let go_on = &mut |_| Control::Continue;
    let trained = train(&model, &several, &split(), &config, go_on).unwrap();
    let best = &trained.history[trained.selected];
    let precision = best.validation_mean_average_precision.unwrap();
    assert!(precision > 0.9, "{:?}", trained.history);
    let plain = toy::separable(&classes);
    let error = train(&model, &plain, &split(), &config, go_on).unwrap_err();
    assert!(matches!(error, TrainingError::NoTargets), "{error}");
}

#[test]
fn what_is_computed_once_trains_to_the_same_values() {
    for (method, largest) in [("linear", 2e-3), ("late", 2e-3)] {
        let cached = TrainingConfig {
            frozen_cache_mib: 64,
            ..config()
        };
        let (plain, _) = run(method, &config());
        let (model, trained) = run(method, &cached);
        assert!(trained.frozen_bytes > 0, "{method} kept nothing");
        // Sums in another order, through six steps of Adam.
        let difference = difference(&plain, &model);
        assert!(difference < largest, "{method}: {difference}");
    }
    // One vector of 32 values for each of 32 clips.
    let mut cached = config();
    cached.frozen_cache_mib = 1;
    assert_eq!(run("linear", &cached).1.frozen_bytes, 32 * 32 * 4);
    // Changing clips cannot be kept, nor what a method in block 0 changes.
    assert_eq!(run("adapter", &cached).1.frozen_bytes, 0);
    cached.mixup.rate = 0.5;
    assert_eq!(run("linear", &cached).1.frozen_bytes, 0);
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let base = config;
    let group = |group: ParameterGroup| TrainingConfig {
        groups: vec![group],
        ..base()
    };
    let pattern = |pattern: &str| ParameterGroup {
        pattern: Some(pattern.to_owned()),
        ..ParameterGroup::default()
    };
    let mut mixup = base();
    mixup.mixup.rate = 2.0;
    let mut decay = base();
    decay.adamw.weight_decay = -1.0;
    for (config, part) in [
        (
            TrainingConfig {
                micro_batch: Some(0),
                ..base()
            },
            "micro_batch = 0",
        ),
        (
            TrainingConfig {
                patience: Some(0),
                ..base()
            },
            "patience = 0",
        ),
        (
            TrainingConfig {
                clip_norm: Some(0.0),
                ..base()
            },
            "clip_norm = 0",
        ),
        (
            TrainingConfig {
                label_smoothing: 1.0,
                ..base()
            },
            "label_smoothing = 1",
        ),
        (
            TrainingConfig {
                selection: Selection::BestMeanAveragePrecision,
                ..base()
            },
            "binary-cross-entropy",
        ),
        (
            group(ParameterGroup::default()),
            "a part (head, backbone, method) or a pattern",
        ),
        (group(pattern("(")), "groups.pattern = ("),
        (
            group(pattern("no such tensor")),
            "matches no trained tensor",
        ),
        (
            group(ParameterGroup {
                learning_rate: Some(f64::NAN),
                ..pattern("bias")
            }),
            "groups.learning_rate = NaN",
        ),
        (mixup, "rate"),
        (decay, "weight_decay"),
    ] {
        let message = error(&config);
        assert!(message.contains(part), "{part}: {message}");
    }
}
