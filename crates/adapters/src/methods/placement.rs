//! Where adapters sit in a block.

use ast_model::AstConfig;
use serde::{Deserialize, Serialize};

/// Where in every block an adapter or a mixture sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// One, at the attention sub-layer (MHSA).
    PfeifferMhsa,
    /// One, at the feed-forward sub-layer (FFN).
    PfeifferFfn,
    /// Two, one at each sub-layer.
    Houlsby,
}

impl Placement {
    /// Whether one sits at the attention sub-layer.
    pub fn at_attention(self) -> bool {
        self != Placement::PfeifferFfn
    }

    /// Whether one sits at the feed-forward sub-layer.
    pub fn at_ffn(self) -> bool {
        self != Placement::PfeifferMhsa
    }

    /// The block LayerNorm before each place trains with it.
    pub(crate) fn trains(self, name: &str) -> bool {
        (self.at_attention() && name.contains(".layernorm_before."))
            || (self.at_ffn() && name.contains(".layernorm_after."))
    }
}

/// One module for every block from `first` on where `wanted`, else none. `make`
/// gets the name under which the module's tensors go:
/// `encoder.layer.BLOCK.KIND`.
pub(crate) fn per_block<T>(
    backbone: &AstConfig,
    first: usize,
    wanted: bool,
    kind: &str,
    mut make: impl FnMut(&str) -> T,
) -> PerBlock<T> {
    let blocks = if wanted {
        first..backbone.num_hidden_layers
    } else {
        0..0
    };
    PerBlock {
        first,
        modules: blocks
            .map(|block| make(&format!("encoder.layer.{block}.{kind}")))
            .collect(),
    }
}

/// The modules of one kind, one for each block in which the method acts.
#[derive(Debug)]
pub(crate) struct PerBlock<T> {
    first: usize,
    modules: Vec<T>,
}

impl<T> PerBlock<T> {
    /// The module of a block, if it has one.
    pub fn get(&self, block: usize) -> Option<&T> {
        self.modules.get(block.checked_sub(self.first)?)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }
}
