//! The classification head: from the tokens of a clip to class scores.
//!
//! All heads work with every method. What a frozen backbone is worth depends on
//! the head: "linear" sees one mean vector, the others see more of it.

use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

use crate::parameters::Parameters;
use crate::pool::Pool;

mod attentive;
mod gated;
mod prototypical;

pub use prototypical::PrototypicalHead;

/// From the tokens of a clip to class scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// W p + b of the pooled vector p, as in the authors' program. The default.
    #[default]
    Linear,
    /// W LayerNorm(p) + b, the head of Hugging Face's
    /// `ASTForAudioClassification`. With [`ast_model::Pooling::ClsDist`] the
    /// whole model is one that this class can hold.
    NormLinear,
    /// W p + b with p = Σ_l a_l x_l and a = softmax(x q / √D) over all L tokens,
    /// for one trained query q [D] that starts at 0: attention pooling (Ilse et
    /// al. 2018, arXiv 1802.04712) without projections. At the start it is the
    /// linear head on the mean over all tokens; the pooling asked for does not
    /// count.
    Attentive,
    /// J prototypes per class, each compared with every token.
    Prototypical(PrototypicalHead),
    /// The linear head on a convex combination of all blocks: with γ trained
    /// from 0, g = softmax(γ) and n the LayerNorm without factor w and summand
    /// b, p = w ⊙ Σ_i g_i pool(n(x_i)) + b over the outputs x_i of the blocks, w
    /// and b being those of the final LayerNorm. Where g is all on the last
    /// block this is the linear head. After the gating over frozen layers of
    /// arXiv 2602.16305 (2026), without its further parts.
    GatedLayers,
}

/// Start of the names of all tensors of the head.
pub(crate) const PREFIX: &str = "classification_head.";

/// The tensors of a head.
pub(crate) struct HeadModule {
    kind: Kind,
    weight: Tensor,
    bias: Tensor,
}

enum Kind {
    Linear,
    /// Factor, summand and epsilon of the LayerNorm.
    Norm(Tensor, Tensor, f64),
    Attentive(attentive::Query),
    Prototypical(prototypical::Prototypes),
    Gated(gated::Gates),
}

/// What the shape of a head depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadShape {
    /// C.
    pub classes: i64,
    /// D.
    pub width: i64,
    /// Number of blocks.
    pub depth: i64,
    /// Epsilon of LayerNorms.
    pub eps: f64,
}

impl HeadModule {
    /// A fresh head: LayerNorm 1 and 0, linear map U(±1/√D).
    pub fn new(head: Head, shape: HeadShape, parameters: &mut Parameters) -> Self {
        let HeadShape {
            classes,
            width,
            depth,
            eps,
        } = shape;
        let bound = 1.0 / (width as f64).sqrt();
        let kind = match head {
            Head::Linear => Kind::Linear,
            Head::NormLinear => {
                let name = |field: &str| format!("{PREFIX}layernorm.{field}");
                let weight = parameters.constant(name("weight"), &[width], 1.0);
                let bias = parameters.constant(name("bias"), &[width], 0.0);
                Kind::Norm(weight, bias, eps)
            }
            Head::Attentive => Kind::Attentive(attentive::Query::new(width, parameters)),
            Head::Prototypical(config) => {
                let (module, weight, bias) = config.build(classes, width, parameters);
                let kind = Kind::Prototypical(module);
                return HeadModule { kind, weight, bias };
            }
            Head::GatedLayers => Kind::Gated(gated::Gates::new(depth, parameters)),
        };
        HeadModule {
            kind,
            weight: parameters.uniform(format!("{PREFIX}weight"), &[classes, width], bound),
            bias: parameters.uniform(format!("{PREFIX}bias"), &[classes], bound),
        }
    }

    /// Whether the head looks at more than the pooled vector.
    pub fn needs_tokens(&self) -> bool {
        matches!(self.kind, Kind::Attentive(_) | Kind::Prototypical(_))
    }

    /// Whether the head looks at the output of every block.
    pub fn needs_layers(&self) -> bool {
        matches!(self.kind, Kind::Gated(_))
    }

    /// [B, L, D] → [B, C]; `mask` [B, L] as for [`Pool::pool`], `None` for heads
    /// that need tokens. Not for a head that needs all layers.
    pub fn forward(
        &self,
        tokens: &Tensor,
        pool: Pool,
        mask: Option<&Tensor>,
    ) -> Result<Tensor, TchError> {
        match &self.kind {
            Kind::Attentive(query) => self.linear(&query.pool(tokens)?),
            Kind::Prototypical(prototypes) => prototypes.forward(tokens, &self.weight, &self.bias),
            _ => self.forward_pooled(&pool.pool(tokens, mask)),
        }
    }

    /// [B, D] → [B, C]. Not for a head that needs tokens.
    pub fn forward_pooled(&self, pooled: &Tensor) -> Result<Tensor, TchError> {
        match &self.kind {
            Kind::Norm(weight, bias, eps) => {
                let width = weight.size();
                self.linear(&pooled.f_layer_norm(
                    width.as_slice(),
                    Some(weight),
                    Some(bias),
                    *eps,
                    false,
                )?)
            }
            _ => self.linear(pooled),
        }
    }

    /// [B, blocks, D], pooled and normalised, → [B, C]; `affine` are factor and
    /// summand of the final LayerNorm. For a head that needs all layers.
    pub fn forward_layers(
        &self,
        layers: &Tensor,
        affine: [&Tensor; 2],
    ) -> Result<Tensor, TchError> {
        let mixed = match &self.kind {
            Kind::Gated(gates) => gates.mix(layers)?,
            _ => layers.f_select(1, -1)?,
        };
        let [weight, bias] = affine;
        self.linear(&mixed.f_mul(weight)?.f_add(bias)?)
    }

    fn linear(&self, pooled: &Tensor) -> Result<Tensor, TchError> {
        pooled.f_linear(&self.weight, Some(&self.bias))
    }
}
