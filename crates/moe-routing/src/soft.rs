//! Soft routing: every slot is a convex combination of all tokens, and every
//! token a convex combination of all slot outputs (Soft MoE; Soft-MoA).

use crate::check::{compute_kind, named};
use crate::mask::{TokenMask, masked};
use crate::metrics::{extremes, sum_per_clip};
use crate::{
    Dispatcher, Result, RouteOptions, Router, RouterMetrics, Routing, RoutingError, Train,
};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Added to norms before dividing by them.
const EPSILON: f64 = 1e-6;

/// How the operands of the routing logits are normalised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouterNorm {
    /// Not at all: logits = x · Φ. The published experiments; the default.
    #[default]
    Off,
    /// As the authors' program does when asked to normalise: tokens to unit
    /// length, Φ to unit norm over the *expert* axis and times `scale`; the
    /// normalised tokens also fill the slots.
    Coded,
    /// As Soft MoE recommends: tokens and the vectors of Φ to unit length over
    /// the feature axis, Φ times `scale`, for the logits only; the slots are
    /// filled with the tokens as they are.
    SoftMoe,
}

/// Router of Soft-MoA.
///
/// ```text
/// logits[b,l,n,p] = Σ_d x[b,l,d] Φ[d,n,p]
/// dispatch = softmax of the logits over tokens l
/// combine  = softmax of the logits over all slots (n, p)
/// slot[b,n,p] = Σ_l dispatch[b,l,n,p] x[b,l]
/// y[b,l] = Σ_{n,p} combine[b,l,n,p] expert_n(slot[b,n,p])
/// ```
///
/// Each expert has S = B · P slots, sample after sample. Cost per sample:
/// 3 · L · D · N · P multiply-adds and no copy of `x`.
#[derive(Debug)]
pub struct SoftRouter {
    /// Slot parameters Φ [D, N, P].
    pub phi: Tensor,
    /// One learned factor of the normalised Φ; `None` stands for 1. Only with
    /// a norm other than [`RouterNorm::Off`].
    pub scale: Option<Tensor>,
    /// Normalisation of the logits' operands.
    pub norm: RouterNorm,
    /// Standard deviation of the normal noise added to the logits in training
    /// (an option of Soft MoE); 0 for none.
    pub noise: f64,
}

/// The mixing weights of soft routing, for inspection and plots.
#[derive(Debug)]
pub struct SoftWeights {
    /// Routing logits [B, L, N, P].
    pub logits: Tensor,
    /// Dispatch weights [B, L, N, P]; they sum to 1 over L.
    pub dispatch: Tensor,
    /// Combine weights [B, L, N, P]; they sum to 1 over (N, P).
    pub combine: Tensor,
}

impl SoftRouter {
    /// The mixing weights for the tokens `x`, in evaluation.
    ///
    /// # Shapes
    /// `x` [B, L, D] → three tensors [B, L, N, P]
    ///
    /// # Errors
    /// When `x`, `phi` and `scale` do not fit together.
    pub fn weights(&self, x: &Tensor) -> Result<SoftWeights> {
        let operands = self.operands(x, None)?;
        let [b, l, n, p] = operands.axes;
        let logits = operands.logits();
        let mix = operands.mix(&logits, None);
        let shape = [b, l, n, p];
        Ok(SoftWeights {
            logits: logits.view(shape),
            dispatch: mix.dispatch.transpose(1, 2).reshape(shape),
            combine: mix.combine.view(shape),
        })
    }

