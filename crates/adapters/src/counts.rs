//! How many values a method trains.

use tch::Tensor;

/// Number of trained values in two conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterCounts {
    /// Everything that trains.
    pub all: u64,
    /// Without the classification head and the final LayerNorm: the figure the
    /// papers print. Where of the final LayerNorm only the bias trains (BitFit)
    /// it is one of the method's own and counts.
    pub paper: u64,
}

impl ParameterCounts {
    pub(crate) fn of(trained: &[(String, Tensor)]) -> Self {
        let whole_layernorm = trained.iter().any(|(name, _)| name == "layernorm.weight");
        let mut counts = ParameterCounts { all: 0, paper: 0 };
        for (name, tensor) in trained {
            let values = tensor.numel() as u64;
            counts.all += values;
            let common = name.starts_with("classification_head.")
                || (whole_layernorm && name.starts_with("layernorm."));
            if !common {
                counts.paper += values;
            }
        }
        counts
    }
}
