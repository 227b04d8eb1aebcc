//! The frozen backbone of a profile.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use adapters::MethodConfig;
use anyhow::{Context, Result, bail};
use ast_model::{Checkpoint, Positions};

use super::profile::BackboneSpec;

/// Seed of a randomly initialised stand-in.
const STAND_IN_SEED: u64 = 10;

/// A checkpoint cut to the profile's blocks.
#[derive(Debug)]
pub struct Backbone {
    checkpoint: Rc<Checkpoint>,
    /// In words, for the tables.
    pub title: String,
    /// Hash of all weights, before positions are adapted to a length.
    pub fingerprint: String,
    /// What happens to the positions.
    pub positions: Positions,
    /// Steps between patches along frequency and time.
    pub strides: [i64; 2],
    stand_in: bool,
}

impl Backbone {
    /// Loads the checkpoint from the cache, or makes the profile's stand-in.
    ///
    /// # Errors
    /// When it is not there and there is no stand-in, or when it is damaged.
    pub fn find(spec: &BackboneSpec, cache: &Path) -> Result<Self> {
        let folder = cache.join("backbones").join(&spec.checkpoint);
        let there = folder.join("model.safetensors").is_file();
        let full = match &spec.fallback {
            _ if there => {
                let loaded = Checkpoint::load(&folder).with_context(|| {
                    format!(
                        "the backbone {} cannot be used; {}",
                        spec.checkpoint, spec.remedy
                    )
                });
                loaded?.0
            }
            Some(shape) => Checkpoint::random(shape, STAND_IN_SEED)?,
            None => {
                let (name, place) = (&spec.checkpoint, folder.display());
                bail!("the backbone {name} is not in {place}; {}", spec.remedy);
            }
        };
        let blocks = spec.blocks.unwrap_or(full.config.num_hidden_layers);
        let checkpoint = full.first_blocks(blocks).with_context(|| {
            format!(
                "{} has {} blocks",
                spec.checkpoint, full.config.num_hidden_layers
            )
        })?;
        let name = if there {
            spec.title.as_str()
        } else {
            "random weights (stand-in)"
        };
        let title = if blocks < full.config.num_hidden_layers {
            format!("{name}, first {blocks} blocks")
        } else {
            format!("{name}, {blocks} blocks")
        };
        let config = &checkpoint.config;
        let own = [config.frequency_stride, config.time_stride];
        let strides = spec.strides.unwrap_or(own);
        let title = match strides {
            _ if strides == own => title,
            [frequency, time] => format!("{title}, patch strides {frequency} x {time}"),
        };
        Ok(Backbone {
            strides,
            fingerprint: checkpoint.fingerprint(),
            checkpoint: Rc::new(checkpoint),
            title,
            positions: spec.positions.unwrap_or_default(),
            stand_in: !there,
        })
    }

    /// The checkpoint for inputs of `length` frames, with whatever positions a
    /// run asks for.
    pub fn fitted(&self, length: usize) -> Fitted {
        Fitted {
            whole: Rc::clone(&self.checkpoint),
            length: length as i64,
            strides: self.strides,
            made: RefCell::default(),
        }
    }

    /// Frames that features must have for clips of `max_length` frames: more
    /// where the positions ask for padding.
    ///
    /// # Errors
    /// When they are shorter than one patch, or longer than the checkpoint
    /// where they are padded.
    pub fn input_length(&self, max_length: usize) -> Result<usize> {
        let length = max_length as i64;
        let fitted = self
            .checkpoint
            .with_grid(length, self.strides, self.positions)?;
        Ok(fitted.config.max_length as usize)
    }

    /// Checks the hyper-parameters of a method against the backbone's shape.
    ///
    /// # Errors
    /// A figure that does not fit.
    pub fn check(&self, method: &MethodConfig) -> Result<()> {
        Ok(method.validate(&self.checkpoint.config)?)
    }

    /// What a reader must know about it.
    pub fn note(&self) -> Option<String> {
        self.stand_in.then(|| {
            "The backbone is a stand-in with random weights, because the pretrained one could \
             not be had: the accuracies show that everything runs, nothing more."
                .to_owned()
        })
    }
}

/// A backbone for one length. Each position policy is worked out once.
#[derive(Debug)]
pub struct Fitted {
    whole: Rc<Checkpoint>,
    length: i64,
    strides: [i64; 2],
    made: RefCell<Vec<(Positions, Rc<FittedTo>)>>,
}

/// A backbone for one length and position policy.
#[derive(Debug)]
pub struct FittedTo {
    /// Configuration and weights.
    pub checkpoint: Checkpoint,
    /// Their hash, for the adapters trained on them.
    pub fingerprint: String,
}

impl Fitted {
    /// The checkpoint with these positions.
    ///
    /// # Errors
    /// When the length is shorter than one patch.
    pub fn to(&self, positions: Positions) -> Result<Rc<FittedTo>> {
        let mut made = self.made.borrow_mut();
        if let Some((_, known)) = made.iter().find(|(known, _)| *known == positions) {
            return Ok(Rc::clone(known));
        }
        let checkpoint = self.whole.with_grid(self.length, self.strides, positions)?;
        let fitted = Rc::new(FittedTo {
            fingerprint: checkpoint.fingerprint(),
            checkpoint,
        });
        made.push((positions, Rc::clone(&fitted)));
        Ok(fitted)
    }
}
