//! Dense routing: every expert sees every token, weighted by a softmax.

use crate::check::{compute_kind, named};
use crate::losses::{load_balance, z};
use crate::metrics::mean_per_expert;
use crate::{AuxiliaryLosses, Dispatcher, Result, RouteOptions, Router, RouterMetrics, Routing};
use tch::{Kind, Tensor};

/// Router of Dense-MoA: gates g = softmax(W x + b), output Σₙ gₙ · expertₙ(x).
#[derive(Debug)]
pub struct DenseRouter {
    /// W [N, D].
    pub weight: Tensor,
    /// b `[N]`.
    pub bias: Tensor,
}

impl DenseRouter {
    /// The gates [B, L, N] for the tokens `x` [B, L, D].
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
        let gates = logits.softmax(-1, None::<Kind>);
        let n = self.bias.size()[0];
        let losses = want.losses.then(|| {
            let probabilities = gates.reshape([-1, n]);
            AuxiliaryLosses {
                load_balance: load_balance(&probabilities, &probabilities.ones_like()),
                z_loss: z(&logits),
            }
        });
        let metrics = want
            .metrics
            .then(|| RouterMetrics::from_usage(mean_per_expert(&gates)));
        let dispatcher = DenseDispatcher {
            gates,
            output: x.kind(),
        };
        Ok(Routing {
            dispatcher: Box::new(dispatcher),
            metrics,
            losses,
        })
    }
}

/// W x + b [B, L, N] in at least f32.
pub(crate) fn router_logits(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (tokens, w, b) = (named("x", x), named("weight", weight), named("bias", bias));
    let [.., d] = tokens.axes::<3>("[B, L, D]")?;
    let [n, width] = w.axes("[N, D]")?;
    let [length] = b.axes("[N]")?;
    tokens.agrees(
        d == width,
        w,
        "D of x [B, L, D] must equal D of weight [N, D]",
    )?;
    b.agrees(
        length == n,
        w,
        "N of bias [N] must equal N of weight [N, D]",
    )?;
    let kind = compute_kind(&[x, weight, bias]);
    Ok(x.to_kind(kind)
        .linear(&weight.to_kind(kind), Some(bias.to_kind(kind))))
}

struct DenseDispatcher {
    /// [B, L, N]
    gates: Tensor,
    /// Kind of the routed tokens.
    output: Kind,
}

impl Dispatcher for DenseDispatcher {
    /// All tokens for every expert, S = B · L; a view without copies.
    fn dispatch(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, gates) = (
            named("x", x),
            named("the routed tokens' gates", &self.gates),
        );
        let [b, l, d] = tokens.axes("[B, L, D]")?;
        let shape = self.gates.size();
        tokens.agrees(
            shape[..2] == [b, l],
            gates,
            "B and L must be those of the routed tokens",
        )?;
        let x = x.to_kind(compute_kind(&[x, &self.gates]));
        Ok(x.reshape([1, b * l, d]).expand([shape[2], b * l, d], false))
    }

    fn combine(&self, y: &Tensor) -> Result<Tensor> {
        let (outputs, named_gates) = (named("y", y), named("the gates", &self.gates));
        let [n, s, d] = outputs.axes("[N, S, D]")?;
        let [b, l, experts] = named_gates.axes("[B, L, N]")?;
        let fits = n == experts && s == b * l;
        outputs.agrees(
            fits,
            named_gates,
            "y [N, S, D] must hold S = B * L slots of each of the N experts of [B, L, N]",
        )?;
        let kind = compute_kind(&[y, &self.gates]);
        let gates = self.gates.to_kind(kind).reshape([s, n, 1]);
        // One expert at a time: a weighted copy of all of y is never made.
        let outputs = y.to_kind(kind).unbind(0);
        let mut mixed = &outputs[0] * gates.select(1, 0);
        for (expert, output) in outputs.iter().enumerate().skip(1) {
            mixed = mixed.addcmul(output, &gates.select(1, expert as i64));
        }
        Ok(mixed.view([b, l, d]).to_kind(self.output))
    }

    fn clips(&self) -> Option<i64> {
        Some(self.gates.size()[0])
    }

    fn gates(&self) -> Option<&Tensor> {
        Some(&self.gates)
    }
}
