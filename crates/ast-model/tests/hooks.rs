//! What extensions see and change inside the blocks and in the embedding.

use std::cell::RefCell;
use std::collections::BTreeSet;

use ast_model::{
    AstConfig, AstModel, BindOptions, Checkpoint, Context, Extension, HookError, Pooling,
    Precision, Projection, Step, init,
};
use tch::{Kind, Tensor, no_grad};

fn config() -> AstConfig {
    AstConfig {
        hidden_size: 16,
        num_attention_heads: 2,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_mel_bins: 36,
        max_length: 46,
        ..AstConfig::base()
    }
}

fn features() -> Tensor {
    init::normal(2, "features", &[2, 46, 36], 1.0)
}

/// Adds a vector to the output of one map in every block, or to the patches.
struct Shift {
    map: Option<Projection>,
    vector: Tensor,
    seen: RefCell<BTreeSet<(usize, i64, i64)>>,
}

impl Shift {
    fn new(map: Option<Projection>) -> Self {
        let [_, width] = map.map_or([0, 16], |map| map.widths(&config()));
        Shift {
            map,
            vector: init::normal(3, "shift", &[width], 0.5),
            seen: RefCell::default(),
        }
    }
}

impl Extension for Shift {
    fn patches(&self, _context: &Context, patches: Tensor) -> Result<Tensor, HookError> {
        match self.map {
            None => Ok(patches + &self.vector),
            Some(_) => Ok(patches),
        }
    }

    fn changes(&self, projection: Projection) -> bool {
        self.map == Some(projection)
    }

    fn project(
        &self,
        context: &Context,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        assert_eq!(self.map, Some(projection));
        let last = |x: &Tensor| *x.size().last().unwrap();
        self.seen
            .borrow_mut()
            .insert((context.block, last(input), last(&output)));
        let kind = output.kind();
        Ok((output + &self.vector).to_kind(kind))
    }
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// The tokens with the extension, and those of a model with the shift in its
/// biases instead.
fn both(shift: &Shift, precision: Precision) -> [Tensor; 2] {
    let checkpoint = Checkpoint::random(&config(), 1).unwrap();
    let wanted = match shift.map {
        Some(map) => format!(".{}.bias", map.module()),
        None => "embeddings.patch_embeddings.projection.bias".to_owned(),
    };
    let bind = |trained: &dyn Fn(&str) -> bool| {
        let options = BindOptions {
            trained,
            precision,
            ..BindOptions::frozen()
        };
        AstModel::bind(&checkpoint, &options).unwrap()
    };
    // Names of the feed-forward sub-layer's output map end like those of the
    // attention's.
    let bias = |name: &str| {
        name.ends_with(&wanted) && (name.contains(".attention.") == wanted.contains("attention."))
    };
    let moved = bind(&bias);
    assert_eq!(
        moved.trained().len(),
        if shift.map.is_some() { 2 } else { 1 }
    );
    no_grad(|| {
        for (_, bias) in moved.trained() {
            let _ = bias.shallow_clone().g_add_(&shift.vector);
        }
        let step = Step::evaluation();
        let hooked = bind(&|_| false).forward(&features(), shift, &step);
        [hooked.unwrap(), moved.forward_plain(&features()).unwrap()]
    })
}

#[test]
fn a_shift_of_any_map_is_a_shift_of_its_bias() {
    for map in Projection::ALL {
        let shift = Shift::new(Some(map));
        let [hooked, moved] = both(&shift, Precision::F32);
        assert!(largest(&hooked, &moved) < 1e-5, "{map:?}");
        let [input, output] = map.widths(&config());
        let expected = BTreeSet::from([(0, input, output), (1, input, output)]);
        assert_eq!(*shift.seen.borrow(), expected, "{map:?}");
        let [hooked, moved] = both(&Shift::new(Some(map)), Precision::Bf16);
        assert!(largest(&hooked, &moved) < 0.1, "{map:?}");
    }
}

/// Gives one projection in f32 in a model whose others are bf16.
struct InF32(Projection);

impl Extension for InF32 {
    fn changes(&self, projection: Projection) -> bool {
        projection == self.0
    }

    fn project(
        &self,
        _context: &Context,
        _projection: Projection,
        _input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        Ok(output.to_kind(Kind::Float))
    }
}

#[test]
fn attention_takes_projections_of_two_kinds() {
    let checkpoint = Checkpoint::random(&config(), 1).unwrap();
    let options = BindOptions {
        precision: Precision::Bf16,
        ..BindOptions::frozen()
    };
    let model = AstModel::bind(&checkpoint, &options).unwrap();
    let plain = model.forward_plain(&features()).unwrap();
    for map in [Projection::Query, Projection::Key, Projection::Value] {
        let step = Step::evaluation();
        let mixed = model.forward(&features(), &InF32(map), &step).unwrap();
        assert_eq!(mixed.kind(), Kind::Float);
        assert!(largest(&mixed, &plain) < 0.05, "{map:?}");
    }
}

#[test]
fn a_shift_of_the_patches_is_a_shift_of_the_convolution_s_bias() {
    let [hooked, moved] = both(&Shift::new(None), Precision::F32);
    assert!(largest(&hooked, &moved) < 1e-5);
}

#[test]
fn pooling_the_patches_leaves_the_special_tokens_out() {
    let tokens = features();
    let pooled = Pooling::Patches.pool(&tokens);
    let sum = tokens.sum_dim_intlist(1, false, None::<tch::Kind>);
    let special = tokens.select(1, 0) + tokens.select(1, 1);
    assert!(largest(&pooled, &((sum - special) / 44.0)) < 1e-6);
}
