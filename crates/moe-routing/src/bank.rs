//! N experts, stacked in one tensor per parameter.

use crate::check::{Named, compute_kind, named};
use crate::inner::LayerNorm;
use crate::{Dispatcher, Inner, Result, RoutingError, Train};
use tch::{Kind, Tensor};

/// N experts of one form: expertₙ(x) = inner(x · downₙ + bₙ) · upₙ + cₙ. The
/// inner part acts on the hidden units and may look along the tokens of a clip.
#[derive(Debug)]
pub struct ExpertBank {
    /// Down-projections [N, D, R'], with R' = R or, for a conformer, 2R.
    pub down: Tensor,
    /// Biases b [N, R'].
    pub down_bias: Tensor,
    /// What happens to the hidden units: R' → R.
    pub inner: Inner,
    /// Up-projections [N, R, D].
    pub up: Tensor,
    /// Biases c [N, D].
    pub up_bias: Tensor,
}

/// Hidden units N · R for each chosen expert from which moving tokens is
/// cheaper. The fused form costs in proportion to N · R; moving costs K copies
/// of the tokens, whatever R is. Measured on a CPU in training with B 8, L 590,
/// D 768: equal near N · R = 260 for K = 1 and near 610 for K = 2.
const GATHER_FROM: i64 = 300;

/// The axes' lengths of a bank.
#[derive(Clone, Copy)]
struct Axes {
    n: i64,
    d: i64,
    /// R', hidden units of the down-projection.
    wide: i64,
    r: i64,
}

impl ExpertBank {
    /// Each expert on its own slots, all experts in one batched product.
    ///
    /// `clips` is the number of clips B whose slots follow each other, S / B
    /// for each; an inner part that looks along the tokens then looks along
    /// the slots of one clip. `None` when slots are in no order.
    ///
    /// # Shapes
    /// `slots` [N, S, D] → [N, S, D], in the kind of the arithmetic.
    ///
    /// # Errors
    /// When the shapes, kinds or devices do not fit together, or the inner part
    /// needs an order of the slots that there is not.
    pub fn forward_slots(
        &self,
        slots: &Tensor,
        clips: Option<i64>,
        train: Option<Train>,
    ) -> Result<Tensor> {
        let axes = self.axes()?;
        let given = named("slots", slots);
        let [n, s, d] = given.axes("[N, S, D]")?;
        let fits = n == axes.n && d == axes.d;
        given.agrees(
            fits,
            self.down_named(),
            "N and D of slots [N, S, D] must be those of down [N, D, R]",
        )?;
        let kind = self.kind_with(slots);
        let (slots, down, bias) = self.projection(slots.to_kind(kind));
        let hidden = bias.unsqueeze(1).baddbmm(&slots, &down, 1, 1);
        let active = match self.inner {
            Inner::Gelu => hidden.gelu("none"),
            _ => self.inner_on_slots(&hidden, [n, s, axes.wide], clips, train)?,
        };
        Ok(self
            .up_bias
            .to_kind(kind)
            .unsqueeze(1)
            .baddbmm(&active, &self.up.to_kind(kind), 1, 1))
    }

    /// Σₙ gateₙ · expertₙ(x) for every token, in one pass of width N · R:
    /// the gates scale the hidden units, and together with the biases c they
    /// are N further hidden units. Nothing of the size [B, L, N, D] is made.
    ///
    /// Every expert's inner part sees all tokens of a clip, also those for
    /// which its gate is 0.
    ///
    /// # Shapes
    /// `x` [B, L, D], `gates` [B, L, N] → [B, L, D], in the kind of `x`.
    ///
    /// # Errors
    /// When the shapes, kinds or devices do not fit together.
    pub fn forward_gated(
        &self,
        x: &Tensor,
        gates: &Tensor,
        train: Option<Train>,
    ) -> Result<Tensor> {
        let Axes { n, d, .. } = self.axes()?;
        let (tokens, given) = (named("x", x), named("gates", gates));
        let [b, l, width] = tokens.axes("[B, L, D]")?;
        let shape: [i64; 3] = given.axes("[B, L, N]")?;
        tokens.agrees(
            width == d,
            self.down_named(),
            "D of x [B, L, D] must equal D of down [N, D, R]",
        )?;
        given.agrees(
            shape == [b, l, n],
            tokens,
            "gates must be [B, L, N] with B and L of x and N of the bank",
        )?;

        self.gate(self.hidden(x, self.kind_with(x)), gates, x.kind(), train)
    }

