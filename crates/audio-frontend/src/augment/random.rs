//! Random numbers keyed by what they are for.
//!
//! Distributions are spelled out here rather than taken from a library, and ln
//! and exp rather than from the system, so that no update and no other machine
//! can change what a published run drew.

use std::f64::consts::{LN_2, SQRT_2};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator whose key is the tuple itself, so different tuples never share
/// a stream; `purpose` keeps different augmentations apart.
pub(super) fn keyed_rng(seed: u64, epoch: u64, sample: u64, purpose: &[u8; 8]) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..24].copy_from_slice(&sample.to_le_bytes());
    key[24..].copy_from_slice(purpose);
    ChaCha8Rng::from_seed(key)
}

/// U in [0, 1) with 53 random bits.
pub(super) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (-53f64).exp2()
}

/// U in [0, 1) with 24 random bits, as `torch.rand` draws it: half the work
/// where a whole array is filled.
pub(super) fn uniform_f32(rng: &mut ChaCha8Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 * (-24f32).exp2()
}

/// low + U · (high - low).
pub(super) fn uniform_between(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + uniform(rng) * (high - low)
}

/// A uniform integer below `bound`, ⌊U · bound⌋; 0 where there is none.
pub(super) fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    let value = (uniform(rng) * bound as f64) as u64;
    value.min(bound.saturating_sub(1))
}

/// A uniform integer in [-most, most].
pub(super) fn symmetric(rng: &mut ChaCha8Rng, most: u32) -> i64 {
    below(rng, 2 * u64::from(most) + 1) as i64 - i64::from(most)
}

/// A uniform point (x, y) of the unit disc, its centre left out, and
/// s = x² + y². The angle is uniform, s is uniform in (0, 1), and the two are
/// independent.
fn disc(rng: &mut ChaCha8Rng) -> (f64, f64, f64) {
    loop {
        let x = 2.0 * uniform(rng) - 1.0;
        let y = 2.0 * uniform(rng) - 1.0;
        let s = x * x + y * y;
        if s > 0.0 && s < 1.0 {
            return (x, y, s);
        }
    }
}

/// Two independent standard normal values, by Marsaglia's polar method.
pub(super) fn normal_pair(rng: &mut ChaCha8Rng) -> [f64; 2] {
    let (x, y, s) = disc(rng);
    let factor = (-2.0 * ln(s) / s).sqrt();
    [x * factor, y * factor]
}

/// A value of Beta(alpha, alpha), alpha > 0.
///
/// With s uniform and c the cosine of an independent uniform angle,
/// t = c √(2 alpha (s^(-1/alpha) - 1)) has Student's distribution with 2 alpha
/// degrees of freedom (Bailey 1994), and (1 + t / √(2 alpha + t²)) / 2 is then
/// Beta(alpha, alpha). It needs no rejection beyond that of the disc.
pub(super) fn symmetric_beta(rng: &mut ChaCha8Rng, alpha: f64) -> f64 {
    let (x, _, s) = disc(rng);
    if x == 0.0 {
        return 0.5;
    }
    let w = exp(-ln(s) / alpha) - 1.0;
    let cosine_squared = x * x / s;
    let share = cosine_squared / (1.0 / w + cosine_squared);
    0.5 + 0.5 * share.sqrt().copysign(x)
}

/// The factor in amplitude of `decibels`: 10^(dB / 20).
pub(super) fn amplitude(decibels: f64) -> f64 {
    exp(decibels * std::f64::consts::LN_10 / 20.0)
}

/// The natural logarithm of a positive normal number, to a few units in the
/// last place: ln(m 2^e) = e ln 2 + 2 artanh((m - 1) / (m + 1)).
fn ln(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as f64 - 1023.0;
    let mut mantissa = f64::from_bits(bits & FRACTION | 1023 << 52);
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    // |z| is at most 0.172, so twelve terms reach below 2^-53.
    let mut series = 0.0;
    for term in (0..12).rev() {
        series = series * z * z + 1.0 / f64::from(2 * term + 1);
    }
    exponent * LN_2 + 2.0 * z * series
}