    /// What the logits are made of; `x` and the router fit together.
    fn operands(&self, x: &Tensor, train: Option<Train>) -> Result<Operands> {
        let (tokens, phi) = (named("x", x), named("phi", &self.phi));
        let [b, l, d] = tokens.axes("[B, L, D]")?;
        let [width, n, p] = phi.axes("[D, N, P]")?;
        tokens.agrees(
            d == width,
            phi,
            "D of x [B, L, D] must equal D of phi [D, N, P]",
        )?;
        self.check_scale()?;
        if !(self.noise.is_finite() && self.noise >= 0.0) {
            return Err(RoutingError::Setting {
                field: "noise",
                value: self.noise,
                problem: "is no standard deviation; use a finite number from 0 up",
            });
        }

        let kind = compute_kind(&[x, &self.phi]);
        let x = x.to_kind(kind);
        let inverse = match self.norm {
            RouterNorm::Off => None,
            RouterNorm::Coded | RouterNorm::SoftMoe => {
                Some((x.norm_scalaropt_dim(2, -1, true) + EPSILON).reciprocal())
            }
        };
        let vectors = self.slot_vectors(kind).reshape([d, n * p]);
        let noise = train.filter(|_| self.noise > 0.0).map(|train| {
            let like = Tensor::empty([b, l, n * p], (kind, x.device()));
            train.normal_like("noise", &like) * self.noise
        });
        Ok(Operands {
            x,
            // The layout in which the gradient is one fast product.
            rows: vectors.transpose(0, 1).contiguous(),
            inverse,
            noise,
            axes: [b, l, n, p],
        })
    }

    fn check_scale(&self) -> Result<()> {
        let Some(scale) = &self.scale else {
            return Ok(());
        };
        if self.norm == RouterNorm::Off {
            return Err(RoutingError::UnusedScale);
        }
        let scale = named("scale", scale);
        if scale.tensor.defined() && scale.tensor.dim() == 1 {
            let [length] = scale.axes("[1]")?;
            return scale.agrees(
                length == 1,
                named("phi", &self.phi),
                "scale is one number for all of phi",
            );
        }
        let [] = scale.axes("[] (one number)")?;
        scale.agrees(true, named("phi", &self.phi), "")
    }

    /// Φ [D, N, P] as it enters the logits.
    fn slot_vectors(&self, kind: Kind) -> Tensor {
        let phi = self.phi.to_kind(kind);
        let axis = match self.norm {
            RouterNorm::Off => return phi,
            RouterNorm::Coded => 1,
            RouterNorm::SoftMoe => 0,
        };
        let unit = &phi / (phi.norm_scalaropt_dim(2, axis, true) + EPSILON);
        match &self.scale {
            Some(scale) => unit * scale.to_kind(kind),
            None => unit,
        }
    }
}

impl Router for SoftRouter {
    fn route(&self, x: &Tensor, want: RouteOptions) -> Result<Routing> {
        let operands = self.operands(x, want.train)?;
        let axes = operands.axes;
        let mask = TokenMask::of(&want, named("x", x))?;
        let mix = match (&operands.inverse, want.slots) {
            (None, true) if mask.is_none() => operands.mix_and_fill()?,
            _ => operands.mix(&operands.logits(), mask.as_ref()),
        };
        let shares = want.metrics.then(|| mix.shares(axes));
        let metrics = shares.as_ref().map(|shares| mix.metrics(shares));
        let dispatch = match (self.norm, &operands.inverse) {
            (RouterNorm::Coded, Some(inverse)) => mix.dispatch * inverse.transpose(1, 2),
            _ => mix.dispatch,
        };
        let dispatcher = SoftDispatcher {
            dispatch,
            combine: mix.combine,
            experts: axes[2],
            slots: axes[3],
            output: x.kind(),
        };
        Ok(Routing {
            slots: mix.filled.map(|slots| dispatcher.by_expert(&slots)),
            dispatcher: Box::new(dispatcher),
            metrics,
            shares,
            losses: None,
        })
    }
}

/// What the logits are made of, in the kind of the arithmetic.
struct Operands {
    /// [B, L, D]
    x: Tensor,
    /// One vector for every slot [N·P, D].
    rows: Tensor,
    /// 1 / (‖x‖ + ε) [B, L, 1], if tokens are normalised.
    inverse: Option<Tensor>,
    /// [B, L, N·P], if noise is added.
    noise: Option<Tensor>,
    /// B, L, N, P
    axes: [i64; 4],
}

impl Operands {
    /// [B, L, N·P]
    fn logits(&self) -> Tensor {
        let [b, l, n, p] = self.axes;
        let tokens = self.x.reshape([b * l, -1]);
        let products = tokens.mm(&self.rows.transpose(0, 1));
        let products = products.view([b, l, n * p]);
        // Dividing the logits by the tokens' norms is the same as normalising
        // the tokens, and spares a second tensor of the size of x.
        let scaled = match &self.inverse {
            Some(inverse) => products * inverse,
            None => products,
        };
        match &self.noise {
            Some(noise) => scaled + noise,
            None => scaled,
        }
    }

