//! ReLU routing: fully differentiable gates that are 0 for most experts
//! (ReMoE, arXiv 2412.14711).

use crate::check::named;
use crate::gated::GatedDispatcher;
use crate::logits::{check_logits, router_logits};
use crate::mask::{TokenMask, masked};
use crate::metrics::shares;
use crate::{AuxiliaryLosses, Result, RouteOptions, Router, RouterMetrics, Routing, RoutingError};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

/// Settings of [`ReluRouter`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReluConfig {
    /// K, the mean number of active experts per token that the penalty steers
    /// towards; between 0 and N, both excluded. Default 1.
    pub active: f64,
    /// λ at the first step. Default 1e-8, as the paper.
    pub initial_penalty: f64,
    /// Factor by which λ grows when gates are too dense and shrinks when they
    /// are too sparse, greater than 1. Default 1.2, as the paper.
    pub growth: f64,
}

impl Default for ReluConfig {
    fn default() -> Self {
        Self {
            active: 1.0,
            initial_penalty: 1e-8,
            growth: 1.2,
        }
    }
}

impl ReluConfig {
    /// Checks the settings for a router over `experts` experts.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn validate(&self, experts: i64) -> Result<()> {
        let bad = |field, value, problem| {
            Err(RoutingError::Setting {
                field,
                value,
                problem,
            })
        };
        if !(self.active > 0.0 && self.active < experts as f64) {
            let problem = "must lie between 0 and the number of experts, both excluded";
            return bad("active", self.active, problem);
        }
        if !(self.initial_penalty > 0.0 && self.initial_penalty.is_finite()) {
            let problem = "must be a positive number";
            return bad("initial_penalty", self.initial_penalty, problem);
        }
        if !(self.growth > 1.0 && self.growth.is_finite()) {
            return bad("growth", self.growth, "must be a number greater than 1");
        }
        Ok(())
    }
}

/// Router with gates max(W x + b, 0): no choice, no noise, no capacity. An L1
/// penalty keeps most gates at 0:
///
/// ```text
/// loss = λ · mean over tokens of Σₙ fₙ gₙ,   fₙ = N / (K T) · number of tokens with gₙ > 0
/// λ ← λ · growth^sign(share of active gates - K / N)   from step to step
/// ```
///
/// The weights f (outside the gradient) punish busy experts more, which
/// balances the load. ReMoE has one λ for all layers; here every router has its
/// own, so that a layer needs to know no other.
#[derive(Debug)]
pub struct ReluRouter {
    /// W [N, D].
    pub weight: Tensor,
    /// b `[N]`.
    pub bias: Tensor,
    /// Target and speed of the penalty.
    pub config: ReluConfig,
    /// λ, one number; starts at `config.initial_penalty`. Not trained: training
    /// passes change it in place, and it belongs into checkpoints.
    pub penalty: Tensor,
    /// Share of active gates in the last training pass, one number; starts at
    /// K / N. Not trained, as `penalty`.
    pub activity: Tensor,
}

impl ReluRouter {
    /// The gates for the tokens `x`.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [B, L, N]
    ///
    /// # Errors
    /// When `x`, `weight` and `bias` do not fit together.
    pub fn gates(&self, x: &Tensor) -> Result<Tensor> {
        Ok(router_logits(x, &self.weight, &self.bias)?.relu())
    }

    /// Moves λ by what the last training pass showed, then remembers this one.
    /// A pass that is computed again finds λ as the first time.
    fn update(&self, gates: &Tensor) {
        let target = self.config.active / self.weight.size()[0] as f64;
        no_grad(|| {
            let towards = (&self.activity - target).sign() * self.config.growth.ln();
            // Beyond these λ could never come back: as 0, or as infinity.
            let moved = (&self.penalty * towards.exp()).clamp(1e-20, 1e10);
            self.penalty.shallow_clone().copy_(&moved);
            let now = gates.gt(0).mean(Kind::Float).view_as(&self.activity);
            self.activity.shallow_clone().copy_(&now);
        });
    }

    /// λ · mean over tokens of Σₙ fₙ gₙ.
    fn sparsity(&self, gates: &Tensor) -> Tensor {
        let n = self.weight.size()[0] as f64;
        let by_token = gates.reshape([-1, self.weight.size()[0]]);
        let busy = by_token.detach().gt(0).mean_dim(0, false, gates.kind());
        let weights = busy * (n / self.config.active);
        let mean = (by_token * weights)
            .sum_dim_intlist(-1, false, None::<Kind>)
            .mean(None::<Kind>);
        mean * self.penalty.detach().copy().reshape([] as [i64; 0])
    }

    fn check_state(&self) -> Result<()> {
        for state in [
            named("penalty", &self.penalty),
            named("activity", &self.activity),
        ] {
            let [] = state.axes("[] (one number)")?;
            state.agrees(true, named("weight", &self.weight), "")?;
        }
        Ok(())
    }
}

impl Router for ReluRouter {
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
        let gates = logits.relu();
        self.config.validate(self.weight.size()[0])?;
        self.check_state()?;
        if want.train.is_some_and(|train| train.update_statistics) {
            self.update(&gates);
        }
        let losses = want.losses.then(|| AuxiliaryLosses {
            sparsity: Some(self.sparsity(&gates)),
            ..AuxiliaryLosses::default()
        });
        let gates = masked(gates, mask.as_ref());
        let metrics = want.metrics.then(|| {
            let active = gates.detach().gt(0).to_kind(gates.kind());
            RouterMetrics::of_active(&gates, &active, mask.as_ref())
        });
        let shares = want.metrics.then(|| shares(&gates));
        Ok(Routing {
            dispatcher: Box::new(GatedDispatcher { gates, output }),
            slots: None,
            metrics,
            shares,
            losses,
        })
    }
}
