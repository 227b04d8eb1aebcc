//! Frames that only fill a clip up can be left out of pooling and routing
//! (quirk Q30).

#[path = "support/small.rs"]
mod small;

use adapters::{
    AdaptOptions, AdaptedModel, AdapterError, FrozenPart, Head, MethodConfig, PrototypicalHead,
};
use ast_model::{Checkpoint, Patchout, Pooling, Step, init, padding};
use small::{BINS, FRAMES, backbone, description};
use tch::{Kind, Tensor, no_grad};

fn model(checkpoint: &Checkpoint, json: &str, mask_padding: bool) -> AdaptedModel {
    let options = AdaptOptions {
        mask_padding,
        seed: 4,
        ..AdaptOptions::new(3)
    };
    let method: MethodConfig = serde_json::from_str(json).unwrap();
    let model = AdaptedModel::new(checkpoint, &method, &options).unwrap();
    // Away from modules that start at 0.
    no_grad(|| {
        for (name, tensor) in model.trained() {
            let noise = init::normal(9, name, &tensor.size(), 0.1);
            let _ = tensor.shallow_clone().g_add_(&noise);
        }
    });
    model
}

/// Three clips of 46, 20 and 3 frames, filled up.
fn features() -> Tensor {
    let features = init::normal(1, "features", &[3, FRAMES, BINS], 1.0);
    for (clip, own) in [(1, 20), (2, 3)] {
        let _ = features.get(clip).narrow(0, own, FRAMES - own).fill_(-0.7);
    }
    features
}

