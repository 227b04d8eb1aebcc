//! Two behaviours: as the authors' released program, or repaired.

use serde::{Deserialize, Serialize};

/// Which behaviour is wanted. What differs inside a method is also a setting of
/// its configuration, which [`crate::MethodConfig::with_compat`] fills in where
/// it was not given; what differs outside (position embeddings, the epoch that
/// counts) is a setting of the training program. `docs/compat.md` lists every
/// difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compat {
    /// The released program with its quirks: Pfeiffer-MHSA mixtures are added
    /// twice, adapters start at N(0, 0.02²).
    Paper,
    /// The quirks repaired; the default.
    #[default]
    Fixed,
}

impl Compat {
    /// `paper` or `fixed`.
    pub fn name(self) -> &'static str {
        match self {
            Compat::Paper => "paper",
            Compat::Fixed => "fixed",
        }
    }

    /// The initial values that belong to it.
    pub(crate) fn init(self) -> AdapterInit {
        match self {
            Compat::Paper => AdapterInit::Paper,
            Compat::Fixed => AdapterInit::ZeroUp,
        }
    }
}

/// Initial values of adapters and experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterInit {
    /// Down- and up-projection N(0, 0.02²), biases 0: what the authors' runs
    /// had in effect.
    Paper,
    /// Down-projection N(0, 0.02²), everything else 0: training starts exactly
    /// at the pretrained function. The default.
    #[default]
    ZeroUp,
}
