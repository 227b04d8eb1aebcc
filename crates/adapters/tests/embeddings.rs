//! One vector per clip for other programs: the tokens that the method means.

#[path = "support/small.rs"]
mod small;

use adapters::{AdaptOptions, AdaptedModel, AdapterError};
use ast_model::{Pooling, Step, padding};
use serde_json::{Value, json};
use small::{FRAMES, backbone, difference, input, method, options, trained};
use tch::{Kind, Tensor, no_grad};

/// Grid 3 · 4.
const PATCHES: i64 = 12;

fn model(value: Value, options: &AdaptOptions) -> AdaptedModel {
    trained(&backbone(16, 2), &method(value), options)
}

fn tokens(model: &AdaptedModel, features: &Tensor) -> Tensor {
    no_grad(|| model.tokens(features, &Step::evaluation())).unwrap()
}

/// Mean of the tokens from `start` on, `count` of them.
fn mean(tokens: &Tensor, start: i64, count: i64) -> Tensor {
    let over_tokens: &[i64] = &[1];
    let part = tokens.narrow(1, start, count);
    part.mean_dim(over_tokens, false, None::<Kind>)
}

fn close(found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), [2, 16]);
    assert!(!found.requires_grad());
    let error = difference(found, expected);
    assert!(error < 1e-5, "{error}");
}

#[test]
fn prompts_are_no_patches_and_their_own_pooling_counts() {
    // [class token, 5 prompts, 12 patches]
    let plain = model(json!({ "method": "prompt", "prompts": 5 }), &options());
    let all = tokens(&plain, &input(1));
    assert_eq!(all.size(), [2, 1 + 5 + PATCHES, 16]);
    let embedded = |pooling| plain.embeddings(&input(1), pooling);
    close(&embedded(None).unwrap(), &mean(&all, 0, 18));
    close(&embedded(Some(Pooling::All)).unwrap(), &mean(&all, 0, 18));
    close(&embedded(Some(Pooling::Cls)).unwrap(), &mean(&all, 0, 1));
    close(
        &embedded(Some(Pooling::Patches)).unwrap(),
        &mean(&all, 6, PATCHES),
    );
    // The distillation token is gone; its place holds a prompt.
    let error = embedded(Some(Pooling::ClsDist)).unwrap_err();
    assert!(matches!(error, AdapterError::Config { .. }), "{error}");

    let own = json!({ "method": "prompt", "prompts": 5, "pooling": "prompts",
        "keep_distillation": true });
    let own = model(own, &options());
    let all = tokens(&own, &input(1));
    let embedded = |pooling| own.embeddings(&input(1), pooling).unwrap();
    close(&embedded(None), &mean(&all, 2, 5));
    close(&embedded(Some(Pooling::ClsDist)), &mean(&all, 0, 2));
    close(&embedded(Some(Pooling::Patches)), &mean(&all, 7, PATCHES));
}

#[test]
fn without_a_wish_the_vectors_are_those_the_head_sees() {
    for pooling in [
        Pooling::All,
        Pooling::Cls,
        Pooling::ClsDist,
        Pooling::Patches,
    ] {
        let options = AdaptOptions {
            pooling,
            ..options()
        };
        let lora = json!({ "method": "lora", "rank": { "width": 3 } });
        let model = model(lora, &options);
        let vectors = model.embeddings(&input(1), None).unwrap();
        let named = |name: &str| {
            let name = format!("classification_head.{name}");
            let found = model.trained().iter().find(|(known, _)| *known == name);
            found.unwrap().1.detach()
        };
        let logits = vectors.linear(&named("weight"), Some(&named("bias")));
        let error = difference(&logits, &small::logits(&model, &input(1)));
        assert!(error < 1e-5, "{pooling:?}: {error}");
        close(&vectors, &pooling.pool(&tokens(&model, &input(1))));
    }
}

#[test]
fn padded_frames_are_left_out_where_the_model_leaves_them_out() {
    let features = input(3);
    let _ = features.get(1).narrow(0, 20, FRAMES - 20).fill_(-0.7);
    let mask = padding::patch_mask(&features, &backbone(16, 2).config).unwrap();
    for mask_padding in [false, true] {
        let options = AdaptOptions {
            mask_padding,
            ..options()
        };
        let prompt = model(json!({ "method": "prompt", "prompts": 3 }), &options);
        let all = tokens(&prompt, &features);
        let found = prompt
            .embeddings(&features, Some(Pooling::Patches))
            .unwrap();
        let own = mask.get(1).nonzero().reshape([-1]) + 4;
        assert!((1..PATCHES).contains(&own.size()[0]));
        let masked = all.get(1);
        let masked = masked
            .index_select(0, &own)
            .mean_dim(0, false, None::<Kind>);
        let plain = mean(&all, 4, PATCHES).get(1);
        let expected = if mask_padding { masked } else { plain };
        assert!(
            difference(&found.get(1), &expected) < 1e-5,
            "{mask_padding}"
        );
    }
}
