//! Packed products against plain ones.

use packed_linear::{PackError, PackedLinear, supported};
use proptest::prelude::*;
use tch::{Device, Kind, Tensor};

/// Values that bf16 holds exactly, so that only the accumulation differs.
fn values(seed: i64, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let numbers = Tensor::arange(count, (Kind::Int64, Device::Cpu)) * 7919 + seed * 104_729;
    ((numbers.remainder(257) - 128).to_kind(Kind::Float) / 128.0).reshape(shape)
}

fn bf16(x: &Tensor) -> Tensor {
    x.to_kind(Kind::BFloat16)
}

fn relative_error(found: &Tensor, expected: &Tensor) -> f64 {
    let difference = found.to_kind(Kind::Float) - expected;
    (difference.norm() / expected.norm()).double_value(&[])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_product_and_its_gradient_are_those_of_the_plain_matrix(
        batch in 1i64..4, tokens in 1i64..40, input in 1i64..70, output in 1i64..70, seed in 0i64..1000,
    ) {
        if !supported() {
            // Not `prop_assume`: a test that rejects every case fails.
            return Ok(());
        }
        let (weight, bias) = (values(seed, &[output, input]), values(seed + 1, &[output]));
        let linear = PackedLinear::pack(&weight, Some(&bias), batch * tokens).unwrap();
        let x = bf16(&values(seed + 2, &[batch, tokens, input])).set_requires_grad(true);
        let plain = x.detach().to_kind(Kind::Float).set_requires_grad(true);
        let (w, b) = (bf16(&weight).to_kind(Kind::Float), bf16(&bias).to_kind(Kind::Float));
        let expected = plain.linear(&w, Some(&b));
        let found = linear.forward(&x).unwrap();
        prop_assert_eq!(found.size(), expected.size());
        prop_assert!(relative_error(&found, &expected) < 5e-3 || expected.norm().double_value(&[]) < 0.05);

        let dy = bf16(&values(seed + 3, &expected.size()));
        (found * &dy).sum(Kind::Float).backward();
        (expected * dy.to_kind(Kind::Float)).sum(Kind::Float).backward();
        let (dx, expected) = (x.grad(), plain.grad());
        prop_assert!(relative_error(&dx, &expected) < 5e-3 || expected.norm().double_value(&[]) < 0.05);
    }
}

#[test]
fn gelu_is_fused_with_the_product() {
    if !supported() {
        eprintln!("skipped: this libtorch has no oneDNN");
        return;
    }
    let (weight, bias) = (values(1, &[24, 16]), values(2, &[24]));
    let linear = PackedLinear::pack(&weight, Some(&bias), 10).unwrap();
    let x = bf16(&values(3, &[2, 5, 16]));
    let expected = x
        .to_kind(Kind::Float)
        .linear(
            &bf16(&weight).to_kind(Kind::Float),
            Some(&bf16(&bias).to_kind(Kind::Float)),
        )
        .gelu("none");
    let found = linear.forward_gelu(&x).unwrap();
    assert!(relative_error(&found, &expected) < 5e-3);
}

#[test]
fn nothing_is_recorded_when_no_gradient_is_wanted() {
    if !supported() {
        eprintln!("skipped: this libtorch has no oneDNN");
        return;
    }
    let linear = PackedLinear::pack(&values(1, &[8, 8]), None, 4).unwrap();
    let x = bf16(&values(2, &[4, 8]));
    assert!(!linear.forward(&x).unwrap().requires_grad());
    let x = x.set_requires_grad(true);
    assert!(linear.forward(&x).unwrap().requires_grad());
    assert!(!tch::no_grad(|| linear.forward(&x).unwrap()).requires_grad());
}

#[test]
fn supported_says_whether_a_matrix_can_be_packed_and_multiplied_with_here() {
    let weight = values(1, &[6, 4]);
    let product = PackedLinear::pack(&weight, None, 4)
        .and_then(|linear| tch::no_grad(|| linear.forward(&bf16(&values(2, &[3, 4])))));
    assert_eq!(supported(), product.is_ok(), "{product:?}");
    assert_eq!(supported(), supported());
}

#[test]
fn shapes_that_do_not_fit_are_errors_with_both_shapes() {
    if !supported() {
        eprintln!("skipped: this libtorch has no oneDNN");
        return;
    }
    let weight = values(1, &[6, 4]);
    let error = PackedLinear::pack(&weight, Some(&values(1, &[4])), 4).unwrap_err();
    assert!(matches!(error, PackError::Weight { .. }), "{error}");
    let linear = PackedLinear::pack(&weight, None, 4).unwrap();
    for x in [
        bf16(&values(1, &[3, 5])),
        values(1, &[3, 4]),
        bf16(&values(1, &[4])),
    ] {
        let error = linear.forward(&x).unwrap_err();
        assert!(error.to_string().contains("[.., 4] in bf16"), "{error}");
    }
}
