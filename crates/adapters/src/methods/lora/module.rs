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
/// paper). Its matrix in f32 shares memory with the checkpoint on the CPU; on
/// another device it is a copy beside the backbone's own.
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
        let first = parameters.first_block();
        let blocks = (0..shape.num_hidden_layers)
            .map(|block| {
                let here: &[Projection] = if block < first { &[] } else { &changed };
                here.iter()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoraScaling, LoraTargets};
    use ast_model::{Step, init};
    use tch::Device;

    fn tiny() -> Checkpoint {
        let config = AstConfig {
            hidden_size: 8,
            num_attention_heads: 2,
            intermediate_size: 12,
            num_hidden_layers: 1,
            max_length: 16,
            ..AstConfig::base()
        };
        Checkpoint::random(&config, 4).unwrap()
    }

    fn drawn(name: &str, shape: &[i64]) -> Tensor {
        init::normal(7, name, shape, 0.5)
    }

    /// With and without magnitudes, on a map that is not square.
    #[test]
    fn an_update_is_that_of_the_written_out_matrix() {
        let checkpoint = tiny();
        let map = Projection::Intermediate;
        let frozen = |part: &str| {
            let name = format!("encoder.layer.0.{}.{part}", map.module());
            checkpoint.tensors()[&name].shallow_clone()
        };
        let (weight, bias) = (frozen("weight"), frozen("bias") + 0.3);
        for dora in [false, true] {
            let config = LoraConfig {
                targets: LoraTargets::Each(vec![crate::LoraTarget::Intermediate]),
                rank: crate::Bottleneck::Width(3),
                alpha: 6.0,
                scaling: LoraScaling::AlphaOverRank,
                dora,
                init: None,
            };
            let mut parameters = Parameters::new(1, Device::Cpu);
            let mut lora = Lora::new(&config, &checkpoint, &mut parameters).unwrap();
            let update = lora.blocks[0].get_mut(&map).unwrap();
            if let Some(magnitude) = &mut update.magnitude {
                magnitude.bias = bias.shallow_clone();
            }
            let (trained, _) = parameters.into_lists();
            no_grad(|| {
                for (name, tensor) in &trained {
                    let _ = tensor.shallow_clone().g_add_(&drawn(name, &tensor.size()));
                }
            });
            let update = &lora.blocks[0][&map];

            let mut merged = &weight + update.up.matmul(&update.down) * 2.0;
            if let Some(magnitude) = &update.magnitude {
                let norms = merged.square().sum_dim_intlist(1, true, Kind::Float).sqrt();
                merged = merged / norms * magnitude.m.unsqueeze(1);
            }
            let x = drawn("x", &[2, 5, 8]);
            let expected = x.linear(&merged, Some(&bias));
            let step = Step::evaluation();
            let context = Context {
                block: 0,
                grid: None,
                step: &step,
            };
            let plain = x.linear(&weight, Some(&bias));
            let found = lora.project(&context, map, &x, plain).unwrap();
            let error = (&found - &expected).abs().max().double_value(&[]);
            assert!(error < 1e-5, "dora {dora}: {error}");
            assert_eq!(trained.len(), if dora { 3 } else { 2 });
        }
    }
}
