//! Bottleneck experts, one tensor per bank and parameter.

use moe_routing::{ExpertBank, Inner};

use crate::AdapterInit;
use crate::parameters::{Parameters, SIGMA};

/// N bottleneck experts under the name `prefix`.
///
/// # Shapes
/// `[n, d, r]` = [N, D, R]
pub(crate) fn bottleneck_bank(
    prefix: &str,
    [n, d, r]: [i64; 3],
    init: AdapterInit,
    parameters: &mut Parameters,
) -> ExpertBank {
    let up_sigma = match init {
        AdapterInit::Paper => SIGMA,
        AdapterInit::ZeroUp => 0.0,
    };
    ExpertBank {
        down: parameters.normal(format!("{prefix}.down"), &[n, d, r], SIGMA),
        down_bias: parameters.constant(format!("{prefix}.down_bias"), &[n, r], 0.0),
        inner: Inner::Gelu,
        up: parameters.normal(format!("{prefix}.up"), &[n, r, d], up_sigma),
        up_bias: parameters.constant(format!("{prefix}.up_bias"), &[n, d], 0.0),
    }
}
