//! Initial values derived from a seed and the name of the tensor.
//!
//! No global generator is touched: the same (seed, name, shape) gives the same
//! values in any order, on any thread and on any machine.

use std::f64::consts::PI;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use tch::Tensor;

/// The generator belonging to a seed and a name.
pub fn generator(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(name.as_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// Values from N(0, σ²), f32 on the CPU.
///
/// # Shapes
/// any `shape` without negative numbers → a tensor of that shape
pub fn normal(seed: u64, name: &str, shape: &[i64], sigma: f64) -> Tensor {
    let mut generator = generator(seed, name);
    filled(shape, || sigma * standard_normal(&mut generator))
}

/// Values from U(−bound, bound), f32 on the CPU.
///
/// # Shapes
/// any `shape` without negative numbers → a tensor of that shape
pub fn uniform(seed: u64, name: &str, shape: &[i64], bound: f64) -> Tensor {
    let mut generator = generator(seed, name);
    filled(shape, || bound * (2.0 * generator.random::<f64>() - 1.0))
}

fn filled(shape: &[i64], mut value: impl FnMut() -> f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| value() as f32).collect();
    Tensor::from_slice(&values).reshape(shape)
}

/// One draw from N(0, 1) (Box and Muller).
fn standard_normal(generator: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - generator.random::<f64>()).ln()).sqrt();
    radius * (2.0 * PI * generator.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_give_the_same_values_and_others_do_not() {
        let a = normal(3, "x", &[50], 0.02);
        assert_eq!(a, normal(3, "x", &[50], 0.02));
        assert_ne!(a, normal(4, "x", &[50], 0.02));
        assert_ne!(a, normal(3, "y", &[50], 0.02));
    }

    #[test]
    fn normal_values_have_the_asked_spread() {
        let values = normal(1, "w", &[40_000], 0.02);
        assert!((values.std(true).double_value(&[]) - 0.02).abs() < 4e-4);
        assert!(values.mean(None).double_value(&[]).abs() < 4e-4);
    }

    #[test]
    fn uniform_values_stay_inside_the_bound() {
        let values = uniform(1, "w", &[10_000], 0.3);
        assert!(values.abs().max().double_value(&[]) <= 0.3);
        assert!((values.std(true).double_value(&[]) - 0.3 / 3f64.sqrt()).abs() < 5e-3);
    }
}
