//! Checkpoints with some weights replaced.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::{Checkpoint, Classifier};
use crate::AstError;

impl Checkpoint {
    /// The same checkpoint with other values for the tensors in `changed`, by
    /// canonical name, and with this classifier or none.
    ///
    /// # Errors
    /// A name that the backbone does not have, or a tensor of another shape.
    pub fn with_tensors(
        &self,
        changed: BTreeMap<String, Tensor>,
        classifier: Option<Classifier>,
    ) -> Result<Self, AstError> {
        let mut edited = self.select(self.config.clone());
        edited.classifier = classifier;
        for (name, tensor) in changed {
            let Some(place) = edited.tensors.get_mut(&name) else {
                let blocks = self.config.num_hidden_layers;
                return Err(AstError::MissingTensor { name, blocks });
            };
            if place.size() != tensor.size() {
                return Err(AstError::TensorShape {
                    name,
                    expected: place.size(),
                    found: tensor.size(),
                });
            }
            *place = tensor.detach().f_to_kind(Kind::Float)?;
        }
        Ok(edited)
    }
}
