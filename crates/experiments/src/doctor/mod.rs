//! What works on this machine, and what to do about the rest.

mod disk;
mod places;
mod torch;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

pub(crate) use disk::available_memory;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Ok,
    /// It is not there; everything else works without it.
    Missing,
    /// Something that should work does not.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What it is about.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do; empty where nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// Figures, for programs.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub figures: Value,
}

impl Check {
    fn ok(name: impl Into<String>, found: impl Into<String>) -> Self {
        Check {
            name: name.into(),
            status: Status::Ok,
            found: found.into(),
            remedy: String::new(),
            figures: Value::Null,
        }
    }

    fn missing(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Check {
            status: Status::Missing,
            remedy: remedy.into(),
            ..Self::ok(name, found)
        }
    }

    fn broken(
        name: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Check {
            status: Status::Broken,
            ..Self::missing(name, found, remedy)
        }
    }

    fn with(self, figures: Value) -> Self {
        Check { figures, ..self }
    }
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Places {
    /// The user's cache.
    pub cache: PathBuf,
    /// Folder of the data set manifests.
    pub datasets: PathBuf,
}

/// Looks at everything, in a second or a few.
pub fn examine(places: &Places) -> Vec<Check> {
    let mut checks = torch::checks();
    checks.push(disk::memory());
    checks.push(disk::free(&places.cache));
    checks.extend(places::checks(places));
    checks
}
