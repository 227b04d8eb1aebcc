//! A run that was stopped anywhere ends with the bits of one that was not.

use proptest::prelude::*;

use super::*;
use crate::run_folder::RunFolder;
use crate::toy;

const CLASSES: usize = 3;

fn clips() -> Clips {
    let labels: Vec<i64> = (0..26).map(|index| index % CLASSES as i64).collect();
    toy::separable(&labels)
}

fn split() -> Split {
    Split {
        fold: 0,
        name: "toy".to_owned(),
        train: (0..18).collect(),
        validation: (18..26).collect(),
        test: Vec::new(),
        extra: Vec::new(),
    }
}

/// Everything on that has a state or draws random numbers; four epochs of five
/// steps.
fn config() -> TrainingConfig {
    let mut config = TrainingConfig::new(4, 4, 5e-3, 3);
    config.warmup_steps = 3;
    config.micro_batch = Some(3);
    config.clip_norm = Some(0.5);
    config.label_smoothing = 0.1;
    config.mixup.rate = 0.5;
    config.augmentation.feature_noise.max_amplitude = 0.1;
    config
}

/// What may not differ: trained values, buffers, losses and the chosen epoch.
#[derive(Debug, PartialEq)]
struct Outcome {
    tensors: Vec<(String, Vec<f32>)>,
    losses: Vec<[f64; 4]>,
    selected: usize,
}

fn outcome(model: &AdaptedModel, trained: &Trained) -> Outcome {
    let flat = |tensor: &tch::Tensor| Vec::try_from(tensor.reshape([-1])).unwrap();
    let tensors = model.trained().iter().chain(model.buffers());
    let losses = trained.history.iter().map(|epoch| {
        [
            epoch.train_loss,
            epoch.validation_loss,
            epoch.validation_accuracy,
            epoch.learning_rate,
        ]
    });
    Outcome {
        tensors: tensors.map(|(n, t)| (n.clone(), flat(t))).collect(),
        losses: losses.collect(),
        selected: trained.selected,
    }
}

/// One call of the training loop on a fresh model, stopped as `stop` says for
/// the n-th step of this call.
fn attempt(
    method: &str,
    config: &TrainingConfig,
    store: &Checkpoints,
    stop: &dyn Fn(usize) -> Control,
) -> (Result<Outcome, TrainingError>, usize) {
    let model = toy::model(method, CLASSES);
    let mut steps = 0;
    let mut observe = |event: Event| match event {
        Event::Step(_) => {
            steps += 1;
            stop(steps)
        }
        _ => Control::Continue,
    };
    let runtime = Runtime {
        checkpoints: Some(CheckpointPlan {
            store,
            identity: "toy".to_owned(),
            every_seconds: f64::INFINITY,
        }),
        ..Runtime::default()
    };
    let trained = train_with(&model, &clips(), &split(), config, &runtime, &mut observe);
    (trained.map(|trained| outcome(&model, &trained)), steps)
}

fn undisturbed(method: &str, config: &TrainingConfig) -> Outcome {
    let model = toy::model(method, CLASSES);
    let (clips, split) = (clips(), split());
    let trained = train(&model, &clips, &split, config, &mut |_| Control::Continue);
    outcome(&model, &trained.unwrap())
}

/// Stops after the given numbers of steps, one after the other, and then runs
/// to the end; the steps made in all.
fn interrupted(method: &str, config: &TrainingConfig, stops: &[usize]) -> (Outcome, usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(folder.path()).unwrap();
    let store = folder.checkpoints(2).unwrap();
    let mut all = 0;
    for &stop in stops {
        let stop = |steps| match steps >= stop {
            true => Control::Stop,
            false => Control::Continue,
        };
        let (result, steps) = attempt(method, config, &store, &stop);
        all += steps;
        match result {
            Ok(outcome) => return (outcome, all),
            Err(error) => assert!(matches!(error, TrainingError::Stopped), "{error}"),
        }
    }
    let (result, steps) = attempt(method, config, &store, &|_| Control::Continue);
    (result.unwrap(), all + steps)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn stopped_anywhere_it_ends_with_the_same_bits_and_repeats_no_step(
        stops in prop::collection::vec(1usize..9, 1..5),
        last in any::<bool>(),
    ) {
        let selection = if last { Selection::Last } else { Selection::BestLoss };
        let config = TrainingConfig { selection, ..config() };
        let (outcome, steps) = interrupted("soft-moa", &config, &stops);
        prop_assert_eq!(steps, 20);
        prop_assert_eq!(outcome, undisturbed("soft-moa", &config));
    }
}

