//! Linear maps and LayerNorms whose weights may be frozen in bf16 or trained in f32.

use packed_linear::PackedLinear;
use tch::{Device, Kind, Tensor};

use crate::AstError;

/// W x + b with W [out, in]. The product runs in the number format of W.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Tensor,
}

/// The matrix as it is kept.
#[derive(Debug)]
enum Weight {
    /// As it came: trained, f32, or on a device that needs no packing.
    Plain(Tensor),
    /// Frozen bf16 on the CPU, in oneDNN's layout, with the bias inside if
    /// that is frozen too.
    Packed { linear: PackedLinear, biased: bool },
}

impl Linear {
    /// Keeps the tensors as they are.
    pub fn plain(weight: Tensor, bias: Tensor) -> Self {
        Linear {
            weight: Weight::Plain(weight),
            bias,
        }
    }

    /// The same map without a copy of its tensors.
    pub fn shallow_clone(&self) -> Self {
        let weight = match &self.weight {
            Weight::Plain(weight) => Weight::Plain(weight.shallow_clone()),
            Weight::Packed { linear, biased } => Weight::Packed {
                linear: linear.shallow_clone(),
                biased: *biased,
            },
        };
        Linear {
            weight,
            bias: self.bias.shallow_clone(),
        }
    }

    /// Whether neither matrix nor bias is trained and both have one kind.
    fn is_frozen(&self) -> bool {
        match &self.weight {
            Weight::Plain(weight) => {
                !weight.requires_grad()
                    && !self.bias.requires_grad()
                    && self.bias.kind() == weight.kind()
            }
            Weight::Packed { biased, .. } => *biased,
        }
    }

    /// Several maps of the same input as one, when nothing in them is trained.
    pub fn fused(parts: &[Linear]) -> Option<Linear> {
        let mut weights = Vec::with_capacity(parts.len());
        for part in parts {
            match &part.weight {
                Weight::Plain(weight) if part.is_frozen() => weights.push(weight),
                _ => return None,
            }
        }
        let kind = weights.first()?.kind();
        if weights.iter().any(|weight| weight.kind() != kind) {
            return None;
        }
        let biases: Vec<&Tensor> = parts.iter().map(|part| &part.bias).collect();
        Some(Linear::plain(
            Tensor::cat(&weights, 0),
            Tensor::cat(&biases, 0),
        ))
    }

    /// The same map in the fastest layout for products with about `rows` rows:
    /// packed if the matrix is frozen, bf16 and on a CPU with oneDNN.
    pub fn packed(self, rows: i64) -> Result<Self, AstError> {
        let Weight::Plain(weight) = &self.weight else {
            return Ok(self);
        };
        let fits = weight.kind() == Kind::BFloat16
            && weight.device() == Device::Cpu
            && !weight.requires_grad()
            && packed_linear::supported();
        if !fits {
            return Ok(self);
        }
        let biased = self.is_frozen();
        let linear = PackedLinear::pack(weight, biased.then_some(&self.bias), rows)?;
        Ok(Linear {
            weight: Weight::Packed { linear, biased },
            bias: self.bias,
        })
    }

    /// [.., in] → [.., out] in the kind of the weight.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, AstError> {
        let (product, added) = match &self.weight {
            Weight::Plain(weight) => {
                let x = x.to_kind(weight.kind());
                let inside = self.bias.kind() == weight.kind();
                let bias = inside.then_some(&self.bias);
                (x.f_linear(weight, bias)?, inside)
            }
            Weight::Packed { linear, biased } => {
                (linear.forward(&x.to_kind(Kind::BFloat16))?, *biased)
            }
        };
        if added {
            return Ok(product);
        }
        // A trained f32 bias beside a frozen bf16 matrix.
        let kind = product.kind();
        Ok((product + &self.bias).to_kind(kind))
    }

    /// GELU(W x + b), exact (erf) form; one pass where no gradient is wanted
    /// and the matrix is packed.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor, AstError> {
        if let Weight::Packed {
            linear,
            biased: true,
        } = &self.weight
            && !x.requires_grad()
        {
            return Ok(linear.forward_gelu(&x.to_kind(Kind::BFloat16))?);
        }
        let mut product = self.forward(x)?;
        if product.requires_grad() {
            return Ok(product.gelu("none"));
        }
        // Nothing else holds the product: its memory takes the result.
        Ok(product.f_gelu_("none")?)
    }
}

/// LayerNorm over the last axis, always in f32.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    pub weight: Tensor,
    pub bias: Tensor,
    pub eps: f64,
}

impl LayerNorm {
    /// D.
    pub fn width(&self) -> i64 {
        self.weight.numel() as i64
    }

    /// [.., D] → [.., D], f32.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let width = self.width();
        x.to_kind(Kind::Float).layer_norm(
            [width],
            Some(&self.weight),
            Some(&self.bias),
            self.eps,
            false,
        )
    }
}
