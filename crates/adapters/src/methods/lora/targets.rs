//! Which matrices LoRA updates.

use ast_model::Projection;
use serde::{Deserialize, Serialize};

/// One of the six linear maps of every block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraTarget {
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
    /// Output map of the attention sub-layer.
    Output,
    /// First map of the feed-forward sub-layer.
    Intermediate,
    /// Second map of the feed-forward sub-layer.
    FeedForwardOutput,
}

/// A set of maps with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoraSet {
    /// Queries.
    Q,
    /// Queries and keys.
    Qk,
    /// Queries and values: the set of both papers' main results.
    Qv,
    /// All four maps of the attention sub-layer.
    Qkvo,
    /// Both maps of the feed-forward sub-layer.
    Ffn,
    /// All six.
    All,
}

/// The maps that are updated: a set by name (`"qv"`) or a list
/// (`["query", "value"]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "targets must be one of q, qk, qv, qkvo, ffn, all, or a list of query, key, \
                 value, output, intermediate, feed_forward_output"
)]
pub enum LoraTargets {
    /// By name.
    Set(LoraSet),
    /// One by one.
    Each(Vec<LoraTarget>),
}

impl LoraTarget {
    /// The map of the backbone.
    pub fn projection(self) -> Projection {
        match self {
            LoraTarget::Query => Projection::Query,
            LoraTarget::Key => Projection::Key,
            LoraTarget::Value => Projection::Value,
            LoraTarget::Output => Projection::Output,
            LoraTarget::Intermediate => Projection::Intermediate,
            LoraTarget::FeedForwardOutput => Projection::FeedForwardOutput,
        }
    }
}

impl LoraTargets {
    /// The maps one by one, in the order given.
    pub fn list(&self) -> Vec<LoraTarget> {
        use LoraTarget::{FeedForwardOutput, Intermediate, Key, Output, Query, Value};
        match self {
            LoraTargets::Each(list) => list.clone(),
            LoraTargets::Set(LoraSet::Q) => vec![Query],
            LoraTargets::Set(LoraSet::Qk) => vec![Query, Key],
            LoraTargets::Set(LoraSet::Qv) => vec![Query, Value],
            LoraTargets::Set(LoraSet::Qkvo) => vec![Query, Key, Value, Output],
            LoraTargets::Set(LoraSet::Ffn) => vec![Intermediate, FeedForwardOutput],
            LoraTargets::Set(LoraSet::All) => {
                vec![Query, Key, Value, Output, Intermediate, FeedForwardOutput]
            }
        }
    }
}
