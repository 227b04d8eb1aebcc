//! Measurements of expert use.

use tch::{Kind, Tensor};

/// How evenly a batch used the experts. Plain numbers, outside the gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterMetrics {
    /// Share of the work of each expert, N values with sum 1. Soft: the mean
    /// over tokens of an expert's combine weights; dense: the mean gate; token
    /// choice: the share of assignments before any is dropped; ReLU: the share
    /// of active gates; expert choice, where every expert takes the same number
    /// of tokens: the share of the gates' sum.
    pub usage: Vec<f64>,
    /// The same within each clip: B rows of N values with sum 1 (0 for a clip
    /// that used no expert). The mean of some rows is the use by those clips,
    /// for example by one class; give it to [`from_usage`](Self::from_usage).
    pub usage_per_clip: Vec<Vec<f64>>,
    /// Entropy of `usage` divided by ln N: 1 is even use, 0 a single expert.
    /// Defined as 1 for N = 1, and as 0 where no expert was used.
    pub entropy: f64,
    /// Largest share divided by the mean share: 1 is even use, N a single expert.
    pub max_over_mean: f64,
    /// Coefficient of variation of the shares (population standard deviation
    /// divided by the mean).
    pub variation: f64,
    /// Token choice: share of assignments dropped for lack of capacity. Expert
    /// choice and ReLU: share of tokens that no expert saw. 0 for soft and dense.
    /// Tokens that a mask leaves out do not count.
    pub drop_rate: f64,
    /// Extremes of the mixing weights; soft routing only.
    pub extremes: Option<WeightExtremes>,
    /// Mean number of experts that a token uses, N for soft and dense. Tokens
    /// that a mask leaves out do not count.
    pub experts_per_token: f64,
}

/// Mean extremes of soft mixing weights: near-equal minimum and maximum mean
/// that tokens are merely averaged, a maximum near 1 that one token rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightExtremes {
    /// Mean over slots of the smallest dispatch weight.
    pub dispatch_min: f64,
    /// Mean over slots of the largest dispatch weight.
    pub dispatch_max: f64,
    /// Mean over tokens of the smallest combine weight.
    pub combine_min: f64,
    /// Mean over tokens of the largest combine weight.
    pub combine_max: f64,
}

impl RouterMetrics {
    /// The measures of a batch whose clips used the experts with these weights
    /// [B, N]; they need not sum to one.
    pub(crate) fn from_clips(weights: Tensor) -> Self {
        let weights = weights.to_kind(Kind::Double);
        let total = weights.sum_dim_intlist(0, false, None::<Kind>);
        let shares = |t: Tensor| {
            let sums = t.sum_dim_intlist(-1, true, None::<Kind>);
            &t / sums.clamp_min(f64::MIN_POSITIVE)
        };
        let n = weights.size()[1];
        let rows = plain(&shares(weights));
        Self {
            usage_per_clip: rows.chunks(n as usize).map(<[f64]>::to_vec).collect(),
            ..Self::from_usage(plain(&shares(total)))
        }
    }

    /// The measures that follow from the shares alone. `usage` need not sum to
    /// one, so averages over several batches or one class can be given too.
    /// Where no expert was used at all they are all 0.
    pub fn from_usage(usage: Vec<f64>) -> Self {
        let n = usage.len().max(1) as f64;
        let sum: f64 = usage.iter().sum();
        let mean = sum / n;
        let entropy: f64 = usage
            .iter()
            .map(|u| u / sum)
            .filter(|&p| p > 0.0)
            .map(|p| -p * p.ln())
            .sum();
        let variance = usage.iter().map(|u| (u - mean).powi(2)).sum::<f64>() / n;
        let largest = usage.iter().copied().fold(0.0, f64::max);
        let entropy = if n > 1.0 { entropy / n.ln() } else { 1.0 };
        let figure = |value: f64| if sum > 0.0 { value } else { 0.0 };
        Self {
            entropy: figure(entropy),
            max_over_mean: figure(largest / mean),
            variation: figure(variance.sqrt() / mean),
            experts_per_token: n,
            usage_per_clip: Vec::new(),
            usage,
            drop_rate: 0.0,
            extremes: None,
        }
    }
}

/// The values of a tensor as plain numbers.
fn plain(values: &Tensor) -> Vec<f64> {
    let flat = values.to_device(tch::Device::Cpu).reshape([-1]);
    let mut numbers = vec![0.0; flat.numel()];
    let length = numbers.len();
    flat.copy_data(&mut numbers, length);
    numbers
}

/// Sum over the tokens of each clip of weights [B, L, N] → [B, N], in f64.
pub(crate) fn sum_per_clip(weights: &Tensor) -> Tensor {
    weights.detach().sum_dim_intlist(1, false, Kind::Double)
}

/// Gates [B, L, N] divided by their sum over the experts; zeros where that is 0.
pub(crate) fn shares(gates: &Tensor) -> Tensor {
    let gates = gates.detach();
    let sums = gates.sum_dim_intlist(-1, true, None::<Kind>);
    &gates / sums.clamp_min(f64::from(f32::MIN_POSITIVE))
}

/// Extremes of dispatch [B, S, L] (sums to 1 over L) and combine [B, L, S].
pub(crate) fn extremes(dispatch: &Tensor, combine: &Tensor) -> WeightExtremes {
    let mean = |t: Tensor| t.mean(Kind::Double).double_value(&[]);
    let (dispatch, combine) = (dispatch.detach(), combine.detach());
    WeightExtremes {
        dispatch_min: mean(dispatch.amin(-1, false)),
        dispatch_max: mean(dispatch.amax(-1, false)),
        combine_min: mean(combine.amin(-1, false)),
        combine_max: mean(combine.amax(-1, false)),
    }
}
