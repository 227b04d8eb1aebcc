//! What can go wrong with a method or an adapter folder.

use std::path::PathBuf;

use ast_model::AstError;
use thiserror::Error;

/// Errors of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// A method name that is not in the registry.
    #[error("there is no method {name:?}; the methods are {known}")]
    UnknownMethod {
        /// The name given.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
    /// An adapter name that a set does not have.
    #[error("the set has no adapter {name:?}; it has: {known}")]
    UnknownAdapter {
        /// The name given.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
    /// A hyper-parameter outside its range.
    #[error("method {method}: {field} = {value} {problem}")]
    Config {
        /// Name of the method.
        method: &'static str,
        /// The field of its configuration.
        field: &'static str,
        /// The value given.
        value: String,
        /// What is allowed.
        problem: &'static str,
    },
    /// An adapter folder whose file cannot be read or written.
    #[error("{path}: {source}; check that the path exists, is readable and that the disk has room", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An `adapter_config.json` that cannot be understood.
    #[error("{path} cannot be read as an adapter description ({reason}); was it written by a newer version of this program? Update it, or save the adapter again", path = path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// An adapter trained on other frozen weights.
    #[error("{path} was trained on the backbone {expected} but is loaded onto {found}; load the backbone it was trained on", path = path.display())]
    WrongBackbone {
        /// The adapter folder.
        path: PathBuf,
        /// Fingerprint in the adapter's description.
        expected: String,
        /// Fingerprint of the backbone given.
        found: String,
    },
    /// Weights that were not saved together with the description.
    #[error("{path} is damaged or was saved with another adapter_config.json (sha256 {found}, described {expected}); copy both files from the same run, or save the adapter again", path = path.display())]
    WrongWeights {
        /// The weights file.
        path: PathBuf,
        /// SHA-256 in the description.
        expected: String,
        /// SHA-256 of the file.
        found: String,
    },
    /// A model that training has broken.
    #[error(
        "tensor {name} holds values that are not finite, so the adapter is not saved; training diverged: lower the learning rate"
    )]
    NotFinite {
        /// The tensor.
        name: String,
    },
    /// A method that plain weights cannot express.
    #[error(
        "an adapter of the method {method} cannot be merged: {reason}; keep it as an adapter folder"
    )]
    NotMergeable {
        /// Name of the method.
        method: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// An adapter that `peft` has no form for.
    #[error("the adapter cannot be written for peft: {reason}")]
    NotForPeft {
        /// Why not, and what can.
        reason: String,
    },
    /// Tensors that do not belong to the described method.
    #[error("{path}: tensor {name} {problem}; the file does not belong to this adapter_config.json, copy both from the same run", path = path.display())]
    Tensor {
        /// The weights file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A golden file that cannot be compared with.
    #[error("{path}: {name} {problem}; does the manifest describe this file?", path = path.display())]
    Golden {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Activation checkpointing with a head that looks at all blocks.
    #[error(
        "the gated-layers head looks at the output of every block, which activation checkpointing does not keep; turn it off, or choose another head"
    )]
    HeadNeedsLayers,
    /// The backbone failed.
    #[error(transparent)]
    Ast(#[from] AstError),
    /// libtorch refused an operation.
    #[error(
        "libtorch: {0}; where memory ran out, use smaller batches or shorter clips, else please report it with these words"
    )]
    Torch(#[from] tch::TchError),
}

impl AdapterError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> AdapterError {
        let path = path.into();
        move |source| AdapterError::Io { path, source }
    }
}
