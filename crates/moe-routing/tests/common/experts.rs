//! Experts with a convolution, and the plain form of every expert as oracle.

use super::{fill, noise};
use moe_routing::{BatchNorm, Conformer, Convpass, ExpertBank, Inner, LayerNorm, TokenConvolution};
use tch::{Kind, Tensor};

/// The forms of experts under test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Gelu,
    ConvpassAsCoded,
    Convpass,
    Conformer { kernel: i64, layer_norm: bool },
}

pub const FORMS: [Form; 5] = [
    Form::Gelu,
    Form::ConvpassAsCoded,
    Form::Convpass,
    Form::Conformer {
        kernel: 4,
        layer_norm: false,
    },
    Form::Conformer {
        kernel: 3,
        layer_norm: true,
    },
];

/// Pseudo-random values of every tensor that experts of a form train.
pub fn trained(form: Form, [n, d, r]: [i64; 3]) -> Vec<Tensor> {
    let wide = match form {
        Form::Conformer { .. } => 2 * r,
        _ => r,
    };
    let mut all = vec![
        noise(&[n, d, wide], 1.0),
        noise(&[n, wide], 2.0),
        noise(&[n, r, d], 3.0),
        noise(&[n, d], 4.0),
    ];
    match form {
        Form::Gelu | Form::ConvpassAsCoded => {}
        Form::Convpass => all.extend([noise(&[n, r, r, 3], 5.0), noise(&[n, r], 6.0)]),
        Form::Conformer { kernel, layer_norm } => {
            all.extend([noise(&[n, r, kernel], 5.0), noise(&[n, r], 6.0)]);
            all.extend([noise(&[n, r], 7.0) + 1.5, noise(&[n, r], 8.0)]);
            if layer_norm {
                all.extend([noise(&[n, d], 9.0) + 1.5, noise(&[n, d], 10.0)]);
            }
        }
    }
    all
}

/// The bank that holds these tensors, with running statistics in closed form.
pub fn bank_of(form: Form, t: &[Tensor]) -> ExpertBank {
    let shared = |i: usize| t[i].shallow_clone();
    let inner = match form {
        Form::Gelu => Inner::Gelu,
        Form::ConvpassAsCoded => Inner::Convpass(Convpass {
            convolution: None,
            dropout: 0.1,
        }),
        Form::Convpass => Inner::Convpass(Convpass {
            convolution: Some(TokenConvolution {
                weight: shared(4),
                bias: shared(5),
            }),
            dropout: 0.1,
        }),
        Form::Conformer { layer_norm, .. } => Inner::Conformer(Conformer {
            layer_norm: layer_norm.then(|| LayerNorm {
                weight: shared(8),
                bias: shared(9),
            }),
            depthwise: shared(4),
            depthwise_bias: shared(5),
            batch_norm: BatchNorm {
                weight: shared(6),
                bias: shared(7),
                running_mean: noise(&t[7].size(), 11.0).to_kind(t[7].kind()),
                running_var: (noise(&t[7].size(), 12.0) + 1.5).to_kind(t[7].kind()),
                momentum: 0.1,
            },
        }),
    };
    ExpertBank {
        down: shared(0),
        down_bias: shared(1),
        inner,
        up: shared(2),
        up_bias: shared(3),
    }
}

/// Expert n as written in its formula, in evaluation mode, on clips [B, L, D]:
/// the convolutions as sums over shifted tokens.
pub fn plain_expert(bank: &ExpertBank, n: i64, x: &Tensor) -> Tensor {
    let x = match &bank.inner {
        Inner::Conformer(Conformer {
            layer_norm: Some(norm),
            ..
        }) => {
            let centred = x - x.mean_dim(-1, true, None::<Kind>);
            let var = centred.square().mean_dim(-1, true, None::<Kind>);
            centred / (var + 1e-5).sqrt() * norm.weight.get(n) + norm.bias.get(n)
        }
        _ => x.shallow_clone(),
    };
    let hidden = x.matmul(&bank.down.get(n)) + bank.down_bias.get(n);
    let active = match &bank.inner {
        Inner::Gelu => hidden.gelu("none"),
        Inner::Convpass(convpass) => {
            let u = quick_gelu(&hidden);
            let c = match &convpass.convolution {
                Some(conv) => {
                    let (weight, bias) = (conv.weight.get(n), conv.bias.get(n));
                    shifted_sum(&u, weight.size()[2], |u, place| {
                        u.matmul(&weight.select(2, place).transpose(0, 1))
                    }) + bias
                }
                None => u,
            };
            quick_gelu(&c)
        }
        Inner::Conformer(conformer) => {
            let r = hidden.size()[2] / 2;
            let u = hidden.narrow(2, 0, r) * hidden.narrow(2, r, r).sigmoid();
            let kernel = conformer.depthwise.get(n);
            let c = shifted_sum(&u, kernel.size()[1], |u, place| u * kernel.select(1, place))
                + conformer.depthwise_bias.get(n);
            let norm = &conformer.batch_norm;
            let unit = (c - norm.running_mean.get(n)) / (norm.running_var.get(n) + 1e-5).sqrt();
            (unit * norm.weight.get(n) + norm.bias.get(n)).silu()
        }
    };
    active.matmul(&bank.up.get(n)) + bank.up_bias.get(n)
}

/// Σ over places of f(tokens that the kernel's place sees, place).
fn shifted_sum(u: &Tensor, k: i64, f: impl Fn(&Tensor, i64) -> Tensor) -> Tensor {
    let (l, left) = (u.size()[1], (k - 1) / 2);
    let padded = u.constant_pad_nd([0, 0, left, k - 1 - left]);
    (0..k)
        .map(|place| f(&padded.narrow(1, place, l), place))
        .reduce(|sum, term| sum + term)
        .expect("a kernel has places")
}

fn quick_gelu(z: &Tensor) -> Tensor {
    z * (z * 1.702).sigmoid()
}

/// Σₙ gateₙ · expertₙ(x) from the stack of all outputs [B, L, N, D].
pub fn stacked(bank: &ExpertBank, x: &Tensor, gates: &Tensor) -> Tensor {
    let outputs: Vec<Tensor> = (0..bank.down.size()[0])
        .map(|n| plain_expert(bank, n, x))
        .collect();
    (Tensor::stack(&outputs, 2) * gates.unsqueeze(-1)).sum_dim_intlist(2, false, None::<Kind>)
}

/// A matrix [out, in] with `value(i)` at its flat index i, as stored in [in, out].
pub fn linear(shape: [i64; 2], value: impl Fn(f64) -> f64) -> Tensor {
    let stored = fill(&shape, Kind::Float, value);
    stored.transpose(0, 1).contiguous().unsqueeze(0)
}
