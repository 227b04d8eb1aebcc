//! Routing of tokens over a bank of experts: soft, dense, and sparse by token
//! choice, expert choice or ReLU gates.
//!
//! A *router* looks at the tokens `x` and decides which expert sees what; a
//! [`Dispatcher`] carries that decision out. An *expert bank* holds N experts
//! stacked in one tensor and knows nothing of routing. [`MoaLayer`] joins the
//! two: a mixture of adapters.
//!
//! Everything here is a function of given tensors. The structs hold
//! [`tch::Tensor`]s that the caller created, perhaps as trained leaves; all
//! results are differentiable with respect to them and to `x`.
//!
//! Axes: B batch, L tokens, D width, N experts, P slots per expert, S slots of
//! one expert over the whole batch, R bottleneck width, K chosen experts.
//!
//! # Kinds and devices
//! Routing is computed in f32 (in f64 when `x` or a parameter is f64), also for
//! half-precision tokens; the result of a layer has the kind of `x`. Everything
//! runs on the device of `x`, on which the parameters must lie.
//!
//! # Example
//! ```
//! use moe_routing::{ExpertBank, Inner, MoaLayer, RouteOptions, RouterNorm, SoftRouter};
//! use tch::{Device, Kind, Tensor};
//!
//! let (d, n, p, r) = (8, 3, 1, 2);
//! let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
//! let router = SoftRouter { phi: zeros(&[d, n, p]), scale: None, norm: RouterNorm::Off, noise: 0.0 };
//! let bank = ExpertBank {
//!     down: zeros(&[n, d, r]), down_bias: zeros(&[n, r]), inner: Inner::Gelu,
//!     up: zeros(&[n, r, d]), up_bias: zeros(&[n, d]) + 0.5,
//! };
//! let layer = MoaLayer { router: Box::new(router), bank };
//! let output = layer.forward(&zeros(&[2, 5, d]), RouteOptions::default())?;
//! assert_eq!(output.y.size(), [2, 5, d]);
//! # Ok::<(), moe_routing::RoutingError>(())
//! ```
//!
//! # What it does not do
//! It creates, initialises, trains and stores no parameters, draws no random
//! numbers (the caller hands in [`Draws`]), and knows no audio and no backbone.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bank;
mod check;
mod dense;
mod error;
mod expert_choice;
mod gated;
mod inner;
mod layer;
mod logits;
mod losses;
mod mask;
mod metrics;
mod relu;
mod routing;
mod soft;
mod sparse;
mod train;

pub use bank::ExpertBank;
pub use dense::DenseRouter;
pub use error::{Result, RoutingError};
pub use expert_choice::{ExpertChoiceConfig, ExpertChoiceRouter};
pub use inner::{BatchNorm, Conformer, Convpass, Inner, LayerNorm, TokenConvolution};
pub use layer::{MoaLayer, MoaOutput};
pub use losses::{AuxiliaryLosses, LossWeights};
pub use metrics::{RouterMetrics, WeightExtremes};
pub use relu::{ReluConfig, ReluRouter};
pub use routing::{Dispatcher, RouteOptions, Router, Routing};
pub use soft::{RouterNorm, SoftRouter, SoftWeights};
pub use sparse::{Assignment, Exploration, Gate, Group, Priority, SparseConfig, SparseRouter};
pub use train::{Draws, Train};
