//! Triangular filters on the mel scale, stored without their zeros.

use ndarray::Array2;

use super::config::FbankConfig;
use super::lanes::LANES;

/// mel(f) = 1127 ln(1 + f/700), f in Hz.
#[must_use]
pub fn hz_to_mel(frequency: f64) -> f64 {
    1127.0 * (frequency / 700.0).ln_1p()
}

/// One filter: its weights over consecutive FFT bins.
#[derive(Debug, Clone, Copy)]
struct Band {
    first_bin: usize,
    offset: usize,
    len: usize,
}

/// The filters of one configuration.
///
/// Filter j rises from left to centre and falls to right, linearly in mel:
/// left = mel(low) + jΔ, centre = left + Δ, right = left + 2Δ with
/// Δ = (mel(high) - mel(low)) / (F + 1), and no normalisation by area. The
/// Nyquist bin takes no part, as in Kaldi. A narrow filter may lie between two
/// FFT bins and be empty: with 128 filters over 512 points, the fourth is.
#[derive(Debug, Clone)]
pub(super) struct MelBank {
    bands: Vec<Band>,
    weights: Vec<f32>,
}

impl MelBank {
    pub(super) fn new(config: &FbankConfig) -> Self {
        let axis = MelAxis::new(config);
        let mut bands = Vec::with_capacity(config.num_mel_bins);
        let mut weights = Vec::new();
        for filter in 0..config.num_mel_bins {
            let offset = weights.len();
            // Positions rise with the bin, so the bins a filter begins after
            // come first. The dense matrix would be 1 GB at the largest sizes.
            let begun = |position: f64| position - filter as f64 > 0.0;
            let first_bin = axis.positions.partition_point(|&p| !begun(p));
            let rest = first_bin..axis.positions.len();
            let filled = rest.map(|bin| axis.weight(filter, bin));
            weights.extend(filled.take_while(|w| *w > 0.0).map(|w| w as f32));
            bands.push(Band {
                first_bin,
                offset,
                len: weights.len() - offset,
            });
        }
        Self { bands, weights }
    }

    /// Mel energies of several power spectra at once, one to a lane:
    /// `power[bin][lane]` to `energies[band][lane]`. Each lane is summed in
    /// the order of its bins, so its result does not depend on the others.
    pub(super) fn project(&self, power: &[[f32; LANES]], energies: &mut [[f32; LANES]]) {
        for (band, energy) in self.bands.iter().zip(energies) {
            let weights = &self.weights[band.offset..band.offset + band.len];
            let bins = &power[band.first_bin..band.first_bin + band.len];
            let mut sum = [0.0; LANES];
            for (weight, bin) in weights.iter().zip(bins) {
                for (sum, value) in sum.iter_mut().zip(bin) {
                    *sum += weight * value;
                }
            }
            *energy = sum;
        }
    }
}

/// The filters as a dense f64 matrix `[F, fft_len / 2]`.
pub(super) fn filter_weights(config: &FbankConfig) -> Array2<f64> {
    let axis = MelAxis::new(config);
    let shape = (config.num_mel_bins, axis.positions.len());
    Array2::from_shape_fn(shape, |(filter, bin)| axis.weight(filter, bin))
}

/// Where the FFT bins lie on the mel scale.
struct MelAxis {
    /// (mel(f) - mel(low)) / Δ of each bin below the Nyquist frequency.
    positions: Vec<f64>,
}

impl MelAxis {
    fn new(config: &FbankConfig) -> Self {
        let fft_len = config.fft_len();
        let bin_width = f64::from(config.sample_rate) / fft_len as f64;
        let low = hz_to_mel(config.low_freq);
        let step = (hz_to_mel(config.high_freq) - low) / (config.num_mel_bins + 1) as f64;
        let position = |bin: usize| (hz_to_mel(bin_width * bin as f64) - low) / step;
        Self {
            positions: (0..fft_len / 2).map(position).collect(),
        }
    }

    fn weight(&self, filter: usize, bin: usize) -> f64 {
        let position = self.positions[bin] - filter as f64;
        position.min(2.0 - position).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_weights_are_the_dense_matrix_without_its_zeros() {
        let plain = FbankConfig::default();
        // As narrow as f64 allows: all bins at one point of the mel scale.
        let narrow = FbankConfig {
            low_freq: 1000.0,
            high_freq: 1000.0_f64.next_up(),
            ..FbankConfig::default()
        };
        let crowded = FbankConfig {
            num_mel_bins: 700,
            frame_length: 3,
            ..FbankConfig::default()
        };
        for config in [plain, narrow, crowded] {
            let bank = MelBank::new(&config);
            let mut dense = Array2::zeros((config.num_mel_bins, config.fft_len() / 2));
            for (mut row, band) in dense.outer_iter_mut().zip(&bank.bands) {
                for i in 0..band.len {
                    row[band.first_bin + i] = bank.weights[band.offset + i];
                }
            }
            assert_eq!(dense, filter_weights(&config).mapv(|w| w as f32));
        }
    }
}
