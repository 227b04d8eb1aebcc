//! Hyper-parameters of single adapters.

use ast_model::{AstConfig, Checkpoint, Extension};
use serde::{Deserialize, Serialize};

use super::module;
use crate::methods::method::Method;
use crate::methods::{Bottleneck, Expert, MethodConfig, Placement, linear};
use crate::parameters::Parameters;
use crate::{AdapterError, AdapterInit, Compat};

/// How an adapter A meets its sub-layer S with normalised input n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Insertion {
    /// Beside it: S(n) + A(n). The default.
    #[default]
    Parallel,
    /// In line with it: with s = S(n), s + A(s), or A(s) without residual.
    Sequential,
}

/// Which side of the sub-layer the adapter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// The sub-layer's input n.
    Before,
    /// The sub-layer's output s.
    After,
}

/// One adapter A per block and location. With n the LayerNorm's output, S the
/// sub-layer and s = S(n), the residual stream receives
///
/// | insertion | position | without residual | with residual |
/// | --- | --- | --- | --- |
/// | parallel | before | s + A(n) | s + A(n) + n |
/// | parallel | after | s + A(s) | - |
/// | sequential | before | S(A(n)) + A(n) | - |
/// | sequential | after | A(s) | s + A(s) |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdapterConfig {
    /// Form of the adapter. Default: bottleneck, A(n) = U GELU(D n + b) + c.
    #[serde(skip_serializing_if = "is_bottleneck")]
    pub kind: Expert,
    /// Width R. Default: reduction rate 64, R = 12 in AST-Base.
    pub bottleneck: Bottleneck,
    /// Default: at the feed-forward sub-layer, as the authors' program.
    pub placement: Placement,
    /// Default: parallel.
    pub insertion: Insertion,
    /// Default: before where the insertion is parallel, after where it is
    /// sequential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Adds the adapter's own input to its output. Default: false; but where
    /// sequential insertion is given with the position `after` in so many
    /// words (the ablation of the authors' program, which makes it equal to
    /// parallel insertion after the sub-layer) as the compat mode has it:
    /// `paper` true, `fixed` false.
    pub residual: Option<bool>,
    /// Accepts `residual` with parallel insertion, where it adds the LayerNorm's
    /// output to the residual stream, which harms. The authors' program did so
    /// even when asked not to. Default: as the compat mode has it (`paper`
    /// accepts, `fixed` refuses); without one, false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel_residual: Option<bool>,
    /// Initial values. Default: as the compat mode has it; without one,
    /// `zero_up`.
    pub init: Option<AdapterInit>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        AdapterConfig {
            kind: Expert::Bottleneck,
            bottleneck: Bottleneck::ReductionRate(64.0),
            placement: Placement::PfeifferFfn,
            insertion: Insertion::Parallel,
            position: None,
            residual: None,
            parallel_residual: None,
            init: None,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature serde asks for
fn is_bottleneck(kind: &Expert) -> bool {
    *kind == Expert::Bottleneck
}

impl AdapterConfig {
    /// Which side of the sub-layer the adapter sees.
    pub fn position(&self) -> Position {
        self.position.unwrap_or(match self.insertion {
            Insertion::Parallel => Position::Before,
            Insertion::Sequential => Position::After,
        })
    }

    /// Whether the adapter's input is added to its output.
    pub fn residual(&self) -> bool {
        self.residual.unwrap_or(false)
    }

    /// Checks the hyper-parameters against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`].
    pub fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        self.kind.validate("adapter", self.bottleneck, backbone)?;
        let accepted = match (self.insertion, self.position()) {
            (Insertion::Sequential, Position::After) => true,
            (Insertion::Parallel, Position::Before) => self.parallel_residual.unwrap_or(false),
            _ => false,
        };
        if self.residual() && !accepted {
            return Err(AdapterError::Config {
                method: "adapter",
                field: "residual",
                value: "true".into(),
                problem: "is for sequential insertion after the sub-layer; set it to false (with \
                          parallel insertion it adds the LayerNorm's output to the residual \
                          stream: set parallel_residual to true if that is wanted)",
            });
        }
        Ok(())
    }
}

impl Method for AdapterConfig {
    fn name(&self) -> &'static str {
        "adapter"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let mut filled = self.clone();
        let paper = compat == Compat::Paper;
        filled.init.get_or_insert(compat.init());
        filled.kind.fill(compat);
        let ablation =
            self.insertion == Insertion::Sequential && self.position == Some(Position::After);
        filled.residual.get_or_insert(paper && ablation);
        if filled.residual() && self.insertion == Insertion::Parallel {
            filled.parallel_residual.get_or_insert(paper);
        }
        MethodConfig::Adapter(filled)
    }

    fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        AdapterConfig::validate(self, backbone)
    }

    fn trains(&self, name: &str) -> bool {
        linear::trains(name) || self.placement.trains(name)
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        Ok(Box::new(module::build(
            self,
            &checkpoint.config,
            parameters,
        )))
    }
}
