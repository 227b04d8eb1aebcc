//! Gated routing: the layer's output is Σₙ gateₙ · expertₙ(token).

use crate::check::{compute_kind, named};
use crate::{Dispatcher, Result};
use tch::{Kind, Tensor};

/// Every expert sees every token, in the order of the batch; gates decide what
/// counts, and may be 0.
pub(crate) struct GatedDispatcher {
    /// [B, L, N]
    pub gates: Tensor,
    /// Kind of the routed tokens.
    pub output: Kind,
}

impl Dispatcher for GatedDispatcher {
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
