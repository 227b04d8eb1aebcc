//! What pretraining learns, and that it goes on where it was stopped.

use ast_model::{AstConfig, Checkpoint};
use tch::{Device, Tensor};

use super::*;
use crate::clips::Clips;
use crate::data::Split;
use crate::run_folder::{Checkpoints, RunFolder};
use crate::toy;
use crate::training::{
    CheckpointPlan, Control, Event, Learner, Runtime, Selection, Trained, TrainingConfig,
    TrainingError, train_learner,
};

fn shape() -> AstConfig {
    AstConfig {
        hidden_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 64,
        frequency_stride: 16,
        time_stride: 16,
        max_length: toy::SHAPE[0] as i64,
        ..AstConfig::base()
    }
}

/// Two label sets over the same kinds of sound: classes 0 and 1, and 2 to 4.
fn sets() -> Vec<LabelSet> {
    let set = |name: &str, classes: usize, start| LabelSet {
        name: name.to_owned(),
        classes: (0..classes)
            .map(|class| format!("{name} {class}"))
            .collect(),
        start,
    };
    vec![set("two", 2, 0), set("three", 3, 2)]
}

/// Clips of both sets, noisy in time, so that hidden patches are not simply
/// copies of visible ones.
fn clips() -> Clips {
    let labels: Vec<i64> = (0..30).map(|index| [0, 1, 2, 3, 4][index % 5]).collect();
    let [frames, bins] = toy::SHAPE;
    let mut features = Vec::with_capacity(labels.len() * frames * bins);
    for (index, &label) in labels.iter().enumerate() {
        let class = if label < 2 { label } else { label - 2 };
        for frame in 0..frames {
            let loud = 1.0 + 0.3 * ((frame * (index + 3)) as f32).sin();
            let stripe = |bin: usize| {
                if (bin >> class).is_multiple_of(2) {
                    loud
                } else {
                    -loud
                }
            };
            features.extend((0..bins).map(stripe));
        }
    }
    Clips::new(features, labels, toy::SHAPE, Device::Cpu).unwrap()
}

fn split() -> Split {
    Split {
        train: (0..20).collect(),
        validation: (20..30).collect(),
        ..Split::default()
    }
}

fn config(supervised: f64, masked: f64, distil: f64) -> PretrainConfig {
    let mut training = TrainingConfig::new(12, 5, 3e-3, 4);
    training.selection = Selection::Last;
    PretrainConfig {
        name: "toy".to_owned(),
        start: Start {
            shape: Some(shape()),
            ..Start::default()
        },
        max_length: toy::SHAPE[0],
        tasks: vec![PretrainTask {
            name: "toy".to_owned(),
            fold: 0,
        }],
        supervised: Supervised { weight: supervised },
        masked: (masked > 0.0).then_some(Masked {
            weight: masked,
            share: 0.5,
            decoder: DecoderConfig {
                width: 32,
                blocks: 1,
                heads: 2,
            },
        }),
        distil: (distil > 0.0).then(|| Distil {
            weight: distil,
            teacher: "toy".to_owned(),
            blocks: None,
            positions: None,
        }),
        training,
    }
}

fn teacher() -> Checkpoint {
    Checkpoint::random(&shape(), 99).unwrap()
}

/// Trains, with checkpoints in `store`, until `stop` says so; the loss and the
/// figures of every epoch.
fn train(
    config: &PretrainConfig,
    store: Option<&Checkpoints>,
    stop: &dyn Fn(usize) -> bool,
) -> Result<(Trained, Vec<Vec<f32>>), TrainingError> {
    config.validate().unwrap();
    let (clips, start, teacher) = (clips(), Checkpoint::random(&shape(), 1).unwrap(), teacher());
    let mut learner = Pretrainer::new(config, &clips, sets(), &start, Some(&teacher)).unwrap();
    let runtime = Runtime {
        checkpoints: store.map(|store| CheckpointPlan {
            store,
            identity: "toy".to_owned(),
            every_seconds: f64::INFINITY,
        }),
        ..Runtime::default()
    };
    let mut steps = 0;
    let mut observe = |event: Event| {
        steps += usize::from(matches!(event, Event::Step(_)));
        if stop(steps) {
            return Control::Stop;
        }
        Control::Continue
    };
    let training = &config.training;
    let trained = train_learner(
        &mut learner,
        &clips,
        &split(),
        training,
        &runtime,
        &mut observe,
    )?;
    let flat = |tensor: &Tensor| Vec::try_from(tensor.reshape([-1])).unwrap();
    let values = learner.trained().iter().map(|(_, tensor)| flat(tensor));
    Ok((trained, values.collect()))
}

