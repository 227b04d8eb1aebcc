//! One set of frozen weights for many models.

use tch::Device;

use crate::binder::Binder;
use crate::{AstError, AstModel, BindOptions, Checkpoint, Patchout, Precision};

/// A frozen backbone that models with their own trained tensors are bound
/// beside: whatever a model does not train is the memory of this one, the
/// fused, cast and packed matrices included.
///
/// One exception: where a bias trains and its matrix does not, a matrix in
/// bf16 is cast once more for that model.
#[derive(Debug)]
pub struct SharedBackbone {
    checkpoint: Checkpoint,
    precision: Precision,
    device: Device,
    frozen: AstModel,
}

impl SharedBackbone {
    /// Binds the weights once, all frozen.
    ///
    /// # Errors
    /// When libtorch cannot move a tensor to the device.
    pub fn new(
        checkpoint: Checkpoint,
        precision: Precision,
        device: Device,
    ) -> Result<Self, AstError> {
        let options = BindOptions {
            precision,
            device,
            ..BindOptions::frozen()
        };
        let frozen = AstModel::bind(&checkpoint, &options)?;
        Ok(SharedBackbone {
            checkpoint,
            precision,
            device,
            frozen,
        })
    }

    /// A model in which the tensors that `trained` names are f32 leaves of its
    /// own and all others are shared.
    ///
    /// # Errors
    /// When libtorch cannot copy a tensor, or the patchout leaves nothing of
    /// the patch grid.
    pub fn bind(
        &self,
        trained: &dyn Fn(&str) -> bool,
        patchout: Patchout,
    ) -> Result<AstModel, AstError> {
        let options = BindOptions {
            trained,
            precision: self.precision,
            device: self.device,
            patchout,
        };
        Binder::new(&self.checkpoint, &options, Some(&self.frozen)).model()
    }

    /// The weights as they are on disk.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The backbone with nothing trained.
    pub fn frozen(&self) -> &AstModel {
        &self.frozen
    }

    /// Number format of the frozen matrices.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where the weights live.
    pub fn device(&self) -> Device {
        self.device
    }
}
