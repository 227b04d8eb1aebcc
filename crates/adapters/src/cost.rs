//! Multiply-adds of a forward pass, counted from shapes.
//!
//! One for each product that is added up in a matrix product, a convolution,
//! the gating of hidden units or outputs, and a scale with shift. Norms,
//! activations, softmaxes, pooling and the head are left out. With L tokens of
//! width D, feed-forward width H and any number of heads:
//!
//! ```text
//! backbone  blocks · (4 L D² + 2 L D H + 2 L² D) + patches · patch² · D
//! ```
//!
//! and per block and place of a method with width R, N experts, P slots each
//! (S = N P), K chosen experts:
//!
//! | method | multiply-adds |
//! | --- | --- |
//! | adapter | 2 L D R; convpass + 3 L R²; conformer 3 L D R + kernel · L R |
//! | Dense-MoA, stacked | L D N + 2 L D R N + L D N |
//! | Dense-MoA, fused | the same + L N R |
//! | Soft-MoA | 3 L D S + 2 S D R |
//! | Sparse-MoA | L D N + K L (2 D R + D) |
//! | LoRA | L R (in + out) for each map |
//! | prefix of M tokens | L M D |
//! | prompt of M tokens | the backbone's blocks on L + M tokens less those on L |
//! | SSF | L (7 D + H), and once patches · D |
//!
//! All of them follow from the definitions of the methods.

use ast_model::AstConfig;
use serde::{Deserialize, Serialize};

use crate::methods::Placement;
use crate::{
    AdapterConfig, Bottleneck, Expert, LoraConfig, MethodConfig, MixtureConfig, PromptConfig,
    SoftMoaConfig, SparseMoaConfig, SparseRouting,
};

/// Multiply-adds of the forward pass of one clip in evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiplyAdds {
    /// Of the backbone on the tokens it has without the method.
    pub backbone: u64,
    /// What the method adds, tokens that it puts into the sequence included.
    /// For Sparse-MoA that of the chosen experts alone, whatever form computes
    /// them.
    pub method: u64,
    /// What it would add in the stacked form, which computes the D outputs of
    /// every expert for every token and sums them up with their gates, zeros
    /// included: Dense- and Sparse-MoA have it.
    pub method_stacked: Option<u64>,
}

/// Counts the multiply-adds of `method` in every block of a backbone.
///
/// The method must be valid for the backbone
/// ([`MethodConfig::validate`]); figures of one that is not mean nothing.
pub fn multiply_adds(backbone: &AstConfig, method: &MethodConfig) -> MultiplyAdds {
    let shape = Shape::of(backbone);
    let blocks = backbone.num_hidden_layers as i64;
    let stacked = |mixture: &MixtureConfig| Some(blocks * shape.stacked(mixture));
    let (own, stacked) = match method {
        MethodConfig::Linear(_)
        | MethodConfig::Full(_)
        | MethodConfig::Bitfit(_)
        | MethodConfig::Layernorm(_) => (0, None),
        MethodConfig::Ssf(_) => (blocks * shape.ssf() + shape.patches * shape.d, None),
        MethodConfig::Prompt(config) => (blocks * shape.prompts(config), None),
        MethodConfig::Prefix(config) => (blocks * shape.l * config.tokens * shape.d, None),
        MethodConfig::Lora(config) => (blocks * shape.lora(config, backbone), None),
        MethodConfig::Adapter(config) => (blocks * shape.adapter(config), None),
        MethodConfig::DenseMoa(config) => (
            blocks * shape.fused(&config.mixture),
            stacked(&config.mixture),
        ),
        MethodConfig::SoftMoa(config) => (blocks * shape.soft(config), None),
        MethodConfig::SparseMoa(config) => {
            (blocks * shape.sparse(config), stacked(&config.mixture))
        }
    };
    let patch = backbone.patch_size * backbone.patch_size;
    let embedding = shape.patches * patch * shape.d;
    MultiplyAdds {
        backbone: (blocks * shape.block(shape.l) + embedding).max(0) as u64,
        method: own.max(0) as u64,
        method_stacked: stacked.map(|count| count.max(0) as u64),
    }
}

/// Lengths of the backbone's axes.
struct Shape {
    /// L
    l: i64,
    /// D
    d: i64,
    /// H
    h: i64,
    patches: i64,
}

