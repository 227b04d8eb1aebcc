//! Patchout, activation checkpointing and precision: what they change and what
//! they must not.

use ast_model::{
    AstConfig, AstModel, BindOptions, Branch, Checkpoint, Context, Extension, Grid, HookError,
    NoExtension, Patchout, Pooling, Precision, Step, SubLayer, init,
};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

fn config() -> AstConfig {
    AstConfig {
        hidden_size: 32,
        num_attention_heads: 2,
        intermediate_size: 64,
        num_hidden_layers: 3,
        max_length: 64,
        ..AstConfig::base()
    }
}

fn features(clips: i64) -> Tensor {
    init::normal(3, "features", &[clips, 64, 128], 1.0)
}

/// A vector added to the tokens, a matrix beside one block's attention, and a
/// loss of its own; remembers the grids it was given.
struct Probe {
    prompt: Tensor,
    matrix: Tensor,
    block: usize,
    grids: RefCell<Vec<Option<Grid>>>,
    recomputing: RefCell<Vec<bool>>,
}

impl Probe {
    fn new(block: usize) -> Self {
        let leaf = |name, shape: &[i64]| init::normal(1, name, shape, 0.1).set_requires_grad(true);
        Probe {
            prompt: leaf("prompt", &[32]),
            matrix: leaf("matrix", &[32, 32]),
            block,
            grids: RefCell::default(),
            recomputing: RefCell::default(),
        }
    }

    fn gradients(&self) -> [Tensor; 2] {
        [self.prompt.grad(), self.matrix.grad()]
    }
}

impl Extension for Probe {
    fn tokens(&self, context: &Context, tokens: Tensor) -> Result<Tensor, HookError> {
        self.grids.borrow_mut().push(context.grid);
        Ok(tokens + &self.prompt)
    }

    fn around_attention(
        &self,
        context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        let mut output = attention(n1)?;
        if context.block == self.block {
            self.recomputing
                .borrow_mut()
                .push(context.step.recomputing());
            let change = n1.matmul(&self.matrix);
            context.step.add_loss(change.square().mean(Kind::Float));
            output += change;
        }
        Ok(Branch {
            output,
            carry: None,
        })
    }
}

fn bind(trained: &dyn Fn(&str) -> bool, patchout: Patchout, precision: Precision) -> AstModel {
    let checkpoint = Checkpoint::random(&config(), 5).unwrap();
    let options = BindOptions {
        trained,
        precision,
        device: Device::Cpu,
        patchout,
    };
    AstModel::bind(&checkpoint, &options).unwrap()
}

