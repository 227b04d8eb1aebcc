//! AdamW over one flat buffer.
//!
//! All trained tensors become views of a single buffer, so that a step is a
//! handful of operations whatever their number, and a copy of the whole
//! training state is one tensor.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor, no_grad};

/// Offsets are multiples of this many values (64 bytes), so that views are
/// aligned for vector instructions.
const ALIGNMENT: i64 = 16;

/// Hyper-parameters of AdamW. Defaults are the authors': β = (0.9, 0.98),
/// ε = 1e-6, weight decay 0.1 on every trained tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, multiplied by the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-6,
            weight_decay: 0.1,
        }
    }
}

impl AdamWConfig {
    /// Checks the figures.
    ///
    /// # Errors
    /// [`OptimiserError`] names the first that is out of range.
    pub fn validate(&self) -> Result<(), OptimiserError> {
        let decays = [("beta1", self.beta1), ("beta2", self.beta2)];
        for (field, value) in decays {
            if !(0.0..1.0).contains(&value) {
                let allowed = "from 0 up to, but not including, 1";
                return Err(OptimiserError {
                    field,
                    value,
                    allowed,
                });
            }
        }
        let (field, value) = ("epsilon", self.epsilon);
        if !(value > 0.0 && value.is_finite()) {
            return Err(OptimiserError {
                field,
                value,
                allowed: "above 0",
            });
        }
        let (field, value) = ("weight_decay", self.weight_decay);
        if !(value >= 0.0 && value.is_finite()) {
            return Err(OptimiserError {
                field,
                value,
                allowed: "0 or above",
            });
        }
        Ok(())
    }
}

/// A setting of AdamW that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("adamw: {field} = {value} must be {allowed}")]
pub struct OptimiserError {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// What is allowed.
    pub allowed: &'static str,
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
    /// Which tensors the loss has reached so far.
    reached: Vec<bool>,
    steps: i32,
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
            .map_or(tch::Device::Cpu, |(_, tensor)| tensor.device());
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
            reached: vec![false; trained.len()],
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

    /// One step at the learning rate `rate` down the gradient of `loss`.
    ///
    /// # Errors
    /// When the backward pass fails.
    pub fn step(&mut self, loss: &Tensor, rate: f64) -> Result<(), TchError> {
        let gradients = Tensor::f_run_backward(&[loss], &self.leaves, false, false)?;
        self.apply(&gradients, rate)
    }

