//! Multi-head self-attention with a fused q, k, v product where nothing
//! forbids it.

use tch::{Kind, Tensor};

use crate::AstError;
use crate::extension::{Context, Extension, HookError, Projection};
use crate::hook_shapes;
use crate::linear::Linear;

/// The attention sub-layer of one block.
#[derive(Debug)]
pub(crate) struct Attention {
    pub qkv: Qkv,
    pub output: Linear,
    pub heads: i64,
}

/// The three input projections.
#[derive(Debug)]
pub(crate) enum Qkv {
    /// All frozen in one number format: one product [D → 3 D].
    Fused(Linear),
    /// Some of them trained.
    Separate([Linear; 3]),
}

impl Attention {
    /// softmax(q kᵀ / √d) v, heads concatenated, output projection.
    ///
    /// [B, L, D] → [B, L, D]
    pub fn forward(
        &self,
        n1: &Tensor,
        context: &Context,
        extension: &dyn Extension,
    ) -> Result<Tensor, HookError> {
        // An extension chooses the input; the rest counts on three axes.
        n1.size3()?;
        let [query, key, value] = of_one_kind(self.projections(n1, context, extension)?);
        let (key, value) = with_prefix(key, value, context, extension)?;
        let attended = Tensor::f_scaled_dot_product_attention(
            &self.split_heads(&query)?,
            &self.split_heads(&key)?,
            &self.split_heads(&value)?,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        let merged = attended.f_transpose(1, 2)?.f_reshape(n1.size())?;
        let output = self.output.forward(&merged)?;
        if extension.changes(Projection::Output) {
            return hook_shapes::projected(extension, context, Projection::Output, &merged, output);
        }
        Ok(output)
    }

    fn projections(
        &self,
        n1: &Tensor,
        context: &Context,
        extension: &dyn Extension,
    ) -> Result<[Tensor; 3], HookError> {
        let mut parts = match &self.qkv {
            Qkv::Fused(fused) => {
                let mut chunks = fused.forward(n1)?.chunk(3, -1).into_iter();
                [(); 3].map(|()| chunks.next().expect("three projections"))
            }
            Qkv::Separate([query, key, value]) => {
                [query.forward(n1)?, key.forward(n1)?, value.forward(n1)?]
            }
        };
        let kinds = [Projection::Query, Projection::Key, Projection::Value];
        for (part, projection) in parts.iter_mut().zip(kinds) {
            if extension.changes(projection) {
                let plain = part.shallow_clone();
                *part = hook_shapes::projected(extension, context, projection, n1, plain)?;
            }
        }
        Ok(parts)
    }

    /// [B, L, D] → [B, heads, L, D / heads], without a copy unless an extension
    /// gives a tensor whose rows are not contiguous.
    fn split_heads(&self, x: &Tensor) -> Result<Tensor, HookError> {
        let size = x.size();
        let heads = [size[0], size[1], self.heads, size[2] / self.heads];
        Ok(x.f_reshape(heads)?.f_transpose(1, 2)?)
    }
}

/// f32 where the kinds differ: some projections trained, the others frozen in
/// bf16, or an extension that gives f32 for one of them.
fn of_one_kind(parts: [Tensor; 3]) -> [Tensor; 3] {
    if parts.iter().all(|part| part.kind() == parts[0].kind()) {
        return parts;
    }
    parts.map(|part| part.to_kind(Kind::Float))
}

/// Inserts further keys and values between the class token and the rest
/// (prefix-tuning; the place does not change the result).
fn with_prefix(
    key: Tensor,
    value: Tensor,
    context: &Context,
    extension: &dyn Extension,
) -> Result<(Tensor, Tensor), HookError> {
    let Some(further) = extension.key_value_tokens(context) else {
        return Ok((key, value));
    };
    let width = key.size().last().copied().unwrap_or(0);
    let (keys, values) = hook_shapes::keys_and_values(further, width)?;
    Ok((
        insert_after_first(&key, &keys)?,
        insert_after_first(&value, &values)?,
    ))
}

fn insert_after_first(x: &Tensor, extra: &Tensor) -> Result<Tensor, HookError> {
    let size = x.size();
    let (batch, tokens) = (size[0], size[1]);
    let extra = extra.f_to_kind(x.kind())?;
    let extra = extra.f_expand([batch, -1, -1], false)?;
    let rest = x.f_narrow(1, 1, tokens - 1)?;
    Ok(Tensor::f_cat(&[x.f_narrow(1, 0, 1)?, extra, rest], 1)?)
}

impl Qkv {
    /// The same projections without a copy of their tensors.
    pub fn shallow_clone(&self) -> Self {
        match self {
            Qkv::Fused(fused) => Qkv::Fused(fused.shallow_clone()),
            Qkv::Separate(three) => {
                let [query, key, value] = three;
                Qkv::Separate([query, key, value].map(Linear::shallow_clone))
            }
        }
    }

    /// Fuses the projections when all are frozen in one number format, and
    /// packs what can be packed.
    pub fn new(three: [Linear; 3], rows: i64) -> Result<Self, AstError> {
        if let Some(fused) = Linear::fused(&three) {
            return Ok(Qkv::Fused(fused.packed(rows)?));
        }
        let [query, key, value] = three;
        Ok(Qkv::Separate([
            query.packed(rows)?,
            key.packed(rows)?,
            value.packed(rows)?,
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grid, NoExtension, Step, init};
    use tch::{Device, Kind};

    fn weight(name: &str) -> Tensor {
        init::normal(5, name, &[8, 8], 0.3)
    }

    fn bias(name: &str) -> Tensor {
        init::normal(6, name, &[8], 0.3)
    }

    fn projection(name: &str) -> Linear {
        Linear::plain(weight(name), bias(name))
    }

    #[test]
    fn fused_and_separate_projections_agree_with_an_explicit_softmax() {
        let three = ["q", "k", "v"].map(projection);
        let x = init::normal(1, "x", &[2, 5, 8], 1.0);
        let part = |l: &Linear| l.forward(&x).unwrap().view([2, 5, 2, 4]).transpose(1, 2);
        let scores = part(&three[0]).matmul(&part(&three[1]).transpose(2, 3)) / 2.0;
        let mixed = scores.softmax(-1, Kind::Float).matmul(&part(&three[2]));
        let output = projection("o");
        let expected = output
            .forward(&mixed.transpose(1, 2).reshape([2, 5, 8]))
            .unwrap();

        let step = Step::evaluation();
        let context = Context {
            block: 0,
            grid: Some(Grid {
                frequency: 1,
                time: 3,
            }),
            step: &step,
        };
        let trained = ["q", "k", "v"]
            .map(|name| Linear::plain(weight(name).set_requires_grad(true), bias(name)));
        assert!(matches!(
            Qkv::new(["q", "k", "v"].map(projection), 10).unwrap(),
            Qkv::Fused(_)
        ));
        for qkv in [Qkv::new(three, 10), Qkv::new(trained, 10)] {
            let qkv = qkv.unwrap();
            let attention = Attention {
                qkv,
                output: projection("o"),
                heads: 2,
            };
            let found = attention.forward(&x, &context, &NoExtension).unwrap();
            assert!((found - &expected).abs().max().double_value(&[]) < 1e-5);
        }
        assert_eq!(x.device(), Device::Cpu);
    }
}