    /// The only expert of a bank on every token: an adapter without routing.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [B, L, D], in the kind of `x`.
    ///
    /// # Errors
    /// When the bank holds more than one expert, or the shapes, kinds or
    /// devices do not fit together.
    pub fn forward_single(&self, x: &Tensor, train: Option<Train>) -> Result<Tensor> {
        let Axes { n, d, wide, r } = self.axes()?;
        if n != 1 {
            return Err(RoutingError::NotSingle { experts: n });
        }
        let tokens = named("x", x);
        let [b, l, width] = tokens.axes("[B, L, D]")?;
        tokens.agrees(
            width == d,
            self.down_named(),
            "D of x [B, L, D] must equal D of down [N, D, R]",
        )?;
        let kind = self.kind_with(x);
        let hidden = self.hidden(x, kind).view([b, l, 1, wide]);
        let active = self.inner.forward(hidden, train).reshape([b * l, r]);
        let one = Tensor::ones([b * l, 1], (kind, x.device()));
        let y = Tensor::cat(&[active, one], 1).mm(&self.up_with_bias(kind));
        Ok(y.view([b, l, d]).to_kind(x.kind()))
    }

    /// Routes `x` through the bank as the dispatcher says. Where it has gates,
    /// that is the fused form, or, where each token chose K of very many or
    /// very wide experts, moving the chosen tokens to their experts and back.
    /// Both give the same result; which one runs depends on N, R and K only.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [B, L, D]
    ///
    /// # Errors
    /// When the shapes, kinds or devices do not fit together.
    pub fn apply(
        &self,
        dispatcher: &dyn Dispatcher,
        x: &Tensor,
        train: Option<Train>,
    ) -> Result<Tensor> {
        let moved = self.moves_tokens(dispatcher)?;
        if let Some(gates) = dispatcher.gates().filter(|_| !moved) {
            return self.forward_gated(x, gates, train);
        }
        let slots = dispatcher.dispatch(x)?;
        dispatcher.combine(&self.forward_slots(&slots, dispatcher.clips(), train)?)
    }

    /// The down-projections of all experts on all tokens.
    ///
    /// # Shapes
    /// `x` [B, L, D] → [B, L, N · R']
    fn hidden(&self, x: &Tensor, kind: Kind) -> Tensor {
        let (tokens, rows, bias) = self.down_rows(x.to_kind(kind));
        tokens.linear(&rows, Some(bias))
    }

    /// Tokens, and one row of weights [N · R', D] and one bias for every hidden
    /// unit: the layout in which their gradient is one fast product.
    fn down_rows(&self, tokens: Tensor) -> (Tensor, Tensor, Tensor) {
        let (tokens, down, bias) = self.projection(tokens);
        let size = down.size();
        let units = size[0] * size[2];
        let rows = down.transpose(1, 2).reshape([units, size[1]]);
        (tokens, rows, bias.reshape([units]))
    }

    /// Whether the router's linear map can join the down-projections: they
    /// must see the same tokens, and it must be certain that they are needed.
    pub(crate) fn joins_router(&self) -> bool {
        let size = self.up.size();
        let small = size.len() == 3 && size[0] * size[1] <= GATHER_FROM;
        small && self.inner.layer_norm().is_none()
    }

    /// A router's W x + b and the down-projections of all experts, in one
    /// product. `x`, `weight` and `bias` fit each other.
    ///
    /// # Shapes
    /// `x` [B, L, D], `weight` [M, D], `bias` `[M]` → [B, L, M], [B, L, N · R']
    ///
    /// # Errors
    /// When `x` and the bank do not fit together.
    pub(crate) fn project_with(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let Axes { n, d, wide, .. } = self.axes()?;
        let (tokens, router) = (named("x", x), named("weight", weight));
        let [_, _, width] = tokens.axes("[B, L, D]")?;
        tokens.agrees(
            width == d,
            self.down_named(),
            "D of x [B, L, D] must equal D of down [N, D, R]",
        )?;
        let [m, _] = router.axes("[M, D]")?;
        let kind = match (self.kind_with(x), compute_kind(&[weight, bias])) {
            (Kind::Float, Kind::Float) => Kind::Float,
            _ => Kind::Double,
        };
        let (tokens, rows, hidden_bias) = self.down_rows(x.to_kind(kind));
        let rows = Tensor::cat(&[weight.to_kind(kind), rows], 0);
        let biases = Tensor::cat(&[bias.to_kind(kind), hidden_bias], 0);
        let both = tokens.linear(&rows, Some(biases));
        let mut parts = both.split_with_sizes([m, n * wide], -1);
        let hidden = parts.remove(1);
        Ok((parts.remove(0), hidden))
    }

