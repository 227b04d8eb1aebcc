//! Hyper-parameters of LoRA.

use ast_model::{AstConfig, Checkpoint, Extension};
use serde::{Deserialize, Serialize};

use super::module::Lora;
use super::targets::{LoraSet, LoraTargets};
use crate::methods::method::Method;
use crate::methods::{Bottleneck, MethodConfig};
use crate::parameters::Parameters;
use crate::{AdapterError, AdapterInit, Compat};

/// The factor s before the update U D x.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraScaling {
    /// s = α / rate with the reduction rate D / R: the authors' program, which
    /// calls the rate "rank". The default.
    #[default]
    AlphaOverRate,
    /// s = α / R (Hu et al.).
    AlphaOverRank,
    /// s = α / √R (rsLoRA).
    RankStabilised,
}

/// y = W x + b + s · U D x, with D [R, in] and U [out, R] trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// The maps that are updated, in every block. Default: `qv`.
    pub targets: LoraTargets,
    /// R. Default: reduction rate 128, R = 6 in AST-Base.
    pub rank: Bottleneck,
    /// α. Default: 16.
    pub alpha: f64,
    /// The factor s that follows from α. Default: α / rate, 0.125 with the
    /// other defaults.
    pub scaling: LoraScaling,
    /// Trains the length of every row of the updated matrix apart from its
    /// direction (DoRA). Default: false.
    pub dora: bool,
    /// Initial values. `paper`: D and U from N(0, 0.02²), so that the update is
    /// not zero at the start. `zero_up`: D from U(±1/√in), U zero. Default: as
    /// the compat mode has it; without one, `zero_up`.
    pub init: Option<AdapterInit>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        LoraConfig {
            targets: LoraTargets::Set(LoraSet::Qv),
            rank: Bottleneck::ReductionRate(128.0),
            alpha: 16.0,
            scaling: LoraScaling::AlphaOverRate,
            dora: false,
            init: None,
        }
    }
}

impl LoraConfig {
    /// The factor s for a backbone of width `d`.
    pub fn scale(&self, d: i64) -> f64 {
        let rank = self.rank.width(d) as f64;
        match self.scaling {
            LoraScaling::AlphaOverRank => self.alpha / rank,
            LoraScaling::RankStabilised => self.alpha / rank.sqrt(),
            LoraScaling::AlphaOverRate => {
                self.alpha
                    / match self.rank {
                        Bottleneck::ReductionRate(rate) => rate,
                        Bottleneck::Width(_) => d as f64 / rank,
                    }
            }
        }
    }

    fn bad(field: &'static str, value: String, problem: &'static str) -> AdapterError {
        AdapterError::Config {
            method: "lora",
            field,
            value,
            problem,
        }
    }
}

impl Method for LoraConfig {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn filled(&self, compat: Compat) -> MethodConfig {
        let mut filled = self.clone();
        filled.init.get_or_insert(compat.init());
        MethodConfig::Lora(filled)
    }

    fn validate(&self, backbone: &AstConfig) -> Result<(), AdapterError> {
        let d = backbone.hidden_size;
        let targets = self.targets.list();
        let repeated = (1..targets.len()).any(|i| targets[..i].contains(&targets[i]));
        if targets.is_empty() || repeated {
            let problem = "must name at least one map, and each only once";
            return Err(Self::bad("targets", format!("{targets:?}"), problem));
        }
        let finite = !matches!(self.rank, Bottleneck::ReductionRate(rate) if !rate.is_finite());
        if !finite || !(1..=d).contains(&self.rank.width(d)) {
            let problem = "must give a rank R between 1 and the backbone's width";
            return Err(Self::bad("rank", format!("{:?}", self.rank), problem));
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            let problem = "must be a number above 0";
            return Err(Self::bad("alpha", self.alpha.to_string(), problem));
        }
        Ok(())
    }

    fn build(
        &self,
        checkpoint: &Checkpoint,
        parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        Ok(Box::new(Lora::new(self, checkpoint, parameters)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_scalings_give_the_factors_of_their_papers() {
        let config = |scaling, rank| LoraConfig {
            scaling,
            rank,
            ..LoraConfig::default()
        };
        let rate = Bottleneck::ReductionRate(128.0);
        let six = Bottleneck::Width(6);
        for (scaling, rank, expected) in [
            (LoraScaling::AlphaOverRate, rate, 0.125),
            (LoraScaling::AlphaOverRate, six, 0.125),
            (LoraScaling::AlphaOverRank, rate, 16.0 / 6.0),
            (LoraScaling::RankStabilised, six, 16.0 / 6f64.sqrt()),
        ] {
            assert!((config(scaling, rank).scale(768) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn targets_are_read_by_name_or_one_by_one_and_errors_list_the_names() {
        let read = |targets: &str| {
            serde_json::from_str::<LoraConfig>(&format!("{{\"targets\": {targets}}}"))
        };
        let named = read("\"qkvo\"").unwrap().targets.list();
        let listed = read(r#"["query", "key", "value", "output"]"#).unwrap();
        assert_eq!(named, listed.targets.list());
        let error = read("\"qx\"").unwrap_err().to_string();
        assert!(error.contains("qkvo"), "{error}");
    }
}
