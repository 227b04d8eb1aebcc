//! The adapters of all blocks as an extension of the backbone.

use ast_model::{AstConfig, Branch, Context, Extension, HookError, SubLayer};
use moe_routing::ExpertBank;
use tch::Tensor;

use super::{AdapterConfig, Insertion};
use crate::methods::mixture::bottleneck_bank;
use crate::methods::placement::per_block;
use crate::parameters::Parameters;

/// Adapters of every block.
pub(crate) struct Adapters {
    attention: Vec<ExpertBank>,
    ffn: Vec<ExpertBank>,
    insertion: Insertion,
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
    let mut make = |name: &str| bottleneck_bank(name, shape, init, parameters);
    let placement = config.placement;
    Adapters {
        attention: per_block(
            backbone,
            placement.at_attention(),
            "adapter_mhsa",
            &mut make,
        ),
        ffn: per_block(backbone, placement.at_ffn(), "adapter_ffn", &mut make),
        insertion: config.insertion,
        residual: config.residual,
    }
}

impl Adapters {
    /// What is added to the residual stream at one sub-layer.
    fn around(
        &self,
        adapter: Option<&ExpertBank>,
        n: &Tensor,
        sub_layer: &SubLayer,
    ) -> Result<Tensor, HookError> {
        let s = sub_layer(n)?;
        let Some(adapter) = adapter else { return Ok(s) };
        let input = match self.insertion {
            Insertion::Parallel => n,
            Insertion::Sequential => &s,
        };
        let mut output = adapter.forward_single(input, None)?;
        if self.residual {
            output += input;
        }
        Ok(match self.insertion {
            Insertion::Parallel => s + output,
            Insertion::Sequential => output,
        })
    }
}

impl Extension for Adapters {
    fn around_attention(
        &self,
        context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        let output = self.around(self.attention.get(context.block), n1, attention)?;
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
        self.around(self.ffn.get(context.block), n2, ffn)
    }
}
