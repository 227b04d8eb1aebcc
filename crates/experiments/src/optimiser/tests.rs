use super::*;
use ast_model::init;
use tch::{Device, nn, nn::OptimizerConfig};

#[test]
fn the_schedule_has_the_published_values() {
    let expected = [
        0.005, 0.0048776, 0.0045225, 0.0039695, 0.0032725, 0.0025, 0.0017275, 0.0010305, 0.0004775,
        0.0001224,
    ];
    for (step, value) in expected.into_iter().enumerate() {
        assert!((cosine(0.005, step, 10) - value).abs() < 5e-8);
    }
}

/// Oracle: libtorch's own AdamW on the same problem.
#[test]
fn ten_steps_agree_with_libtorch_s_adamw() {
    let start = [
        init::normal(1, "a", &[3, 5], 1.0),
        init::normal(1, "b", &[7], 1.0),
    ];
    let loss = |a: &Tensor, b: &Tensor| {
        (a.matmul(&a.transpose(0, 1)).sum(Kind::Float) - b.square().sum(Kind::Float)).square()
            * 1e-3
            + b.exp().sum(Kind::Float)
    };
    let store = nn::VarStore::new(Device::Cpu);
    let theirs = [
        store.root().var_copy("a", &start[0]),
        store.root().var_copy("b", &start[1]),
    ];
    let oracle = nn::AdamW {
        beta1: 0.9,
        beta2: 0.98,
        wd: 0.1,
        eps: 1e-6,
        amsgrad: false,
    };
    let mut oracle = oracle.build(&store, 1.0).unwrap();
    let leaves: Vec<(String, Tensor)> = start
        .iter()
        .map(|t| (String::new(), t.copy().set_requires_grad(true)))
        .collect();
    let mut ours = AdamW::new(&leaves, AdamWConfig::default()).unwrap();
    for step in 0..10 {
        let rate = cosine(0.05, step, 10);
        oracle.set_lr(rate);
        oracle.backward_step(&loss(&theirs[0], &theirs[1]));
        ours.step(&loss(&leaves[0].1, &leaves[1].1), rate).unwrap();
    }
    for (ours, theirs) in leaves.iter().zip(&theirs) {
        let difference = (&ours.1 - theirs).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
    }
}

#[test]
fn a_tensor_the_loss_does_not_reach_keeps_its_value() {
    let reached = Tensor::from_slice(&[2f32]).set_requires_grad(true);
    let idle = Tensor::from_slice(&[3f32]).set_requires_grad(true);
    let leaves = vec![
        ("a".to_owned(), reached.shallow_clone()),
        ("b".to_owned(), idle.shallow_clone()),
    ];
    let mut optimiser = AdamW::new(&leaves, AdamWConfig::default()).unwrap();
    optimiser
        .step(&reached.square().sum(Kind::Float), 0.1)
        .unwrap();
    assert_eq!(idle.double_value(&[0]), 3.0);
    assert!(reached.double_value(&[0]) < 2.0);
}

#[test]
fn a_snapshot_brings_all_values_back() {
    let leaf = init::normal(1, "x", &[5], 1.0).set_requires_grad(true);
    let leaves = vec![("x".to_owned(), leaf.shallow_clone())];
    let mut optimiser = AdamW::new(&leaves, AdamWConfig::default()).unwrap();
    let (before, kept) = (leaf.copy(), optimiser.snapshot());
    optimiser
        .step(&leaf.square().sum(Kind::Float), 0.1)
        .unwrap();
    assert_ne!(leaf.copy(), before);
    optimiser.restore(&kept);
    assert_eq!(leaf.copy(), before);
}
