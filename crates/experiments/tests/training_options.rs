//! Options of the training loop, through the public interface: what mixup makes
//! of clips and labels, selection by macro F1, and runs that are stopped while
//! patience, groups or several labels are on.

use adapters::{AdaptOptions, AdaptedModel, MethodConfig};
use ast_model::{AstConfig, Checkpoint};
use audio_frontend::Mixup;
use experiments::clips::{Augmentation, Augmented, Clips, Recipe};
use experiments::data::Split;
use experiments::run_folder::{Checkpoints, RunFolder};
use experiments::training::{
    CheckpointPlan, Control, Decayed, Event, Objective, ParameterGroup, Part, Runtime, Selection,
    Trained, TrainingConfig, TrainingError, train_with,
};
use tch::{Device, Tensor};

const FRAMES: usize = 16;
const BINS: usize = 128;
const CLASSES: usize = 3;

/// Numbers in [-1, 1) that look random and are the same every time.
fn noise(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Clips of these sounds (stripes of other widths, hidden in noise) and labels.
fn clips(sounds: &[usize], labels: &[usize], loud: f32, seed: u32) -> Clips {
    let mut next = noise(seed);
    let mut features = Vec::new();
    for &sound in sounds {
        for cell in 0..FRAMES * BINS {
            let stripe = (cell % BINS) >> sound;
            let own = if stripe.is_multiple_of(2) {
                loud
            } else {
                -loud
            };
            features.push(own + next());
        }
    }
    let labels = labels.iter().map(|&label| label as i64).collect();
    Clips::new(features, labels, [FRAMES, BINS], Device::Cpu).unwrap()
}

fn model(method: &str) -> AdaptedModel {
    let shape = AstConfig {
        hidden_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 64,
        frequency_stride: 16,
        time_stride: 16,
        max_length: FRAMES as i64,
        ..AstConfig::base()
    };
    let backbone = Checkpoint::random(&shape, 7).unwrap();
    let mut method = MethodConfig::named(method).unwrap();
    if let MethodConfig::Adapter(config) = &mut method {
        config.bottleneck = adapters::Bottleneck::Width(4);
    }
    AdaptedModel::new(&backbone, &method, &AdaptOptions::new(CLASSES as i64)).unwrap()
}

fn split(train: std::ops::Range<usize>, validation: std::ops::Range<usize>) -> Split {
    Split {
        fold: 0,
        name: "made".to_owned(),
        train: train.collect(),
        validation: validation.collect(),
        test: Vec::new(),
        extra: Vec::new(),
    }
}

#[test]
fn mixup_blends_clips_and_labels_by_the_same_lambda() {
    let labels = [0, 1, 2, 0, 1, 2, 0, 1];
    let own = clips(&labels, &labels, 1.0, 5);
    // Of several labels: the clip's class and the next one.
    let hot = |clip: usize, class: usize| {
        let label = labels[clip];
        f32::from(class == label || class == (label + 1) % CLASSES)
    };
    let values = (0..8).flat_map(|clip| (0..CLASSES).map(move |class| hot(clip, class)));
    let own = own.with_multi_hot(values.collect(), CLASSES).unwrap();
    // Positions count in the list that is trained on.
    let list = [7, 5, 3, 1, 0, 2];
    let mixup = Mixup {
        rate: 0.7,
        alpha: 2.0,
    };
    let augmentation = Augmentation::default();
    let recipe = |mixup| Recipe {
        augmented: Augmented {
            augmentation: &augmentation,
            seed: 11,
            epoch: 4,
        },
        mixup,
        list: &list,
    };
    let all: Vec<usize> = (0..list.len()).collect();
    let off = Mixup::default();
    let plain = own.prepare(&all, recipe(&off)).unwrap();
    let batch = own.prepare(&all, recipe(&mixup)).unwrap();
    let size = FRAMES * BINS;
    let mut mixed = 0;
    for position in all {
        let pair = mixup.pairing(11, 4, position as u64, 6).unwrap();
        let (partner, lambda) = (pair.partner as usize, pair.lambda);
        mixed += usize::from(partner != position && lambda < 1.0);
        for cell in 0..size {
            let at = |clip: usize| f64::from(plain.features[clip * size + cell]);
            let expected = lambda * at(position) + (1.0 - lambda) * at(partner);
            let found = f64::from(batch.features[position * size + cell]);
            assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
        }
        let other = labels[list[partner]] as i64;
        assert_eq!(batch.labels.blends[position], (other, lambda));
        let (targets, _) = batch.labels.targets.as_ref().unwrap();
        for class in 0..CLASSES {
            let (a, b) = (hot(list[position], class), hot(list[partner], class));
            let expected = lambda * f64::from(a) + (1.0 - lambda) * f64::from(b);
            let found = f64::from(targets[position * CLASSES + class]);
            assert!((found - expected).abs() < 1e-6, "{found} and {expected}");
        }
    }
    assert!(mixed >= 2, "too few of the clips are blended: {mixed}");
}

/// What may not differ: the trained values, the figures and the chosen epoch.
type Outcome = (Vec<Vec<f32>>, Vec<[f64; 3]>, usize);

fn outcome(model: &AdaptedModel, trained: &Trained) -> Outcome {
    let flat = |tensor: &Tensor| Vec::try_from(tensor.reshape([-1])).unwrap();
    let values = model.trained().iter().map(|(_, tensor)| flat(tensor));
    let figures = trained.history.iter().map(|epoch| {
        [
            epoch.train_loss,
            epoch.validation_loss,
            epoch.validation_macro_f1,
        ]
    });
    (values.collect(), figures.collect(), trained.selected)
}

struct Case {
    name: &'static str,
    method: &'static str,
    config: TrainingConfig,
    clips: Clips,
}

impl Case {
    fn train(
        &self,
        store: Option<&Checkpoints>,
        stop: Option<usize>,
    ) -> Result<Outcome, TrainingError> {
        let model = model(self.method);
        let mut steps = 0;
        let mut observe = |event: Event| {
            steps += usize::from(matches!(event, Event::Step(_)));
            match stop {
                Some(stop) if steps >= stop => Control::Stop,
                _ => Control::Continue,
            }
        };
        let runtime = Runtime {
            checkpoints: store.map(|store| CheckpointPlan {
                store,
                identity: "made".to_owned(),
                every_seconds: f64::INFINITY,
            }),
            ..Runtime::default()
        };
        let split = split(0..18, 18..26);
        let trained = train_with(
            &model,
            &self.clips,
            &split,
            &self.config,
            &runtime,
            &mut observe,
        );
        Ok(outcome(&model, &trained?))
    }
}

#[test]
fn patience_groups_and_several_labels_survive_a_stop() {
    let labels: Vec<usize> = (0..26).map(|index| index % CLASSES).collect();
    let made = || clips(&labels, &labels, 0.3, 3);
    // Nothing but noise: the validation loss soon rises.
    let hopeless = clips(&labels, &labels, 0.0, 3);
    let mut patient = TrainingConfig::new(20, 4, 1e-2, 3);
    patient.patience = Some(2);
    patient.selection = Selection::BestLoss;
    let mut grouped = TrainingConfig::new(3, 4, 5e-3, 3);
    grouped.decayed = Decayed::Matrices;
    grouped.groups = vec![ParameterGroup {
        part: Some(Part::Head),
        learning_rate: Some(1e-3),
        weight_decay: Some(0.0),
        ..ParameterGroup::default()
    }];
    let mut several = TrainingConfig::new(3, 4, 5e-3, 3);
    several.objective = Objective::BinaryCrossEntropy;
    several.selection = Selection::BestMeanAveragePrecision;
    several.mixup.rate = 0.5;
    let mut recomputed = TrainingConfig::new(3, 4, 5e-3, 3);
    recomputed.activation_checkpointing = true;
    let hot = labels
        .iter()
        .flat_map(|&label| (0..CLASSES).map(move |class| f32::from(class == label || class == 0)));
    let both = made().with_multi_hot(hot.collect(), CLASSES).unwrap();
    let case = |name, method, config, clips| Case {
        name,
        method,
        config,
        clips,
    };
    for case in [
        case("patience", "full", patient, hopeless),
        case("groups", "adapter", grouped, made()),
        case("several labels", "adapter", several, both),
        case("activation checkpointing", "adapter", recomputed, made()),
    ] {
        let name = case.name;
        let undisturbed = case.train(None, None).unwrap();
        if name == "patience" {
            let epochs = undisturbed.1.len();
            assert!(
                (3..20).contains(&epochs),
                "{epochs} epochs: patience had no part in it"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(folder.path()).unwrap();
        let store = folder.checkpoints(2).unwrap();
        // Again and again after seven steps, of which an epoch has five.
        let mut stops = 0;
        let found = loop {
            match case.train(Some(&store), Some(7)) {
                Ok(outcome) => break outcome,
                Err(TrainingError::Stopped) => stops += 1,
                Err(error) => panic!("{name}: {error}"),
            }
        };
        assert!(stops >= 2, "{name}: stopped {stops} times");
        assert!(
            found == undisturbed,
            "{name}: {:?} and {:?}",
            found.1,
            undisturbed.1
        );
    }
}

#[test]
fn the_rate_of_a_run_warms_up_and_follows_the_cosine() {
    let labels: Vec<usize> = (0..26).map(|index| index % CLASSES).collect();
    let mut config = TrainingConfig::new(4, 4, 5e-3, 3);
    config.warmup_steps = 7;
    let go_on = &mut |_: Event| Control::Continue;
    let clips = clips(&labels, &labels, 0.3, 3);
    let (model, split) = (model("linear"), split(0..18, 18..26));
    let trained = train_with(&model, &clips, &split, &config, &Runtime::default(), go_on).unwrap();
    // Five steps an epoch. Step t < 7 has the rate (t + 1) / 8, step t of the
    // other 13 half of 1 + cos(π (t - 7) / 13).
    let cosine = |t: f64| 0.5 * (1.0 + (std::f64::consts::PI * (t - 7.0) / 13.0).cos());
    let expected = [5.0 / 8.0, cosine(9.0), cosine(14.0), cosine(19.0)];
    for (epoch, share) in trained.history.iter().zip(expected) {
        let rate = 5e-3 * share;
        assert!(
            (epoch.learning_rate - rate).abs() < 1e-12,
            "{} and {rate}",
            epoch.learning_rate
        );
    }
}

#[test]
fn selection_by_macro_f1_takes_another_epoch_than_accuracy_would() {
    // Mostly one class, and nothing to hear but noise: guessing that class is
    // often right and has a poor F1.
    let labels: Vec<usize> = (0..60)
        .map(|index| match index % 10 {
            0..8 => 0,
            other => other - 7,
        })
        .collect();
    let first = |values: Vec<f64>| {
        let best = values.iter().copied().fold(f64::MIN, f64::max);
        values.iter().position(|&value| value == best).unwrap()
    };
    let mut told_apart = 0;
    for seed in 0..12 {
        let clips = clips(&labels, &labels, 0.0, seed);
        let mut config = TrainingConfig::new(8, 8, 5e-3, u64::from(seed));
        config.selection = Selection::BestMacroF1;
        let model = model("full");
        let go_on = &mut |_: Event| Control::Continue;
        let split = split(0..30, 30..60);
        let trained =
            train_with(&model, &clips, &split, &config, &Runtime::default(), go_on).unwrap();
        let of = |figure: fn(&experiments::training::EpochMetrics) -> f64| {
            first(trained.history.iter().map(figure).collect())
        };
        let by_f1 = of(|epoch| epoch.validation_macro_f1);
        assert_eq!(trained.selected, by_f1, "seed {seed}");
        told_apart += usize::from(by_f1 != of(|epoch| epoch.validation_accuracy));
        if told_apart >= 2 {
            return;
        }
    }
    assert!(
        told_apart > 0,
        "no run had two best epochs; the test says nothing"
    );
}
