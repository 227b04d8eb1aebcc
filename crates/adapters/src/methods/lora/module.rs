//! The low-rank updates of all blocks as an extension of the backbone.

use std::collections::HashMap;

use ast_model::{AstConfig, Checkpoint, Context, Extension, HookError, Projection};
use tch::{Kind, Tensor, no_grad};

use super::LoraConfig;
use crate::parameters::{Parameters, SIGMA};
use crate::{AdapterError, AdapterInit};

/// Updates of the chosen maps in every block.
pub(super) struct Lora {
    scale: f64,
    blocks: Vec<HashMap<Projection, Update>>,
    changed: Vec<Projection>,
}

/// The update of one map.
struct Update {
    /// D [R, in]
    down: Tensor,
    /// U [out, R]
    up: Tensor,
    magnitude: Option<Magnitude>,
}

/// What DoRA adds: y = m ∘ (W + s U D) x / ‖W + s U D‖ + b with one norm a row.
/// The norm counts as a constant in the backward pass (section 4.3 of the
/// paper).
struct Magnitude {
    /// m [out], trained, at first the norms of the rows of W.
    m: Tensor,
    /// W [out, in], frozen.
    weight: Tensor,
    /// b [out], frozen.
    bias: Tensor,
}

impl Lora {
    pub fn new(
        config: &LoraConfig,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Self, AdapterError> {
        let shape = &checkpoint.config;
        let targets = config.targets.list();
        let changed: Vec<Projection> = targets.iter().map(|t| t.projection()).collect();
        let blocks = (0..shape.num_hidden_layers)
            .map(|block| {
                changed
                    .iter()
                    .map(|&map| {
                        let name = format!("encoder.layer.{block}.{}", map.module());
                        let mut update = Update::new(&name, map, config, shape, parameters);
                        if config.dora {
                            update.magnitude = Some(Magnitude::new(&name, checkpoint, parameters)?);
                        }
                        Ok((map, update))
                    })
                    .collect()
            })
            .collect::<Result<_, AdapterError>>()?;
        Ok(Lora {
            scale: config.scale(shape.hidden_size),
            blocks,
            changed,
        })
    }
}

impl Update {
    fn new(
        name: &str,
        map: Projection,
        config: &LoraConfig,
        shape: &AstConfig,
        parameters: &mut Parameters,
    ) -> Self {
        let [input, output] = map.widths(shape);
        let rank = config.rank.width(shape.hidden_size);
        let (down, up) = (format!("{name}.lora_down"), format!("{name}.lora_up"));
        let (down, up) = match config.init.unwrap_or_default() {
            AdapterInit::Paper => (
                parameters.normal(down, &[rank, input], SIGMA),
                parameters.normal(up, &[output, rank], SIGMA),
            ),
            AdapterInit::ZeroUp => (
                // Kaiming-uniform with slope √5.
                parameters.uniform(down, &[rank, input], 1.0 / (input as f64).sqrt()),
                parameters.constant(up, &[output, rank], 0.0),
            ),
        };
        Update {
            down,
            up,
            magnitude: None,
        }
    }

    /// The projection's output with the update.
    fn apply(&self, x: &Tensor, output: Tensor, scale: f64) -> Result<Tensor, HookError> {
        let hidden = x
            .to_kind(Kind::Float)
            .f_linear(&self.down, None::<&Tensor>)?
            * scale;
        let change = hidden.f_linear(&self.up, None::<&Tensor>)?;
        let kind = output.kind();
        let Some(magnitude) = &self.magnitude else {
            return Ok((output + change).to_kind(kind));
        };
        let gain = magnitude.gain(&self.up, &self.down, scale)?;
        let plain = &output - magnitude.bias.to_kind(kind);
        Ok((output + plain * (&gain - 1.0) + change * gain).to_kind(kind))
    }
}

impl Magnitude {
    fn new(
        name: &str,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Self, AdapterError> {
        let frozen = |part: &str| {
            checkpoint.tensors()[&format!("{name}.{part}")].f_to_device(parameters.device())
        };
        let (weight, bias) = (frozen("weight")?, frozen("bias")?);
        let norms = row_norms(&weight)?;
        Ok(Magnitude {
            m: parameters.given(format!("{name}.dora_magnitude"), &norms),
            weight,
            bias,
        })
    }

    /// m / ‖W + s U D‖ for every row, exactly 1 at the start.
    fn gain(&self, up: &Tensor, down: &Tensor, scale: f64) -> Result<Tensor, HookError> {
        let norms = no_grad(|| row_norms(&(&self.weight + up.f_matmul(down)? * scale)))?;
        Ok(&self.m / norms)
    }
}

/// ‖row‖ of a matrix: [out, in] → [out], never quite zero.
fn row_norms(matrix: &Tensor) -> Result<Tensor, tch::TchError> {
    let over_inputs: &[i64] = &[1];
    let norms = matrix.f_norm_scalaropt_dim(2.0, over_inputs, false)?;
    norms.f_clamp_min(f64::from(f32::MIN_POSITIVE))
}

impl Extension for Lora {
    fn changes(&self, projection: Projection) -> bool {
        self.changed.contains(&projection)
    }

    fn project(
        &self,
        context: &Context,
        projection: Projection,
        input: &Tensor,
        output: Tensor,
    ) -> Result<Tensor, HookError> {
        let block = self.blocks.get(context.block);
        match block.and_then(|updates| updates.get(&projection)) {
            Some(update) => update.apply(input, output, self.scale),
            None => Ok(output),
        }
    }
}
