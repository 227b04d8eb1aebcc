//! The sum of the losses, as the training loop sees it.

use std::collections::BTreeMap;

use ast_model::{
    AstConfig, AstError, AstModel, BindOptions, Checkpoint, NoExtension, Pooling, Step, padding,
};
use tch::{Device, Kind, TchError, Tensor, no_grad};

use super::config::{Masked, PretrainConfig};
use super::decoder::Decoder;
use super::heads::{Heads, LabelSet, figures};
use super::masking::{Masks, Visible, pick};
use super::patches;
use super::teacher::Teacher;
use crate::clips::Clips;
use crate::optimiser::AdamW;
use crate::training::{Figures, Learner, Piece, TrainingError};

/// Seed of the patches hidden in validation: the same in every epoch and run.
const VALIDATION_SEED: u64 = 0;

/// A backbone all of whose tensors train, with heads, decoder and teacher as the
/// configuration asks for.
pub struct Pretrainer<'a> {
    clips: &'a Clips,
    config: &'a PretrainConfig,
    model: AstModel,
    heads: Heads,
    decoder: Option<(Decoder, &'a Masked)>,
    teacher: Option<(Teacher, f64)>,
    trained: Vec<(String, Tensor)>,
}

/// Losses of a batch; those that are off are not there.
struct Losses {
    scores: Option<Tensor>,
    supervised: Option<Tensor>,
    masked: Option<Tensor>,
    distil: Option<Tensor>,
}

impl<'a> Pretrainer<'a> {
    /// Binds a checkpoint for training. `teacher` belongs to
    /// [`PretrainConfig::distil`], `sets` are the classes of the clips.
    ///
    /// # Errors
    /// A teacher that does not fit, or libtorch refusing an operation.
    pub fn new(
        config: &'a PretrainConfig,
        clips: &'a Clips,
        sets: Vec<LabelSet>,
        start: &Checkpoint,
        teacher: Option<&Checkpoint>,
    ) -> Result<Self, AstError> {
        let (seed, device) = (config.training.seed, clips.device);
        let options = BindOptions {
            trained: &|_| true,
            device,
            ..BindOptions::frozen()
        };
        let model = AstModel::bind(start, &options)?;
        let shape = model.config();
        let heads = Heads::new(sets, shape.hidden_size, seed, device)?;
        let masked = config.masked.as_ref().filter(|masked| masked.weight > 0.0);
        let decoder = match masked {
            Some(masked) => {
                let decoder = Decoder::new(&masked.decoder, shape, seed, device)?;
                Some((decoder, masked))
            }
            None => None,
        };
        let distil = config.distil.as_ref().filter(|distil| distil.weight > 0.0);
        let teacher = match (distil, teacher) {
            (Some(distil), Some(checkpoint)) => {
                let positions = distil.positions.unwrap_or_default();
                let teacher = Teacher::new(checkpoint, shape, positions, seed, device)?;
                Some((teacher, distil.weight))
            }
            _ => None,
        };
        let mut trained = copy(model.trained());
        if config.supervised.weight > 0.0 {
            trained.extend(copy(heads.trained()));
        }
        if let Some((decoder, _)) = &decoder {
            trained.extend(copy(decoder.trained()));
        }
        if let Some((teacher, _)) = &teacher {
            trained.extend(copy(teacher.trained()));
        }
        Ok(Pretrainer {
            clips,
            config,
            model,
            heads,
            decoder,
            teacher,
            trained,
        })
    }

    /// The trained tensors of the backbone, by canonical name.
    pub fn backbone(&self) -> BTreeMap<String, Tensor> {
        let own = self.model.trained().iter();
        own.map(|(name, tensor)| (name.clone(), tensor.detach().to_device(Device::Cpu)))
            .collect()
    }

    /// The shape of the backbone.
    pub fn shape(&self) -> &AstConfig {
        self.model.config()
    }

    /// All losses of a batch; `draw` hides patches.
    fn losses(
        &self,
        features: &Tensor,
        classes: &[i64],
        step: &Step,
        draw: &dyn Fn(i64, &Masked) -> Result<Masks, TchError>,
    ) -> Result<Losses, TrainingError> {
        let smoothing = if step.train {
            self.config.training.label_smoothing
        } else {
            0.0
        };
        let supervised = self.config.supervised.weight > 0.0;
        let mut losses = Losses {
            scores: None,
            supervised: None,
            masked: None,
            distil: None,
        };
        if supervised || self.teacher.is_some() {
            let tokens = self.model.forward(features, &NoExtension, step)?;
            if supervised {
                let scores = self.heads.scores(&Pooling::All.pool(&tokens))?;
                losses.supervised = Some(self.heads.loss(&scores, classes, smoothing)?);
                losses.scores = Some(scores);
            }
            if let Some((teacher, _)) = &self.teacher {
                losses.distil = Some(teacher.loss(features, &tokens)?);
            }
        }
        if let Some((decoder, masked)) = &self.decoder {
            let masks = draw(features.size()[0], masked)?.to(features.device());
            losses.masked = Some(self.told(decoder, features, &masks, step)?);
        }
        Ok(losses)
    }