/// e^x for x in [-700, 700], where larger and smaller values are cut off.
fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let power = (x / LN_2).round();
    let rest = x - power * LN_2;
    // |rest| is at most 0.347, so fifteen terms reach below 2^-53.
    let mut series = 1.0;
    for term in (1..15).rev() {
        series = 1.0 + series * rest / f64::from(term);
    }
    series * f64::from_bits(((power + 1023.0) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_and_exp_are_those_of_the_system_to_rounding() {
        let mut rng = keyed_rng(1, 2, 3, b"unittest");
        for _ in 0..100_000 {
            let x = uniform_between(&mut rng, -50.0, 50.0);
            assert!((exp(x) / x.exp() - 1.0).abs() < 2e-14, "exp {x}");
            let y = uniform(&mut rng) + 1e-30;
            assert!((ln(y) - y.ln()).abs() <= 1e-15 * y.ln().abs(), "ln {y}");
        }
        assert_eq!((exp(0.0), ln(1.0), amplitude(0.0)), (1.0, 0.0, 1.0));
        assert!((exp(700.0) / 700f64.exp() - 1.0).abs() < 1e-12);
        assert_eq!(exp(1e9), exp(700.0));
    }

    #[test]
    fn integers_are_uniform_and_stay_in_range() {
        let mut rng = keyed_rng(1, 2, 3, b"unittest");
        let mut counts = [0; 7];
        for _ in 0..70_000 {
            counts[(symmetric(&mut rng, 3) + 3) as usize] += 1;
        }
        // Five standard deviations.
        assert!(counts.iter().all(|n: &i32| (n - 10_000).abs() < 463));
        assert_eq!(below(&mut rng, 0), 0);
        assert_eq!(symmetric(&mut rng, 0), 0);
        assert!(below(&mut rng, u64::MAX) < u64::MAX);
    }

    #[test]
    fn normal_values_have_the_moments_of_the_normal_distribution() {
        let mut rng = keyed_rng(1, 2, 3, b"unittest");
        let draws = 200_000;
        let mut sums = [0.0; 5];
        for _ in 0..draws / 2 {
            let [a, b] = normal_pair(&mut rng);
            for x in [a, b] {
                (1..4).for_each(|power| sums[power as usize - 1] += x.powi(power));
                sums[3] += x.powi(4);
            }
            sums[4] += a * b;
        }
        let [mean, variance, third, fourth, product] = sums.map(|sum| sum / f64::from(draws));
        // Five standard deviations of each moment, √(E x^2k - (E x^k)²) / √n.
        let five = 5.0 / f64::from(draws).sqrt();
        assert!(mean.abs() < five, "{mean}");
        assert!((variance - 1.0).abs() < 2f64.sqrt() * five, "{variance}");
        assert!(third.abs() < 15f64.sqrt() * five, "{third}");
        assert!((fourth - 3.0).abs() < 96f64.sqrt() * five, "{fourth}");
        assert!(product.abs() < five, "{product}");
    }

    #[test]
    fn beta_values_follow_the_distribution_function() {
        type Cdf = fn(f64) -> f64;
        let cases: [(f64, Cdf); 3] = [
            (0.5, |x| 2.0 / std::f64::consts::PI * x.sqrt().asin()),
            (1.0, |x| x),
            (2.0, |x| x * x * (3.0 - 2.0 * x)),
        ];
        for (alpha, cdf) in cases {
            let mut rng = keyed_rng(1, 2, 3, b"unittest");
            let draws = 20_000;
            let mut values: Vec<f64> = (0..draws)
                .map(|_| symmetric_beta(&mut rng, alpha))
                .collect();
            values.sort_by(f64::total_cmp);
            let distance = values
                .iter()
                .enumerate()
                .map(|(rank, &x)| (cdf(x) - rank as f64 / f64::from(draws)).abs())
                .fold(0.0, f64::max);
            // Kolmogorov and Smirnov: exceeded by one seed in 10 000.
            assert!(
                distance < 2.23 / f64::from(draws).sqrt(),
                "{alpha} {distance}"
            );
        }
    }
}
