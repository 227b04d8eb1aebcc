//! From what the encoder made of the visible patches to all hidden ones.

use std::f64::consts::TAU;

use ast_model::{
    AstConfig, AstError, AstModel, BindOptions, Checkpoint, Hidden, NoExtension, SPECIAL_TOKENS,
    Step, init,
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use super::masking::{Masks, pick};

/// A small transformer that is thrown away after pretraining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderConfig {
    /// Width of its tokens. Default 192.
    pub width: i64,
    /// Blocks. Default 2.
    pub blocks: usize,
    /// Attention heads. Default 3.
    pub heads: i64,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig {
            width: 192,
            blocks: 2,
            heads: 3,
        }
    }
}

/// The decoder of a masked autoencoder (He et al. 2022, arXiv 2111.06377;
/// Huang et al. 2022, arXiv 2207.06405, for spectrograms): visible tokens mapped
/// to its width, one trained mask token in every hidden place, fixed positions,
/// blocks, a linear map to the values of a patch.
pub(super) struct Decoder {
    embed: [Tensor; 2],
    mask_token: Tensor,
    positions: Tensor,
    blocks: AstModel,
    output: [Tensor; 2],
    trained: Vec<(String, Tensor)>,
}

impl Decoder {
    /// A fresh one for a backbone of this shape.
    pub fn new(
        config: &DecoderConfig,
        backbone: &AstConfig,
        seed: u64,
        device: Device,
    ) -> Result<Self, AstError> {
        let (wide, width) = (backbone.hidden_size, config.width);
        let shape = AstConfig {
            hidden_size: width,
            num_hidden_layers: config.blocks,
            num_attention_heads: config.heads,
            intermediate_size: 4 * width,
            ..backbone.clone()
        };
        let checkpoint = Checkpoint::random(&shape, seed)?;
        let trains = |name: &str| !name.starts_with("embeddings.");
        let options = BindOptions {
            trained: &trains,
            device,
            ..BindOptions::frozen()
        };
        let blocks = AstModel::bind(&checkpoint, &options)?;
        let mut trained = Vec::new();
        let mut leaf = |name: &str, shape: &[i64], sigma: f64| -> Result<Tensor, AstError> {
            let name = format!("decoder.{name}");
            let value = init::normal(seed, &name, shape, sigma);
            let value = value.to_device(device).f_set_requires_grad(true)?;
            trained.push((name, value.shallow_clone()));
            Ok(value)
        };
        let values = backbone.patch_size * backbone.patch_size;
        let embed = [
            leaf("embed.weight", &[width, wide], 0.02)?,
            leaf("embed.bias", &[width], 0.0)?,
        ];
        let mask_token = leaf("mask_token", &[1, 1, width], 0.02)?;
        let output = [
            leaf("output.weight", &[values, width], 0.02)?,
            leaf("output.bias", &[values], 0.0)?,
        ];
        let own = blocks.trained().iter();
        trained
            .extend(own.map(|(name, tensor)| (format!("decoder.{name}"), tensor.shallow_clone())));
        let grid = backbone.grid();
        Ok(Decoder {
            embed,
            mask_token,
            positions: positions([grid.frequency, grid.time], width)?.to_device(device),
            blocks,
            output,
            trained,
        })
    }

    pub fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
    }

    /// What the hidden patches are told to be.
    ///
    /// # Shapes
    /// `tokens` [B, 2 + K, D] → [B, P - K, size²]
    pub fn forward(&self, tokens: &Tensor, masks: &Masks, step: &Step) -> Result<Tensor, AstError> {
        let [weight, bias] = &self.embed;
        let tokens = tokens.f_linear(weight, Some(bias))?;
        let (clips, width) = (tokens.size()[0], tokens.size()[2]);
        let special = tokens.f_narrow(1, 0, SPECIAL_TOKENS)?;
        let seen = tokens.f_narrow(1, SPECIAL_TOKENS, tokens.size()[1] - SPECIAL_TOKENS)?;
        let patches = self.positions.size()[1];
        let empty = self.mask_token.f_expand([clips, patches, width], false)?;
        let places = masks.visible.f_unsqueeze(-1)?;
        let places = places.f_expand([-1, -1, width], false)?;
        let whole = empty.f_scatter(1, &places, &seen)?;
        let whole = whole.f_add(&self.positions)?;
        let sequence = Tensor::f_cat(&[special, whole], 1)?;
        let hidden = Hidden::resumed(sequence, None, 0);
        let decoded = self.blocks.finish(hidden, &NoExtension, step)?;
        let patches = decoded.f_narrow(1, SPECIAL_TOKENS, patches)?;
        let [weight, bias] = &self.output;
        Ok(pick(&patches, &masks.hidden)?.f_linear(weight, Some(bias))?)
    }
}

/// Fixed sine and cosine positions of a grid: half of the width for the row, half
/// for the column, wavelengths 2π to 10,000 · 2π.
///
/// # Shapes
/// [1, rows · columns, width]
fn positions([rows, columns]: [i64; 2], width: i64) -> Result<Tensor, TchError> {
    let quarter = width / 4;
    let mut values = Vec::with_capacity((rows * columns * width) as usize);
    for row in 0..rows {
        for column in 0..columns {
            let start = values.len();
            for place in [row, column] {
                let angle = |i: i64| place as f64 / 10_000f64.powf(i as f64 / quarter as f64);
                values.extend((0..quarter).map(|i| angle(i).rem_euclid(TAU).sin() as f32));
                values.extend((0..quarter).map(|i| angle(i).rem_euclid(TAU).cos() as f32));
            }
            values.resize(start + width as usize, 0.0);
        }
    }
    Tensor::f_from_slice(&values)?
        .f_reshape([1, rows * columns, width])?
        .f_to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_grid_has_a_position_of_its_own() {
        let table = positions([8, 7], 32).unwrap();
        assert_eq!(table.size(), [1, 56, 32]);
        let rows: Vec<Vec<f32>> = Vec::try_from(table.squeeze()).unwrap();
        for (i, a) in rows.iter().enumerate() {
            let far = |b: &Vec<f32>| a.iter().zip(b).any(|(x, y)| (x - y).abs() > 1e-3);
            assert!(rows[..i].iter().all(far), "{i}");
        }
    }

    #[test]
    fn hidden_patches_are_told_from_visible_tokens_alone() {
        let shape = AstConfig {
            num_hidden_layers: 1,
            max_length: 32,
            frequency_stride: 16,
            time_stride: 16,
            ..AstConfig::tiny()
        };
        let config = DecoderConfig {
            width: 24,
            blocks: 1,
            heads: 2,
        };
        let decoder = Decoder::new(&config, &shape, 1, Device::Cpu).unwrap();
        let name = |clip: i64| format!("clip {clip}");
        let masks = Masks::draw(5, 3, 16, 0.75, &name).unwrap();
        let tokens = init::normal(2, "tokens", &[3, 2 + 4, 192], 1.0);
        let told = |tokens: &Tensor| {
            let step = Step::evaluation();
            decoder.forward(tokens, &masks, &step).unwrap()
        };
        let first = told(&tokens);
        assert_eq!(first.size(), [3, 12, 256]);
        let other = tokens.copy();
        let _ = other.get(1).fill_(0.5);
        let second = told(&other);
        assert!(second.get(0).allclose(&first.get(0), 1e-5, 1e-6, false));
        assert!(!second.get(1).allclose(&first.get(1), 1e-5, 1e-6, false));
    }
}
