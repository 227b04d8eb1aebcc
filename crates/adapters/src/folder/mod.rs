//! The adapter folder: everything that was trained, and what it belongs to.

use ast_model::{Pooling, Positions, Precision};
use serde::{Deserialize, Serialize};

use crate::{Compat, Head, MethodConfig};

mod load;
mod save;
mod stored;

pub use load::{describe, load, load_beside};
pub use save::save;

/// Version of the folder's layout that [`save`] writes. [`load`] reads this and
/// every earlier one.
///
/// - 1: the description without `weights_sha256`, `head` and `first_block`.
/// - 2: with them.
pub const FORMAT_VERSION: u32 = 2;

/// What an adapter is and what it belongs to: `adapter_config.json`.
///
/// The file also holds `weights_sha256`, the SHA-256 of
/// `adapter_model.safetensors`, which [`save`] writes and [`load`] checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterDescription {
    /// Version of the layout; [`save`] writes [`FORMAT_VERSION`] whatever
    /// stands here.
    pub format_version: u32,
    /// The method with all its hyper-parameters.
    pub method: MethodConfig,
    /// Which behaviour of the authors' program the method was set to.
    pub compat: Compat,
    /// [`Checkpoint::fingerprint`](ast_model::Checkpoint::fingerprint) of the
    /// backbone, cut to its blocks and adapted to the input length.
    pub backbone_fingerprint: String,
    /// What the backbone is, in words.
    pub backbone: String,
    /// How many of the backbone's first blocks are used.
    pub blocks: usize,
    /// Steps between patches along frequency (mel bins) and time (frames).
    pub strides: [i64; 2],
    /// Number format of the frozen matrices in training.
    pub precision: Precision,
    /// Frames T of one input.
    pub max_length: i64,
    /// How the position embeddings were adapted to `max_length`.
    pub positions: Positions,
    /// From tokens to one vector per clip.
    pub pooling: Pooling,
    /// From that vector to class scores. In version 1 always linear.
    #[serde(default)]
    pub head: Head,
    /// The first block in which the method acts. In version 1 always 0.
    #[serde(default)]
    pub first_block: usize,
    /// Whether padded frames are left out of pooling and routing. Not written
    /// where they are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mask_padding: bool,
    /// Names of the C classes, in the order of the logits.
    pub labels: Vec<String>,
    /// Settings of the front end, as the program that trained wrote them.
    pub features: serde_json::Value,
}
