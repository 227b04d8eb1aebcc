//! A method's tensors as they are created: named, initialised, on their device.

use ast_model::init;
use tch::{Device, Kind, Tensor};

/// Standard deviation of Hugging Face's initialiser for linear maps.
pub(crate) const SIGMA: f64 = 0.02;

/// Named tensors in the order of their creation.
pub(crate) type Named = Vec<(String, Tensor)>;

/// Collects the trained tensors and the buffers of a method. Initial values
/// depend on the seed and the tensor's name only.
#[derive(Debug)]
pub(crate) struct Parameters {
    seed: u64,
    device: Device,
    planning: bool,
    first_block: usize,
    trained: Named,
    buffers: Named,
}

impl Parameters {
    pub fn new(seed: u64, device: Device) -> Self {
        Parameters {
            seed,
            device,
            planning: false,
            first_block: 0,
            trained: Vec::new(),
            buffers: Vec::new(),
        }
    }

    /// Collects names and shapes alone: tensors that hold one value each,
    /// whatever their shape, so that hyper-parameters from a file cost no memory
    /// before that file's tensors are known to fit them.
    pub fn planning() -> Self {
        Parameters {
            planning: true,
            ..Parameters::new(0, Device::Cpu)
        }
    }

    /// The same for a method that acts from block `first` on.
    pub fn acting_from(self, first: usize) -> Self {
        Parameters {
            first_block: first,
            ..self
        }
    }

    /// The first block in which the method acts: modules of earlier ones would
    /// never be used.
    pub fn first_block(&self) -> usize {
        self.first_block
    }

    fn value(&self, shape: &[i64], make: impl FnOnce() -> Tensor) -> Tensor {
        if !self.planning {
            return make();
        }
        let one = vec![1; shape.len()];
        Tensor::zeros(one.as_slice(), (Kind::Float, Device::Cpu)).expand(shape, false)
    }

    /// Values from N(0, σ²).
    pub fn normal(&mut self, name: String, shape: &[i64], sigma: f64) -> Tensor {
        let value = self.value(shape, || init::normal(self.seed, &name, shape, sigma));
        self.add(name, value)
    }

    /// Values from N(mean, σ²).
    pub fn normal_around(&mut self, name: String, shape: &[i64], mean: f64, sigma: f64) -> Tensor {
        let value = self.value(shape, || {
            init::normal(self.seed, &name, shape, sigma) + mean
        });
        self.add(name, value)
    }

    /// Values from U(−bound, bound).
    pub fn uniform(&mut self, name: String, shape: &[i64], bound: f64) -> Tensor {
        let value = self.value(shape, || init::uniform(self.seed, &name, shape, bound));
        self.add(name, value)
    }

    /// The same value everywhere.
    pub fn constant(&mut self, name: String, shape: &[i64], value: f64) -> Tensor {
        let full = || Tensor::full(shape, value, (Kind::Float, Device::Cpu));
        self.add(name, self.value(shape, full))
    }

    /// A tensor that is no parameter: it gets no gradient and is not counted as
    /// trained, but is saved, loaded and copied with the trained ones. The
    /// module that owns it changes it in place (running statistics).
    pub fn buffer(&mut self, name: String, shape: &[i64], value: f64) -> Tensor {
        let full = || Tensor::full(shape, value, (Kind::Float, self.device));
        let buffer = self.value(shape, full);
        self.buffers.push((name, buffer.shallow_clone()));
        buffer
    }

    /// A trained tensor with given initial values, which are copied.
    pub fn given(&mut self, name: String, value: &Tensor) -> Tensor {
        self.add(name, value.to_kind(Kind::Float).copy())
    }

    /// Where the tensors live.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Everything created so far: trained tensors and buffers.
    pub fn into_lists(self) -> (Named, Named) {
        (self.trained, self.buffers)
    }

    fn add(&mut self, name: String, value: Tensor) -> Tensor {
        let leaf = value.to_device(self.device).set_requires_grad(true);
        self.trained.push((name, leaf.shallow_clone()));
        leaf
    }
}
