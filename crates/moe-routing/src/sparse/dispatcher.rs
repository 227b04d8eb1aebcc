//! Moving only the chosen tokens: gather to the experts, gather back.

use super::Assignment;
use crate::check::{compute_kind, named};
use crate::{Dispatcher, Result};
use std::cell::OnceCell;
use tch::{Kind, Tensor};

pub(super) struct SparseDispatcher {
    assignment: Assignment,
    /// [B, L, N]
    pub(super) gates: Tensor,
    /// Kind of the routed tokens.
    output: Kind,
    /// Made at the first use: a bank that takes the gates needs no slots.
    slots: OnceCell<Slots>,
}

/// Where the choices lie in the experts' slots.
struct Slots {
    /// Slots per expert, S: the longest queue.
    per_expert: i64,
    /// Flat index in [N · S] of every choice [T · K]; N · S for dropped ones.
    index: Tensor,
}

impl SparseDispatcher {
    pub(super) fn new(assignment: Assignment, output: Kind) -> Self {
        let gates = assignment.dense_gates();
        Self {
            assignment,
            gates,
            output,
            slots: OnceCell::new(),
        }
    }

    fn slots(&self) -> &Slots {
        self.slots.get_or_init(|| Slots::new(&self.assignment))
    }
}

impl Slots {
    fn new(assignment: &Assignment) -> Self {
        let size = assignment.experts.size();
        let (t, k, n) = (size[0] * size[1], size[2], assignment.expert_count);
        let experts = assignment.experts.view([t, k]);
        let kept = assignment.kept.view([t, k]);
        // Kept choices are counted expert by expert, in any fixed order.
        let arrivals = experts.reshape([t * k, 1]);
        let room = kept.reshape([t * k, 1]).to_kind(Kind::Int64);
        let options = (Kind::Int64, experts.device());
        let joined = Tensor::zeros([t * k, n], options).scatter(1, &arrivals, &room);
        let place = joined.cumsum(0, None::<Kind>).gather(1, &arrivals, false) - 1;
        let place = place.view([t, k]);
        let dropped = kept.logical_not();
        let per_expert = place.masked_fill(&dropped, 0).max().int64_value(&[]) + 1;
        let index = (experts * per_expert + place).masked_fill(&dropped, n * per_expert);
        Self {
            per_expert,
            index: index.reshape([t * k]),
        }
    }
}

impl Dispatcher for SparseDispatcher {
    /// S is the length of the longest queue, at most the capacity.
    fn dispatch(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, gates) = (
            named("x", x),
            named("the routed tokens' gates", &self.gates),
        );
        let [b, l, d] = tokens.axes("[B, L, D]")?;
        let n = self.assignment.expert_count;
        let fits = self.gates.size()[..2] == [b, l];
        tokens.agrees(fits, gates, "B and L must be those of the routed tokens")?;
        let slots = self.slots();
        let x = x.to_kind(compute_kind(&[x, &self.gates]));
        // Each token once per choice. A broadcast, not a gather: the gradient
        // of a gather adds in no fixed order on a GPU.
        let k = self.assignment.experts.size()[2];
        let per_choice = x.unsqueeze(2).expand([b, l, k, d], false);
        // One slot more than there is: dropped choices go there and are cut off.
        let filled = Tensor::zeros([n * slots.per_expert + 1, d], (x.kind(), x.device()))
            .index_copy(0, &slots.index, &per_choice.reshape([b * l * k, d]));
        Ok(filled
            .narrow(0, 0, n * slots.per_expert)
            .view([n, slots.per_expert, d]))
    }

    fn combine(&self, y: &Tensor) -> Result<Tensor> {
        let (outputs, named_gates) = (named("y", y), named("the gates", &self.gates));
        let [n, s, d] = outputs.axes("[N, S, D]")?;
        let [b, l, experts] = named_gates.axes("[B, L, N]")?;
        let slots = self.slots();
        let fits = n == experts && s == slots.per_expert;
        outputs.agrees(
            fits,
            named_gates,
            "y [N, S, D] must hold as many slots as dispatch made for each expert of [B, L, N]",
        )?;
        let kind = compute_kind(&[y, &self.gates]);
        let k = self.assignment.experts.size()[2];
        let gates = self.assignment.gates.to_kind(kind).view([b * l, k, 1]);
        // Dropped choices read some slot and have gate 0.
        let index = slots.index.clamp_max(n * s - 1);
        let chosen = y
            .to_kind(kind)
            .reshape([n * s, d])
            .index_select(0, &index)
            .view([b * l, k, d]);
        let mixed = (chosen * gates).sum_dim_intlist(1, false, None::<Kind>);
        Ok(mixed.view([b, l, d]).to_kind(self.output))
    }

    fn gates(&self) -> Option<&Tensor> {
        Some(&self.gates)
    }

    fn chosen(&self) -> Option<i64> {
        self.assignment.experts.size().last().copied()
    }
}