impl Shape {
    fn of(backbone: &AstConfig) -> Self {
        Shape {
            l: backbone.tokens(),
            d: backbone.hidden_size,
            h: backbone.intermediate_size,
            patches: backbone.grid().patches(),
        }
    }

    /// One block of the backbone on `l` tokens.
    fn block(&self, l: i64) -> i64 {
        4 * l * self.d * self.d + 2 * l * self.d * self.h + 2 * l * l * self.d
    }

    fn ssf(&self) -> i64 {
        self.l * (7 * self.d + self.h)
    }

    fn prompts(&self, config: &PromptConfig) -> i64 {
        let removed = i64::from(!config.keep_distillation);
        self.block(self.l + config.prompts - removed) - self.block(self.l)
    }

    fn lora(&self, config: &LoraConfig, backbone: &AstConfig) -> i64 {
        let rank = config.rank.width(self.d);
        let maps = config.targets.list();
        let widths = maps.iter().map(|map| map.projection().widths(backbone));
        let map = |[input, output]: [i64; 2]| {
            let update = self.l * rank * (input + output);
            // The product U D, whose norms DoRA needs, and two gains a value.
            let magnitude = output * rank * input + 2 * self.l * output;
            update + if config.dora { magnitude } else { 0 }
        };
        widths.map(map).sum()
    }

    fn adapter(&self, config: &AdapterConfig) -> i64 {
        places(config.placement) * self.expert(&config.kind, config.bottleneck, self.l)
    }

    /// One expert on `rows` tokens or slots.
    fn expert(&self, kind: &Expert, bottleneck: Bottleneck, rows: i64) -> i64 {
        let r = bottleneck.width(self.d);
        let inner = match kind {
            Expert::Bottleneck => 2 * self.d * r,
            Expert::Convpass(config) => {
                let used = config.use_convolution.unwrap_or(true);
                2 * self.d * r + if used { 3 * r * r } else { 0 }
            }
            Expert::Conformer(config) => 3 * self.d * r + config.kernel * r,
        };
        rows * inner
    }

    /// Router and all experts of every place.
    fn all_experts(&self, mixture: &MixtureConfig) -> i64 {
        let experts = self.expert(&mixture.expert, mixture.bottleneck, self.l);
        mixture.experts * (self.l * self.d + experts)
    }

    fn stacked(&self, mixture: &MixtureConfig) -> i64 {
        let gating = self.l * self.d * mixture.experts;
        places(mixture.placement) * (self.all_experts(mixture) + gating)
    }

    /// The gates act on the hidden units, and on the biases as one more product.
    fn fused(&self, mixture: &MixtureConfig) -> i64 {
        let r = mixture.bottleneck.width(self.d);
        let gating = self.l * mixture.experts * (self.d + r);
        places(mixture.placement) * (self.all_experts(mixture) + gating)
    }

    fn soft(&self, config: &SoftMoaConfig) -> i64 {
        let mixture = &config.mixture;
        let slots = mixture.experts * config.slots;
        let routing = 3 * self.l * self.d * slots;
        let experts = self.expert(&mixture.expert, mixture.bottleneck, slots);
        places(mixture.placement) * (routing + experts)
    }

    fn sparse(&self, config: &SparseMoaConfig) -> i64 {
        let mixture = &config.mixture;
        // A convolution over the tokens needs all of them.
        let computed = match mixture.expert {
            Expert::Bottleneck => self.assignments(config),
            _ => self.l * mixture.experts,
        };
        let router = self.l * self.d * mixture.experts;
        let experts = self.expert(&mixture.expert, mixture.bottleneck, computed);
        let gating = self.assignments(config) * self.d;
        places(mixture.placement) * (router + experts + gating)
    }

    /// Pairs of a token and an expert that counts for it.
    fn assignments(&self, config: &SparseMoaConfig) -> i64 {
        let n = config.mixture.experts;
        match config.router {
            SparseRouting::TokenChoice => {
                let wanted = self.l * config.routing.k;
                let room = config.routing.capacity(self.l, n);
                room.map_or(wanted, |capacity| wanted.min(n * capacity))
            }
            SparseRouting::ExpertChoice => n * config.expert_choice.capacity(self.l, n),
            // The number that the penalty steers towards.
            SparseRouting::Relu => (self.l as f64 * config.relu.active).round() as i64,
        }
    }
}

/// Modules in a block.
fn places(placement: Placement) -> i64 {
    i64::from(placement.at_attention()) + i64::from(placement.at_ffn())
}
