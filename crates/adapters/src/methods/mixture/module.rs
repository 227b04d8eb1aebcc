//! Mixtures of adapters in every block as an extension of the backbone.

use ast_model::{AstConfig, Branch, Context, Extension, HookError, SubLayer};
use moe_routing::{LossWeights, MoaLayer, RouteOptions, Router};
use tch::Tensor;

use super::MixtureConfig;
use crate::MixtureUse;
use crate::methods::draws::StepDraws;
use crate::methods::placement::{PerBlock, per_block};
use crate::parameters::Parameters;

/// Names of the mixtures of a block.
const MHSA: &str = "moa_mhsa";
const FFN: &str = "moa_ffn";

/// Mixtures of every block in which the method acts.
pub(crate) struct Mixture {
    attention: PerBlock<MoaLayer>,
    ffn: PerBlock<MoaLayer>,
    add_twice: bool,
    weights: LossWeights,
}

/// Creates experts and routers; `router` makes the router of one mixture from
/// its name.
pub(crate) fn build(
    config: &MixtureConfig,
    backbone: &AstConfig,
    weights: LossWeights,
    parameters: &mut Parameters,
    router: impl Fn(&str, &mut Parameters) -> Box<dyn Router>,
) -> Mixture {
    let d = backbone.hidden_size;
    let shape = [config.experts, d, config.bottleneck.width(d)];
    let first = parameters.first_block();
    let mut make = |name: &str| MoaLayer {
        bank: config
            .expert
            .bank(name, shape, config.init.unwrap_or_default(), parameters),
        router: router(name, parameters),
    };
    let placement = config.placement;
    Mixture {
        attention: per_block(backbone, first, placement.at_attention(), MHSA, &mut make),
        ffn: per_block(backbone, first, placement.at_ffn(), FFN, &mut make),
        add_twice: config.add_twice.unwrap_or(false),
        weights,
    }
}

impl Mixture {
    /// The output of one mixture; its auxiliary losses go to the step.
    fn mix(
        &self,
        layer: &MoaLayer,
        place: &str,
        n: &Tensor,
        context: &Context,
    ) -> Result<Tensor, HookError> {
        let draws = StepDraws::new(context, place);
        let mask = context.step.token_mask(n);
        let options = RouteOptions {
            metrics: context.step.is_watched(),
            losses: self.weights.any() && context.step.train,
            slots: false,
            train: draws.train(),
            mask: mask.as_ref(),
        };
        let mixed = layer.forward(n, options)?;
        if let Some(loss) = mixed
            .losses
            .and_then(|losses| losses.weighted(&self.weights))
        {
            // Averaged over the mixtures that there are, so that the weights do not
            // depend on their number.
            let layers = (self.attention.len() + self.ffn.len()) as f64;
            context.step.add_loss(loss / layers);
        }
        if let (Some(metrics), Some(shares)) = (mixed.metrics, mixed.shares) {
            context.step.show(Box::new(MixtureUse {
                name: format!("encoder.layer.{}.{place}", context.block),
                block: context.block,
                usage_per_clip: metrics.usage_per_clip,
                drop_rate: metrics.drop_rate,
                shares,
            }));
        }
        Ok(mixed.y)
    }
}

impl Extension for Mixture {
    /// x̂ = x + Attn(n₁) + MoA(n₁)
    fn around_attention(
        &self,
        context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        let output = attention(n1)?;
        let Some(layer) = self.attention.get(context.block) else {
            return Ok(Branch {
                output,
                carry: None,
            });
        };
        let mixed = self.mix(layer, MHSA, n1, context)?;
        let carry = self.add_twice.then(|| mixed.shallow_clone());
        Ok(Branch {
            output: output + mixed,
            carry,
        })
    }

    /// y = x̂ + FFN(n₂) + MoA(n₂)
    fn around_ffn(
        &self,
        context: &Context,
        n2: &Tensor,
        carry: Option<Tensor>,
        ffn: &SubLayer,
    ) -> Result<Tensor, HookError> {
        let output = ffn(n2)?;
        let output = match self.ffn.get(context.block) {
            Some(layer) => output + self.mix(layer, FFN, n2, context)?,
            None => output,
        };
        Ok(match carry {
            Some(again) => output + again,
            None => output,
        })
    }
}