fn figure(trained: &Trained, name: &str) -> [f64; 2] {
    let (first, last) = (trained.history.first(), trained.history.last());
    [first, last].map(|epoch| epoch.unwrap().validation_parts[name])
}

#[test]
fn labels_of_every_set_are_learnt_with_one_backbone() {
    let (trained, _) = train(&config(1.0, 0.0, 0.0), None, &|_| false).unwrap();
    assert!(figure(&trained, "accuracy two")[1] > 0.9);
    assert!(figure(&trained, "accuracy three")[1] > 0.9);
    let last = trained.history.last().unwrap();
    assert_eq!(
        last.validation_loss,
        last.validation_parts["supervised loss"]
    );
}

#[test]
fn hidden_patches_are_told_better_than_by_their_mean() {
    let (trained, _) = train(&config(0.0, 1.0, 0.0), None, &|_| false).unwrap();
    let [first, last] = figure(&trained, "masked loss");
    // The targets have variance 1: their mean, told everywhere, has error 1.
    assert!(last < 0.6 && last < first, "{first} {last}");
    assert_eq!(trained.history[0].validation_accuracy, 0.0);
}

#[test]
fn the_student_comes_nearer_to_its_teacher() {
    let (trained, _) = train(&config(0.0, 0.0, 1.0), None, &|_| false).unwrap();
    let [first, last] = figure(&trained, "distil loss");
    assert!(last < 0.5 * first, "{first} {last}");
}

#[test]
fn a_run_stopped_anywhere_ends_with_the_same_bits() {
    let mut config = config(1.0, 0.5, 0.5);
    config.training.epochs = 3;
    config.training.micro_batch = Some(3);
    config.training.augmentation.feature_noise.max_amplitude = 0.1;
    let (whole, values) = train(&config, None, &|_| false).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(folder.path()).unwrap();
    let store = folder.checkpoints(2).unwrap();
    for stop in [3, 2, 4] {
        let error = train(&config, Some(&store), &|steps| steps >= stop).unwrap_err();
        assert!(matches!(error, TrainingError::Stopped), "{error}");
    }
    let (resumed, again) = train(&config, Some(&store), &|_| false).unwrap();
    assert_eq!(values, again);
    let parts = |trained: &Trained| {
        let epochs = trained.history.iter();
        epochs
            .map(|epoch| (epoch.train_loss, epoch.validation_parts.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(parts(&whole), parts(&resumed));
}

#[test]
fn what_trains_is_the_backbone_first_and_then_what_is_thrown_away() {
    let (config, clips, teacher) = (config(1.0, 1.0, 1.0), clips(), teacher());
    let start = Checkpoint::random(&shape(), 1).unwrap();
    let learner = Pretrainer::new(&config, &clips, sets(), &start, Some(&teacher)).unwrap();
    let names: Vec<&str> = learner
        .trained()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let backbone = learner.trained_in_backbone();
    let mut own: Vec<&str> = names[..backbone].to_vec();
    own.sort_unstable();
    assert_eq!(own, start.names().collect::<Vec<_>>());
    for part in ["heads.", "decoder.", "distil."] {
        assert!(
            names[backbone..].iter().any(|name| name.starts_with(part)),
            "{part}"
        );
    }
    assert_eq!(learner.backbone().len(), backbone);
}
