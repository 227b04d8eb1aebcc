//! The tensor names of the original AST release, which builds on timm.

use tch::Tensor;

/// What a tensor of the original release becomes: canonical names and values.
/// Nothing where the name is not one that the backbone or classifier needs,
/// as with the heads for ImageNet.
///
/// `module.v.` stands before the backbone's names and `module.` before the
/// classifier's; `module.` is missing where the model was saved without
/// torch's data-parallel wrapper. A fused `qkv` [3·D, …] gives views of its
/// thirds, in the order query, key, value.
pub(super) fn convert(name: &str, tensor: &Tensor) -> Option<Vec<(String, Tensor)>> {
    let name = name.strip_prefix("module.").unwrap_or(name);
    if let Some(head) = name.strip_prefix("mlp_head.") {
        let (index, part) = head.split_once('.')?;
        let layer = match index {
            "0" => "layernorm",
            "1" => "dense",
            _ => return None,
        };
        return one(format!("classifier.{layer}.{part}"), tensor);
    }
    let name = name.strip_prefix("v.")?;
    match name.strip_prefix("blocks.") {
        Some(rest) => {
            let (block, name) = rest.split_once('.')?;
            in_block(block.parse().ok()?, name, tensor)
        }
        None => one(outside_blocks(name)?, tensor),
    }
}

fn one(name: String, tensor: &Tensor) -> Option<Vec<(String, Tensor)>> {
    Some(vec![(name, tensor.shallow_clone())])
}

fn outside_blocks(name: &str) -> Option<String> {
    let canonical = match name {
        "cls_token" => "embeddings.cls_token",
        "dist_token" => "embeddings.distillation_token",
        "pos_embed" => super::names::POSITIONS,
        "patch_embed.proj.weight" => "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias" => "embeddings.patch_embeddings.projection.bias",
        "norm.weight" => "layernorm.weight",
        "norm.bias" => "layernorm.bias",
        _ => return None,
    };
    Some(canonical.to_owned())
}

fn in_block(block: usize, name: &str, tensor: &Tensor) -> Option<Vec<(String, Tensor)>> {
    let (layer, part) = name.rsplit_once('.')?;
    if part != "weight" && part != "bias" {
        return None;
    }
    let at = |layer: &str| format!("encoder.layer.{block}.{layer}.{part}");
    let layer = match layer {
        "norm1" => "layernorm_before",
        "norm2" => "layernorm_after",
        "attn.proj" => "attention.output.dense",
        "mlp.fc1" => "intermediate.dense",
        "mlp.fc2" => "output.dense",
        "attn.qkv" => {
            let thirds = ["query", "key", "value"].into_iter().zip(thirds(tensor)?);
            let named =
                thirds.map(|(name, third)| (at(&format!("attention.attention.{name}")), third));
            return Some(named.collect());
        }
        _ => return None,
    };
    one(at(layer), tensor)
}

fn thirds(tensor: &Tensor) -> Option<[Tensor; 3]> {
    let rows = *tensor.size().first()?;
    if rows % 3 != 0 {
        return None;
    }
    let third = rows / 3;
    Some([0, 1, 2].map(|index| tensor.narrow(0, index * third, third)))
}
