//! Hyper-parameters that every mixture has.

use ast_model::AstConfig;
use serde::{Deserialize, Serialize};

use crate::methods::{Bottleneck, Expert, Placement};
use crate::{AdapterError, AdapterInit, Compat};

/// Experts and places of a mixture of adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MixtureConfig {
    /// N, experts per mixture. Default: 7.
    pub experts: i64,
    /// Form of the experts. Default: bottleneck. In Soft-MoA a convolution runs
    /// over the P slots of an expert; in Sparse-MoA every expert's convolution
    /// sees all tokens of the clip.
    #[serde(skip_serializing_if = "is_bottleneck")]
    pub expert: Expert,
    /// Width R of each expert. Default: reduction rate 128, R = 6 in AST-Base.
    pub bottleneck: Bottleneck,
    /// Default: parallel to the attention sub-layer (Pfeiffer, MHSA).
    pub placement: Placement,
    /// Adds the output of a Pfeiffer-MHSA mixture a second time after the
    /// feed-forward sub-layer, as the authors' program does by oversight.
    /// Default: as the compat mode has it; without one, false.
    pub add_twice: Option<bool>,
    /// Initial values of the experts. Default: as the compat mode has it;
    /// without one, `zero_up`.
    pub init: Option<AdapterInit>,
}

impl Default for MixtureConfig {
    fn default() -> Self {
        MixtureConfig {
            experts: 7,
            expert: Expert::Bottleneck,
            bottleneck: Bottleneck::ReductionRate(128.0),
            placement: Placement::PfeifferMhsa,
            add_twice: None,
            init: None,
        }
    }
}

impl MixtureConfig {
    pub(crate) fn set_compat(&mut self, compat: Compat, init: AdapterInit) {
        self.init.get_or_insert(init);
        self.expert.fill(compat);
        let twice = compat == Compat::Paper && self.placement == Placement::PfeifferMhsa;
        self.add_twice.get_or_insert(twice);
    }

    pub(crate) fn validate(
        &self,
        method: &'static str,
        backbone: &AstConfig,
    ) -> Result<(), AdapterError> {
        self.expert.validate(method, self.bottleneck, backbone)?;
        if !(1..=4096).contains(&self.experts) {
            return Err(AdapterError::Config {
                method,
                field: "experts",
                value: self.experts.to_string(),
                problem: "must lie between 1 and 4096",
            });
        }
        if self.add_twice == Some(true) && self.placement != Placement::PfeifferMhsa {
            return Err(AdapterError::Config {
                method,
                field: "add_twice",
                value: "true".into(),
                problem: "exists for the placement pfeiffer-mhsa only; set it to false",
            });
        }
        Ok(())
    }
}

/// Descriptions of mixtures of bottleneck experts stay readable by programs
/// that know no other.
fn is_bottleneck(expert: &Expert) -> bool {
    *expert == Expert::Bottleneck
}

/// A bottleneck must have between 1 and D hidden units.
pub(crate) fn check_width(
    method: &'static str,
    bottleneck: Bottleneck,
    backbone: &AstConfig,
) -> Result<(), AdapterError> {
    let width = bottleneck.width(backbone.hidden_size);
    let finite = !matches!(bottleneck, Bottleneck::ReductionRate(rate) if !rate.is_finite());
    if finite && (1..=4 * backbone.hidden_size).contains(&width) {
        return Ok(());
    }
    Err(AdapterError::Config {
        method,
        field: "bottleneck",
        value: format!("{bottleneck:?}"),
        problem: "must give a width R between 1 and four times the backbone's width",
    })
}
