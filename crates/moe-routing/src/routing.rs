//! What every router offers, and what it gives back.

use crate::{AuxiliaryLosses, Result, RouterMetrics, RoutingError, Train};
use tch::{Kind, Tensor};

/// What to compute beside the routing itself, and in which mode. By default
/// nothing, in evaluation.
#[derive(Debug, Clone, Copy, Default)]
pub struct RouteOptions<'a> {
    /// Measure how the experts are used. Copies a few numbers to the CPU, so
    /// on a GPU it waits for the routing to finish.
    pub metrics: bool,
    /// Compute the auxiliary losses (of every router but the soft one).
    pub losses: bool,
    /// Fill the slots along with the decision, where the router can do both in
    /// one step at less cost (soft routing without a norm).
    pub slots: bool,
    /// Training mode: noise of the router, dropout and batch statistics of the
    /// experts. `None` is evaluation. The default.
    pub train: Option<Train<'a>>,
    /// Tokens that take part [B, L], any number but 0 for yes. The others
    /// (padded frames, for example) fill no slot, take no expert's place, get
    /// no output and count in no expert's share and in no rate. Capacities are
    /// computed from all tokens, those left out included; extremes and losses
    /// count them, and experts with a convolution see them as neighbours. All
    /// tokens when left out.
    pub mask: Option<&'a Tensor>,
}

/// The decision for one batch of tokens.
pub struct Routing {
    /// Carries the tokens to the experts and back.
    pub dispatcher: Box<dyn Dispatcher>,
    /// The routed tokens in their slots [N, S, D], if asked for and made in one
    /// step with the decision: what `dispatcher.dispatch` would give.
    pub slots: Option<Tensor>,
    /// Use of the experts, if asked for.
    pub metrics: Option<RouterMetrics>,
    /// Share of each expert in the output of each token [B, L, N], with the
    /// metrics: the combine weights summed over an expert's slots, or the gates
    /// divided by their sum. The shares of a token sum to 1, or are all 0 where
    /// no expert sees it. Outside the gradient.
    pub shares: Option<Tensor>,
    /// Losses to add to the task's loss, if asked for. Always `None` for soft
    /// routing, which balances itself.
    pub losses: Option<AuxiliaryLosses>,
}

/// Decides which experts see which tokens.
pub trait Router {
    /// Routes the tokens `x` [B, L, D].
    ///
    /// # Errors
    /// When `x` or the router's own tensors do not fit together.
    fn route(&self, x: &Tensor, want: RouteOptions) -> Result<Routing>;

    /// W [N, D] and b `[N]`, when the decision follows from the logits W x + b
    /// alone. A layer may then compute them together with other maps of x and
    /// call [`route_logits`](Self::route_logits). `None` otherwise.
    fn linear(&self, _want: RouteOptions) -> Option<(&Tensor, &Tensor)> {
        None
    }

    /// Routes by the logits [B, L, N] of tokens that have the kind `output`.
    ///
    /// # Errors
    /// When the logits do not fit the router, or [`linear`](Self::linear) is
    /// `None`.
    fn route_logits(
        &self,
        _logits: &Tensor,
        _output: Kind,
        _want: RouteOptions,
    ) -> Result<Routing> {
        Err(RoutingError::NoLogits)
    }
}

/// Carries tokens to the experts' slots and the experts' outputs back.
///
/// The last axis (D below) may differ between the two calls and from the width
/// that was routed; B and L are those of the routed tokens.
pub trait Dispatcher {
    /// Fills the slots: [B, L, D] → [N, S, D]. Slots that no token fills hold
    /// zeros. The result is in the kind of the routing arithmetic (f32 or f64).
    ///
    /// # Errors
    /// When `x` has another shape or device than the routed tokens.
    fn dispatch(&self, x: &Tensor) -> Result<Tensor>;

    /// Mixes the experts' outputs: [N, S, D] → [B, L, D], in the kind of the
    /// routed tokens.
    ///
    /// # Errors
    /// When `y` does not have N experts and S slots.
    fn combine(&self, y: &Tensor) -> Result<Tensor>;

    /// Number of clips B, when every expert's slots are those of one clip after
    /// the other, S / B each. `None` when slots are in no order.
    fn clips(&self) -> Option<i64> {
        None
    }

    /// How many gates of a token are not 0, where that is the same number for
    /// every token: K of token choice (dropped choices included). A bank may
    /// then move only the chosen tokens.
    fn chosen(&self) -> Option<i64> {
        None
    }

    /// Gates [B, L, N], when the layer's output is Σₙ gateₙ · expertₙ(token).
    /// An expert bank may then use a fused form instead of the slots. `None`
    /// when slots are mixtures of tokens.
    fn gates(&self) -> Option<&Tensor> {
        None
    }
}
