//! Auxiliary losses that keep a router healthy.

use tch::{Kind, Tensor};

/// Scalars to add, weighted, to the task's loss. A router fills in those that
/// are defined for it. Average them over layers, so that the weights do not
/// depend on the depth.
#[derive(Debug, Default)]
pub struct AuxiliaryLosses {
    /// Load balance of the Switch Transformer (arXiv 2101.03961, section 2.2):
    /// N · Σᵢ fᵢ · P̄ᵢ, 1 when balanced, up to N when one expert takes
    /// everything. fᵢ is the share of assignments that chose expert i (before
    /// any is dropped) and P̄ᵢ its mean probability, over one group of tokens;
    /// the mean over groups. The gradient flows through P̄. Token choice; for
    /// dense routing the constant 1.
    pub load_balance: Option<Tensor>,
    /// Importance loss of V-MoE (arXiv 2106.05974, appendix A): the squared
    /// coefficient of variation of Σ P over the experts, P before any noise.
    /// Token choice and dense.
    pub importance: Option<Tensor>,
    /// Load loss of V-MoE: the squared coefficient of variation of the expected
    /// load, where an expert's chance to be chosen is that of its noise
    /// reaching the K-th largest noisy logit. Token choice in training with
    /// [`Exploration::Noise`](crate::Exploration::Noise).
    pub load: Option<Tensor>,
    /// z-loss of ST-MoE (arXiv 2202.08906): the mean over tokens of
    /// (ln Σ exp h)², h before any noise. Every router with a softmax over
    /// experts.
    pub z: Option<Tensor>,
    /// λ · L1 penalty of ReLU routing with its own adaptive λ (ReMoE, arXiv
    /// 2412.14711). Add it with weight 1.
    pub sparsity: Option<Tensor>,
}

/// Weights of the [`AuxiliaryLosses`]; 0 leaves one out. All 0 by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossWeights {
    /// Of the Switch load balance. Switch Transformer: 0.01.
    pub load_balance: f64,
    /// Of V-MoE's importance loss. V-MoE: 0.005.
    pub importance: f64,
    /// Of V-MoE's load loss. V-MoE: 0.005.
    pub load: f64,
    /// Of the z-loss. ST-MoE: 0.001.
    pub z: f64,
    /// Of the sparsity penalty. 1 leaves the strength to its adaptive λ.
    pub sparsity: f64,
}

impl LossWeights {
    /// Whether any loss counts.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

impl AuxiliaryLosses {
    /// The weighted sum of the losses that are there and count; `None` when
    /// there is none.
    pub fn weighted(&self, weights: &LossWeights) -> Option<Tensor> {
        [
            (&self.load_balance, weights.load_balance),
            (&self.importance, weights.importance),
            (&self.load, weights.load),
            (&self.z, weights.z),
            (&self.sparsity, weights.sparsity),
        ]
        .into_iter()
        .filter(|(_, weight)| *weight != 0.0)
        .filter_map(|(loss, weight)| loss.as_ref().map(|loss| loss * weight))
        .reduce(|sum, loss| sum + loss)
    }
}

/// N · Σᵢ fᵢ · P̄ᵢ, the mean over groups.
///
/// # Shapes
/// `probabilities` [G, T, N] of G groups of T tokens; `chosen` [G, T, N], 1
/// where the token chose the expert (before anything is dropped), else 0.
pub(crate) fn load_balance(probabilities: &Tensor, chosen: &Tensor) -> Tensor {
    let n = chosen.size()[2] as f64;
    let counts = chosen.detach().sum_dim_intlist(1, false, None::<Kind>);
    let share = &counts / counts.sum_dim_intlist(-1, true, None::<Kind>);
    let mean = probabilities.mean_dim(1, false, None::<Kind>);
    (share * mean)
        .sum_dim_intlist(-1, false, None::<Kind>)
        .mean(None::<Kind>)
        * n
}

/// CV² of the experts' summed probabilities, the mean over groups.
///
/// # Shapes
/// `probabilities` [G, T, N]
pub(crate) fn importance(probabilities: &Tensor) -> Tensor {
    squared_variation(&probabilities.sum_dim_intlist(1, false, None::<Kind>))
}

/// CV² of the experts' expected load under the noise, the mean over groups.
///
/// # Shapes
/// `logits` [G, T, N] before and `noisy` [G, T, N] after the noise of standard
/// deviation `deviation`; K = `k`.
pub(crate) fn load(logits: &Tensor, noisy: &Tensor, deviation: f64, k: i64) -> Tensor {
    let (largest, _) = noisy.topk(k, -1, true, true);
    let to_win = (largest.narrow(-1, k - 1, 1) - logits) / deviation;
    // 1 - Φ(z) of the standard normal distribution.
    let chance = (to_win * std::f64::consts::FRAC_1_SQRT_2).erfc() * 0.5;
    squared_variation(&chance.mean_dim(1, false, None::<Kind>))
}

/// Squared coefficient of variation over the last axis [G, N], the mean over G.
fn squared_variation(loads: &Tensor) -> Tensor {
    let mean = loads.mean_dim(-1, true, None::<Kind>);
    let variance = (loads - &mean).square().mean_dim(-1, true, None::<Kind>);
    (variance / mean.square()).mean(None::<Kind>)
}

/// Mean over tokens of (ln Σₙ exp hₙ)² for router logits `h` [.., N].
pub(crate) fn z(logits: &Tensor) -> Tensor {
    logits.logsumexp(-1, false).square().mean(None::<Kind>)
}
