//! The adapters of all blocks as an extension of the backbone.

use ast_model::{AstConfig, Branch, Context, Extension, HookError, SubLayer};
use moe_routing::ExpertBank;
use tch::Tensor;

use super::{AdapterConfig, Insertion, Position};
use crate::methods::draws::StepDraws;
use crate::methods::placement::{PerBlock, per_block};
use crate::parameters::Parameters;

/// Adapters of every block in which the method acts.
pub(crate) struct Adapters {
    attention: PerBlock<ExpertBank>,
    ffn: PerBlock<ExpertBank>,
    insertion: Insertion,
    position: Position,
    residual: bool,
}

pub(crate) fn build(
    config: &AdapterConfig,
    backbone: &AstConfig,
    parameters: &mut Parameters,
) -> Adapters {
    let d = backbone.hidden_size;
    let shape = [1, d, config.bottleneck.width(d)];
    let init = config.init.unwrap_or_default();
    let first = parameters.first_block();
    let mut make = |name: &str| config.kind.bank(name, shape, init, parameters);
    let placement = config.placement;
    Adapters {
        attention: per_block(
            backbone,
            first,
            placement.at_attention(),
            "adapter_mhsa",
            &mut make,
        ),
        ffn: per_block(
            backbone,
            first,
            placement.at_ffn(),
            "adapter_ffn",
            &mut make,
        ),
        insertion: config.insertion,
        position: config.position(),
        residual: config.residual(),
    }
}

impl Adapters {
    /// What is added to the residual stream at one sub-layer: the table of
    /// [`AdapterConfig`].
    fn around(
        &self,
        adapter: impl Fn(&Tensor) -> Result<Tensor, HookError>,
        n: &Tensor,
        sub_layer: &SubLayer,
    ) -> Result<Tensor, HookError> {
        if (self.insertion, self.position) == (Insertion::Sequential, Position::Before) {
            let adapted = adapter(n)?;
            return Ok(sub_layer(&adapted)? + adapted);
        }
        let s = sub_layer(n)?;
        let input = match self.position {
            Position::Before => n,
            Position::After => &s,
        };
        let mut output = adapter(input)?;
        if self.residual {
            output += input;
        }
        Ok(match self.insertion {
            Insertion::Parallel => s + output,
            Insertion::Sequential => output,
        })
    }

    /// The sub-layer with the adapter of one place, if there is one.
    fn at(
        &self,
        place: &str,
        adapters: &PerBlock<ExpertBank>,
        context: &Context,
        n: &Tensor,
        sub_layer: &SubLayer,
    ) -> Result<Tensor, HookError> {
        let Some(bank) = adapters.get(context.block) else {
            return sub_layer(n);
        };
        let draws = StepDraws::new(context, place);
        let adapter = |x: &Tensor| Ok(bank.forward_single(x, draws.train())?);
        self.around(adapter, n, sub_layer)
    }
}

impl Extension for Adapters {
    fn around_attention(
        &self,
        context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        let output = self.at("adapter_mhsa", &self.attention, context, n1, attention)?;
        Ok(Branch {
            output,
            carry: None,
        })
    }

    fn around_ffn(
        &self,
        context: &Context,
        n2: &Tensor,
        _carry: Option<Tensor>,
        ffn: &SubLayer,
    ) -> Result<Tensor, HookError> {
        self.at("adapter_ffn", &self.ffn, context, n2, ffn)
    }
}
