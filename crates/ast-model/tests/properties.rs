//! Properties of the backbone that hold for any weights.

use ast_model::{
    AstConfig, AstModel, BindOptions, Checkpoint, Context, Extension, HookError, NoExtension,
    Pooling, Positions, Projection, Step, init,
};
use proptest::prelude::*;
use tch::{Kind, Tensor};

fn config(frames: i64) -> AstConfig {
    AstConfig {
        hidden_size: 16,
        num_attention_heads: 2,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_mel_bins: 36,
        max_length: frames,
        ..AstConfig::base()
    }
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// One patch [D] of the first clip as the formula says: the product of its
/// window with the filters, the bias and the position.
fn embedded(checkpoint: &Checkpoint, input: &Tensor, patch: i64) -> Tensor {
    let tensor = |name: &str| &checkpoint.tensors()[&format!("embeddings.{name}")];
    let (config, grid) = (&checkpoint.config, checkpoint.config.grid());
    // Counted along time within a row of frequencies.
    let (row, column) = (patch / grid.time, patch % grid.time);
    let window = input
        .get(0)
        .narrow(0, column * config.time_stride, config.patch_size)
        .narrow(1, row * config.frequency_stride, config.patch_size);
    let filters = tensor("patch_embeddings.projection.weight").squeeze_dim(1);
    let product =
        (filters * window.transpose(0, 1)).sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>);
    product
        + tensor("patch_embeddings.projection.bias")
        + tensor("position_embeddings").get(0).get(2 + patch)
}

/// A trained factor on one block's queries.
struct Gain {
    block: usize,
    factor: Tensor,
}

impl Extension for Gain {
    fn changes(&self, projection: Projection) -> bool {
        projection == Projection::Query
    }

    fn project(
        &self,
        context: &Context,
        _projection: Projection,
        _input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        Ok(match context.block == self.block {
            true => output * &self.factor,
            false => output,
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn at_any_length_every_token_is_its_patch_and_its_position(
        frames in 16i64..120, seed: u64, at in 0.0..1.0f64,
    ) {
        let checkpoint = Checkpoint::random(&config(64), seed).unwrap();
        for positions in [Positions::Crop, Positions::Interpolate, Positions::Zero] {
            let adapted = checkpoint.with_length(frames, positions).unwrap();
            let model = AstModel::bind(&adapted, &BindOptions::frozen()).unwrap();
            let input = init::normal(seed, "input", &[1, frames, 36], 1.0);
            let states = model.hidden_states(&input).unwrap();
            let patches = adapted.config.grid().patches();
            prop_assert_eq!(states[0].size(), [1, patches + 2, 16]);
            let patch = (at * patches as f64) as i64;
            let expected = embedded(&adapted, &input, patch);
            let found = states[0].get(0).get(2 + patch);
            prop_assert!(largest(&found, &expected) < 1e-5, "patch {patch} of {patches}");
            let tokens = model.forward_plain(&input).unwrap();
            prop_assert!(tokens.isfinite().all().int64_value(&[]) == 1);
        }
    }

    #[test]
    fn a_batch_is_its_clips_one_by_one_in_any_order(
        order in prop::collection::vec(0i64..5, 1..6), frames in 16i64..80, seed: u64,
    ) {
        let checkpoint = Checkpoint::random(&config(64), seed).unwrap();
        let adapted = checkpoint.with_length(frames, Positions::Crop).unwrap();
        let model = AstModel::bind(&adapted, &BindOptions::frozen()).unwrap();
        let clips = init::normal(seed, "input", &[5, frames, 36], 1.0);
        // Some clips several times, some not at all.
        let batch = model.forward_plain(&clips.index_select(0, &Tensor::from_slice(&order))).unwrap();
        prop_assert_eq!(batch.size()[0], order.len() as i64);
        for (place, &clip) in order.iter().enumerate() {
            let alone = model.forward_plain(&clips.narrow(0, clip, 1)).unwrap();
            let found = batch.narrow(0, place as i64, 1);
            prop_assert!(largest(&found, &alone) < 1e-5, "clip {clip} at {place}");
        }
    }

    #[test]
    fn nothing_is_recorded_before_the_first_trained_tensor(block in 0usize..4, place in 0usize..3) {
        let config = AstConfig { num_hidden_layers: 4, ..config(46) };
        let checkpoint = Checkpoint::random(&config, 1).unwrap();
        let [in_embedding, in_block, by_extension] = [0, 1, 2].map(|it| it == place);
        let norm = format!("encoder.layer.{block}.layernorm_after.weight");
        let trained = |name: &str| {
            (in_embedding && name == "embeddings.cls_token") || (in_block && name == norm)
        };
        let options = BindOptions { trained: &trained, ..BindOptions::frozen() };
        let model = AstModel::bind(&checkpoint, &options).unwrap();
        let gain = Gain { block, factor: Tensor::from(1.5f32).set_requires_grad(true) };
        let extension: &dyn Extension = if by_extension { &gain } else { &NoExtension };

        let (step, input) = (Step::training(1), init::normal(2, "input", &[2, 46, 36], 1.0));
        let mut hidden = model.begin(&input, extension, &step).unwrap();
        prop_assert_eq!(hidden.tokens().requires_grad(), in_embedding);
        while hidden.block() < 4 {
            let before = hidden.block();
            hidden = model.advance(hidden, extension, &step).unwrap();
            let recorded = in_embedding || before >= block;
            prop_assert_eq!(hidden.tokens().requires_grad(), recorded, "after block {}", before);
            prop_assert_eq!(hidden.tokens().is_leaf(), !recorded);
        }
    }

    #[test]
    fn without_positions_the_pooled_output_cannot_see_the_order_of_patches(seed: u64, shift in 1i64..5) {
        // Patches that do not overlap, so that moving frames moves whole patches.
        let config = AstConfig { time_stride: 16, frequency_stride: 16, ..config(96) };
        let checkpoint = Checkpoint::random(&config, seed).unwrap();
        let zero = checkpoint.with_length(80, Positions::Zero).unwrap();
        let kept = checkpoint.with_length(80, Positions::Crop).unwrap();
        let input = init::normal(seed, "input", &[1, 80, 36], 2.0);
        let moved = input.roll([16 * shift], [1]);
        let pooled = |checkpoint: &Checkpoint, input: &Tensor| {
            let model = AstModel::bind(checkpoint, &BindOptions::frozen()).unwrap();
            Pooling::All.pool(&model.forward_plain(input).unwrap())
        };
        let difference = |checkpoint: &Checkpoint| {
            (pooled(checkpoint, &input) - pooled(checkpoint, &moved)).abs().max().double_value(&[])
        };
        prop_assert!(difference(&zero) < 1e-5);
        prop_assert!(difference(&kept) > difference(&zero));
    }

    #[test]
    fn features_of_another_shape_are_an_error_not_a_panic(size in prop::collection::vec(0i64..70, 0..5)) {
        let checkpoint = Checkpoint::random(&config(64), 1).unwrap();
        let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).unwrap();
        let input = Tensor::zeros(&size, (tch::Kind::Float, tch::Device::Cpu));
        let fits = size.len() == 3 && size[0] > 0 && size[1..] == [64, 36];
        prop_assert_eq!(model.forward_plain(&input).is_ok(), fits);
    }
}
