//! Settings of token-choice routing.

use crate::{Result, RoutingError};
use serde::{Deserialize, Serialize};

/// Weight of a chosen expert's output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Raw for K = 1, where renormalised gates would be the constant 1 and the
    /// router would not learn; renormalised for K ≥ 2. The default.
    #[default]
    Auto,
    /// The expert's probability (Switch Transformer, V-MoE).
    Raw,
    /// The probability divided by the sum over the chosen experts (GShard).
    Renorm,
}

/// Who comes first when an expert is full. All first choices come before all
/// second choices in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// The earlier token of the group. The default.
    #[default]
    Position,
    /// The token with the larger greatest probability (batch priority routing
    /// of V-MoE); equal ones by position.
    Score,
}

/// The tokens that share capacities and balance losses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// All tokens of the batch. The default.
    #[default]
    Batch,
    /// The tokens of one clip: no clip's result depends on another's.
    Sample,
}

/// Random changes of the routing in training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exploration {
    /// None. The default.
    #[default]
    None,
    /// The router's input times U(1 - ε, 1 + ε), value by value (Switch
    /// Transformer: ε = 0.01).
    Jitter(f64),
    /// N(0, (value / N)²) added to the logits (V-MoE: value 1).
    Noise(f64),
}

/// Settings of [`SparseRouter`](crate::SparseRouter).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SparseConfig {
    /// Experts per token, K. Default 1.
    pub k: i64,
    /// Weight of a chosen expert's output. Default [`Gate::Auto`].
    pub gate: Gate,
    /// Each expert takes at most ⌈K · T · factor / N⌉ of the T tokens of a
    /// group; what does not fit is dropped and adds 0. Default `None`: no limit.
    pub capacity_factor: Option<f64>,
    /// Rounds capacities up to a multiple of 4, as V-MoE does. Default false.
    #[serde(skip_serializing_if = "is_default")]
    pub multiple_of_four: bool,
    /// Tokens that share the capacities. Default [`Group::Batch`].
    #[serde(skip_serializing_if = "is_default")]
    pub group: Group,
    /// Who comes first when an expert is full. Default [`Priority::Position`].
    pub priority: Priority,
    /// Random changes in training. Default [`Exploration::None`].
    #[serde(skip_serializing_if = "is_default")]
    pub exploration: Exploration,
}

/// Settings at their default are not written: what uses nothing new stays
/// readable by older programs.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for SparseConfig {
    fn default() -> Self {
        Self {
            k: 1,
            gate: Gate::Auto,
            capacity_factor: None,
            multiple_of_four: false,
            group: Group::Batch,
            priority: Priority::Position,
            exploration: Exploration::None,
        }
    }
}

impl SparseConfig {
    /// Checks the settings for a router over `experts` experts.
    ///
    /// # Errors
    /// When K is not in 1..=N, or a capacity factor, a jitter or a noise is
    /// out of range.
    pub fn validate(&self, experts: i64) -> Result<()> {
        if !(1..=experts).contains(&self.k) {
            return Err(RoutingError::Chosen { k: self.k, experts });
        }
        match self.exploration {
            Exploration::Jitter(value) if !(0.0..1.0).contains(&value) => {
                return Err(RoutingError::Exploration { value });
            }
            Exploration::Noise(value) if !(value.is_finite() && value >= 0.0) => {
                return Err(RoutingError::Exploration { value });
            }
            _ => {}
        }
        match self.capacity_factor {
            Some(value) if !(value.is_finite() && value > 0.0) => {
                Err(RoutingError::CapacityFactor { value })
            }
            _ => Ok(()),
        }
    }

    /// Largest number of tokens an expert takes, of `tokens` tokens in the
    /// group; `None` without a limit.
    pub fn capacity(&self, tokens: i64, experts: i64) -> Option<i64> {
        let factor = self.capacity_factor?;
        let exact = self.k as f64 * tokens as f64 * factor / experts as f64;
        let capacity = rounded_up(exact);
        Some(match self.multiple_of_four {
            true => capacity.saturating_add(3) / 4 * 4,
            false => capacity,
        })
    }

    /// Standard deviation of the noise on the logits, where there is one.
    pub(crate) fn deviation(&self, experts: i64) -> Option<f64> {
        match self.exploration {
            Exploration::Noise(value) if value > 0.0 => Some(value / experts as f64),
            _ => None,
        }
    }

    /// Whether gates are divided by their sum.
    pub(crate) fn renormalises(&self) -> bool {
        match self.gate {
            Gate::Auto => self.k >= 2,
            Gate::Raw => false,
            Gate::Renorm => true,
        }
    }
}

/// ⌈value⌉, but a product such as 10 · 1.1 lands just above the integer it means.
pub(crate) fn rounded_up(value: f64) -> i64 {
    (value * (1.0 - 1e-12)).ceil() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_rounds_up_but_not_past_an_integer() {
        let config = |factor| SparseConfig {
            capacity_factor: Some(factor),
            ..SparseConfig::default()
        };
        assert_eq!(config(1.0).capacity(10, 3), Some(4));
        assert_eq!(config(0.75).capacity(10, 3), Some(3));
        assert_eq!(config(1.1).capacity(10, 1), Some(11));
        assert_eq!(config(1e-9).capacity(10, 3), Some(1));
        assert_eq!(SparseConfig::default().capacity(10, 3), None);
    }

    #[test]
    fn capacity_can_be_a_multiple_of_four() {
        for (tokens, capacity) in [(9, 4), (12, 4), (13, 8)] {
            let config = SparseConfig {
                capacity_factor: Some(1.0),
                multiple_of_four: true,
                ..SparseConfig::default()
            };
            assert_eq!(config.capacity(tokens, 3), Some(capacity));
        }
    }

    #[test]
    fn gates_renormalise_from_two_choices_on() {
        let config = |k, gate| SparseConfig {
            k,
            gate,
            ..SparseConfig::default()
        };
        assert!(!config(1, Gate::Auto).renormalises());
        assert!(config(2, Gate::Auto).renormalises());
        assert!(config(1, Gate::Renorm).renormalises());
        assert!(!config(2, Gate::Raw).renormalises());
    }

    #[test]
    fn impossible_settings_are_refused() {
        let config = SparseConfig {
            k: 4,
            ..SparseConfig::default()
        };
        assert!(matches!(
            config.validate(3),
            Err(RoutingError::Chosen { k: 4, experts: 3 })
        ));
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = SparseConfig {
                capacity_factor: Some(value),
                ..SparseConfig::default()
            };
            assert!(
                matches!(config.validate(3), Err(RoutingError::CapacityFactor { .. })),
                "{value}"
            );
        }
        for exploration in [
            Exploration::Jitter(1.0),
            Exploration::Jitter(f64::NAN),
            Exploration::Noise(-1.0),
        ] {
            let config = SparseConfig {
                exploration,
                ..SparseConfig::default()
            };
            assert!(matches!(
                config.validate(3),
                Err(RoutingError::Exploration { .. })
            ));
        }
    }
}
