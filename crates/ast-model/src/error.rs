//! What can go wrong between a checkpoint on disk and a forward pass.

use std::path::PathBuf;

use thiserror::Error;

use crate::extension::HookError;

/// Errors of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AstError {
    /// A file could not be read or written.
    #[error("{path}: {source}; check that the path exists, is readable and that the disk has room", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint in a format that can run code when it is read.
    #[error("{path} is a pickle file, which can run code when read; convert it once with Python: `safetensors.torch.save_file(torch.load(\"…\", weights_only=True), \"model.safetensors\")`", path = path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A folder without weights.
    #[error("{path} holds no {file}; a checkpoint folder needs config.json and model.safetensors", path = path.display())]
    NotACheckpoint {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// A file that is not what its name says.
    #[error("{path} is damaged or not in the expected format ({reason}); fetch it again", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// Weights spread over several files that do not fit together.
    #[error("{path}: {problem}; fetch the whole checkpoint again", path = path.display())]
    Shards {
        /// The index.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// A file without `config.json` whose tensors do not tell the shape.
    #[error(
        "the shape of the model cannot be told from its tensors ({reason}); put its config.json beside the weights, or give the configuration when loading"
    )]
    UnknownShape {
        /// What does not fit.
        reason: String,
    },
    /// A value in `preprocessor_config.json` that no front end can have.
    #[error("preprocessor_config.json: {field} = {value} {problem}")]
    Preprocessor {
        /// The key.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what is allowed.
        problem: &'static str,
    },
    /// The same tensor under two names.
    #[error(
        "the checkpoint holds the tensor {name} twice, under names that mean the same; keep one of them"
    )]
    DuplicateTensor {
        /// Canonical name, without prefix.
        name: String,
    },
    /// A value in the configuration that the model cannot have.
    #[error("configuration: {field} = {value} {problem}")]
    Config {
        /// The field of [`crate::AstConfig`].
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what is allowed.
        problem: &'static str,
    },
    /// A tensor the model needs and the checkpoint lacks.
    #[error(
        "the checkpoint lacks the tensor {name}; load it with the config.json that belongs to these weights (this one asks for {blocks} blocks), or allow missing tensors, which get fresh values"
    )]
    MissingTensor {
        /// Canonical name, without prefix.
        name: String,
        /// Blocks that the configuration asks for.
        blocks: usize,
    },
    /// A tensor of another shape than the configuration says.
    #[error(
        "tensor {name} has the shape {found:?} where the configuration needs {expected:?}; use the config.json that belongs to these weights"
    )]
    TensorShape {
        /// Canonical name, without prefix.
        name: String,
        /// Shape the configuration needs.
        expected: Vec<i64>,
        /// Shape found.
        found: Vec<i64>,
    },
    /// A tensor type other than f32, f16 or bf16.
    #[error(
        "tensor {name} has the type {found}, but weights are F32, F16 or BF16; convert it, in Python with tensor.float(), and save the file again"
    )]
    TensorType {
        /// Name in the file.
        name: String,
        /// Type found.
        found: String,
    },
    /// Features of another shape than the model takes.
    #[error(
        "features have the shape {found:?} but the model takes [B, {frames}, {bins}]; compute them with max_length = {frames} and {bins} mel bins"
    )]
    Input {
        /// Frames T the model was bound for.
        frames: i64,
        /// Mel bins F.
        bins: i64,
        /// Shape found.
        found: Vec<i64>,
    },
    /// Features that are no batch of clips.
    #[error("features have the shape {found:?}; pass [B, T, F] with at least one frame")]
    Rank {
        /// Shape found.
        found: Vec<i64>,
    },
    /// An attached module failed in a block.
    #[error("the extension in block {block}: {source}")]
    Extension {
        /// Index of the block.
        block: usize,
        /// What the module said.
        source: HookError,
    },
    /// An attached module failed in the embedding.
    #[error("the extension in the embedding: {source}")]
    EmbeddingExtension {
        /// What the module said.
        source: HookError,
    },
    /// An attached module returned a tensor that does not fit.
    #[error(
        "{hook} returned a tensor of shape {found:?} where {expected} is needed; return that shape"
    )]
    HookShape {
        /// The hook of [`crate::Extension`].
        hook: &'static str,
        /// Shape returned.
        found: Vec<i64>,
        /// Shape needed, in words.
        expected: String,
    },
    /// A frozen matrix cannot be packed or multiplied with.
    #[error(transparent)]
    Packed(#[from] packed_linear::PackError),
    /// Something that cannot be a model or revision on the hub.
    #[error("{name:?} {problem}; write it as the hub's page of the model does")]
    HubName {
        /// What was given.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A setting of a download that cannot be used.
    #[error("hub options: {field} {problem}")]
    HubOption {
        /// The field of `hub::HubOptions`.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: &'static str,
    },
    /// The hub could not be reached, or not for long enough.
    #[error("{url} cannot be fetched ({reason}); check network and proxy and try again, or put config.json, model.safetensors and, if the model has one, preprocessor_config.json of {id} into the folder {folder} by hand", folder = folder.display())]
    HubUnreachable {
        /// What was asked for.
        url: String,
        /// What the network said.
        reason: String,
        /// The model.
        id: String,
        /// Where the files are looked for.
        folder: PathBuf,
    },
    /// A large file about which the hub says neither size nor checksum.
    #[error("the server does not say how large {url} is, and it is larger than {limit} bytes, so that nobody could tell whether it came whole; use another endpoint, or put the file into the folder {folder} by hand", folder = folder.display())]
    HubUnannounced {
        /// What was asked for.
        url: String,
        /// Most bytes that are taken without an announcement.
        limit: u64,
        /// Where the file is looked for.
        folder: PathBuf,
    },
    /// The hub refused a request.
    #[error("{url} is refused with status {status}; {advice}")]
    HubRefused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What to do.
        advice: &'static str,
    },
    /// A downloaded file is not the one the hub announced; it has been removed.
    #[error("what came from {url} is damaged: {problem}; it was removed, try again")]
    HubChecksum {
        /// What was asked for.
        url: String,
        /// How it differs.
        problem: String,
    },
    /// A model without weights that can be read.
    #[error("the model {id} {problem}")]
    HubFiles {
        /// The model.
        id: String,
        /// What is missing and what to do.
        problem: &'static str,
    },
    /// libtorch refused an operation.
    #[error(
        "libtorch: {0}; where memory ran out, use smaller batches or shorter clips, else please report it with these words"
    )]
    Torch(#[from] tch::TchError),
}

impl AstError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> AstError {
        let path = path.into();
        move |source| AstError::Io { path, source }
    }
}