fn largest(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn activation_checkpointing_gives_the_gradients_of_a_plain_step() {
    let trained = |name: &str| name.contains("layernorm");
    let patchout = Patchout {
        time: 1,
        ..Patchout::default()
    };
    let features = features(3);
    let score = |tokens: &Tensor| Pooling::All.pool(tokens).square().sum(Kind::Float);

    let (plain, plain_probe) = (bind(&trained, patchout, Precision::F32), Probe::new(1));
    let step = Step::training(11);
    let tokens = plain.forward(&features, &plain_probe, &step).unwrap();
    (score(&tokens) + step.take_loss().unwrap()).backward();

    let (kept, kept_probe) = (bind(&trained, patchout, Precision::F32), Probe::new(1));
    let step = Step::training(11);
    let pass = kept
        .forward_recomputed(&features, &kept_probe, &step)
        .unwrap();
    assert!(largest(pass.tokens(), &tokens) < 1e-6);
    let reported = step.take_loss().unwrap();
    assert!(!reported.requires_grad());
    let loss = score(pass.tokens());
    pass.backward(&loss).unwrap();

    assert_eq!(plain.trained().len(), 14);
    for ((name, a), (_, b)) in plain.trained().iter().zip(kept.trained()) {
        assert!(largest(&a.grad(), &b.grad()) < 1e-5, "{name}");
    }
    for (a, b) in plain_probe.gradients().iter().zip(&kept_probe.gradients()) {
        assert!(largest(a, b) < 1e-5);
    }
    assert_eq!(*kept_probe.recomputing.borrow(), [false, true]);
    assert!(!step.recomputing());
}

#[test]
fn activation_checkpointing_stops_where_nothing_before_is_trained() {
    let last_only = |name: &str| name.starts_with("encoder.layer.2.layernorm");
    let model = bind(&last_only, Patchout::default(), Precision::F32);
    let step = Step::training(1);
    let features = features(2);
    let pass = model
        .forward_recomputed(&features, &NoExtension, &step)
        .unwrap();
    let loss = pass.tokens().square().sum(Kind::Float);
    pass.backward(&loss).unwrap();
    for (name, tensor) in model.trained() {
        assert!(tensor.grad().abs().max().double_value(&[]) > 0.0, "{name}");
    }
}

#[test]
fn patchout_drops_tokens_in_training_only_and_tells_the_grid() {
    let patchout = Patchout {
        frequency: 5,
        time: 2,
        share: 0.0,
    };
    let model = bind(&|_| false, patchout, Precision::F32);
    let probe = Probe::new(0);
    let features = features(2);
    let training = model
        .forward(&features, &probe, &Step::training(4))
        .unwrap();
    let evaluation = model
        .forward(&features, &probe, &Step::evaluation())
        .unwrap();
    let grid = config().grid();
    let smaller = Grid {
        frequency: grid.frequency - 5,
        time: grid.time - 2,
    };
    assert_eq!(training.size(), [2, 2 + smaller.patches(), 32]);
    assert_eq!(evaluation.size(), [2, config().tokens(), 32]);
    assert_eq!(*probe.grids.borrow(), [Some(smaller), Some(grid)]);

    let single = Patchout {
        share: 0.5,
        ..patchout
    };
    let probe = Probe::new(0);
    let model = bind(&|_| false, single, Precision::F32);
    let tokens = model
        .forward(&features, &probe, &Step::training(4))
        .unwrap();
    let dropped = (smaller.patches() as f64 * 0.5) as i64;
    assert_eq!(tokens.size()[1], 2 + smaller.patches() - dropped);
    assert_eq!(*probe.grids.borrow(), [None]);
}

#[test]
fn a_patchout_that_leaves_nothing_is_refused_when_binding() {
    let checkpoint = Checkpoint::random(&config(), 5).unwrap();
    let options = BindOptions {
        patchout: Patchout {
            time: 5,
            ..Patchout::default()
        },
        ..BindOptions::frozen()
    };
    let error = AstModel::bind(&checkpoint, &options)
        .unwrap_err()
        .to_string();
    assert!(error.contains("patchout.time = 5"), "{error}");
}

#[test]
fn bf16_gradients_of_trained_tensors_are_f32_and_close_to_those_in_f32() {
    // A trained bias beside a frozen matrix, a LayerNorm, and both ends of an
    // extension: everything a method trains around frozen bf16 products.
    let trained = |name: &str| name.contains("layernorm_after") || name.ends_with("dense.bias");
    let run = |precision| {
        let (model, probe) = (
            bind(&trained, Patchout::default(), precision),
            Probe::new(1),
        );
        let step = Step::training(2);
        let tokens = model.forward(&features(4), &probe, &step).unwrap();
        assert_eq!(tokens.kind(), Kind::Float);
        let loss = Pooling::All.pool(&tokens).square().sum(Kind::Float);
        (loss + step.take_loss().unwrap()).backward();
        let mut gradients: Vec<Tensor> = model.trained().iter().map(|(_, t)| t.grad()).collect();
        gradients.extend(probe.gradients());
        (tokens, gradients)
    };
    let (exact_tokens, exact) = run(Precision::F32);
    let (tokens, found) = run(Precision::Bf16);
    let relative = |a: &Tensor, b: &Tensor| ((a - b).norm() / b.norm()).double_value(&[]);
    assert!(relative(&tokens, &exact_tokens) < 2e-2);
    for (index, (found, exact)) in found.iter().zip(&exact).enumerate() {
        assert_eq!(found.kind(), Kind::Float);
        let error = relative(found, exact);
        assert!(error < 5e-2, "gradient {index}: {error}");
    }
}

#[test]
fn embeddings_are_the_pooled_hidden_states_without_a_graph() {
    let model = bind(
        &|name| name.contains("layernorm"),
        Patchout::default(),
        Precision::F32,
    );
    let features = features(2);
    let tokens = model.token_embeddings(&features).unwrap();
    assert_eq!(tokens.size(), [2, config().tokens(), 32]);
    for pooling in [Pooling::All, Pooling::Cls, Pooling::ClsDist] {
        let vectors = model.embeddings(&features, pooling).unwrap();
        assert_eq!(vectors.size(), [2, 32]);
        assert!(!vectors.requires_grad());
        assert_eq!(vectors, pooling.pool(&tokens));
    }
}
