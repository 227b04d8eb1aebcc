use super::*;
use crate::evaluation::evaluate;
use crate::toy;
use ast_model::Precision;

const CLASSES: usize = 4;

/// 48 separable clips; the last 16 are for validation.
fn toy_set() -> (Clips, Split) {
    let labels: Vec<i64> = (0..48).map(|index| index % CLASSES as i64).collect();
    (toy::separable(&labels), split())
}

fn split() -> Split {
    Split {
        fold: 0,
        name: "toy".to_owned(),
        train: (0..32).collect(),
        validation: (32..48).collect(),
        test: Vec::new(),
        extra: Vec::new(),
    }
}

fn config() -> TrainingConfig {
    TrainingConfig::new(6, 8, 1e-2, 1)
}

fn accuracy(model: &AdaptedModel, clips: &Clips, part: &[usize]) -> f64 {
    evaluate(model, clips, part, 16).unwrap().accuracy
}

fn run(config: &TrainingConfig) -> (AdaptedModel, Trained) {
    let (clips, split) = toy_set();
    let model = toy::model("soft-moa", CLASSES);
    let trained = train(&model, &clips, &split, config, &mut |_| Control::Continue).unwrap();
    (model, trained)
}

fn error(config: &TrainingConfig, split: &Split) -> TrainingError {
    let model = toy::model("linear", CLASSES);
    train(&model, &toy_set().0, split, config, &mut |_| {
        Control::Continue
    })
    .unwrap_err()
}

fn values(model: &AdaptedModel) -> Vec<Vec<f32>> {
    let flat = |tensor: &tch::Tensor| Vec::try_from(tensor.reshape([-1])).unwrap();
    model
        .trained()
        .iter()
        .map(|(_, tensor)| flat(tensor))
        .collect()
}

#[test]
fn training_tells_separable_clips_apart() {
    let (clips, split) = toy_set();
    for method in ["linear", "adapter", "soft-moa", "full"] {
        let model = toy::model(method, CLASSES);
        let before = accuracy(&model, &clips, &split.train);
        assert!(before < 1.0, "{method} starts at {before}");
        let trained = train(&model, &clips, &split, &config(), &mut |_| {
            Control::Continue
        })
        .unwrap();
        assert_eq!(accuracy(&model, &clips, &split.train), 1.0, "{method}");
        assert_eq!(accuracy(&model, &clips, &split.validation), 1.0, "{method}");
        let losses: Vec<f64> = trained
            .epochs
            .iter()
            .map(|epoch| epoch.train_loss)
            .collect();
        assert!(losses[5] < 0.5 * losses[0], "{method}: {losses:?}");
    }
}

#[test]
fn a_frozen_backbone_in_bf16_trains_as_well_as_in_f32() {
    let (clips, split) = toy_set();
    for method in ["adapter", "soft-moa", "late"] {
        let last_losses = [Precision::F32, Precision::Bf16].map(|precision| {
            let model = toy::in_precision(method, CLASSES, precision);
            let trained = train(&model, &clips, &split, &config(), &mut |_| {
                Control::Continue
            })
            .unwrap();
            assert_eq!(accuracy(&model, &clips, &split.validation), 1.0, "{method}");
            trained.epochs[5].train_loss
        });
        let [wide, narrow] = last_losses;
        assert!(
            (narrow - wide).abs() < 0.1 * wide + 0.01,
            "{method}: {last_losses:?}"
        );
        assert_ne!(narrow, wide, "{method}: both in f32");
    }
}

#[test]
fn activation_checkpointing_trains_to_the_same_values() {
    let plain = values(&run(&config()).0);
    let checkpointed = TrainingConfig {
        activation_checkpointing: true,
        ..config()
    };
    let kept = values(&run(&checkpointed).0);
    let pairs = plain.iter().flatten().zip(kept.iter().flatten());
    let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Sums in another order, through 24 steps of Adam.
    assert!(largest < 2e-3, "{largest}");
}

/// Labels of the validation clips are those of the next class, so that the
/// better the model, the worse its validation accuracy.
fn misleading() -> Clips {
    let sounds: Vec<i64> = (0..48).map(|index| index % 4).collect();
    let label = |index: i64| {
        if index < 32 {
            index % 4
        } else {
            (index + 1) % 4
        }
    };
    let labels: Vec<i64> = (0..48).map(label).collect();
    toy::mislabelled(&sounds, &labels)
}