    /// Inner part, gates and up-projections for hidden units of all experts.
    ///
    /// # Shapes
    /// `hidden` [B, L, N · R'], `gates` [B, L, N] → [B, L, D] of kind `output`
    ///
    /// # Errors
    /// When the gates are not those of the bank's N experts.
    pub(crate) fn gate(
        &self,
        hidden: Tensor,
        gates: &Tensor,
        output: Kind,
        train: Option<Train>,
    ) -> Result<Tensor> {
        let Axes { n, d, wide, r } = self.axes()?;
        let size = hidden.size();
        let (b, l) = (size[0], size[1]);
        let given = named("gates", gates);
        let shape: [i64; 3] = given.axes("[B, L, N]")?;
        given.agrees(
            shape == [b, l, n],
            self.down_named(),
            "N of gates [B, L, N] must be that of down [N, D, R]",
        )?;
        let kind = hidden.kind();
        let gates = gates.to_kind(kind).reshape([b * l, n]);
        let active = self.inner.forward(hidden.view([b, l, n, wide]), train);
        let gated = active.reshape([b * l, n, r]) * gates.unsqueeze(-1);
        let units = Tensor::cat(&[gated.view([b * l, n * r]), gates], 1);
        let y = units.mm(&self.up_with_bias(kind));
        Ok(y.view([b, l, d]).to_kind(output))
    }

    /// All up-projections, then their biases, as the weights of N · R + N units.
    ///
    /// # Shapes
    /// [N · R + N, D]
    fn up_with_bias(&self, kind: Kind) -> Tensor {
        let size = self.up.size();
        let up = self.up.to_kind(kind).reshape([size[0] * size[1], size[2]]);
        Tensor::cat(&[up, self.up_bias.to_kind(kind)], 0)
    }

    /// Whether moving tokens is cheaper than gating all experts. Experts that
    /// look along the tokens need all of them.
    fn moves_tokens(&self, dispatcher: &dyn Dispatcher) -> Result<bool> {
        let Axes { n, r, .. } = self.axes()?;
        let cheaper = |k: i64| n * r > GATHER_FROM * k;
        Ok(!self.inner.looks_along_tokens() && dispatcher.chosen().is_some_and(cheaper))
    }

    /// Tokens, down-projection and its bias, in the kind of the tokens, with
    /// the LayerNorm of the input done or taken in.
    fn projection(&self, tokens: Tensor) -> (Tensor, Tensor, Tensor) {
        let kind = tokens.kind();
        let (down, bias) = (self.down.to_kind(kind), self.down_bias.to_kind(kind));
        match self.inner.layer_norm() {
            None => (tokens, down, bias),
            Some(norm) => {
                let (down, bias) = norm.fold(&down, &bias);
                (LayerNorm::standardise(&tokens), down, bias)
            }
        }
    }

    /// [N, S, R'] → [N, S, R], clip by clip.
    fn inner_on_slots(
        &self,
        hidden: &Tensor,
        [n, s, wide]: [i64; 3],
        clips: Option<i64>,
        train: Option<Train>,
    ) -> Result<Tensor> {
        let clips = match clips {
            Some(clips) if clips > 0 && s % clips == 0 => clips,
            None if !self.inner.looks_along_tokens() => 1,
            _ => return Err(RoutingError::NoSequence { slots: s, clips }),
        };
        let by_clip = hidden
            .view([n, clips, s / clips, wide])
            .permute([1, 2, 0, 3]);
        let active = self.inner.forward(by_clip, train);
        Ok(active.permute([2, 0, 1, 3]).reshape([n, s, -1]))
    }

    fn down_named(&self) -> Named<'_> {
        named("down", &self.down)
    }

    fn kind_with(&self, x: &Tensor) -> Kind {
        let mut all = vec![x, &self.down, &self.down_bias, &self.up, &self.up_bias];
        all.extend(self.inner.tensors());
        compute_kind(&all)
    }

    fn axes(&self) -> Result<Axes> {
        let down = self.down_named();
        let (down_bias, up, up_bias) = (
            named("down_bias", &self.down_bias),
            named("up", &self.up),
            named("up_bias", &self.up_bias),
        );
        let [n, d, wide] = down.axes("[N, D, R]")?;
        let biases: [i64; 2] = down_bias.axes("[N, R]")?;
        let [experts, r, width] = up.axes("[N, R, D]")?;
        let outs: [i64; 2] = up_bias.axes("[N, D]")?;
        down_bias.agrees(
            biases == [n, wide],
            down,
            "down_bias must be [N, R] of down [N, D, R]",
        )?;
        up.agrees(
            [experts, width] == [n, d] && wide == self.inner.projected_width(r),
            down,
            "up must be [N, R, D] of down [N, D, R], or of down [N, D, 2R] for a conformer",
        )?;
        up_bias.agrees(
            outs == [n, d],
            down,
            "up_bias must be [N, D] of down [N, D, R]",
        )?;
        self.inner.check(&self.up, [n, d, r])?;
        Ok(Axes { n, d, wide, r })
    }
}
