//! AdamW over one flat buffer.
//!
//! All trained tensors become views of a single buffer, so that a step is a
//! handful of operations whatever their number, and a copy of the whole
//! training state is one tensor.

use tch::{Device, Kind, TchError, Tensor, no_grad};

mod config;
mod schedule;

pub use config::{AdamWConfig, OptimiserError};
pub use schedule::{cosine, warmup_cosine};

/// Offsets are multiples of this many values (64 bytes), so that views are
/// aligned for vector instructions.
const ALIGNMENT: i64 = 16;

/// How one trained tensor is treated where it differs from the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Treatment {
    /// Factor on the learning rate of every step; 1 for the common rate.
    pub rate_factor: f64,
    /// Decoupled weight decay in place of [`AdamWConfig::weight_decay`].
    pub weight_decay: f64,
}

/// AdamW (Loshchilov and Hutter 2019).
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    leaves: Vec<Tensor>,
    offsets: Vec<i64>,
    values: Tensor,
    gradients: Tensor,
    first: Tensor,
    second: Tensor,
    /// 1 where a value takes part, 0 in padding and in tensors that the loss
    /// has not reached yet: those keep their initial values, undecayed.
    active: Tensor,
    /// Factor of the rate and weight decay of every value, where they differ.
    treatment: Option<[Tensor; 2]>,
    /// Which tensors the loss has reached so far.
    reached: Vec<bool>,
    /// Pieces of a batch whose gradients are in the buffer.
    pieces: usize,
    steps: i32,
}

/// The parts of the optimiser's state that are no tensors.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Updates made.
    pub steps: i32,
    /// Which tensors the loss has reached, in the order of the trained tensors.
    pub reached: Vec<bool>,
}

impl AdamW {
    /// Takes over the storage of the trained tensors.
    ///
    /// # Errors
    /// When libtorch cannot make the buffers.
    pub fn new(trained: &[(String, Tensor)], config: AdamWConfig) -> Result<Self, TchError> {
        let mut offsets = Vec::with_capacity(trained.len());
        let mut length = 0;
        for (_, tensor) in trained {
            offsets.push(length);
            length += (tensor.numel() as i64 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        let device = trained
            .first()
            .map_or(Device::Cpu, |(_, tensor)| tensor.device());
        let zeros = || Tensor::f_zeros([length], (Kind::Float, device));
        let optimiser = AdamW {
            config,
            leaves: trained
                .iter()
                .map(|(_, tensor)| tensor.shallow_clone())
                .collect(),
            offsets,
            values: zeros()?,
            gradients: zeros()?,
            first: zeros()?,
            second: zeros()?,
            active: zeros()?,
            treatment: None,
            reached: vec![false; trained.len()],
            pieces: 0,
            steps: 0,
        };
        no_grad(|| -> Result<(), TchError> {
            for (leaf, &offset) in optimiser.leaves.iter().zip(&optimiser.offsets) {
                let mut view = part(&optimiser.values, offset, leaf);
                view.f_copy_(leaf)?;
                leaf.shallow_clone().f_set_data(&view)?;
            }
            Ok(())
        })?;
        Ok(optimiser)
    }

    /// Gives tensors rates and decays of their own: one [`Treatment`] per
    /// trained tensor, in their order. Where all are alike nothing changes, and
    /// a step keeps its bits.
    ///
    /// # Errors
    /// When libtorch cannot make the buffers.
    pub fn with_treatments(mut self, treatments: &[Treatment]) -> Result<Self, TchError> {
        let common = Treatment {
            rate_factor: 1.0,
            weight_decay: self.config.weight_decay,
        };
        if treatments.iter().all(|&treatment| treatment == common) {
            return Ok(self);
        }
        let [factors, decays] = [
            self.active.f_zeros_like()?.f_fill_(1.0)?,
            self.active.f_zeros_like()?,
        ];
        for (index, treatment) in treatments.iter().enumerate().take(self.leaves.len()) {
            let (leaf, offset) = (&self.leaves[index], self.offsets[index]);
            let _ = part(&factors, offset, leaf).f_fill_(treatment.rate_factor)?;
            let _ = part(&decays, offset, leaf).f_fill_(treatment.weight_decay)?;
        }
        self.treatment = Some([factors, decays]);
        Ok(self)
    }

    /// One step at the learning rate `rate` down the gradient of `loss`.
    ///
    /// # Errors
    /// When the backward pass fails.
    pub fn step(&mut self, loss: &Tensor, rate: f64) -> Result<(), TchError> {
        self.accumulate(loss, 1.0)?;
        self.update(rate)
    }

    /// One step down the gradients that a backward pass has left in the
    /// trained tensors, which are cleared.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn step_accumulated(&mut self, rate: f64) -> Result<(), TchError> {
        self.accumulate_taken(1.0)?;
        self.update(rate)
    }

    /// Adds `weight` times the gradient of `loss` to that of the step in
    /// progress. The first piece of a step with weight 1 is copied as it is;
    /// others are added in f32 in the order of the calls.
    ///
    /// # Errors
    /// When the backward pass fails.
    pub fn accumulate(&mut self, loss: &Tensor, weight: f64) -> Result<(), TchError> {
        let gradients = Tensor::f_run_backward(&[loss], &self.leaves, false, false)?;
        self.take_all(&gradients, weight)
    }

    /// As [`accumulate`](Self::accumulate), with the gradients that a backward
    /// pass has left in the trained tensors, which are cleared.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn accumulate_taken(&mut self, weight: f64) -> Result<(), TchError> {
        let gradients: Vec<Tensor> = self.leaves.iter().map(Tensor::grad).collect();
        self.take_all(&gradients, weight)?;
        self.leaves.iter_mut().for_each(Tensor::zero_grad);
        Ok(())
    }

