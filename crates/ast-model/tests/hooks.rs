//! What extensions see and change inside the blocks and in the embedding.

use std::cell::RefCell;
use std::collections::BTreeSet;

use ast_model::{
    AstConfig, AstModel, BindOptions, Branch, Checkpoint, Context, Extension, HookError, Pooling,
    Precision, Projection, Step, SubLayer, init,
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

type Change = fn(Tensor) -> Tensor;

/// One hook, by its name, gives its result in another shape.
struct Misshapen<'a> {
    hook: &'a str,
    change: Change,
}

impl Misshapen<'_> {
    fn at(&self, hook: &str, x: Tensor) -> Result<Tensor, HookError> {
        Ok(match hook == self.hook {
            true => (self.change)(x),
            false => x,
        })
    }
}

impl Extension for Misshapen<'_> {
    fn patches(&self, _context: &Context, patches: Tensor) -> Result<Tensor, HookError> {
        self.at("patches", patches)
    }

    fn tokens(&self, _context: &Context, tokens: Tensor) -> Result<Tensor, HookError> {
        self.at("tokens", tokens)
    }

    fn before_block(&self, _context: &Context, x: Tensor) -> Result<Tensor, HookError> {
        self.at("before_block", x)
    }

    fn around_attention(
        &self,
        _context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        let n1 = self.at("attention's input", n1.shallow_clone())?;
        Ok(Branch {
            output: self.at("around_attention", attention(&n1)?)?,
            carry: None,
        })
    }

    fn around_ffn(
        &self,
        _context: &Context,
        n2: &Tensor,
        _carry: Option<Tensor>,
        ffn: &SubLayer,
    ) -> Result<Tensor, HookError> {
        self.at("around_ffn", ffn(n2)?)
    }

    fn changes(&self, projection: Projection) -> bool {
        self.hook == format!("project {}", projection.module())
    }

    fn project(
        &self,
        _context: &Context,
        _projection: Projection,
        _input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        Ok((self.change)(output))
    }

    fn key_value_tokens(&self, _context: &Context) -> Option<(Tensor, Tensor)> {
        let tokens = init::normal(1, "tokens", &[1, 3, 16], 1.0);
        let changed = (self.change)(tokens.shallow_clone());
        (self.hook == "key_value_tokens").then_some((tokens, changed))
    }
}

#[test]
fn a_hook_that_returns_another_shape_ends_the_pass_with_its_name() {
    let checkpoint = Checkpoint::random(&config(), 1).unwrap();
    let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).unwrap();
    // Those that broadcast are as wrong as those that do not.
    let changes: [(&str, Change); 5] = [
        ("narrower", |x| x.narrow(-1, 0, 1)),
        ("flat", |x| x.flatten(0, 1)),
        ("one clip", |x| x.mean_dim(0, true, None::<Kind>)),
        ("one token", |x| x.mean_dim(1, true, None::<Kind>)),
        ("no token", |x| x.narrow(1, 0, 0)),
    ];
    // How many tokens there are is for these to choose, and further keys are
    // those of all clips.
    let allowed = [
        ("tokens", "one token"),
        ("before_block", "one token"),
        ("key_value_tokens", "one clip"),
    ];
    let projections = Projection::ALL.map(|map| format!("project {}", map.module()));
    let hooks = [
        "patches",
        "tokens",
        "before_block",
        "around_attention",
        "around_ffn",
    ];
    let hooks = hooks
        .into_iter()
        .chain(projections.iter().map(|name| &**name));
    for hook in hooks.chain(["key_value_tokens"]) {
        for (shape, change) in changes {
            let extension = Misshapen { hook, change };
            let result = no_grad(|| model.forward(&features(), &extension, &Step::evaluation()));
            if allowed.contains(&(hook, shape)) {
                let _ = result.unwrap();
                continue;
            }
            let text = result.expect_err(hook).to_string();
            let name = hook.split(' ').next().unwrap();
            assert!(text.contains(&format!("{name} returned")), "{hook}: {text}");
            let place = match hook {
                "patches" | "tokens" => "in the embedding",
                _ => "in block 0",
            };
            assert!(text.contains(place), "{hook}: {text}");
        }
    }
    for (shape, change) in changes {
        let extension = Misshapen {
            hook: "attention's input",
            change,
        };
        let result = no_grad(|| model.forward(&features(), &extension, &Step::evaluation()));
        assert!(result.is_err(), "{shape}");
    }
}

/// Gives a projection with its axes of clips and tokens stored the other way
/// round.
struct Transposed;

impl Extension for Transposed {
    fn changes(&self, projection: Projection) -> bool {
        projection == Projection::Key
    }

    fn project(
        &self,
        _context: &Context,
        _projection: Projection,
        _input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        Ok(output.transpose(-1, 0).contiguous().transpose(-1, 0))
    }
}

#[test]
fn a_projection_may_lie_in_memory_in_any_order() {
    let checkpoint = Checkpoint::random(&config(), 1).unwrap();
    let model = AstModel::bind(&checkpoint, &BindOptions::frozen()).unwrap();
    let plain = model.forward_plain(&features()).unwrap();
    let step = Step::evaluation();
    let found = model.forward(&features(), &Transposed, &step).unwrap();
    assert!(largest(&found, &plain) < 1e-5);
}

#[test]
fn a_mask_of_more_patches_than_there_are_tokens_says_nothing() {
    let step = Step::training(1);
    let mask = Tensor::ones([2, 12], (Kind::Bool, tch::Device::Cpu));
    step.set_patch_mask(mask);
    let tokens = |count| Tensor::zeros([2, count, 4], tch::kind::FLOAT_CPU);
    assert_eq!(step.token_mask(&tokens(14)).unwrap().size(), [2, 14]);
    assert!(step.token_mask(&tokens(9)).is_none());
    step.clear_patch_mask();
    assert!(step.token_mask(&tokens(14)).is_none());
}