    /// Mean squared error of the hidden patches that see sound of their clip.
    fn told(
        &self,
        decoder: &Decoder,
        features: &Tensor,
        masks: &Masks,
        step: &Step,
    ) -> Result<Tensor, AstError> {
        let shape = self.model.config();
        let wanted = pick(&patches::targets(features, shape)?, &masks.hidden)?;
        let sound = padding::patch_mask(features, shape)?;
        let sound = sound
            .f_gather(1, &masks.hidden, false)?
            .f_to_kind(Kind::Float)?;
        let tokens = self.model.forward(features, &Visible(masks), step)?;
        let told = decoder.forward(&tokens, masks, step)?;
        let error = told.f_sub(&wanted)?.f_square()?;
        let error = error.f_mean_dim(-1, false, Kind::Float)?.f_mul(&sound)?;
        let count = sound.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
        Ok(error.f_sum(Kind::Float)?.f_div(&count)?)
    }

    /// The weighted sum.
    fn sum(&self, losses: &Losses) -> Result<Tensor, TchError> {
        let weight = |on: Option<f64>| on.unwrap_or(0.0);
        let masked = self.decoder.as_ref().map(|(_, masked)| masked.weight);
        let distil = self.teacher.as_ref().map(|&(_, weight)| weight);
        let mut sum = Tensor::f_zeros([], (Kind::Float, self.clips.device))?;
        for (loss, weight) in [
            (&losses.supervised, self.config.supervised.weight),
            (&losses.masked, weight(masked)),
            (&losses.distil, weight(distil)),
        ] {
            if let Some(loss) = loss {
                sum = sum.f_add(&loss.f_mul_scalar(weight)?)?;
            }
        }
        Ok(sum)
    }
}

impl Learner for Pretrainer<'_> {
    fn trained(&self) -> &[(String, Tensor)] {
        &self.trained
    }

    fn trained_in_backbone(&self) -> usize {
        self.model.trained().len()
    }

    fn buffers(&self) -> &[(String, Tensor)] {
        &[]
    }

    fn gradient(
        &self,
        piece: &Piece,
        step: &Step,
        weight: f64,
        optimiser: &mut AdamW,
    ) -> Result<Tensor, TrainingError> {
        let features = piece.features_or(|indices| self.clips.batch(indices).0);
        let patches = self.shape().grid().patches();
        let draw = |clips: i64, masked: &Masked| {
            let name = |clip: i64| format!("hidden patches of clip {clip}");
            Masks::draw(step.seed, clips, patches, masked.share, &name)
        };
        let losses = self.losses(&features, &piece.labels.classes, step, &draw)?;
        let sum = self.sum(&losses)?;
        optimiser.accumulate(&sum, weight)?;
        Ok(sum.detach())
    }

    fn validate(
        &self,
        part: &[usize],
        batch: usize,
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Figures, TrainingError> {
        let patches = self.shape().grid().patches();
        let mut means: BTreeMap<String, f64> = BTreeMap::new();
        let (mut scores, mut classes) = (Vec::new(), Vec::new());
        let (mut total, mut done) = (0.0, 0);
        for indices in part.chunks(batch.max(1)) {
            let features = self.clips.batch(indices).0;
            let labels = self.clips.labels_of(indices).classes;
            let draw = |clips: i64, masked: &Masked| {
                let name = |clip: i64| format!("clip {}", indices[clip as usize]);
                Masks::draw(VALIDATION_SEED, clips, patches, masked.share, &name)
            };
            let step = Step::evaluation();
            let (losses, sum) = no_grad(|| {
                let losses = self.losses(&features, &labels, &step, &draw)?;
                let sum = self.sum(&losses)?.f_double_value(&[])?;
                Ok::<_, TrainingError>((losses, sum))
            })?;
            let share = indices.len() as f64 / part.len() as f64;
            total += share * sum;
            for (name, loss) in [
                ("supervised loss", &losses.supervised),
                ("masked loss", &losses.masked),
                ("distil loss", &losses.distil),
            ] {
                if let Some(loss) = loss {
                    let mean = means.entry(name.to_owned()).or_default();
                    *mean += share * loss.f_double_value(&[])?;
                }
            }
            if let Some(rows) = losses.scores {
                scores.extend(Vec::<Vec<f32>>::try_from(rows.to_device(Device::Cpu))?);
                classes.extend(labels);
            }
            done += indices.len();
            if !go_on(done) {
                return Err(TrainingError::Stopped);
            }
        }
        let sets = figures(self.heads.sets(), &scores, &classes);
        let mean = |index: usize| {
            let sum: f64 = sets.values().map(|pair: &[f64; 2]| pair[index]).sum();
            sum / sets.len().max(1) as f64
        };
        let (accuracy, macro_f1) = (mean(0), mean(1));
        let named =
            |(name, [accuracy, _]): (&String, &[f64; 2])| (format!("accuracy {name}"), *accuracy);
        means.extend(sets.iter().map(named));
        Ok(Figures {
            clips: part.len(),
            loss: total,
            accuracy,
            macro_f1,
            calibration_error: None,
            mean_average_precision: None,
            parts: means,
        })
    }
}

fn copy(named: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let pairs = named.iter();
    pairs
        .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
        .collect()
}
