//! Classes as sets of prototypes that tokens are compared with.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use super::PREFIX;
use crate::parameters::Parameters;

/// Score of a class at the start, where all its prototypes fit perfectly.
const FULL_SCORE: f64 = 10.0;

/// Settings of the prototypical head: z_c = Σ_j w_cj max_l cos(x_l, p_cj) + b_c
/// over the tokens l and the prototypes j of class c. Prototypes start at
/// U(±1/√D), w at 10 / J, b at 0; all of them train. After the prototypical
/// probes of Bird-MAE (arXiv 2504.12880) and arXiv 2509.24901, with plain
/// prototypes instead of binarised ones. The pooling asked for does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrototypicalHead {
    /// J, prototypes per class, at least 1. Default 4.
    pub per_class: u16,
}

impl Default for PrototypicalHead {
    fn default() -> Self {
        PrototypicalHead { per_class: 4 }
    }
}

/// Prototypes [C · J, D].
pub(super) struct Prototypes(Tensor);

impl PrototypicalHead {
    /// The module, its weights [C, J] and summands [C].
    pub(super) fn build(
        self,
        classes: i64,
        width: i64,
        parameters: &mut Parameters,
    ) -> (Prototypes, Tensor, Tensor) {
        let each = i64::from(self.per_class.max(1));
        let bound = 1.0 / (width as f64).sqrt();
        let name = |field: &str| format!("{PREFIX}{field}");
        let prototypes = parameters.uniform(name("prototypes"), &[classes * each, width], bound);
        let start = FULL_SCORE / each as f64;
        (
            Prototypes(prototypes),
            parameters.constant(name("weight"), &[classes, each], start),
            parameters.constant(name("bias"), &[classes], 0.0),
        )
    }
}

impl Prototypes {
    /// [B, L, D], [C, J], [C] → [B, C]
    pub fn forward(
        &self,
        tokens: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Tensor, TchError> {
        let cosines = unit(tokens)?.f_matmul(&unit(&self.0)?.f_transpose(0, 1)?)?;
        let over_tokens: &[i64] = &[1];
        let best = cosines.f_amax(over_tokens, false)?;
        let [classes, each] = [weight.size()[0], weight.size()[1]];
        best.f_view([-1, classes, each])?
            .f_mul(weight)?
            .f_sum_dim_intlist(-1, false, Kind::Float)?
            .f_add(bias)
    }
}

/// Vectors along the last axis at length 1.
fn unit(x: &Tensor) -> Result<Tensor, TchError> {
    let last: &[i64] = &[-1];
    let squares = x.f_square()?.f_sum_dim_intlist(last, true, Kind::Float)?;
    x.f_mul(&squares.f_add_scalar(1e-12)?.f_rsqrt()?)
}
