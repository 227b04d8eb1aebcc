//! Sparse token-choice routing: each token picks its K best experts (Switch
//! Transformer, V-MoE).

mod assignment;
mod config;
mod dispatcher;

pub use assignment::Assignment;
pub(crate) use config::rounded_up;
pub use config::{Exploration, Gate, Group, Priority, SparseConfig};

use crate::check::named;
use crate::logits::{check, check_logits, router_logits};
use crate::losses::{importance, load, load_balance, z};
use crate::mask::{TokenMask, masked};
use crate::metrics::{shares, sum_per_clip};
use crate::{AuxiliaryLosses, Result, RouteOptions, Router, RouterMetrics, Routing, Train};
use dispatcher::SparseDispatcher;
use tch::{Kind, Tensor};

/// Router of Sparse-MoA: probabilities P = softmax(W x + b); a token goes to
/// its K most probable experts, each scaled by a gate. With K = N, raw gates
/// and no capacity it equals [`DenseRouter`](crate::DenseRouter).
#[derive(Debug)]
pub struct SparseRouter {
    /// W [N, D].
    pub weight: Tensor,
    /// b `[N]`.
    pub bias: Tensor,
    /// How many experts, which gates, which limits.
    pub config: SparseConfig,
}

impl SparseRouter {
    /// Which experts the tokens `x` choose, with which gates, in evaluation.
    ///
    /// # Shapes
    /// `x` [B, L, D]; the B · L tokens of the assignment are clip after clip
    ///
    /// # Errors
    /// When `x`, `weight`, `bias` and the configuration do not fit together.
    pub fn assign(&self, x: &Tensor) -> Result<Assignment> {
        let scores = self.scores(self.logits(x, None)?, None)?;
        Ok(Assignment::new(&scores.probabilities, &self.config, None))
    }

    /// The logits of the tokens, their input shaken where that is wanted.
    fn logits(&self, x: &Tensor, train: Option<Train>) -> Result<Tensor> {
        match (self.jitter(), train) {
            (Some(epsilon), Some(train)) => {
                check(x, &self.weight, &self.bias)?;
                let factor = train.uniform_like("jitter", x) * (2.0 * epsilon) + (1.0 - epsilon);
                router_logits(&(x * factor), &self.weight, &self.bias)
            }
            _ => router_logits(x, &self.weight, &self.bias),
        }
    }

    fn scores(&self, logits: Tensor, train: Option<Train>) -> Result<Scores> {
        self.config.validate(self.bias.size()[0])?;
        let noisy = match (self.deviation(), train) {
            (Some(deviation), Some(train)) => {
                Some(&logits + train.normal_like("noise", &logits) * deviation)
            }
            _ => None,
        };
        let routed = noisy.as_ref().unwrap_or(&logits);
        Ok(Scores {
            probabilities: routed.softmax(-1, None::<Kind>),
            logits,
            noisy,
        })
    }

    /// ε of the jitter, where there is one.
    fn jitter(&self) -> Option<f64> {
        match self.config.exploration {
            Exploration::Jitter(epsilon) if epsilon > 0.0 => Some(epsilon),
            _ => None,
        }
    }

    /// Standard deviation of the noise on the logits, where there is one.
    fn deviation(&self) -> Option<f64> {
        self.config.deviation(self.bias.size()[0])
    }

    fn losses(&self, scores: &Scores, assignment: &Assignment) -> AuxiliaryLosses {
        let grouped = |t: &Tensor| {
            let size = t.size();
            match self.config.group {
                Group::Batch => t.reshape([1, size[0] * size[1], size[2]]),
                Group::Sample => t.shallow_clone(),
            }
        };
        let clean = match &scores.noisy {
            Some(_) => scores.logits.softmax(-1, None::<Kind>),
            None => scores.probabilities.shallow_clone(),
        };
        let with_noise = scores.noisy.as_ref().zip(self.deviation());
        AuxiliaryLosses {
            load_balance: Some(load_balance(
                &grouped(&scores.probabilities),
                &grouped(&assignment.chosen()),
            )),
            importance: Some(importance(&grouped(&clean))),
            load: with_noise.map(|(noisy, deviation)| {
                let logits = grouped(&scores.logits);
                load(&logits, &grouped(noisy), deviation, self.config.k)
            }),
            z: Some(z(&scores.logits)),
            sparsity: None,
        }
    }
}

/// What a token's choice follows from.
struct Scores {
    /// [B, L, N], before any noise.
    logits: Tensor,
    /// [B, L, N], if noise was added.
    noisy: Option<Tensor>,
    /// [B, L, N], of the logits with the noise.
    probabilities: Tensor,
}

impl Router for SparseRouter {
    fn route(&self, x: &Tensor, want: RouteOptions) -> Result<Routing> {
        let logits = self.logits(x, want.train)?;
        self.route_logits(&logits, x.kind(), want)
    }

    fn linear(&self, want: RouteOptions) -> Option<(&Tensor, &Tensor)> {
        let shaken = self.jitter().is_some() && want.train.is_some();
        (!shaken).then_some((&self.weight, &self.bias))
    }

    fn route_logits(&self, logits: &Tensor, output: Kind, want: RouteOptions) -> Result<Routing> {
        check_logits(logits, &self.bias)?;
        let scores = self.scores(logits.shallow_clone(), want.train)?;
        let mask = TokenMask::of(&want, named("the logits", logits))?;
        let assignment = Assignment::new(&scores.probabilities, &self.config, mask.as_ref());
        let losses = want.losses.then(|| self.losses(&scores, &assignment));
        let metrics = want.metrics.then(|| {
            let drop_rate = assignment.drop_rate(mask.as_ref());
            RouterMetrics {
                drop_rate,
                experts_per_token: self.config.k as f64 * (1.0 - drop_rate),
                ..RouterMetrics::from_clips(sum_per_clip(&masked(
                    assignment.chosen(),
                    mask.as_ref(),
                )))
            }
        });
        let dispatcher = SparseDispatcher::new(assignment, output);
        let shares = want.metrics.then(|| shares(&dispatcher.gates));
        Ok(Routing {
            dispatcher: Box::new(dispatcher),
            slots: None,
            metrics,
            shares,
            losses,
        })
    }
}
