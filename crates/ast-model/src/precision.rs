//! The number format of frozen weights, and which one is faster here.

use std::time::Instant;

use packed_linear::PackedLinear;
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind, Tensor};

use crate::AstError;

/// The number format of the frozen matrices. Trained tensors, LayerNorms and
/// the residual stream are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats throughout.
    #[default]
    F32,
    /// Frozen matrices and the products with them in bfloat16.
    Bf16,
}

impl Precision {
    /// The libtorch kind of frozen matrices.
    pub fn kind(self) -> Kind {
        match self {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }

    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

/// A precision, or the wish for the faster one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// [`Precision::F32`].
    #[default]
    F32,
    /// [`Precision::Bf16`].
    Bf16,
    /// [`Precision::Bf16`] where its products are measured to be at least
    /// [`WORTHWHILE`] times as fast as those in f32, [`Precision::F32`]
    /// elsewhere.
    Auto,
}

/// Speed-up of the products from which `auto` takes bf16: below it the casts
/// around them eat the gain.
pub const WORTHWHILE: f64 = 1.5;

/// Measured speed of the products a backbone consists of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProductRates {
    /// GFLOP/s with f32 matrices.
    pub f32: f64,
    /// GFLOP/s with bf16 matrices, packed where that is possible; 0 where the
    /// device refuses them.
    pub bf16: f64,
}

impl PrecisionChoice {
    /// The precision to use on `device`, and the measurement if one was made.
    ///
    /// # Errors
    /// When libtorch cannot multiply on the device.
    pub fn resolve(self, device: Device) -> Result<(Precision, Option<ProductRates>), AstError> {
        match self {
            PrecisionChoice::F32 => Ok((Precision::F32, None)),
            PrecisionChoice::Bf16 => Ok((Precision::Bf16, None)),
            PrecisionChoice::Auto => {
                let rates = ProductRates::measure(device, [1024, 768, 768])?;
                Ok((rates.better(), Some(rates)))
            }
        }
    }
}

impl ProductRates {
    /// Times [M, K] · [K, N] with a frozen right-hand side, in both formats;
    /// the best of several runs each. About a tenth of a second at the size
    /// that [`PrecisionChoice::resolve`] uses.
    ///
    /// # Errors
    /// When libtorch cannot multiply on the device.
    pub fn measure(device: Device, [m, k, n]: [i64; 3]) -> Result<Self, AstError> {
        let options = (Kind::Float, device);
        let gigaflop = 2.0 * (m * k * n) as f64 / 1e9;
        tch::no_grad(|| {
            let (x, weight) = (Tensor::ones([m, k], options), Tensor::ones([n, k], options));
            let f32 = best_seconds(device, &mut || Ok(x.f_linear(&weight, None::<&Tensor>)?))?;
            let (x, weight) = (x.to_kind(Kind::BFloat16), weight.to_kind(Kind::BFloat16));
            let bf16 = if device == Device::Cpu && packed_linear::supported() {
                let packed = PackedLinear::pack(&weight, None, m)?;
                best_seconds(device, &mut || Ok(packed.forward(&x)?))
            } else {
                best_seconds(device, &mut || Ok(x.f_linear(&weight, None::<&Tensor>)?))
            };
            Ok(ProductRates {
                f32: gigaflop / f32,
                // A format that the device refuses is not worthwhile.
                bf16: bf16.map_or(0.0, |seconds| gigaflop / seconds),
            })
        })
    }

    /// What `auto` takes and why, for people.
    pub fn in_words(&self) -> String {
        let (taken, ProductRates { f32, bf16 }) = (self.better().name(), self);
        format!("{taken} (products measured at {f32:.0} GFLOP/s in f32 and {bf16:.0} in bf16)")
    }

    /// What `auto` takes.
    pub fn better(&self) -> Precision {
        if self.bf16 >= WORTHWHILE * self.f32 {
            Precision::Bf16
        } else {
            Precision::F32
        }
    }
}

/// The least time of one product, after one that warms up.
fn best_seconds(
    device: Device,
    product: &mut dyn FnMut() -> Result<Tensor, AstError>,
) -> Result<f64, AstError> {
    const RUNS: usize = 5;
    let wait = || {
        if let Device::Cuda(index) = device {
            Cuda::synchronize(index as i64);
        }
    };
    drop(product()?);
    wait();
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        drop(product()?);
        wait();
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_bf16_only_where_it_is_clearly_faster() {
        let rates = |bf16| ProductRates { f32: 100.0, bf16 };
        assert_eq!(rates(400.0).better(), Precision::Bf16);
        assert_eq!(rates(149.0).better(), Precision::F32);
        assert_eq!(rates(60.0).better(), Precision::F32);
    }

    #[test]
    fn a_fixed_choice_is_not_measured_and_auto_is() {
        let resolve = |choice: PrecisionChoice| choice.resolve(Device::Cpu).unwrap();
        assert_eq!(resolve(PrecisionChoice::F32), (Precision::F32, None));
        assert_eq!(resolve(PrecisionChoice::Bf16), (Precision::Bf16, None));
        let (precision, rates) = resolve(PrecisionChoice::Auto);
        let rates = rates.unwrap();
        assert!(rates.f32 > 0.0 && rates.bf16 > 0.0);
        assert_eq!(precision, rates.better());
    }
}
