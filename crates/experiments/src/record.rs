//! What one run leaves behind: the plain data from which every table and plot
//! is made.

pub use adapters::MultiplyAdds;
use serde::{Deserialize, Serialize};

/// Version of the layout of [`RunRecord`]; raised when a field changes meaning.
pub const RECORD_VERSION: u32 = 2;

/// One finished run: one method on one task, one fold, one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`RECORD_VERSION`] at the time of writing.
    pub version: u32,
    /// Hash of the resolved configuration, the data and the backbone.
    pub id: String,
    /// Profile of the benchmark, for example `quick`.
    pub profile: String,
    /// Task, the name of a manifest in `datasets/`, for example `mandarin-tone`.
    pub task: String,
    /// Row label of the method, for example `soft-moa` or `sparse-moa top-2`.
    pub method: String,
    /// Index of the fold, from 0.
    pub fold: usize,
    /// Seed of every random draw of the run.
    pub seed: u64,
    /// The complete resolved configuration the run was made with.
    pub config: serde_json::Value,
    /// `paper` or `fixed`: which behaviour of the authors' program is followed.
    pub compat: String,
    /// Precision of the frozen weights, `f32` or `bf16`.
    pub precision: String,
    /// The frozen backbone in words, for example `dinov2-vit-s, first 6 blocks`.
    pub backbone: String,
    /// Where the sounds came from, for example `recordings` or `synthesised`.
    pub data_source: String,
    /// Number of classes C.
    pub classes: usize,
    /// Names of the classes in the order of their labels, C texts.
    pub class_names: Vec<String>,
    /// Share of the largest class in the test part: what guessing would score.
    pub majority_share: f64,
    /// Clips in the training, validation and test part.
    pub clips: PartCounts,
    /// Everything that trains, head and final LayerNorm included.
    pub trainable_parameters: u64,
    /// The authors' convention: head and final LayerNorm left out.
    pub trainable_parameters_paper: u64,
    /// Size of the saved adapter folder in bytes.
    pub adapter_bytes: u64,
    /// Epoch whose weights were tested, from 0.
    pub selected_epoch: usize,
    /// Accuracy on the test part, 0 to 1.
    pub test_accuracy: f64,
    /// Mean F1 over the classes that occur in the test part as label or
    /// prediction, 0 to 1.
    pub test_macro_f1: f64,
    /// Expected calibration error on the test part over 15 bins, 0 to 1.
    pub test_calibration_error: f64,
    /// Test clips by `[true class][predicted class]`, C x C.
    pub confusion: Vec<Vec<u64>>,
    /// Accuracy on further test parts, for example an unheard voice.
    pub extra_tests: Vec<ExtraTest>,
    /// Every epoch in order.
    pub epochs: Vec<EpochRecord>,
    /// Training clips per second, validation excluded.
    pub train_clips_per_second: f64,
    /// Seconds per epoch, validation excluded (mean over epochs).
    pub seconds_per_epoch: f64,
    /// Mean seconds of a training step: an epoch divided by its steps.
    pub seconds_per_step: f64,
    /// Multiply-adds of the forward pass of one clip, counted from shapes.
    pub multiply_adds: MultiplyAdds,
    /// How experts were used on the test part; `None` for methods without
    /// experts.
    pub expert_use: Option<ExpertUse>,
    /// Wall time of the whole run in seconds.
    pub seconds: f64,
    /// Largest resident memory of the process during the run, in bytes;
    /// 0 where the system does not tell.
    pub peak_memory_bytes: u64,
    /// Start of the run, seconds since 1970-01-01 UTC.
    pub started_unix: u64,
    /// The machine and the versions.
    pub environment: Environment,
}

/// Number of clips in each part of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartCounts {
    /// Training clips.
    pub train: usize,
    /// Validation clips.
    pub validation: usize,
    /// Test clips.
    pub test: usize,
}

/// Accuracy on a test part beside the main one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraTest {
    /// Name of the part in the manifest.
    pub name: String,
    /// Number of clips.
    pub clips: usize,
    /// Accuracy, 0 to 1.
    pub accuracy: f64,
}

/// Figures of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochRecord {
    /// Index from 0.
    pub epoch: usize,
    /// Mean cross-entropy over the training clips.
    pub train_loss: f64,
    /// Mean cross-entropy over the validation clips.
    pub validation_loss: f64,
    /// Accuracy on the validation clips, 0 to 1.
    pub validation_accuracy: f64,
    /// Seconds of training, validation excluded.
    pub seconds: f64,
}

/// Where a figure was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Processor name as the system gives it.
    pub processor: String,
    /// Number of threads libtorch computed with.
    pub threads: usize,
    /// `cpu`, or the name of the accelerator.
    pub device: String,
    /// Operating system and architecture.
    pub system: String,
    /// Version of this program.
    pub program: String,
    /// Version of libtorch.
    pub libtorch: String,
}

/// How the experts of a mixture were used, measured on the test part with the
/// trained weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertUse {
    /// Every mixture of the model, block by block, attention before
    /// feed-forward.
    pub layers: Vec<LayerUse>,
    /// Where in a few test clips each expert counts, for pictures.
    pub clips: Vec<ClipUse>,
}

/// Use of the N experts of one mixture over the whole test part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerUse {
    /// Name of the mixture, for example `encoder.layer.0.moa_mhsa`.
    pub name: String,
    /// Index of its block, from 0.
    pub block: usize,
    /// Share of each expert, N values with sum 1. Soft: the mean over tokens of
    /// its combine weights; dense: its mean gate; token choice and ReLU: its
    /// share of the assignments; expert choice: its share of the gates.
    pub usage: Vec<f64>,
    /// Entropy of `usage` divided by ln N: 1 is even use, 0 a single expert.
    pub entropy: f64,
    /// Largest share divided by the mean share: 1 is even use.
    pub max_over_mean: f64,
    /// Population standard deviation of the shares divided by their mean.
    pub variation: f64,
    /// The shares among the clips of each class, `[C][N]`; a class without test
    /// clips, or one that used no expert, has zeros.
    pub by_class: Vec<Vec<f64>>,
    /// Token choice: share of assignments beyond the capacity. Expert choice
    /// and ReLU: share of tokens that no expert saw. `None` for soft and dense.
    pub dropped: Option<f64>,
}

/// Expert use at every patch of one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipUse {
    /// File name of the clip.
    pub clip: String,
    /// Its class, an index into [`RunRecord::class_names`].
    pub class: usize,
    /// Patches along frequency.
    pub frequency_patches: usize,
    /// Patches along time.
    pub time_patches: usize,
    /// Every mixture, in the order of [`ExpertUse::layers`].
    pub layers: Vec<ClipLayerUse>,
}

/// Expert use of one mixture at every patch of one clip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipLayerUse {
    /// Name of the mixture, as in [`LayerUse::name`].
    pub name: String,
    /// Share of each expert in each patch's output,
    /// `[N][frequency_patches * time_patches]`, the patches of the lowest
    /// frequencies first. The shares of a patch sum to 1, or are all 0 where no
    /// expert saw it. Rounded to four digits; special tokens are left out.
    pub experts: Vec<Vec<f32>>,
}