    fn mix(&self, logits: &Tensor, mask: Option<&TokenMask>) -> Mix {
        let by_slot = logits.transpose(1, 2);
        let by_slot = mask.map_or(by_slot.shallow_clone(), |mask| mask.exclude(&by_slot));
        Mix {
            dispatch: by_slot.softmax(-1, None::<Kind>),
            combine: masked(logits.softmax(-1, None::<Kind>), mask),
            filled: None,
        }
    }

    /// Decision and slots in one step, without norms.
    fn mix_and_fill(&self) -> Result<Mix> {
        let mixed = soft_mix::mix(&self.x, &self.rows, self.noise.as_ref())?;
        Ok(Mix {
            dispatch: mixed.dispatch,
            combine: mixed.combine,
            filled: Some(mixed.slots),
        })
    }
}

/// Weights in the layout of the products: one row of tokens per slot and one
/// row of slots per token.
struct Mix {
    /// [B, N·P, L]
    dispatch: Tensor,
    /// [B, L, N·P]
    combine: Tensor,
    /// The tokens in the slots [B, N·P, D], if that was asked for.
    filled: Option<Tensor>,
}

impl Mix {
    /// The combine weights of each expert's slots together [B, L, N].
    fn shares(&self, axes: [i64; 4]) -> Tensor {
        let weights = self.combine.detach().view(axes);
        weights.sum_dim_intlist(-1, false, None::<Kind>)
    }

    fn metrics(&self, shares: &Tensor) -> RouterMetrics {
        RouterMetrics {
            extremes: Some(extremes(&self.dispatch, &self.combine)),
            ..RouterMetrics::from_clips(sum_per_clip(shares))
        }
    }
}

struct SoftDispatcher {
    /// [B, N·P, L]
    dispatch: Tensor,
    /// [B, L, N·P]
    combine: Tensor,
    experts: i64,
    slots: i64,
    /// Kind of the routed tokens.
    output: Kind,
}

impl SoftDispatcher {
    /// [B, N·P, D] → [N, B·P, D]
    fn by_expert(&self, slots: &Tensor) -> Tensor {
        let size = slots.size();
        let (b, d) = (size[0], size[2]);
        let by_expert = slots.view([b, self.experts, self.slots, d]).transpose(0, 1);
        by_expert.reshape([self.experts, b * self.slots, d])
    }
}

impl Dispatcher for SoftDispatcher {
    fn dispatch(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, weights) = (
            named("x", x),
            named("the routed tokens' weights", &self.combine),
        );
        let [b, l, _] = tokens.axes("[B, L, D]")?;
        let fits = self.combine.size()[..2] == [b, l];
        tokens.agrees(fits, weights, "B and L must be those of the routed tokens")?;
        let kind = compute_kind(&[x, &self.dispatch]);
        let slots = self.dispatch.to_kind(kind).bmm(&x.to_kind(kind));
        Ok(self.by_expert(&slots))
    }

    fn combine(&self, y: &Tensor) -> Result<Tensor> {
        let (outputs, weights) = (named("y", y), named("the combine weights", &self.combine));
        let [n, s, d] = outputs.axes("[N, S, D]")?;
        let b = self.combine.size()[0];
        let fits = n == self.experts && s == b * self.slots;
        outputs.agrees(
            fits,
            weights,
            "y [N, S, D] must hold S = B * P slots of each of the N experts of [B, L, N * P]",
        )?;
        let kind = compute_kind(&[y, &self.combine]);
        let by_sample = y.to_kind(kind).view([n, b, self.slots, d]).transpose(0, 1);
        let mixed = self
            .combine
            .to_kind(kind)
            .bmm(&by_sample.reshape([b, n * self.slots, d]));
        Ok(mixed.to_kind(self.output))
    }

    fn clips(&self) -> Option<i64> {
        Some(self.combine.size()[0])
    }
}
