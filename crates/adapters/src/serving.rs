//! Many adapters on one backbone.

use std::collections::BTreeMap;
use std::path::Path;

use ast_model::{Checkpoint, Hidden, NoExtension, Precision, SharedBackbone, Step};
use tch::{Device, Tensor};

use crate::{AdaptOptions, AdaptedModel, AdapterDescription, AdapterError, MethodConfig, folder};

/// Several adapters that share the frozen weights of one backbone.
///
/// Every adapter has its own trained tensors and labels; all else exists once.
/// [`get`](Self::get) chooses one per call, [`forward_all`](Self::forward_all)
/// gives the scores of all of them and computes what they have in common once.
///
/// ```
/// use adapters::{AdaptOptions, AdapterSet, MethodConfig};
/// use ast_model::{AstConfig, Checkpoint, Precision};
/// use tch::{Device, Kind, Tensor};
///
/// let shape = AstConfig { max_length: 64, num_hidden_layers: 2, ..AstConfig::tiny() };
/// let backbone = Checkpoint::random(&shape, 7)?;
/// let mut set = AdapterSet::new(backbone, Precision::F32, Device::Cpu)?;
/// for (task, classes) in [("birds", 20), ("engines", 4)] {
///     set.insert(task, &MethodConfig::named("linear")?, &AdaptOptions::new(classes))?;
/// }
/// let features = Tensor::zeros([1, 64, 128], (Kind::Float, Device::Cpu)); // [B, T, F]
/// let pass = set.forward_all(&features)?;
/// assert_eq!(pass.logits["engines"].size(), [1, 4]);
/// assert_eq!(pass.blocks_computed, 2); // not 4
/// # Ok::<(), adapters::AdapterError>(())
/// ```
pub struct AdapterSet {
    shared: SharedBackbone,
    members: BTreeMap<String, Member>,
}

struct Member {
    model: AdaptedModel,
    description: Option<AdapterDescription>,
}

/// What [`AdapterSet::forward_all`] gives.
#[derive(Debug)]
pub struct SharedPass {
    /// Class scores of every adapter by its name, each [B, C], f32.
    pub logits: BTreeMap<String, Tensor>,
    /// How many blocks were computed, those of the common part counted once.
    pub blocks_computed: usize,
}

impl AdapterSet {
    /// A set without adapters on a backbone that is bound once.
    ///
    /// # Errors
    /// When libtorch cannot move the weights to the device.
    pub fn new(
        backbone: Checkpoint,
        precision: Precision,
        device: Device,
    ) -> Result<Self, AdapterError> {
        Ok(AdapterSet {
            shared: SharedBackbone::new(backbone, precision, device)?,
            members: BTreeMap::new(),
        })
    }

    /// Loads an adapter folder under a name; one of the same name is replaced.
    ///
    /// # Errors
    /// As [`load`](crate::load). The set is unchanged then.
    pub fn load(&mut self, name: &str, folder: &Path) -> Result<(), AdapterError> {
        let (model, description) = folder::load_beside(folder, &self.shared)?;
        self.add(name, model, Some(description));
        Ok(())
    }

    /// Adds a fresh model of a method; precision and device are the set's.
    ///
    /// # Errors
    /// As [`AdaptedModel::new`].
    pub fn insert(
        &mut self,
        name: &str,
        method: &MethodConfig,
        options: &AdaptOptions,
    ) -> Result<(), AdapterError> {
        let model = AdaptedModel::beside(&self.shared, method, options)?;
        self.add(name, model, None);
        Ok(())
    }

    /// Removes an adapter and frees its trained tensors; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.members.remove(name).is_some()
    }

    fn add(&mut self, name: &str, model: AdaptedModel, description: Option<AdapterDescription>) {
        let member = Member { model, description };
        self.members.insert(name.to_owned(), member);
    }

    /// The model of a name, with [`AdaptedModel::forward`] for one task alone.
    ///
    /// # Errors
    /// [`AdapterError::UnknownAdapter`] lists the names.
    pub fn get(&self, name: &str) -> Result<&AdaptedModel, AdapterError> {
        Ok(&self.member(name)?.model)
    }

    /// What the folder of an adapter says of it; nothing for one that was
    /// inserted.
    ///
    /// # Errors
    /// [`AdapterError::UnknownAdapter`] lists the names.
    pub fn description(&self, name: &str) -> Result<Option<&AdapterDescription>, AdapterError> {
        Ok(self.member(name)?.description.as_ref())
    }

    fn member(&self, name: &str) -> Result<&Member, AdapterError> {
        let unknown = || AdapterError::UnknownAdapter {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        };
        self.members.get(name).ok_or_else(unknown)
    }

    /// Names of all adapters, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The frozen weights.
    pub fn shared(&self) -> &SharedBackbone {
        &self.shared
    }

    /// The scores of all adapters in evaluation mode, to the bit those of each
    /// model alone. The plain backbone is computed once, as far as the adapter
    /// that changes it last begins; every adapter goes on from the first block
    /// that it changes. Linear probes share all blocks.
    ///
    /// Adapters that change the embedding or the tokens (full fine-tuning,
    /// prompts) share nothing.
    ///
    /// # Shapes
    /// `features` [B, T, F]
    ///
    /// # Errors
    /// Features of another shape than the backbone takes.
    pub fn forward_all(&self, features: &Tensor) -> Result<SharedPass, AdapterError> {
        tch::no_grad(|| self.forward_shared(features))
    }

    fn forward_shared(&self, features: &Tensor) -> Result<SharedPass, AdapterError> {
        // A step may hold what one adapter needs, so every adapter has its own.
        let depth = self.shared.checkpoint().config.num_hidden_layers;
        let mut pass = SharedPass {
            logits: BTreeMap::new(),
            blocks_computed: 0,
        };
        let mut by_start: BTreeMap<usize, Vec<(&String, &AdaptedModel)>> = BTreeMap::new();
        for (name, Member { model, .. }) in &self.members {
            match model.shared_blocks() {
                Some(block) => by_start.entry(block).or_default().push((name, model)),
                None => {
                    let logits = model.forward(features, &Step::evaluation())?;
                    pass.logits.insert(name.clone(), logits);
                    pass.blocks_computed += depth;
                }
            }
        }
        let step = Step::evaluation();
        let mut prefix: Option<Hidden> = None;
        for (block, members) in by_start {
            let mut hidden = match prefix {
                Some(hidden) => hidden,
                None => self.shared.frozen().begin(features, &NoExtension, &step)?,
            };
            while hidden.block() < block {
                hidden = self.shared.frozen().advance(hidden, &NoExtension, &step)?;
                pass.blocks_computed += 1;
            }
            for (name, model) in members {
                let logits = model.finish(hidden.shallow_clone(), &Step::evaluation())?;
                pass.logits.insert(name.clone(), logits);
                pass.blocks_computed += depth - block;
            }
            prefix = Some(hidden);
        }
        Ok(pass)
    }
}
