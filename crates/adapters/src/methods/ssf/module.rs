//! The scales and shifts of all blocks as an extension of the backbone.

use ast_model::{AstConfig, Branch, Context, Extension, HookError, Projection, SubLayer};
use tch::{Kind, Tensor};

use crate::AdapterInit;
use crate::parameters::{Parameters, SIGMA};

/// One scale and shift.
struct Affine {
    /// γ [width]
    scale: Tensor,
    /// β [width]
    shift: Tensor,
}

/// Those of one block.
struct Block {
    before_attention: Affine,
    before_ffn: Affine,
    /// In the order of [`Projection::ALL`].
    maps: Vec<Affine>,
}

/// Those of the whole backbone.
pub(super) struct Ssf {
    patches: Affine,
    blocks: Vec<Block>,
}

impl Affine {
    fn new(name: &str, width: i64, init: AdapterInit, parameters: &mut Parameters) -> Self {
        let (scale, shift) = (format!("{name}.ssf_scale"), format!("{name}.ssf_shift"));
        match init {
            AdapterInit::Paper => Affine {
                scale: parameters.normal_around(scale, &[width], 1.0, SIGMA),
                shift: parameters.normal(shift, &[width], SIGMA),
            },
            AdapterInit::ZeroUp => Affine {
                scale: parameters.constant(scale, &[width], 1.0),
                shift: parameters.constant(shift, &[width], 0.0),
            },
        }
    }

    /// γ ∘ x + β over the last axis, in the kind of `x`.
    fn apply(&self, x: &Tensor) -> Result<Tensor, HookError> {
        let wide = x.to_kind(Kind::Float);
        Ok(self.shift.f_addcmul(&wide, &self.scale)?.to_kind(x.kind()))
    }
}

impl Ssf {
    pub fn new(init: AdapterInit, backbone: &AstConfig, parameters: &mut Parameters) -> Self {
        let d = backbone.hidden_size;
        let patches = "embeddings.patch_embeddings.projection";
        Ssf {
            patches: Affine::new(patches, d, init, parameters),
            blocks: (0..backbone.num_hidden_layers)
                .map(|block| {
                    let mut at = |module: &str, width| {
                        let name = format!("encoder.layer.{block}.{module}");
                        Affine::new(&name, width, init, parameters)
                    };
                    Block {
                        before_attention: at("layernorm_before", d),
                        before_ffn: at("layernorm_after", d),
                        maps: Projection::ALL
                            .iter()
                            .map(|map| at(map.module(), map.widths(backbone)[1]))
                            .collect(),
                    }
                })
                .collect(),
        }
    }

    fn block(&self, context: &Context) -> Result<&Block, HookError> {
        let found = self.blocks.get(context.block);
        found.ok_or_else(|| "the backbone has more blocks than it was made for".into())
    }
}

impl Extension for Ssf {
    fn patches(&self, _context: &Context, patches: Tensor) -> Result<Tensor, HookError> {
        self.patches.apply(&patches)
    }

    fn around_attention(
        &self,
        context: &Context,
        n1: &Tensor,
        attention: &SubLayer,
    ) -> Result<Branch, HookError> {
        let n1 = self.block(context)?.before_attention.apply(n1)?;
        Ok(Branch {
            output: attention(&n1)?,
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
        ffn(&self.block(context)?.before_ffn.apply(n2)?)
    }

    fn changes(&self, _projection: Projection) -> bool {
        true
    }

    fn project(
        &self,
        context: &Context,
        projection: Projection,
        _input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        self.block(context)?.maps[projection as usize].apply(&output)
    }
}
