//! From a checkpoint to a model: which tensors train, in which number format
//! the others are kept, and what is shared with a model that is there already.

use tch::{Kind, Tensor};

use crate::attention::{Attention, Qkv};
use crate::block::Block;
use crate::linear::{LayerNorm, Linear};
use crate::{AstConfig, AstError, AstModel, BindOptions, Checkpoint};

/// Clips of the batch that packed weights are laid out for.
const TYPICAL_BATCH: i64 = 8;

/// Takes tensors from the checkpoint in the form the run needs.
pub(crate) struct Binder<'a> {
    checkpoint: &'a Checkpoint,
    options: &'a BindOptions<'a>,
    /// The same checkpoint, bound in the same way with nothing trained.
    base: Option<&'a AstModel>,
    trained: Vec<(String, Tensor)>,
}

impl<'a> Binder<'a> {
    pub fn new(
        checkpoint: &'a Checkpoint,
        options: &'a BindOptions<'a>,
        base: Option<&'a AstModel>,
    ) -> Self {
        Binder {
            checkpoint,
            options,
            base,
            trained: Vec::new(),
        }
    }

    pub fn model(mut self) -> Result<AstModel, AstError> {
        let config = self.checkpoint.config.clone();
        self.options.patchout.validate(config.grid())?;
        let blocks = (0..config.num_hidden_layers)
            .map(|index| self.block(index, &config))
            .collect::<Result<_, _>>()?;
        let base = self.base;
        let projection = "embeddings.patch_embeddings.projection";
        Ok(AstModel {
            patch: [
                self.wide(&format!("{projection}.weight"), base.map(|b| &b.patch[0]))?,
                self.wide(&format!("{projection}.bias"), base.map(|b| &b.patch[1]))?,
            ],
            special: [
                self.wide("embeddings.cls_token", base.map(|b| &b.special[0]))?,
                self.wide("embeddings.distillation_token", base.map(|b| &b.special[1]))?,
            ],
            positions: self.wide("embeddings.position_embeddings", base.map(|b| &b.positions))?,
            blocks,
            layernorm: self.layernorm(
                "layernorm",
                config.layer_norm_eps,
                base.map(|b| &b.layernorm),
            )?,
            trained: self.trained,
            patchout: self.options.patchout,
            config,
        })
    }

    fn trains(&self, name: &str) -> bool {
        (self.options.trained)(name)
    }

    /// A tensor that stays f32 even when frozen.
    fn wide(&mut self, name: &str, shared: Option<&Tensor>) -> Result<Tensor, AstError> {
        match shared {
            Some(shared) if !self.trains(name) => Ok(shared.shallow_clone()),
            _ => self.tensor(name, Kind::Float),
        }
    }

    fn tensor(&mut self, name: &str, frozen_kind: Kind) -> Result<Tensor, AstError> {
        let stored = self.checkpoint.get(name);
        let device = self.options.device;
        if !self.trains(name) {
            return Ok(stored.f_to_device(device)?.f_to_kind(frozen_kind)?);
        }
        let leaf = stored
            .f_to_device(device)?
            .copy()
            .f_set_requires_grad(true)?;
        self.trained.push((name.to_owned(), leaf.shallow_clone()));
        Ok(leaf)
    }

    fn linear(&mut self, name: &str) -> Result<Linear, AstError> {
        let kind = self.options.precision.kind();
        Ok(Linear::plain(
            self.tensor(&format!("{name}.weight"), kind)?,
            self.tensor(&format!("{name}.bias"), kind)?,
        ))
    }

    /// Whether neither matrix nor bias of these maps trains.
    fn frozen(&self, names: &[String]) -> bool {
        let trains = |name: &String| {
            self.trains(&format!("{name}.weight")) || self.trains(&format!("{name}.bias"))
        };
        !names.iter().any(trains)
    }

    /// A map in its fastest layout, or the shared one.
    fn packed(
        &mut self,
        name: String,
        rows: i64,
        shared: Option<&Linear>,
    ) -> Result<Linear, AstError> {
        match shared {
            Some(shared) if self.frozen(std::slice::from_ref(&name)) => Ok(shared.shallow_clone()),
            _ => self.linear(&name)?.packed(rows),
        }
    }

    fn layernorm(
        &mut self,
        name: &str,
        eps: f64,
        shared: Option<&LayerNorm>,
    ) -> Result<LayerNorm, AstError> {
        Ok(LayerNorm {
            weight: self.wide(&format!("{name}.weight"), shared.map(|s| &s.weight))?,
            bias: self.wide(&format!("{name}.bias"), shared.map(|s| &s.bias))?,
            eps,
        })
    }

    fn qkv(
        &mut self,
        names: [String; 3],
        rows: i64,
        shared: Option<&Qkv>,
    ) -> Result<Qkv, AstError> {
        if let Some(shared) = shared
            && self.frozen(&names)
        {
            return Ok(shared.shallow_clone());
        }
        let [query, key, value] = &names;
        let three = [self.linear(query)?, self.linear(key)?, self.linear(value)?];
        Qkv::new(three, rows)
    }

    fn block(&mut self, index: usize, config: &AstConfig) -> Result<Block, AstError> {
        let at = |name: &str| format!("encoder.layer.{index}.{name}");
        let rows = TYPICAL_BATCH * config.tokens();
        let eps = config.layer_norm_eps;
        let base = self.base.map(|base| &base.blocks[index]);
        let qkv = ["query", "key", "value"].map(|name| at(&format!("attention.attention.{name}")));
        let qkv = self.qkv(qkv, rows, base.map(|b| &b.attention.qkv))?;
        Ok(Block {
            layernorm_before: self.layernorm(
                &at("layernorm_before"),
                eps,
                base.map(|b| &b.layernorm_before),
            )?,
            attention: Attention {
                qkv,
                output: self.packed(
                    at("attention.output.dense"),
                    rows,
                    base.map(|b| &b.attention.output),
                )?,
                heads: config.num_attention_heads,
            },
            layernorm_after: self.layernorm(
                &at("layernorm_after"),
                eps,
                base.map(|b| &b.layernorm_after),
            )?,
            intermediate: self.packed(
                at("intermediate.dense"),
                rows,
                base.map(|b| &b.intermediate),
            )?,
            output: self.packed(at("output.dense"), rows, base.map(|b| &b.output))?,
        })
    }
}