#[test]
fn every_kind_of_training_goes_on_to_the_same_bits() {
    // Linear: cached embeddings. Full: everything trains. Adapter with a
    // convolution: BatchNorm statistics are part of the state.
    for method in ["linear", "full", toy::CONFORMER, "sparse-moa"] {
        let mut config = TrainingConfig::new(3, 4, 5e-3, 3);
        config.frozen_cache_mib = 64;
        let (outcome, _) = interrupted(method, &config, &[7, 3]);
        assert_eq!(outcome, undisturbed(method, &config), "{method}");
    }
}

#[test]
fn a_stop_in_the_middle_of_validation_is_heard_and_costs_no_step() {
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(folder.path()).unwrap();
    let store = folder.checkpoints(1).unwrap();
    let run = |stopping: bool| {
        let model = toy::model("adapter", CLASSES);
        let (mut steps, mut told) = (0, Vec::new());
        let mut observe = |event: Event| match event {
            Event::Step(_) => {
                steps += 1;
                Control::Continue
            }
            Event::Validation { done, total } => {
                told.push((done, total));
                match stopping {
                    true => Control::Stop,
                    false => Control::Continue,
                }
            }
            _ => Control::Continue,
        };
        let runtime = Runtime {
            checkpoints: Some(CheckpointPlan {
                store: &store,
                identity: "toy".to_owned(),
                every_seconds: f64::INFINITY,
            }),
            ..Runtime::default()
        };
        let config = config();
        let trained = train_with(&model, &clips(), &split(), &config, &runtime, &mut observe);
        (
            trained.map(|trained| outcome(&model, &trained)),
            steps,
            told,
        )
    };
    let (stopped, steps, told) = run(true);
    assert!(matches!(stopped, Err(TrainingError::Stopped)));
    // Pieces of three clips: six of the eight validation clips at a time.
    assert_eq!((steps, told), (5, vec![(6, 8)]));
    let (finished, steps, told) = run(false);
    assert_eq!((steps, told.len()), (15, 8));
    assert_eq!(finished.unwrap(), undisturbed("adapter", &config()));
}

#[test]
fn the_end_of_the_epoch_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(folder.path()).unwrap();
    let store = folder.checkpoints(1).unwrap();
    let stop = |_| Control::StopAfterEpoch;
    let config = config();
    let mut attempts = 0;
    let outcome = loop {
        attempts += 1;
        let (result, steps) = attempt("adapter", &config, &store, &stop);
        assert_eq!(steps, 5, "a whole epoch each time");
        match result {
            Ok(outcome) => break outcome,
            Err(error) => assert!(matches!(error, TrainingError::Stopped), "{error}"),
        }
    };
    assert_eq!((attempts, outcome), (4, undisturbed("adapter", &config)));
}

#[test]
fn a_checkpoint_of_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(folder.path()).unwrap();
    let store = folder.checkpoints(1).unwrap();
    let stop = |_| Control::Stop;
    attempt("linear", &config(), &store, &stop).0.unwrap_err();
    let other = TrainingConfig {
        learning_rate: 1e-3,
        ..config()
    };
    let error = attempt("linear", &other, &store, &stop).0.unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    let error = attempt("adapter", &config(), &store, &stop).0.unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
}

#[test]
fn the_number_of_workers_changes_no_bit() {
    let run = |workers| {
        let model = toy::model("soft-moa", CLASSES);
        let runtime = Runtime {
            workers,
            ..Runtime::default()
        };
        let (clips, split, config) = (clips(), split(), config());
        let mut go_on = |_: Event| Control::Continue;
        let trained = train_with(&model, &clips, &split, &config, &runtime, &mut go_on);
        outcome(&model, &trained.unwrap())
    };
    let none = run(0);
    assert_eq!(run(1), none);
    assert_eq!(run(4), none);
}
