use adapters::{DenseMoaConfig, MethodConfig, MixtureConfig, Placement};

use super::*;
use crate::evaluation::measure;
use crate::toy;

fn dense(placement: Placement) -> AdaptedModel {
    let method = MethodConfig::DenseMoa(DenseMoaConfig {
        mixture: MixtureConfig {
            experts: 3,
            bottleneck: adapters::Bottleneck::Width(4),
            placement,
            ..MixtureConfig::default()
        },
    });
    toy::with_method(&method, 2)
}

fn examples() -> [Example; 3] {
    [(4, "later"), (1, "earlier"), (9, "not in the part")].map(|(index, name)| Example {
        index,
        name: name.to_owned(),
    })
}

fn used(model: &AdaptedModel, batch: usize) -> (Metrics, Option<ExpertUse>) {
    let clips = toy::separable(&[0, 1, 0, 1, 1, 0]);
    let watch = Watch {
        classes: 3,
        drops: false,
        examples: &examples(),
    };
    measure_use(model, &clips, &[1, 2, 3, 4, 5], batch, watch).unwrap()
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn shares_of_layers_classes_and_patches_sum_to_one() {
    let (_, found) = used(&dense(Placement::Houlsby), 2);
    let found = found.unwrap();
    let names: Vec<&str> = found.layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(
        names,
        ["encoder.layer.0.moa_mhsa", "encoder.layer.0.moa_ffn"]
    );
    for layer in &found.layers {
        close(layer.usage.iter().sum(), 1.0);
        assert_eq!((layer.by_class.len(), layer.dropped), (3, None));
        for class in &layer.by_class[..2] {
            close(class.iter().sum(), 1.0);
        }
        assert_eq!(layer.by_class[2], [0.0; 3], "there is no clip of class 2");
        assert!((0.0..=1.0 + 1e-9).contains(&layer.entropy));
        assert!(layer.max_over_mean >= 1.0);
    }
    // In the order in which they were asked for, whatever the batches.
    let clips: Vec<(&str, usize)> = found
        .clips
        .iter()
        .map(|c| (c.clip.as_str(), c.class))
        .collect();
    assert_eq!(clips, [("later", 1), ("earlier", 1)]);
    for clip in &found.clips {
        assert_eq!((clip.frequency_patches, clip.time_patches), (8, 2));
        for layer in &clip.layers {
            assert_eq!(layer.experts.len(), 3);
            for patch in 0..16 {
                let sum: f32 = layer.experts.iter().map(|expert| expert[patch]).sum();
                assert!((sum - 1.0).abs() < 2e-4, "{sum}");
            }
        }
    }
}

#[test]
fn the_batch_size_changes_nothing_and_the_figures_are_those_of_a_plain_test() {
    let model = dense(Placement::PfeifferMhsa);
    let (metrics, one) = used(&model, 1);
    let (_, all) = used(&model, 16);
    let (one, all) = (one.unwrap(), all.unwrap());
    for (a, b) in one.layers.iter().zip(&all.layers) {
        for (a, b) in a.usage.iter().zip(&b.usage) {
            assert!((a - b).abs() < 1e-6);
        }
    }
    let clips = toy::separable(&[0, 1, 0, 1, 1, 0]);
    let part = [1, 2, 3, 4, 5];
    let (_, plain) = measure(&model, &clips, &part, 1, Objective::CrossEntropy).unwrap();
    assert_eq!(metrics, plain);
}

#[test]
fn a_method_without_experts_has_no_use() {
    let (metrics, found) = used(&toy::model("linear", 2), 4);
    assert_eq!(found, None);
    assert_eq!(metrics.clips, 5);
}

/// What no expert ever saw has zeros, not 0 / 0, which no record could hold.
#[test]
fn figures_of_experts_that_are_never_used_are_zero() {
    let shares = Tensor::zeros([2, 18, 3], (Kind::Float, Device::Cpu));
    let idle = MixtureUse {
        name: "encoder.layer.0.moa_ffn".to_owned(),
        block: 0,
        usage_per_clip: vec![vec![0.0; 3]; 2],
        drop_rate: 1.0,
        shares,
    };
    let grid = Grid {
        frequency: 8,
        time: 2,
    };
    let watch = Watch {
        classes: 2,
        drops: true,
        examples: &[],
    };
    let mut counter = Counter::new(watch, grid);
    counter.add(&[0, 1], &[0, 1], &[idle]).unwrap();
    let layer = counter.finish().unwrap().layers.remove(0);
    assert_eq!(layer.usage, [0.0; 3]);
    assert_eq!((layer.entropy, layer.max_over_mean), (0.0, 0.0));
    assert_eq!((layer.variation, layer.dropped), (0.0, Some(1.0)));
}
