//! Our tensors as the authors' released program names and shapes them.

use tch::Tensor;

/// What the authors' names depend on beside ours.
#[derive(Debug, Clone, Copy, Default)]
pub struct Naming {
    /// Two mixtures a block.
    pub houlsby: bool,
    /// The class for the study of placements: one adapter a block, unnumbered.
    pub ablation: bool,
    /// Conformer adapters.
    pub conformer: bool,
}

/// One tensor of the authors' program.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name, without `model.` before it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
}

fn part(name: String, shape: &[i64]) -> Vec<Part> {
    vec![Part {
        name,
        shape: shape.to_vec(),
    }]
}

/// The tensors that one of ours is made of, N of them where it is stacked.
pub fn parts(ours: &str, shape: &[i64], naming: Naming) -> Vec<Part> {
    let same = || part(ours.to_owned(), shape);
    let Some(inside) = ours.strip_prefix("encoder.layer.") else {
        return same();
    };
    let Some((block, name)) = inside.split_once('.') else {
        return same();
    };
    let at = |name: &str| format!("encoder.layer.{block}.{name}");
    if let Some(leaf) = name.strip_prefix("prefix.") {
        let theirs = leaf.strip_suffix('s').unwrap_or(leaf);
        return part(at(&format!("attention.attention.{theirs}_tokens")), shape);
    }
    if let Some((module, leaf)) = name.rsplit_once(".lora_") {
        let letter = match module {
            "attention.attention.query" => "q",
            "attention.attention.key" => "k",
            "attention.attention.value" => "v",
            "attention.output.dense" => "o",
            // They update no others.
            _ => return same(),
        };
        let theirs = format!("attention.attention.lora_{leaf}_{letter}.weight");
        return part(at(&theirs), shape);
    }
    let Some((module, leaf)) = name.split_once('.') else {
        return same();
    };
    let place = module.rsplit_once('_').map_or("", |(_, place)| place);
    if module.starts_with("adapter_") {
        let prefix = match naming.ablation {
            true => at("adapter_module"),
            false => at(&format!("adapter_module_{}", place.to_uppercase())),
        };
        return expert(&prefix, leaf, shape, naming);
    }
    if !module.starts_with("moa_") {
        return same();
    }
    let suffix = if naming.houlsby {
        format!("_{place}")
    } else {
        String::new()
    };
    match leaf {
        "phi" => part(at(&format!("moa{suffix}.slot_params")), shape),
        "scale" => part(at(&format!("moa{suffix}.scale")), shape),
        "router_weight" => part(at(&format!("router{suffix}.ff.weight")), shape),
        "router_bias" => part(at(&format!("router{suffix}.ff.bias")), shape),
        _ => (0..shape.first().copied().unwrap_or(0))
            .flat_map(|n| {
                let prefix = at(&format!("moa{suffix}.moa.{n}"));
                expert(&prefix, leaf, shape, naming)
            })
            .collect(),
    }
}

/// One expert's tensor; `shape` is that of our stack [N, ..].
fn expert(prefix: &str, leaf: &str, shape: &[i64], naming: Naming) -> Vec<Part> {
    let conformer = naming.conformer;
    let theirs = match leaf {
        "down" if conformer => "pwise_conv1.weight",
        "down_bias" if conformer => "pwise_conv1.bias",
        "up" if conformer => "pwise_conv2.weight",
        "up_bias" if conformer => "pwise_conv2.bias",
        "depthwise" => "dwise_conv.weight",
        "depthwise_bias" => "dwise_conv.bias",
        "down" => "linear_downsample.weight",
        "down_bias" => "linear_downsample.bias",
        "up" => "linear_upsample.weight",
        "up_bias" => "linear_upsample.bias",
        other => &other
            .replace("batchnorm", "bnorm")
            .replace("layernorm", "lnorm"),
    };
    let shape = match (leaf, shape) {
        ("down" | "up", &[_, input, output]) if conformer => vec![output, input, 1],
        ("down" | "up", &[_, input, output]) => vec![output, input],
        ("depthwise", &[_, r, k]) => vec![r, 1, k],
        _ => shape.iter().skip(1).copied().collect(),
    };
    part(format!("{prefix}.{theirs}"), &shape)
}

/// Our tensor, of the shape `shape`, from the authors' parts in order; nothing
/// where they do not fit.
pub fn assemble(ours: &str, shape: &[i64], parts: &[Tensor]) -> Option<Tensor> {
    let turned: Option<Vec<Tensor>> = match ours.rsplit('.').next() {
        Some("down" | "up") => parts.iter().map(turn).collect(),
        _ => None,
    };
    let stacked = match (turned, parts) {
        (Some(turned), _) => Tensor::f_stack(&turned, 0).ok()?,
        (None, [only]) => only.shallow_clone(),
        (None, _) => Tensor::f_stack(parts, 0).ok()?,
    };
    stacked.f_reshape(shape).ok()?.f_contiguous().ok()
}

/// [out, in] or [out, in, 1] → [in, out]
fn turn(part: &Tensor) -> Option<Tensor> {
    let [output, input, ..] = part.size()[..] else {
        return None;
    };
    let matrix = part.f_reshape([output, input]).ok()?;
    matrix.f_transpose(0, 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_of_every_map_have_the_letter_of_the_authors() {
        let theirs = |module: &str, leaf: &str| {
            let ours = format!("encoder.layer.3.{module}.lora_{leaf}");
            parts(&ours, &[2, 8], Naming::default()).remove(0).name
        };
        for (module, letter) in [
            ("attention.attention.query", "q"),
            ("attention.attention.key", "k"),
            ("attention.attention.value", "v"),
            ("attention.output.dense", "o"),
        ] {
            let expected = format!("encoder.layer.3.attention.attention.lora_up_{letter}.weight");
            assert_eq!(theirs(module, "up"), expected);
        }
        let own = "encoder.layer.3.intermediate.dense.lora_down";
        assert_eq!(theirs("intermediate.dense", "down"), own);
    }
}