#[test]
fn running_statistics_go_back_to_the_kept_epoch_with_the_weights() {
    let json = r#"{"method": "adapter", "bottleneck": {"width": 4},
        "kind": {"conformer": {"kernel": 3}}}"#;
    let model = toy::with_method(&serde_json::from_str(json).unwrap(), CLASSES);
    let clips = misleading();
    let config = TrainingConfig {
        learning_rate: 2e-3,
        epochs: 8,
        ..config()
    };
    let go_on = &mut |_| Control::Continue;
    let trained = train(&model, &clips, &split(), &config, go_on).unwrap();
    assert!(trained.selected < 7, "an early epoch should be the best");
    assert!(!model.buffers().is_empty());
    let kept = evaluate(&model, &clips, &split().validation, 16).unwrap();
    let selected = &trained.epochs[trained.selected];
    assert_eq!(kept.loss, selected.validation_loss);
}

#[test]
fn the_best_validation_accuracy_or_the_last_epoch_is_kept() {
    let clips = misleading();
    for (selection, last) in [(Selection::BestValidation, false), (Selection::Last, true)] {
        let model = toy::model("linear", CLASSES);
        let config = TrainingConfig {
            selection,
            learning_rate: 2e-3,
            epochs: 12,
            ..config()
        };
        let trained = train(&model, &clips, &split(), &config, &mut |_| {
            Control::Continue
        })
        .unwrap();
        let accuracies: Vec<f64> = trained
            .epochs
            .iter()
            .map(|epoch| epoch.validation_accuracy)
            .collect();
        assert!(accuracies[0] > accuracies[11], "{accuracies:?}");
        let best = accuracies.iter().copied().fold(0.0, f64::max);
        let first_best = accuracies
            .iter()
            .position(|&accuracy| accuracy == best)
            .unwrap();
        assert_eq!(trained.selected, if last { 11 } else { first_best });
        let kept = accuracy(&model, &clips, &split().validation);
        assert_eq!(
            kept, accuracies[trained.selected],
            "the model has other weights"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    let ((one, first), (two, second)) = (run(&config()), run(&config()));
    assert_eq!(values(&one), values(&two));
    let losses = |trained: &Trained| -> Vec<(f64, f64)> {
        let epochs = trained.epochs.iter();
        epochs
            .map(|epoch| (epoch.train_loss, epoch.validation_loss))
            .collect()
    };
    assert_eq!(losses(&first), losses(&second));
    let (other, _) = run(&TrainingConfig {
        seed: 2,
        ..config()
    });
    assert_ne!(values(&one), values(&other));
}

#[test]
fn an_observer_sees_every_step_and_can_stop() {
    let (clips, split) = toy_set();
    let config = TrainingConfig {
        epochs: 2,
        batch: 12,
        ..config()
    };
    let model = toy::model("linear", CLASSES);
    let mut seen = Vec::new();
    let mut observe = |progress: Progress| {
        assert_eq!(progress.total, 64);
        seen.push((progress.epoch, progress.clips));
        match progress.clips < 44 {
            true => Control::Continue,
            false => Control::Stop,
        }
    };
    let error = train(&model, &clips, &split, &config, &mut observe).unwrap_err();
    assert!(matches!(error, TrainingError::Stopped), "{error}");
    assert_eq!(
        seen,
        [(0, 12), (0, 24), (0, 32), (1, 44)],
        "the last batch of an epoch is partial"
    );
}

#[test]
fn nothing_to_train_on_is_an_error() {
    let empty = Split {
        train: Vec::new(),
        ..split()
    };
    let error = error(&config(), &empty);
    assert!(matches!(error, TrainingError::NoClips), "{error}");
}

#[test]
fn a_diverged_loss_is_an_error_that_names_epoch_and_rate() {
    let diverging = TrainingConfig {
        learning_rate: 1e30,
        ..config()
    };
    let message = error(&diverging, &split()).to_string();
    assert!(
        message.contains("epoch 0") && message.contains("lower the learning"),
        "{message}"
    );
    // A single step: only the validation loss can show it.
    let diverging = TrainingConfig {
        learning_rate: 1e38,
        epochs: 1,
        batch: 32,
        ..config()
    };
    let error = error(&diverging, &split());
    assert!(
        matches!(error, TrainingError::Diverged { epoch: 0, .. }),
        "{error}"
    );
}

#[test]
fn figures_out_of_range_are_refused() {
    let rate = |learning_rate| TrainingConfig {
        learning_rate,
        ..config()
    };
    for (bad, field) in [
        (
            TrainingConfig {
                epochs: 0,
                ..config()
            },
            "epochs = 0",
        ),
        (
            TrainingConfig {
                batch: 0,
                ..config()
            },
            "batch = 0",
        ),
        (rate(0.0), "learning_rate = 0"),
        (rate(-1.0), "learning_rate = -1"),
        (rate(f64::NAN), "learning_rate = NaN"),
        (rate(f64::INFINITY), "learning_rate = inf"),
    ] {
        let message = error(&bad, &split()).to_string();
        assert!(message.starts_with(field), "{message}");
    }
}
