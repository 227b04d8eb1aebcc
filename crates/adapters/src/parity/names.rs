//! Our tensor names and those of the authors' released program.

use std::collections::BTreeMap;

use tch::Tensor;

/// The golden tensor, gradient or buffer (`kind`) that belongs to one of our
/// names: under our own name, or under the authors'.
pub(super) fn lookup(golden: &BTreeMap<String, Tensor>, kind: &str, ours: &str) -> Option<Tensor> {
    // The authors' prompt-tuned model has no `model.` before its names.
    let direct = |name: &str| {
        [format!("{kind}.{name}"), format!("{kind}.model.{name}")]
            .iter()
            .find_map(|name| golden.get(name))
            .map(Tensor::shallow_clone)
    };
    if let Some(found) = direct(ours) {
        return Some(found);
    }
    let (stem, leaf) = ours.rsplit_once('.')?;
    let (block, module) = stem.rsplit_once('.')?;
    if let Some(theirs) = lora(leaf, module).or_else(|| prefix(leaf, module)) {
        let stem = match module {
            "prefix" => format!("{block}.attention.attention"),
            _ => block.to_owned(),
        };
        return direct(&format!("{stem}.{theirs}"));
    }
    let place = module.rsplit_once('_').map_or("", |(_, place)| place);
    if module.starts_with("adapter_") {
        let theirs = format!("{block}.adapter_module_{}", place.to_uppercase());
        let part = direct(&format!("{theirs}.{}", linear(leaf)?))?;
        return stack(&[part], leaf);
    }
    if !module.starts_with("moa_") {
        return None;
    }
    let houlsby = golden.keys().any(|key| key.contains(".moa_ffn."));
    let suffix = match houlsby {
        true => format!("_{place}"),
        false => String::new(),
    };
    match leaf {
        "phi" => direct(&format!("{block}.moa{suffix}.slot_params")),
        "scale" => direct(&format!("{block}.moa{suffix}.scale")),
        "router_weight" => direct(&format!("{block}.router{suffix}.ff.weight")),
        "router_bias" => direct(&format!("{block}.router{suffix}.ff.bias")),
        _ => {
            let part = linear(leaf)?;
            let experts: Vec<Tensor> = (0..)
                .map_while(|n| direct(&format!("{block}.moa{suffix}.moa.{n}.{part}")))
                .collect();
            stack(&experts, leaf)
        }
    }
}

/// One factor of a low-rank update in the authors' program.
fn lora(leaf: &str, module: &str) -> Option<String> {
    let factor = leaf
        .strip_prefix("lora_")
        .filter(|factor| matches!(*factor, "down" | "up"))?;
    let map = match module {
        "query" => "q",
        "key" => "k",
        "value" => "v",
        _ => return None,
    };
    Some(format!("lora_{factor}_{map}.weight"))
}

/// Keys or values of a prefix in the authors' program.
fn prefix(leaf: &str, module: &str) -> Option<String> {
    match (module, leaf) {
        ("prefix", "keys") => Some("key_tokens".into()),
        ("prefix", "values") => Some("value_tokens".into()),
        _ => None,
    }
}

/// The part of a bottleneck in the authors' program.
fn linear(leaf: &str) -> Option<&'static str> {
    Some(match leaf {
        "down" => "linear_downsample.weight",
        "down_bias" => "linear_downsample.bias",
        "up" => "linear_upsample.weight",
        "up_bias" => "linear_upsample.bias",
        _ => return None,
    })
}

/// Ours are stacked [N, in, out]; the authors' program has one Linear
/// [out, in] per expert. Nothing where there is none or they do not fit.
fn stack(experts: &[Tensor], leaf: &str) -> Option<Tensor> {
    let stacked = Tensor::f_stack(experts, 0).ok()?;
    if leaf.ends_with("bias") {
        return Some(stacked);
    }
    stacked.f_transpose(1, 2).ok()?.f_contiguous().ok()
}
