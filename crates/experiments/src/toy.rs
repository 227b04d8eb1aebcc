//! A model and clips small enough for unit tests.

use adapters::{AdaptOptions, AdaptedModel, Bottleneck, ConformerExpert, Expert, MethodConfig};
use ast_model::{AstConfig, Checkpoint, Precision};
use tch::Device;

use crate::clips::Clips;

/// Frames and mel bins of a toy clip.
pub const SHAPE: [usize; 2] = [32, 128];

/// An adapter with a convolution and a BatchNorm, for [`model`].
pub const CONFORMER: &str = "conformer";

/// One block of width 32 with random weights, and a method on it. Beside the
/// methods of the registry there are [`CONFORMER`] and `late`, an adapter in
/// the second of two blocks.
pub fn model(name: &str, classes: usize) -> AdaptedModel {
    in_precision(name, classes, Precision::F32)
}

/// [`model`] with frozen matrices of this precision.
pub fn in_precision(name: &str, classes: usize, precision: Precision) -> AdaptedModel {
    let late = name == "late";
    let adapter = late || name == CONFORMER;
    let mut method = MethodConfig::named(if adapter { "adapter" } else { name }).unwrap();
    let bottleneck = Bottleneck::Width(4);
    match &mut method {
        MethodConfig::Adapter(config) => {
            config.bottleneck = bottleneck;
            if name == CONFORMER {
                config.kind = Expert::Conformer(ConformerExpert {
                    kernel: 3,
                    ..ConformerExpert::default()
                });
            }
        }
        MethodConfig::SoftMoa(config) => config.mixture.bottleneck = bottleneck,
        MethodConfig::SparseMoa(config) => config.mixture.bottleneck = bottleneck,
        _ => {}
    }
    on_blocks(if late { 2 } else { 1 }, &method, classes, precision)
}

/// One block with a method that is given with its settings.
pub fn with_method(method: &MethodConfig, classes: usize) -> AdaptedModel {
    on_blocks(1, method, classes, Precision::F32)
}

/// The method in the last of `blocks` blocks.
fn on_blocks(
    blocks: usize,
    method: &MethodConfig,
    classes: usize,
    precision: Precision,
) -> AdaptedModel {
    let shape = AstConfig {
        hidden_size: 32,
        num_hidden_layers: blocks,
        num_attention_heads: 2,
        intermediate_size: 64,
        frequency_stride: 16,
        time_stride: 16,
        max_length: SHAPE[0] as i64,
        ..AstConfig::base()
    };
    let backbone = Checkpoint::random(&shape, 7).unwrap();
    let options = AdaptOptions {
        first_block: blocks - 1,
        precision,
        ..AdaptOptions::new(classes as i64)
    };
    AdaptedModel::new(&backbone, method, &options).unwrap()
}

/// Clips that any model can tell apart: class c has stripes of 2^c mel bins,
/// fewer than a patch is high; clips of a class differ in loudness.
pub fn separable(labels: &[i64]) -> Clips {
    mislabelled(labels, labels)
}

/// Clips that sound like the classes `sounds` and carry the labels `labels`.
pub fn mislabelled(sounds: &[i64], labels: &[i64]) -> Clips {
    let [frames, bins] = SHAPE;
    let mut features = Vec::with_capacity(sounds.len() * frames * bins);
    for (index, &class) in sounds.iter().enumerate() {
        let loud = 1.0 + 0.05 * index as f32;
        for cell in 0..frames * bins {
            let stripe = (cell % bins) >> class;
            features.push(if stripe % 2 == 0 { loud } else { -loud });
        }
    }
    Clips::new(features, labels.to_vec(), SHAPE, Device::Cpu).unwrap()
}