fn logits(model: &AdaptedModel, features: &Tensor) -> Tensor {
    no_grad(|| model.forward(features, &Step::evaluation()).unwrap())
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

const LINEAR: &str = r#"{"method": "linear"}"#;
const ADAPTER: &str = r#"{"method": "adapter", "bottleneck": {"width": 3}}"#;
const SOFT: &str = r#"{"method": "soft-moa", "mixture": {"bottleneck": {"width": 3}}}"#;
const DENSE: &str = r#"{"method": "dense-moa", "mixture": {"bottleneck": {"width": 3}}}"#;
const PROMPT: &str = r#"{"method": "prompt", "prompts": 5}"#;

#[test]
fn clips_without_padding_are_as_without_the_mask() {
    let checkpoint = backbone(16, 2);
    let whole = features().narrow(0, 0, 1);
    for method in [LINEAR, ADAPTER, SOFT, DENSE, PROMPT] {
        let [plain, masked] = [false, true].map(|mask| model(&checkpoint, method, mask));
        let error = largest(&logits(&plain, &whole), &logits(&masked, &whole));
        assert!(error < 1e-5, "{method}: {error}");
        let error = largest(&logits(&plain, &features()), &logits(&masked, &features()));
        assert!(error > 1e-3, "{method}: the mask changes nothing");
    }
}

#[test]
fn padded_patches_count_in_no_mean() {
    let checkpoint = backbone(16, 2);
    let model = model(&checkpoint, ADAPTER, true);
    let tokens = no_grad(|| model.tokens(&features(), &Step::evaluation()).unwrap());
    let patches = padding::patch_mask(&features(), model.config()).unwrap();
    let named = |name: &str| &model.trained().iter().find(|(it, _)| it == name).unwrap().1;
    let [weight, bias] =
        ["weight", "bias"].map(|field| named(&format!("classification_head.{field}")));
    for clip in 0..3 {
        let own = patches.get(clip).nonzero().reshape([-1]) + 2;
        let special = Tensor::from_slice(&[0i64, 1]);
        let kept = tokens
            .get(clip)
            .index_select(0, &Tensor::cat(&[special, own], 0));
        let pooled = kept.mean_dim(0, true, None::<Kind>);
        let expected = no_grad(|| pooled.linear(weight, Some(bias)));
        let found = logits(&model, &features()).narrow(0, clip, 1);
        assert!(largest(&found, &expected) < 1e-5, "clip {clip}");
    }
}

#[test]
fn routing_leaves_padded_tokens_out_and_other_methods_see_them() {
    let checkpoint = backbone(16, 2);
    for (method, routed) in [(SOFT, true), (DENSE, true), (ADAPTER, false)] {
        let tokens = [false, true].map(|mask| {
            let model = model(&checkpoint, method, mask);
            no_grad(|| model.tokens(&features(), &Step::evaluation()).unwrap())
        });
        let changed = largest(&tokens[0], &tokens[1]) > 1e-4;
        assert_eq!(changed, routed, "{method}");
    }
}

#[test]
fn gradients_with_activation_checkpointing_are_the_same() {
    let checkpoint = backbone(16, 2);
    let labels = Tensor::from_slice(&[0i64, 2, 1]);
    let (features, step) = (features(), Step::training(5));
    let plain = model(&checkpoint, SOFT, true);
    let loss = plain.forward(&features, &step).unwrap();
    loss.cross_entropy_for_logits(&labels).backward();
    let kept = model(&checkpoint, SOFT, true);
    let step = Step::training(5);
    let pass = kept.forward_recomputed(&features, &step).unwrap();
    let loss = pass.logits().cross_entropy_for_logits(&labels);
    pass.backward(&loss).unwrap();
    for ((name, a), (_, b)) in plain.trained().iter().zip(kept.trained()) {
        assert!(largest(&a.grad(), &b.grad()) < 1e-5, "{name}");
    }
}

#[test]
fn what_is_kept_of_a_clip_has_the_mask_in_it() {
    let checkpoint = backbone(16, 2);
    let probe = model(&checkpoint, LINEAR, true);
    assert_eq!(probe.frozen_part(), Some(FrozenPart::Pooled));
    let kept = probe.frozen(&features()).unwrap();
    let found = no_grad(|| probe.forward_frozen(&kept, &Step::evaluation()).unwrap());
    assert!(largest(&found, &logits(&probe, &features())) < 1e-5);
    assert_eq!(probe.shared_blocks(), None);

    let options = AdaptOptions {
        head: Head::GatedLayers,
        mask_padding: true,
        ..AdaptOptions::new(3)
    };
    let gated = MethodConfig::named("linear").unwrap();
    let gated = AdaptedModel::new(&checkpoint, &gated, &options).unwrap();
    let kept = gated.frozen(&features()).unwrap();
    let found = no_grad(|| gated.forward_frozen(&kept, &Step::evaluation()).unwrap());
    assert!(largest(&found, &logits(&gated, &features())) < 1e-5);
}

#[test]
fn a_loaded_adapter_masks_as_the_saved_one() {
    let checkpoint = backbone(16, 2);
    let method: MethodConfig = serde_json::from_str(SOFT).unwrap();
    let options = AdaptOptions {
        mask_padding: true,
        ..AdaptOptions::new(3)
    };
    let saved = model(&checkpoint, SOFT, true);
    let told = description(&method, &checkpoint, &options);
    let folder = tempfile::tempdir().unwrap();
    adapters::save(folder.path(), &saved, &told).unwrap();
    let (loaded, told) = adapters::load(folder.path(), &checkpoint, &AdaptOptions::new(1)).unwrap();
    assert!(told.mask_padding);
    assert_eq!(logits(&loaded, &features()), logits(&saved, &features()));
}

#[test]
fn combinations_without_a_meaning_are_refused() {
    let checkpoint = backbone(16, 2);
    let method: MethodConfig = serde_json::from_str(LINEAR).unwrap();
    let masked = AdaptOptions {
        mask_padding: true,
        ..AdaptOptions::new(3)
    };
    let prototypical = Head::Prototypical(PrototypicalHead { per_class: 2 });
    for options in [
        AdaptOptions {
            head: Head::Attentive,
            ..masked.clone()
        },
        AdaptOptions {
            head: prototypical,
            ..masked.clone()
        },
        AdaptOptions {
            patchout: Patchout {
                share: 0.5,
                ..Patchout::default()
            },
            ..masked.clone()
        },
    ] {
        let error = AdaptedModel::new(&checkpoint, &method, &options).err();
        assert!(
            matches!(
                &error,
                Some(AdapterError::Config {
                    field: "mask_padding",
                    ..
                })
            ),
            "{error:?}"
        );
    }
    // The class token alone has no patches in it.
    let cls = AdaptOptions {
        pooling: Pooling::Cls,
        ..masked
    };
    let with = AdaptedModel::new(&checkpoint, &method, &cls).unwrap();
    let without = AdaptOptions {
        mask_padding: false,
        ..cls
    };
    let without = AdaptedModel::new(&checkpoint, &method, &without).unwrap();
    assert_eq!(logits(&with, &features()), logits(&without, &features()));
}
