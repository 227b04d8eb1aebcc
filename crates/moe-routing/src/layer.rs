//! A router and a bank in one: the mixture-of-adapters layer.

use crate::logits::check;
use crate::{AuxiliaryLosses, ExpertBank, Result, RouteOptions, Router, RouterMetrics};
use tch::Tensor;

/// Mixture of adapters: any router over a bank of experts.
pub struct MoaLayer {
    /// Decides which expert sees what.
    pub router: Box<dyn Router>,
    /// The experts.
    pub bank: ExpertBank,
}

/// Result of [`MoaLayer::forward`].
#[derive(Debug)]
pub struct MoaOutput {
    /// The mixture's output [B, L, D]; the caller adds it to its stream.
    pub y: Tensor,
    /// Use of the experts, if asked for.
    pub metrics: Option<RouterMetrics>,
    /// Share of each expert in the output of each token [B, L, N], with the
    /// metrics: see [`Routing::shares`](crate::Routing::shares).
    pub shares: Option<Tensor>,
    /// Auxiliary losses, if asked for and defined for the router.
    pub losses: Option<AuxiliaryLosses>,
}

impl MoaLayer {
    /// Routes the tokens `x` through the experts.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [`MoaOutput::y`] [B, L, D]
    ///
    /// # Errors
    /// When `x`, the router and the bank do not fit together.
    pub fn forward(&self, x: &Tensor, want: RouteOptions) -> Result<MoaOutput> {
        if let Some((weight, bias)) = self.router.linear(want)
            && self.bank.joins_router()
        {
            return self.forward_joined(x, weight, bias, want);
        }
        let want = RouteOptions {
            slots: true,
            ..want
        };
        let routing = self.router.route(x, want)?;
        let dispatcher = routing.dispatcher.as_ref();
        let y = match &routing.slots {
            Some(slots) => {
                let clips = dispatcher.clips();
                dispatcher.combine(&self.bank.forward_slots(slots, clips, want.train)?)?
            }
            None => self.bank.apply(dispatcher, x, want.train)?,
        };
        Ok(MoaOutput {
            y,
            metrics: routing.metrics,
            shares: routing.shares,
            losses: routing.losses,
        })
    }

    /// Router and down-projections in one product with the tokens: they are
    /// read once, and their gradient is one tensor instead of a sum of two.
    fn forward_joined(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        want: RouteOptions,
    ) -> Result<MoaOutput> {
        check(x, weight, bias)?;
        let (logits, hidden) = self.bank.project_with(x, weight, bias)?;
        let routing = self.router.route_logits(&logits, x.kind(), want)?;
        let y = match routing.dispatcher.gates() {
            Some(gates) => self.bank.gate(hidden, gates, x.kind(), want.train)?,
            None => self
                .bank
                .apply(routing.dispatcher.as_ref(), x, want.train)?,
        };
        Ok(MoaOutput {
            y,
            metrics: routing.metrics,
            shares: routing.shares,
            losses: routing.losses,
        })
    }
}