    /// Scales the gradient of the step in progress by
    /// min(1, largest / (norm + 10⁻⁶)), as `torch.nn.utils.clip_grad_norm_` does,
    /// and returns its Euclidean norm before: a scalar in f64 on the device, so
    /// that nobody has to wait for it.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn clip(&mut self, largest: f64) -> Result<Tensor, TchError> {
        let norm = self.gradients.f_norm()?.f_to_kind(Kind::Double)?;
        let limit = norm.f_full_like(largest)?;
        let factor = limit.f_div(&norm.f_add_scalar(1e-6)?)?.f_clamp_max(1.0)?;
        let _ = self.gradients.f_mul_(&factor)?;
        Ok(norm)
    }

    /// A copy of all trained values.
    pub fn snapshot(&self) -> Tensor {
        self.values.copy()
    }

    /// Puts the values of a [`snapshot`](Self::snapshot) back.
    pub fn restore(&mut self, snapshot: &Tensor) {
        no_grad(|| self.values.copy_(snapshot));
    }

    /// The four buffers that decide all further steps, beside
    /// [`counters`](Self::counters): values, both moments and the mask of
    /// active values. They are the live ones, not copies.
    pub fn buffers(&self) -> [(&'static str, &Tensor); 4] {
        [
            ("values", &self.values),
            ("first_moment", &self.first),
            ("second_moment", &self.second),
            ("active", &self.active),
        ]
    }

    /// The rest of the state. Between steps, [`buffers`](Self::buffers) and
    /// this are all of it.
    pub fn counters(&self) -> Counters {
        Counters {
            steps: self.steps,
            reached: self.reached.clone(),
        }
    }

    /// Puts a state back: four tensors in the order of
    /// [`buffers`](Self::buffers), and the counters.
    ///
    /// # Errors
    /// When the shapes are not those of this optimiser.
    pub fn resume(&mut self, buffers: [&Tensor; 4], counters: Counters) -> Result<(), TchError> {
        no_grad(|| -> Result<(), TchError> {
            let own = [
                &mut self.values,
                &mut self.first,
                &mut self.second,
                &mut self.active,
            ];
            for (own, saved) in own.into_iter().zip(buffers) {
                if own.size() != saved.size() {
                    let (own, saved) = (own.size(), saved.size());
                    return Err(TchError::Shape(format!("{saved:?} values for {own:?}")));
                }
                own.f_copy_(saved)?;
            }
            Ok(())
        })?;
        self.steps = counters.steps;
        self.reached = counters.reached;
        self.pieces = 0;
        Ok(())
    }

    fn take_all(&mut self, gradients: &[Tensor], weight: f64) -> Result<(), TchError> {
        no_grad(|| {
            for (index, gradient) in gradients.iter().enumerate() {
                self.take(index, gradient, weight)?;
            }
            self.pieces += 1;
            Ok(())
        })
    }

    /// Adds the gradient of one tensor in its place, 0 where there is none.
    fn take(&mut self, index: usize, gradient: &Tensor, weight: f64) -> Result<(), TchError> {
        let (leaf, offset) = (&self.leaves[index], self.offsets[index]);
        let mut place = part(&self.gradients, offset, leaf);
        let first = self.pieces == 0;
        if !gradient.defined() {
            if first {
                let _ = place.f_zero_()?;
            }
            return Ok(());
        }
        match (first, weight == 1.0) {
            (true, true) => place.f_copy_(gradient)?,
            (true, false) => place.f_copy_(&gradient.f_mul_scalar(weight)?)?,
            (false, _) => {
                let _ = place.f_add_(&gradient.f_mul_scalar(weight)?)?;
            }
        }
        if !self.reached[index] {
            self.reached[index] = true;
            let _ = part(&self.active, offset, leaf).f_fill_(1.0)?;
        }
        Ok(())
    }

    /// One step at the learning rate `rate` down the accumulated gradient.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn update(&mut self, rate: f64) -> Result<(), TchError> {
        no_grad(|| self.descend(rate))
    }

    fn descend(&mut self, rate: f64) -> Result<(), TchError> {
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.config;
        self.pieces = 0;
        self.steps += 1;
        let _ = self.first.f_lerp_(&self.gradients, 1.0 - beta1)?;
        let _ = self.second.f_lerp_(&self.gradients.square(), 1.0 - beta2)?;
        let unbias1 = 1.0 - beta1.powi(self.steps);
        let unbias2 = 1.0 - beta2.powi(self.steps);
        let denominator = self
            .second
            .sqrt()
            .f_div_scalar_(unbias2.sqrt())?
            .f_add_scalar_(epsilon)?;
        let mut change = (&self.first / denominator).f_mul_scalar_(rate / unbias1)?;
        match &self.treatment {
            None if weight_decay != 0.0 => change += &self.values * (rate * weight_decay),
            None => {}
            Some([factors, decays]) => {
                change += &self.values * decays * rate;
                change *= factors;
            }
        }
        change *= &self.active;
        self.values -= change;
        Ok(())
    }
}

/// The part of a flat buffer that belongs to a tensor, in its shape.
fn part(buffer: &Tensor, offset: i64, leaf: &Tensor) -> Tensor {
    buffer
        .narrow(0, offset, leaf.numel() as i64)
        .view(leaf.size().as_slice())
}

#[cfg(test)]
mod tests;
