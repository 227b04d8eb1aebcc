//! What every method is to the rest of the crate.

use ast_model::{AstConfig, Checkpoint, Extension, NoExtension, Pooling};

use super::{MethodConfig, linear};
use crate::parameters::Parameters;
use crate::pool::Pool;
use crate::{AdapterError, Compat};

/// One fine-tuning method: implemented by its configuration.
pub(crate) trait Method {
    /// Its name in the registry.
    fn name(&self) -> &'static str;

    /// The same configuration with every setting that `compat` decides, and
    /// that was not given, set to it.
    fn filled(&self, compat: Compat) -> MethodConfig;

    /// Checks every hyper-parameter against a backbone.
    ///
    /// # Errors
    /// [`AdapterError::Config`] names the first that is out of range.
    fn validate(&self, _backbone: &AstConfig) -> Result<(), AdapterError> {
        Ok(())
    }

    /// Whether the method trains the backbone's tensor of this canonical name.
    /// By default the final LayerNorm, as the linear probe does.
    fn trains(&self, name: &str) -> bool {
        linear::trains(name)
    }

    /// Creates the method's own tensors and the module that uses them. By
    /// default there are none.
    ///
    /// # Errors
    /// When libtorch refuses an operation on the checkpoint's weights.
    fn build(
        &self,
        _checkpoint: &Checkpoint,
        _parameters: &mut Parameters,
    ) -> Result<Box<dyn Extension>, AdapterError> {
        Ok(Box::new(NoExtension))
    }

    /// What the head sees when the model is asked for `wanted`. By default
    /// [`places`](Self::places): the method has no pooling of its own.
    ///
    /// # Errors
    /// As [`places`](Self::places).
    fn pooling(&self, wanted: Pooling) -> Result<Pool, AdapterError> {
        self.places(wanted)
    }

    /// Where the tokens of `wanted` are in the sequence. By default where the
    /// backbone has them: the method does not change the sequence.
    ///
    /// # Errors
    /// [`AdapterError::Config`] when the method leaves nothing of `wanted`.
    fn places(&self, wanted: Pooling) -> Result<Pool, AdapterError> {
        Ok(Pool::Model(wanted))
    }
}
