//! The hand-written gradient against automatic differentiation of the formula.

use soft_mix::{MixError, mix};
use tch::{Device, Kind, Tensor, no_grad};

/// A pseudo-random closed form in (-1, 1), another one for each seed.
fn values(shape: &[i64], seed: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let list: Vec<f64> = (0..count)
        .map(|i| ((i as f64 + 1.0) * 12.9898 + seed * 78.233).sin() * 43758.5453 % 1.0)
        .collect();
    Tensor::from_slice(&list).view(shape)
}

fn largest(t: &Tensor) -> f64 {
    t.abs().max().double_value(&[])
}

/// Combine, dispatch and slots as the formula says.
fn plain(x: &Tensor, rows: &Tensor, noise: Option<&Tensor>) -> [Tensor; 3] {
    let logits = x.matmul(&rows.transpose(0, 1));
    let logits = match noise {
        Some(noise) => logits + noise,
        None => logits,
    };
    let dispatch = logits.softmax(1, None::<Kind>).transpose(1, 2);
    let slots = dispatch.matmul(x);
    [logits.softmax(-1, None::<Kind>), dispatch, slots]
}

fn hand_written(x: &Tensor, rows: &Tensor, noise: Option<&Tensor>) -> [Tensor; 3] {
    let mixed = mix(x, rows, noise).unwrap();
    [mixed.combine, mixed.dispatch, mixed.slots]
}

type Mix = fn(&Tensor, &Tensor, Option<&Tensor>) -> [Tensor; 3];

/// Gradients of x and rows of a sum that weighs the chosen outputs.
fn gradients(f: Mix, used: &[usize], noise: Option<&Tensor>) -> Vec<Tensor> {
    let x = values(&[2, 7, 5], 1.0).set_requires_grad(true);
    let rows = values(&[3, 5], 2.0).set_requires_grad(true);
    let outputs = f(&x, &rows, noise);
    let weighed = |i: &usize| (&outputs[*i] * values(&outputs[*i].size(), 4.0)).sum(Kind::Double);
    let sum = used
        .iter()
        .map(weighed)
        .reduce(|sum, term| sum + term)
        .unwrap();
    Tensor::run_backward(&[sum], &[x, rows], false, false)
}

#[test]
fn values_are_those_of_the_formula() {
    let (x, rows, noise) = (
        values(&[2, 7, 5], 1.0),
        values(&[3, 5], 2.0),
        values(&[2, 7, 3], 3.0),
    );
    for noise in [None, Some(&noise)] {
        for (a, b) in hand_written(&x, &rows, noise)
            .iter()
            .zip(plain(&x, &rows, noise))
        {
            assert_eq!(a.size(), b.size());
            assert!(largest(&(a - b)) < 1e-14);
        }
    }
}

#[test]
fn gradients_are_those_of_automatic_differentiation_whichever_outputs_are_used() {
    let noise = values(&[2, 7, 3], 3.0);
    for noise in [None, Some(&noise)] {
        for used in [
            &[0usize, 2][..],
            &[0],
            &[1],
            &[2],
            &[0, 1],
            &[1, 2],
            &[0, 1, 2],
        ] {
            let found = gradients(hand_written, used, noise);
            for (a, b) in found.iter().zip(gradients(plain, used, noise)) {
                assert!(largest(&(a - &b)) < 1e-13, "outputs {used:?}");
                assert!(largest(&b) > 1e-3);
            }
        }
    }
}

#[test]
fn only_wanted_gradients_are_there_and_none_without_a_graph() {
    let (x, rows) = (values(&[2, 7, 5], 1.0), values(&[3, 5], 2.0));
    let rows = rows.set_requires_grad(true);
    let slots = mix(&x, &rows, None).unwrap().slots;
    slots.sum(Kind::Double).backward();
    assert!(rows.grad().defined() && !x.grad().defined());
    let quiet = no_grad(|| mix(&x, &rows, None).unwrap());
    assert!(!quiet.slots.requires_grad());
}

#[test]
fn strided_tokens_are_tokens() {
    let x = values(&[7, 2, 5], 1.0).transpose(0, 1);
    let rows = values(&[5, 3], 2.0).transpose(0, 1);
    for (a, b) in hand_written(&x, &rows, None)
        .iter()
        .zip(plain(&x, &rows, None))
    {
        assert!(largest(&(a - b)) < 1e-14);
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_shows_the_shapes() {
    let x = values(&[2, 7, 5], 1.0);
    let rows = values(&[3, 5], 2.0);
    let wrong = [
        mix(&x, &values(&[3, 4], 1.0), None),
        mix(&x.get(0), &rows, None),
        mix(&x, &rows, Some(&values(&[2, 7, 4], 1.0))),
        mix(&x, &rows.to_kind(Kind::Float), None),
        mix(&Tensor::new(), &rows, None),
        mix(
            &x,
            &Tensor::zeros([0, 5], (Kind::Double, Device::Cpu)),
            None,
        ),
    ];
    for result in wrong {
        assert!(matches!(result, Err(MixError::Shapes { .. })));
    }
    let message = mix(&x, &values(&[3, 4], 1.0), None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("[2, 7, 5]") && message.contains("[3, 4]"),
        "{message}"
    );
}
