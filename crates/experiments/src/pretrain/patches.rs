//! What a hidden patch should be told to be.

use ast_model::AstConfig;
use tch::{Kind, TchError, Tensor};

/// Keeps a constant patch from being divided by 0.
const LEAST_DEVIATION: f64 = 1e-3;

/// The patches of features as the embedding cuts them, each with mean 0 and
/// deviation 1 (He et al. 2022, arXiv 2111.06377, section 4.1: normalised
/// targets).
///
/// # Shapes
/// `features` [B, T, F] → [B, F'·T', size²]
pub(super) fn targets(features: &Tensor, config: &AstConfig) -> Result<Tensor, TchError> {
    let (size, clips) = (config.patch_size, features.size()[0]);
    let image = features.f_to_kind(Kind::Float)?.f_transpose(1, 2)?;
    let patches = image
        .f_unfold(1, size, config.frequency_stride)?
        .f_unfold(2, size, config.time_stride)?
        .f_reshape([clips, -1, size * size])?;
    let mean = patches.f_mean_dim(-1, true, Kind::Float)?;
    let centred = patches.f_sub(&mean)?;
    let square = centred.f_square()?.f_mean_dim(-1, true, Kind::Float)?;
    let deviation = square.f_sqrt()?.f_clamp_min(LEAST_DEVIATION)?;
    centred.f_div(&deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ast_model::init;

    #[test]
    fn a_target_is_the_piece_of_the_features_that_the_patch_sees() {
        let config = AstConfig {
            max_length: 40,
            frequency_stride: 16,
            time_stride: 12,
            ..AstConfig::tiny()
        };
        let features = init::normal(1, "features", &[2, 40, 128], 2.0);
        let targets = targets(&features, &config).unwrap();
        let grid = config.grid();
        assert_eq!(targets.size(), [2, grid.patches(), 256]);
        // Row 3 of the grid, column 1: bins 48 to 63, frames 12 to 27.
        let patch = features.get(1).narrow(0, 12, 16).narrow(1, 48, 16);
        let patch = patch.transpose(0, 1).reshape([256]);
        let expected = (&patch - patch.mean(Kind::Float)) / patch.std(false);
        let found = targets.get(1).get(3 * grid.time + 1);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn silence_is_finite() {
        let config = AstConfig {
            max_length: 32,
            ..AstConfig::tiny()
        };
        let silence = Tensor::full([1, 32, 128], -1.25, (Kind::Float, tch::Device::Cpu));
        let targets = targets(&silence, &config).unwrap();
        assert_eq!(targets.abs().max().double_value(&[]), 0.0);
    }
}
