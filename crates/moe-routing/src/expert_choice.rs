//! Expert-choice routing: each expert picks its best tokens (Zhou et al. 2022,
//! arXiv 2202.09368).

use crate::check::named;
use crate::gated::GatedDispatcher;
use crate::logits::{check_logits, router_logits};
use crate::losses::z;
use crate::mask::{TokenMask, masked, mean_over_tokens};
use crate::metrics::{shares, sum_per_clip};
use crate::sparse::{Group, rounded_up};
use crate::{AuxiliaryLosses, Result, RouteOptions, Router, RouterMetrics, Routing, RoutingError};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Settings of [`ExpertChoiceRouter`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpertChoiceConfig {
    /// Mean number of experts per token, c: each expert takes ⌈T · c / N⌉ of
    /// the T tokens of a group, at most T. Default 1; the paper also uses 2.
    pub capacity_factor: f64,
    /// The tokens among which an expert chooses. Default [`Group::Sample`]: in
    /// a batch the other clips would change a clip's result.
    pub group: Group,
}

impl Default for ExpertChoiceConfig {
    fn default() -> Self {
        Self {
            capacity_factor: 1.0,
            group: Group::Sample,
        }
    }
}

impl ExpertChoiceConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// When the capacity factor is not a positive finite number.
    pub fn validate(&self) -> Result<()> {
        let value = self.capacity_factor;
        if value.is_finite() && value > 0.0 {
            return Ok(());
        }
        Err(RoutingError::Setting {
            field: "capacity_factor",
            value,
            problem: "is not the mean number of experts per token; use a positive number",
        })
    }

    /// Tokens that each expert takes of `tokens` tokens in the group.
    pub fn capacity(&self, tokens: i64, experts: i64) -> i64 {
        let exact = self.capacity_factor * tokens as f64 / experts as f64;
        rounded_up(exact).clamp(1, tokens)
    }
}

/// Router by expert choice: probabilities P = softmax over experts of W x + b;
/// every expert takes the tokens with its largest P, gated by P. All experts
/// are equally busy, so there is no balance loss; a token may get several
/// experts or none. Equal probabilities: the earlier token.
#[derive(Debug)]
pub struct ExpertChoiceRouter {
    /// W [N, D].
    pub weight: Tensor,
    /// b `[N]`.
    pub bias: Tensor,
    /// How many tokens each expert takes, of which.
    pub config: ExpertChoiceConfig,
}

impl ExpertChoiceRouter {
    /// The gates for the tokens `x`: P where the expert took the token, else 0.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [B, L, N]
    ///
    /// # Errors
    /// When `x`, `weight`, `bias` and the configuration do not fit together.
    pub fn gates(&self, x: &Tensor) -> Result<Tensor> {
        let logits = router_logits(x, &self.weight, &self.bias)?;
        self.gates_of(&logits, None)
    }

    fn gates_of(&self, logits: &Tensor, mask: Option<&TokenMask>) -> Result<Tensor> {
        self.config.validate()?;
        let size = logits.size();
        let (b, l, n) = (size[0], size[1], size[2]);
        let (groups, tokens) = match self.config.group {
            Group::Batch => (1, b * l),
            Group::Sample => (b, l),
        };
        let probabilities = masked(logits.softmax(-1, None::<Kind>), mask);
        let ranked = probabilities.detach();
        let ranked = mask.map_or(ranked.shallow_clone(), |mask| mask.last(&ranked));
        let grouped = |t: Tensor| t.view([groups, tokens, n]);
        let (probabilities, ranked) = (grouped(probabilities), grouped(ranked));
        // A stable sort: among equal probabilities the earlier token comes first.
        let (_, order) = ranked.sort_stable(true, 1, true);
        let taken = order.narrow(1, 0, self.config.capacity(tokens, n));
        let mask = probabilities
            .zeros_like()
            .scatter_value(1, &taken, 1)
            .detach();
        Ok((probabilities * mask).view([b, l, n]))
    }
}

impl Router for ExpertChoiceRouter {
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
        let gates = self.gates_of(logits, mask.as_ref())?;
        let losses = want.losses.then(|| AuxiliaryLosses {
            z: Some(z(logits)),
            ..AuxiliaryLosses::default()
        });
        let metrics = want
            .metrics
            .then(|| RouterMetrics::of_active(&gates, &gates, mask.as_ref()));
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

impl RouterMetrics {
    /// Measures of routing that leaves some gates [B, L, N] at 0; `shares`
    /// [B, L, N] is what counts as use. Rates are those of the tokens that take
    /// part.
    pub(crate) fn of_active(gates: &Tensor, shares: &Tensor, mask: Option<&TokenMask>) -> Self {
        let per_token = gates
            .detach()
            .gt(0)
            .sum_dim_intlist(-1, false, Kind::Double);
        Self {
            drop_rate: mean_over_tokens(&per_token.eq(0), mask),
            experts_per_token: mean_over_tokens(&per_token, mask),
            ..Self::from_clips(sum_per_clip(shares))
        }
    }
}
