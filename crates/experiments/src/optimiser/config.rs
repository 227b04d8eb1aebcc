//! The figures of AdamW and their ranges.

use serde::{Deserialize, Serialize};

/// Hyper-parameters of AdamW. Defaults are the authors': β = (0.9, 0.98),
/// ε = 1e-6, weight decay 0.1 on every trained tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-6,
            weight_decay: 0.1,
        }
    }
}

impl AdamWConfig {
    /// Checks the figures.
    ///
    /// # Errors
    /// [`OptimiserError`] names the first that is out of range.
    pub fn validate(&self) -> Result<(), OptimiserError> {
        let decays = [("beta1", self.beta1), ("beta2", self.beta2)];
        for (field, value) in decays {
            if !(0.0..1.0).contains(&value) {
                let allowed = "from 0 up to, but not including, 1";
                return Err(OptimiserError {
                    field,
                    value,
                    allowed,
                });
            }
        }
        let (field, value) = ("epsilon", self.epsilon);
        if !(value > 0.0 && value.is_finite()) {
            return Err(OptimiserError {
                field,
                value,
                allowed: "above 0",
            });
        }
        let (field, value) = ("weight_decay", self.weight_decay);
        if !(value >= 0.0 && value.is_finite()) {
            return Err(OptimiserError {
                field,
                value,
                allowed: "0 or above",
            });
        }
        Ok(())
    }
}

/// A setting of AdamW that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("adamw: {field} = {value} must be {allowed}")]
pub struct OptimiserError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// What is allowed.
    pub allowed: &'static str,
}
