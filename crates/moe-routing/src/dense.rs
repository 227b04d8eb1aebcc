//! Dense routing: every expert sees every token, weighted by a softmax.

use crate::check::named;
use crate::gated::GatedDispatcher;
use crate::logits::{check_logits, router_logits};
use crate::losses::{importance, load_balance, z};
use crate::mask::{TokenMask, masked};
use crate::metrics::sum_per_clip;
use crate::{AuxiliaryLosses, Result, RouteOptions, Router, RouterMetrics, Routing};
use tch::{Kind, Tensor};

/// Router of Dense-MoA: gates g = softmax(W x + b), output Σₙ gₙ · expertₙ(x)
/// (arXiv 2402.00828, section 2.2).
#[derive(Debug)]
pub struct DenseRouter {
    /// W [N, D].
    pub weight: Tensor,
    /// b `[N]`.
    pub bias: Tensor,
}

impl DenseRouter {
    /// The gates for the tokens `x`.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [B, L, N]
    ///
    /// # Errors
    /// When `x`, `weight` and `bias` do not fit together.
    pub fn probabilities(&self, x: &Tensor) -> Result<Tensor> {
        Ok(router_logits(x, &self.weight, &self.bias)?.softmax(-1, None::<Kind>))
    }
}

impl Router for DenseRouter {
    fn route(&self, x: &Tensor, want: RouteOptions) -> Result<Routing> {
        let logits = router_logits(x, &self.weight, &self.bias)?;
        self.route_logits(&logits, x.kind(), want)
    }

    fn linear(&self, _want: RouteOptions) -> Option<(&Tensor, &Tensor)> {
        Some((&self.weight, &self.bias))
    }

    fn route_logits(&self, logits: &Tensor, output: Kind, want: RouteOptions) -> Result<Routing> {
        check_logits(logits, &self.bias)?;
        let mask = TokenMask::of(&want, named("the logits", logits))?;
        let gates = logits.softmax(-1, None::<Kind>);
        let losses = want.losses.then(|| {
            let whole = gates.reshape([1, -1, self.bias.size()[0]]);
            AuxiliaryLosses {
                load_balance: Some(load_balance(&whole, &whole.ones_like())),
                importance: Some(importance(&whole)),
                z: Some(z(logits)),
                ..AuxiliaryLosses::default()
            }
        });
        let gates = masked(gates, mask.as_ref());
        let metrics = want
            .metrics
            .then(|| RouterMetrics::from_clips(sum_per_clip(&gates)));
        let shares = want.metrics.then(|| gates.detach());
        let dispatcher = GatedDispatcher { gates, output };
        Ok(Routing {
            dispatcher: Box::new(dispatcher),
            slots: None,
            metrics,
            shares,
            losses,
        })
    }
}
