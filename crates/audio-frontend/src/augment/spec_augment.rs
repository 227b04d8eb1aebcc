//! Masks over bands of frequency and time (Park et al. 2019).

use std::ops::Range;

use ndarray::{ArrayViewMut2, Axis};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::random::{keyed_rng, uniform};
use crate::ast::AstConfig;
use crate::error::{Error, Result};

/// The most frames that [`AstConfig`] accepts.
const MOST_FRAMES: usize = 1_000_000;
/// The most mel bins that [`FbankConfig`](crate::FbankConfig) accepts.
const MOST_BINS: usize = 4096;

/// Which value masked cells get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskForm {
    /// 0.0 after normalisation, the mean of the training set, as the Soft-MoA
    /// authors mask. Before normalisation that is the mean itself.
    #[default]
    Authors,
    /// 0.0 before normalisation, as the original AST recipe masks. That is the
    /// value of padding, -mean / (2 std) after normalisation: 0.467 with
    /// AudioSet's statistics, louder than most sound.
    Ast,
}

impl MaskForm {
    /// The value of a masked cell in log-mel energies.
    #[must_use]
    pub fn value_before_normalisation(self, ast: &AstConfig) -> f32 {
        match self {
            MaskForm::Authors => ast.mean,
            MaskForm::Ast => 0.0,
        }
    }

    /// The value of a masked cell in normalised features, to the bit what
    /// normalising makes of
    /// [`value_before_normalisation`](Self::value_before_normalisation).
    #[must_use]
    pub fn value_after_normalisation(self, ast: &AstConfig) -> f32 {
        ast.normalised(self.value_before_normalisation(ast))
    }

    /// Kept out of what is written, so that configurations from before there
    /// was a choice keep their text and with it their hash.
    fn is_default(&self) -> bool {
        *self == MaskForm::default()
    }
}

/// SpecAugment masks, off by default.
///
/// One frequency mask, then one time mask, each drawn as
/// width = U·P, start = ⌊U·(size - width)⌋, end = start + ⌊width⌋ with a fresh
/// U in [0, 1) each time; torchaudio's `FrequencyMasking` and `TimeMasking`
/// draw the same way, with an f32 U. What the masked cells become is up to
/// [`MaskForm`]. For training clips only. Time masks fall on padding too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpecAugment {
    /// P over mel bins: masks are narrower than this. Default 0 (off).
    pub max_bins: usize,
    /// P over frames: masks are shorter than this. Default 0 (off).
    pub max_frames: usize,
    /// Value of masked cells. Default [`MaskForm::Authors`].
    #[serde(skip_serializing_if = "MaskForm::is_default")]
    pub form: MaskForm,
}

/// Where one clip is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masks {
    /// Masked mel bins.
    pub bins: Range<usize>,
    /// Masked frames.
    pub frames: Range<usize>,
}

impl SpecAugment {
    /// The setting of the Soft-MoA authors: 24 of 128 mel bins, 80 frames.
    #[must_use]
    pub fn authors() -> Self {
        Self::of(24, 80, MaskForm::Authors)
    }

    /// The authors' setting for IEMOCAP: 24 mel bins, 140 frames. Their runs
    /// leave it switched off.
    #[must_use]
    pub fn authors_iemocap() -> Self {
        Self::of(24, 140, MaskForm::Authors)
    }

    /// The original AST recipe for ESC-50: 24 mel bins, 96 of 512 frames.
    #[must_use]
    pub fn ast_esc50() -> Self {
        Self::of(24, 96, MaskForm::Ast)
    }

    /// The original AST recipe for Speech Commands: 48 mel bins, 48 of 128
    /// frames.
    #[must_use]
    pub fn ast_speech_commands() -> Self {
        Self::of(48, 48, MaskForm::Ast)
    }

    fn of(max_bins: usize, max_frames: usize, form: MaskForm) -> Self {
        Self {
            max_bins,
            max_frames,
            form,
        }
    }

    /// Checks the settings, whatever features they are for.
    ///
    /// # Errors
    /// [`Error::Config`] when a mask may be wider than any features: 4096 mel
    /// bins, 10⁶ frames.
    pub fn validate(&self) -> Result<()> {
        self.check((MOST_FRAMES, MOST_BINS))
    }

    /// Whether masks fit features `[T, F]`.
    fn check(&self, (frames, bins): (usize, usize)) -> Result<()> {
        if self.max_bins > bins {
            let expected = format!("at most F = {bins}");
            return Err(Error::config("max_bins", self.max_bins, expected));
        }
        if self.max_frames > frames {
            let expected = format!("at most T = {frames}");
            return Err(Error::config("max_frames", self.max_frames, expected));
        }
        Ok(())
    }

    /// Draws the masks of sample `sample` in epoch `epoch`.
    ///
    /// # Shapes
    /// for features `[T, F]` = `shape`
    ///
    /// # Errors
    /// [`Error::Config`] when a mask may be wider than the features.
    pub fn masks(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        shape: (usize, usize),
    ) -> Result<Masks> {
        self.check(shape)?;
        let (frames, bins) = shape;
        let mut rng = keyed_rng(seed, epoch, sample, b"specaug1");
        Ok(Masks {
            bins: draw_mask(&mut rng, self.max_bins, bins),
            frames: draw_mask(&mut rng, self.max_frames, frames),
        })
    }

    /// Masks the normalised features of a sample in place. `ast` says how they
    /// were normalised.
    ///
    /// # Shapes
    /// `[T, F]`
    ///
    /// # Errors
    /// [`Error::Config`] when a mask may be wider than the features.
    pub fn apply(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        ast: &AstConfig,
        features: ArrayViewMut2<f32>,
    ) -> Result<()> {
        let masks = self.masks(seed, epoch, sample, features.dim())?;
        masks.fill(self.form.value_after_normalisation(ast), features);
        Ok(())
    }

    /// Masks log-mel energies in place, padded and not yet normalised with
    /// `ast`; normalising then gives the bits of [`apply`](Self::apply).
    ///
    /// # Shapes
    /// `[T, F]`
    ///
    /// # Errors
    /// [`Error::Config`] when a mask may be wider than the features.
    pub fn apply_before_normalisation(
        &self,
        seed: u64,
        epoch: u64,
        sample: u64,
        ast: &AstConfig,
        log_mel: ArrayViewMut2<f32>,
    ) -> Result<()> {
        let masks = self.masks(seed, epoch, sample, log_mel.dim())?;
        masks.fill(self.form.value_before_normalisation(ast), log_mel);
        Ok(())
    }
}

impl Masks {
    fn fill(self, value: f32, mut features: ArrayViewMut2<f32>) {
        let Masks { bins, frames } = self;
        features.slice_axis_mut(Axis(1), bins.into()).fill(value);
        features.slice_axis_mut(Axis(0), frames.into()).fill(value);
    }
}

fn draw_mask(rng: &mut ChaCha8Rng, max_width: usize, size: usize) -> Range<usize> {
    let width = uniform(rng) * max_width as f64;
    let start = (uniform(rng) * (size as f64 - width)).floor() as usize;
    start..start + width.floor() as usize
}
