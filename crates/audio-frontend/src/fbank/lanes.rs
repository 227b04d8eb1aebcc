//! Arithmetic on several frames side by side, one frame to a SIMD lane.

/// Frames worked on together. The compiler turns loops over `[f32; LANES]`
/// into vector instructions.
pub(crate) const LANES: usize = 8;

const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Bits of √½, the least mantissa after splitting.
const SQRT_HALF_BITS: u32 = 0x3f35_04f3;

/// ln(x) of a positive, normal, finite x, within 2 units in the last place.
///
/// Written out because the system's `logf` is a call per value and differs
/// from one C library to the next; this one vectorises and gives the same bits
/// everywhere. x = m·2^e with m in [√½, √2), and
/// ln m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …), s = (m-1)/(m+1), |s| < 0.172.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS) as i32;
    let exponent = shifted >> 23;
    let mantissa = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23) as u32));
    let e = exponent as f32;
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = 2.0 / 3.0 + z * (2.0 / 5.0 + z * (2.0 / 7.0 + z * (2.0 / 9.0)));
    e * LN_2_HIGH + (2.0 * s + (s * z * series + e * LN_2_LOW))
}

/// Energies, which are no less than 0, beyond f32 to its end and NaN to 0.
pub(super) fn limit(values: &mut [[f32; LANES]]) {
    for lane in values.as_flattened_mut() {
        *lane = if lane.is_nan() {
            0.0
        } else {
            lane.min(f32::MAX)
        };
    }
}

/// ln(max(x, floor)) in place. NaN and values beyond f32 are taken to the
/// nearest end of the range, so the result is always finite.
pub(super) fn ln_floored(values: &mut [[f32; LANES]], floor: f32) {
    for lane in values.as_flattened_mut() {
        *lane = ln(lane.max(floor).min(f32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_is_within_two_units_in_the_last_place() {
        let mut bits = f32::MIN_POSITIVE.to_bits();
        while bits < f32::MAX.to_bits() {
            let x = f32::from_bits(bits);
            let exact = f64::from(x).ln();
            let unit = f64::from((exact as f32).abs() * f32::EPSILON).max(1e-9);
            let error = (f64::from(ln(x)) - exact).abs();
            assert!(error <= 2.0 * unit, "ln({x:e}): {} against {exact}", ln(x));
            bits += 9973;
        }
    }

    #[test]
    fn ln_floored_maps_every_float_to_a_finite_value() {
        let hard = [
            0.0,
            -0.0,
            -1.0,
            f32::NAN,
            f32::INFINITY,
            f32::MAX,
            1e-42,
            1.0,
        ];
        let mut values = [hard];
        ln_floored(&mut values, f32::EPSILON);
        assert!(values[0].iter().all(|v| v.is_finite()), "{values:?}");
        assert_eq!(values[0][7], 0.0);
    }
}