    /// One step down the gradients that a backward pass has left in the
    /// trained tensors, which are cleared.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn step_accumulated(&mut self, rate: f64) -> Result<(), TchError> {
        let gradients: Vec<Tensor> = self.leaves.iter().map(Tensor::grad).collect();
        self.apply(&gradients, rate)?;
        self.leaves.iter_mut().for_each(Tensor::zero_grad);
        Ok(())
    }

    fn apply(&mut self, gradients: &[Tensor], rate: f64) -> Result<(), TchError> {
        no_grad(|| {
            for (index, gradient) in gradients.iter().enumerate() {
                self.take(index, gradient)?;
            }
            self.update(rate)
        })
    }

    /// A copy of all trained values.
    pub fn snapshot(&self) -> Tensor {
        self.values.copy()
    }

    /// Puts the values of a [`snapshot`](Self::snapshot) back.
    pub fn restore(&mut self, snapshot: &Tensor) {
        no_grad(|| self.values.copy_(snapshot));
    }

    /// Copies the gradient of one tensor into its place, 0 where there is none.
    fn take(&mut self, index: usize, gradient: &Tensor) -> Result<(), TchError> {
        let (leaf, offset) = (&self.leaves[index], self.offsets[index]);
        let mut place = part(&self.gradients, offset, leaf);
        if !gradient.defined() {
            let _ = place.f_zero_()?;
            return Ok(());
        }
        place.f_copy_(gradient)?;
        if !self.reached[index] {
            self.reached[index] = true;
            let _ = part(&self.active, offset, leaf).f_fill_(1.0)?;
        }
        Ok(())
    }

    fn update(&mut self, rate: f64) -> Result<(), TchError> {
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.config;
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
        if weight_decay != 0.0 {
            change += &self.values * (rate * weight_decay);
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

/// Learning rate of step `step` of `steps`: ½ (1 + cos(π step / steps)),
/// without warm-up, down to 0 after the last step.
pub fn cosine(initial: f64, step: usize, steps: usize) -> f64 {
    let progress = step as f64 / steps.max(1) as f64;
    initial * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ast_model::init;
    use tch::{Device, nn, nn::OptimizerConfig};

    #[test]
    fn the_schedule_has_the_published_values() {
        let expected = [
            0.005, 0.0048776, 0.0045225, 0.0039695, 0.0032725, 0.0025, 0.0017275, 0.0010305,
            0.0004775, 0.0001224,
        ];
        for (step, value) in expected.into_iter().enumerate() {
            assert!((cosine(0.005, step, 10) - value).abs() < 5e-8);
        }
    }

    /// Oracle: libtorch's own AdamW on the same problem.
    #[test]
    fn ten_steps_agree_with_libtorch_s_adamw() {
        let start = [
            init::normal(1, "a", &[3, 5], 1.0),
            init::normal(1, "b", &[7], 1.0),
        ];
        let loss = |a: &Tensor, b: &Tensor| {
            (a.matmul(&a.transpose(0, 1)).sum(Kind::Float) - b.square().sum(Kind::Float)).square()
                * 1e-3
                + b.exp().sum(Kind::Float)
        };
        let store = nn::VarStore::new(Device::Cpu);
        let theirs = [
            store.root().var_copy("a", &start[0]),
            store.root().var_copy("b", &start[1]),
        ];
        let oracle = nn::AdamW {
            beta1: 0.9,
            beta2: 0.98,
            wd: 0.1,
            eps: 1e-6,
            amsgrad: false,
        };
        let mut oracle = oracle.build(&store, 1.0).unwrap();
        let leaves: Vec<(String, Tensor)> = start
            .iter()
            .map(|t| (String::new(), t.copy().set_requires_grad(true)))
            .collect();
        let mut ours = AdamW::new(&leaves, AdamWConfig::default()).unwrap();
        for step in 0..10 {
            let rate = cosine(0.05, step, 10);
            oracle.set_lr(rate);
            oracle.backward_step(&loss(&theirs[0], &theirs[1]));
            ours.step(&loss(&leaves[0].1, &leaves[1].1), rate).unwrap();
        }
        for (ours, theirs) in leaves.iter().zip(&theirs) {
            let difference = (&ours.1 - theirs).abs().max().double_value(&[]);
            assert!(difference < 1e-5, "{difference}");
        }
    }

    #[test]
    fn a_tensor_the_loss_does_not_reach_keeps_its_value() {
        let reached = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let idle = Tensor::from_slice(&[3f32]).set_requires_grad(true);
        let leaves = vec![
            ("a".to_owned(), reached.shallow_clone()),
            ("b".to_owned(), idle.shallow_clone()),
        ];
        let mut optimiser = AdamW::new(&leaves, AdamWConfig::default()).unwrap();
        optimiser
            .step(&reached.square().sum(Kind::Float), 0.1)
            .unwrap();
        assert_eq!(idle.double_value(&[0]), 3.0);
        assert!(reached.double_value(&[0]) < 2.0);
    }

    #[test]
    fn a_snapshot_brings_all_values_back() {
        let leaf = init::normal(1, "x", &[5], 1.0).set_requires_grad(true);
        let leaves = vec![("x".to_owned(), leaf.shallow_clone())];
        let mut optimiser = AdamW::new(&leaves, AdamWConfig::default()).unwrap();
        let (before, kept) = (leaf.copy(), optimiser.snapshot());
        optimiser
            .step(&leaf.square().sum(Kind::Float), 0.1)
            .unwrap();
        assert_ne!(leaf.copy(), before);
        optimiser.restore(&kept);
        assert_eq!(leaf.copy(), before);
    }
}
